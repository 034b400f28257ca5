"""The SROS2 policy allows what the nodes do, and nothing else of theirs."""

import re
from fnmatch import fnmatch
from pathlib import Path
from xml.etree import ElementTree

import pytest
from mx_capture.nodes.event_camera_node import EventCameraNode
from mx_capture.nodes.event_tensor_node import EventTensorNode
from mx_capture.nodes.face_camera_node import FaceCameraNode
from mx_capture.nodes.face_detector_node import FaceDetectorNode
from mx_capture.nodes.recorder_node import RecorderNode
from mx_capture.nodes.rgb_camera_node import RgbCameraNode
from mx_perception.nodes.au_classifier_node import AuClassifierNode
from mx_perception.nodes.overlay_node import OverlayNode
from mx_perception.nodes.reconstruction_node import ReconstructionNode
from person import write_person
from sensor_msgs.msg import Image

POLICY = Path(__file__).parents[2] / "launch/sros2_policy.xml"
CAMERAS = (EventCameraNode, RgbCameraNode, FaceCameraNode)
OTHERS = (
    EventTensorNode,
    FaceDetectorNode,
    RecorderNode,
    AuClassifierNode,
    OverlayNode,
    ReconstructionNode,
)


def allowed(name):
    """Patterns of what a node may publish, subscribe and answer; `~` and relative names whole."""
    root = ElementTree.parse(POLICY).getroot()
    profile = root.find(f".//enclave[@path='/mx/{name}']/profiles/profile")

    def whole(pattern):
        return pattern.replace("~", f"/{name}") if pattern[0] in "~/" else f"/{pattern}"

    return [
        [whole(item.text) for item in profile.find(path)]
        for path in ("topics[@publish]", "topics[@subscribe]", "services[@reply]")
    ]


def test_every_enclave_of_the_launch_files_has_a_policy():
    known = {item.get("path") for item in ElementTree.parse(POLICY).iter("enclave")}
    files = list(POLICY.parent.glob("*.launch.xml"))
    named = [re.findall(r"--enclave (\S+)\"", file.read_text()) for file in files]
    assert {name for names in named for name in names} == known


def check(graph, node):
    name = node.get_name()
    graph.until(lambda: graph.peer.count_publishers(f"/{name}/transition_event") == 1)
    ends = (
        graph.peer.get_publisher_names_and_types_by_node,
        graph.peer.get_subscriber_names_and_types_by_node,
        graph.peer.get_service_names_and_types_by_node,
    )
    for listed, patterns in zip(ends, allowed(name), strict=True):
        for topic, _ in listed(name, "/"):
            assert any(fnmatch(topic, pattern) for pattern in patterns), f"{name}: {topic}"


@pytest.mark.parametrize("node_class", CAMERAS)
def test_cameras_keep_to_the_policy(graph, tmp_path, node_class):
    session = write_person(tmp_path / "person")
    (node,) = graph.start(node_class, backend="file", path=session, loop="true")
    graph.until(lambda: node.health.counters["published_camera_info"] > 5)
    check(graph, node)


@pytest.mark.parametrize("node_class", OTHERS)
def test_nodes_keep_to_the_policy(graph, tmp_path, node_class):
    out = {"out": tmp_path / "recording"} if node_class is RecorderNode else {}
    (node,) = graph.start(node_class, **out)
    if node_class is OverlayNode:
        graph.listen(Image, "overlay")
        graph.until(lambda: graph.peer.count_subscribers("/action_units") == 1)
    check(graph, node)
