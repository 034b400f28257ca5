"""event_tensor_node with real messages over DDS."""

import itertools

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from event_camera_msgs.msg import EventPacket
from mx_capture.codecs import Evt3Encoder
from mx_capture.conversions import (
    image_to_message,
    message_to_histogram,
    packet_to_message,
    time_to_ns,
)
from mx_capture.node_setup import EVENTS_QOS
from mx_capture.nodes.event_tensor_node import EventTensorNode
from mx_capture.stream import EVENT_DTYPE, Packet
from sensor_msgs.msg import Image

from mx_msgs import msg as mx

HEIGHT, WIDTH = 180, 240
BASE_NS = 1_700_000_000_000_000_000
PACKET_US = 2_000


def packets(count, first_seq=0, per_packet=40):
    """Packets of 2 ms with events at random places; sensor time starts at 0."""
    random = np.random.default_rng(1)
    encoder = Evt3Encoder(HEIGHT, WIDTH)
    for number in range(count):
        events = np.zeros(per_packet, EVENT_DTYPE)
        events["t"] = number * PACKET_US + np.sort(random.integers(0, PACKET_US, per_packet))
        events["x"] = random.integers(0, WIDTH, per_packet)
        events["y"] = random.integers(0, HEIGHT, per_packet)
        events["p"] = random.integers(0, 2, per_packet)
        stamp_ns = BASE_NS + (number + 1) * PACKET_US * 1000
        packet = Packet(
            stamp_ns, first_seq + number, "evt3", HEIGHT, WIDTH, BASE_NS, encoder.encode(events)
        )
        yield events, packet_to_message(packet, "event_camera")


def faces(stamp_ns, frame_id="rgb_camera"):
    face = mx.Face(id="f00000", score=0.9)
    face.roi.x_offset, face.roi.y_offset, face.roi.width, face.roi.height = 40, 20, 128, 128
    message = mx.Faces(faces=[face])
    message.header.frame_id = frame_id
    message.header.stamp.sec, message.header.stamp.nanosec = divmod(stamp_ns, 10**9)
    return message


@pytest.fixture
def wired(graph):
    (node,) = graph.start(EventTensorNode)
    tensors = graph.listen(mx.EventTensor, "event_tensors")
    events = graph.publisher(EventPacket, "event_camera/events", EVENTS_QOS)
    boxes = graph.publisher(mx.Faces, "faces")
    graph.until(lambda: node.event_tensors.get_subscription_count() == 1)
    return node, tensors, events, boxes


def test_tensors_hold_exactly_the_events_of_their_window(graph, wired):
    _, tensors, events, boxes = wired
    boxes.publish(faces(BASE_NS - 100_000_000))
    sent = []
    for decoded, message in packets(40):
        sent.append(decoded)
        events.publish(message)
        graph.executor.spin_once(timeout_sec=0.01)
    graph.until(lambda: len(tensors) >= 5)
    sent = np.concatenate(sent)
    for tensor in tensors:
        start = (time_to_ns(tensor.window_start) - BASE_NS) // 1000
        end = (time_to_ns(tensor.header.stamp) - BASE_NS) // 1000
        assert end - start == 10_000
        window = sent[(sent["t"] >= start) & (sent["t"] < end)]
        inside = window[
            (window["x"] >= 40) & (window["x"] < 168) & (window["y"] >= 20) & (window["y"] < 148)
        ]
        expected = np.zeros((1, 2, 128, 128), np.uint8)
        np.add.at(expected, (0, inside["p"], inside["y"] - 20, inside["x"] - 40), 1)
        np.testing.assert_array_equal(message_to_histogram(tensor), expected)
    assert [tensor.seq for tensor in tensors] == list(range(len(tensors)))
    assert [tensor.discontinuity for tensor in tensors[:2]] == [True, False]


def test_a_missing_packet_is_counted_and_marks_the_tensor(graph, wired):
    node, tensors, events, boxes = wired
    boxes.publish(faces(BASE_NS - 100_000_000))
    for number, (_, message) in enumerate(packets(50)):
        if number != 20:
            events.publish(message)
        graph.executor.spin_once(timeout_sec=0.01)
    graph.until(lambda: len(tensors) >= 7)
    assert node.tensorizer.totals()["lost_packets"] == 1
    marked = [time_to_ns(t.window_start) - BASE_NS for t in tensors if t.discontinuity]
    # The face's first tensor, and the two that the hole before 42 ms may reach into.
    assert marked == [10_000_000, 30_000_000, 40_000_000]


