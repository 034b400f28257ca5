"""Camera nodes with cameras that come and go, over DDS."""

import sys
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from event_camera_msgs.msg import EventPacket
from fake_neuromorphic import FakeDevice, FakeLibrary, Name
from mx_capture.codecs import make_decoder
from mx_capture.devices.emulated import WARNING
from mx_capture.files import open_source
from mx_capture.health import ERROR, OK
from mx_capture.node_setup import EVENTS_QOS
from mx_capture.nodes.event_camera_node import EventCameraNode
from mx_capture.nodes.rgb_camera_node import RgbCameraNode
from mx_capture.nodes.simulator_node import SimulatorNode
from sensor_msgs.msg import Image

LAUNCH = Path(__file__).parents[2] / "launch" / "robot.launch.xml"


@pytest.fixture
def camera(monkeypatch):
    camera = FakeDevice(Name.PROPHESEE_EVK4, "00051234")
    monkeypatch.setitem(sys.modules, "neuromorphic_drivers", FakeLibrary(camera))
    return camera


@pytest.fixture
def video(tmp_path):
    """A video that stands in for a webcam; when it ends, the webcam was pulled out."""
    path = tmp_path / "webcam.avi"
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter.fourcc(*"MJPG"), 30, (160, 120))
    for number in range(20):
        image = np.full((120, 160, 3), 60, np.uint8)
        image[40:80, 20 + 4 * number : 60 + 4 * number] = 200
        writer.write(image)
    writer.release()
    return path


def report(node):
    node.observe()
    return node.health.report()


def test_an_unplugged_event_camera_comes_back(graph, camera):
    (node,) = graph.start(EventCameraNode, backend="neuromorphic", device="evk4")
    heard = graph.listen(EventPacket, "event_camera/events", EVENTS_QOS)
    graph.until(lambda: len(heard) >= 20)
    decoder = make_decoder(heard[0].encoding, heard[0].height, heard[0].width)
    assert all(len(decoder.decode(bytes(packet.events))) for packet in heard[:20])
    assert report(node).values["serial"] == "00051234"

    camera.plugged = False
    graph.until(lambda: report(node).level == ERROR)
    assert "waiting" in report(node).message or "plugged in" in report(node).message
    camera.plugged = True
    before = len(heard)
    graph.until(lambda: len(heard) >= before + 20)
    after = report(node)
    assert (after.values["unplugged"], after.values["reopened"]) == ("1", "1")
    assert after.level == OK
    assert camera.opened == 2


def test_a_missing_camera_fails_the_start_and_names_the_remedy(graph, camera):
    camera.plugged = False
    with pytest.raises(AssertionError, match="no Prophesee EVK4 is plugged in"):
        graph.start(EventCameraNode, backend="neuromorphic", device="evk4")


def test_a_deactivated_node_gives_its_camera_free_and_takes_it_again(graph, camera):
    (node,) = graph.start(EventCameraNode, backend="neuromorphic")
    heard = graph.listen(EventPacket, "event_camera/events", EVENTS_QOS)
    graph.until(lambda: len(heard) >= 2)
    node.trigger_deactivate()
    assert node.source.facts() == {}
    before = len(heard)
    node.trigger_activate()
    graph.until(lambda: len(heard) >= before + 2)
    assert camera.opened == 2


def test_a_webcam_stands_in_for_both_cameras_and_says_so(graph, video):
    (node,) = graph.start(EventCameraNode, backend="uvc_emulated", video_device=video)
    events = graph.listen(EventPacket, "event_camera/events", EVENTS_QOS)
    images = graph.listen(Image, "rgb/image_raw")
    assert node.source.event_size == node.source.frame_size == (120, 160)
    # Its end stands for an unplug: it is opened again, and goes on.
    graph.until(lambda: len(events) >= 30 and len(images) >= 5)
    assert (images[0].height, images[0].width, images[0].encoding) == (120, 160, "rgb8")
    graph.until(lambda: int(report(node).values["reopened"]) >= 1)
    node.health.solved("device")
    assert WARNING in node.health.report().message


def test_a_video_stands_in_for_an_event_recording_and_says_so(graph, video):
    (node,) = graph.start(EventCameraNode, backend="file", path=video, loop=True)
    events = graph.listen(EventPacket, "event_camera/events", EVENTS_QOS)
    images = graph.listen(Image, "rgb/image_raw")
    graph.until(lambda: len(events) >= 30 and len(images) >= 5)
    assert WARNING in node.health.report().message


def test_a_webcam_is_an_rgb_camera_that_comes_back(graph, video):
    (node,) = graph.start(RgbCameraNode, backend="uvc", video_device=video)
    images = graph.listen(Image, "rgb/image_raw")
    graph.until(lambda: len(images) >= 5)
    graph.until(lambda: int(report(node).values["reopened"]) >= 1)
    graph.until(lambda: report(node).values.get("video_device") == str(video))
    stamps = [image.header.stamp.sec * 10**9 + image.header.stamp.nanosec for image in images]
    assert stamps == sorted(set(stamps))


def test_a_simulator_that_renders_says_so_and_that_it_is_done(graph, video, monkeypatch):
    graph.start()
    heard = graph.listen(DiagnosticArray, "/diagnostics")

    def render(_, progress):
        graph.until(lambda: progress(0.4) or heard)
        return open_source(video)

    monkeypatch.setattr("mx_capture.nodes.camera_node.simulated_session", render)
    (node,) = graph.start(SimulatorNode)
    assert heard[0].status[0].message == "rendering the simulated person, once: 40%"
    assert report(node).level == OK


def test_the_robots_launch_file_sets_only_what_the_nodes_know(graph, camera, video):
    nodes = graph.start(EventCameraNode, RgbCameraNode, autostart=False)
    known = {node.get_name(): set(node._parameters) for node in nodes}
    checked = 0
    for element in ElementTree.parse(LAUNCH).getroot().iter("node"):
        if element.get("exec") in known:
            names = {param.get("name") for param in element.iter("param")} - {None}
            assert names <= known[element.get("exec")]
            checked += 1
    assert checked == 3