def test_random_bytes_and_unknown_encodings_are_counted_and_survived(graph, wired):
    node, tensors, events, boxes = wired
    boxes.publish(faces(BASE_NS - 100_000_000))
    messages = [message for _, message in packets(400)]
    junk = EventPacket(height=HEIGHT, width=WIDTH, encoding="evt3", seq=10)
    junk.events = np.random.default_rng(2).bytes(4096)
    unknown = EventPacket(height=HEIGHT, width=WIDTH, encoding="evt9", seq=11)
    sent = iter([*messages[:10], junk, unknown, *messages[10:]])

    def fed():
        # Random times may lead far ahead: faces are followed as long as they are told.
        for message in itertools.islice(sent, 2):
            events.publish(message)
            boxes.publish(faces(BASE_NS - 100_000_000))
        return len(tensors) >= 3 and node.health.counters["bad_packets"] == 1

    graph.until(fed)


def test_more_faces_than_can_be_cut_are_counted_and_survived(graph, wired):
    node, tensors, events, boxes = wired
    crowd = faces(BASE_NS - 100_000_000)
    crowd.faces = [mx.Face(id=f"f{i}", roi=crowd.faces[0].roi, score=0.9) for i in range(17)]
    boxes.publish(crowd)
    graph.until(lambda: node.health.counters["spare_faces"] == 2)
    for _, message in packets(20):
        events.publish(message)
        graph.executor.spin_once(timeout_sec=0.01)
    graph.until(lambda: len({tensor.face_id for tensor in tensors}) == 15)


def test_frame_tensors_pair_with_their_crops(graph, wired):
    _, _, events, boxes = wired
    frame_tensors = graph.listen(mx.EventTensor, "frame_tensors")
    crops = graph.listen(Image, "face_crops")
    images = graph.publisher(Image, "rgb/image_raw")
    picture = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    stamps = [BASE_NS + number * 33_000_000 for number in range(4)]
    for stamp_ns in stamps:
        boxes.publish(faces(stamp_ns))
        images.publish(image_to_message(picture, stamp_ns, "rgb_camera"))
        graph.executor.spin_once(timeout_sec=0.05)
    for _, message in packets(60):
        events.publish(message)
        graph.executor.spin_once(timeout_sec=0.01)
    graph.until(lambda: len(frame_tensors) == 2 and len(crops) == 4)
    assert [time_to_ns(crop.header.stamp) for crop in crops] == stamps
    # The events before the first packet are not known: there is no tensor for the first frame.
    assert [time_to_ns(tensor.window_start) for tensor in frame_tensors] == stamps[1:3]
    assert [time_to_ns(tensor.header.stamp) for tensor in frame_tensors] == stamps[2:]
    assert crops[0].header.frame_id == "face_f00000"
    assert message_to_histogram(frame_tensors[0]).shape == (5, 2, 128, 128)


def test_faces_of_a_detector_that_hangs_are_followed_no_longer(graph):
    (node,) = graph.start(EventTensorNode, face_timeout_us=200_000)
    tensors = graph.listen(mx.EventTensor, "event_tensors")
    reports = graph.listen(DiagnosticArray, "/diagnostics")
    events = graph.publisher(EventPacket, "event_camera/events", EVENTS_QOS)
    boxes = graph.publisher(mx.Faces, "faces")
    graph.until(lambda: node.event_tensors.get_subscription_count() == 1)
    boxes.publish(faces(BASE_NS))
    graph.until(lambda: node.tensorizer._faces)

    def told():
        return any("face_detector_node" in report.status[0].message for report in reports)

    for _, message in packets(250):
        events.publish(message)
        graph.executor.spin_once(timeout_sec=0.001)
    graph.until(lambda: tensors and told())
    assert max(time_to_ns(tensor.header.stamp) for tensor in tensors) <= BASE_NS + 260_000_000
    assert node.tensorizer.totals()["expired_faces"] == 1
