"""au_classifier_node and reconstruction_node with real messages over DDS."""

import numpy as np
from hri_msgs.msg import FacialActionUnits
from mx_capture.conversions import image_to_message, tensor_to_message
from mx_capture.event_tensor import EventTensor
from mx_capture.roi import Roi
from mx_perception.nodes.au_classifier_node import AuClassifierNode
from mx_perception.nodes.reconstruction_node import ReconstructionNode
from sensor_msgs.msg import Image

from mx_msgs import msg as mx

HOP_NS = 10_000_000


def tensor(seq, bins=1, size=128, discontinuity=False, face="f00000"):
    """A tensor with random events, stamped on the hop grid."""
    data = np.random.default_rng(seq).poisson(0.05, (bins, 2, size, size)).astype(np.uint8)
    roi = Roi(0.0, 0.0, 128.0, 128.0)
    start_us, end_us = seq * 10_000, (seq + 1) * 10_000
    events = int(data.sum())
    made = EventTensor(face, seq, start_us, end_us, data, events, 0, roi, discontinuity)
    return tensor_to_message(made, seq * HOP_NS, (seq + 1) * HOP_NS, "event_camera")


def test_every_tensor_gives_scores_for_both_kinds_of_subscriber(graph):
    (node,) = graph.start(AuClassifierNode)
    scores = graph.listen(mx.ActionUnits, "action_units")
    facs = graph.listen(FacialActionUnits, "/humans/faces/f00000/facs")
    tensors = graph.publisher(mx.EventTensor, "event_tensors")
    graph.until(lambda: node.action_units.get_subscription_count() == 1)
    for seq in range(20):
        tensors.publish(tensor(seq))
    graph.until(lambda: len(scores) == 20)
    assert [message.header.stamp.nanosec for message in scores] == [
        (seq + 1) * HOP_NS for seq in range(20)
    ]
    assert list(scores[0].au) == list(node.model.action_units)
    assert all(0.0 <= value <= 1.0 for message in scores for value in message.score)
    # The topic of a face exists from its first tensor on, so the first messages may be missed.
    tensors.publish(tensor(20))
    graph.until(lambda: facs and facs[-1].header.stamp.nanosec == 21 * HOP_NS)
    estimated = {number for number in range(99) if facs[-1].confidence[number] > 0}
    assert estimated == set(node.model.action_units)


def test_a_gap_starts_the_face_over(graph):
    (node,) = graph.start(AuClassifierNode)
    scores = graph.listen(mx.ActionUnits, "action_units")
    tensors = graph.publisher(mx.EventTensor, "event_tensors")
    graph.until(lambda: node.action_units.get_subscription_count() == 1)
    for seq in (0, 1, 2, 7):
        tensors.publish(tensor(seq))
    graph.until(lambda: len(scores) == 4)
    assert node.health.counters["missed_tensors"] == 4
    node.model.forget(["fresh"])
    alone = node.model.step(
        {"fresh": np.frombuffer(tensor(7).data, np.uint8).reshape(1, 2, 128, 128)}
    )
    np.testing.assert_array_equal(np.float32(scores[3].score), alone["fresh"])


def test_a_tensor_of_another_size_is_refused_and_counted(graph):
    (node,) = graph.start(AuClassifierNode)
    scores = graph.listen(mx.ActionUnits, "action_units")
    tensors = graph.publisher(mx.EventTensor, "event_tensors")
    graph.until(lambda: node.action_units.get_subscription_count() == 1)
    tensors.publish(tensor(0, size=64))
    cut = tensor(1)
    cut.data = cut.data[:100]
    tensors.publish(cut)
    tensors.publish(tensor(2))
    graph.until(lambda: len(scores) == 1)
    assert node.health.counters["refused_tensors"] == 2


def test_a_face_whose_id_makes_no_topic_is_refused_and_counted(graph):
    (node,) = graph.start(AuClassifierNode)
    scores = graph.listen(mx.ActionUnits, "action_units")
    tensors = graph.publisher(mx.EventTensor, "event_tensors")
    graph.until(lambda: node.action_units.get_subscription_count() == 1)
    for face in ("", "7", "a-b", "f00000"):
        tensors.publish(tensor(0, face=face))
    graph.until(lambda: len(scores) == 1)
    assert node.health.counters["refused_faces"] == 3
    assert scores[0].face_id == "f00000" and node.model.faces == ["f00000"]


def test_topics_of_a_lost_face_are_withdrawn(graph):
    (node,) = graph.start(AuClassifierNode)
    tensors = graph.publisher(mx.EventTensor, "event_tensors")
    tensors.publish(tensor(0))
    topic = "/humans/faces/f00000/facs"
    graph.until(lambda: graph.peer.count_publishers(topic) == 1)
    graph.until(lambda: graph.peer.count_publishers(topic) == 0)
    assert node.model.faces == []


def test_a_classifier_that_stops_withdraws_what_is_open_and_starts_afresh(graph):
    (node,) = graph.start(AuClassifierNode)
    scores = graph.listen(mx.ActionUnits, "action_units")
    phases = graph.listen(mx.MicroExpression, "micro_expressions")
    tensors = graph.publisher(mx.EventTensor, "event_tensors")
    graph.until(lambda: node.action_units.get_subscription_count() == 1)
    tensors.publish(tensor(0))
    graph.until(lambda: len(scores) == 1)
    shown = np.zeros(14, np.float32)
    for hop, score in enumerate([0.0] * 5 + [1.0] * 15):
        shown[9] = score
        begun = node.spotter.update("f00000", (hop + 2) * HOP_NS, shown)
        node.tell(begun, tensor(hop).header.stamp, "face")
    graph.until(lambda: phases and phases[0].phase == mx.MicroExpression.ONSET)
    node.trigger_deactivate()
    graph.until(lambda: phases[-1].phase == mx.MicroExpression.OFFSET)
    assert phases[-1].score == 0.0 and phases[-1].header.stamp.nanosec == HOP_NS
    assert node.model.faces == []
    node.trigger_activate()
    graph.until(lambda: node.action_units.get_subscription_count() == 1)
    tensors.publish(tensor(1))
    graph.until(lambda: len(scores) == 2)
    counts = np.frombuffer(tensor(1).data, np.uint8).reshape(1, 2, 128, 128)
    np.testing.assert_array_equal(
        np.float32(scores[1].score), node.model.step({"fresh": counts})["fresh"]
    )


def test_reconstruction_needs_the_key_frame_of_its_window(graph):
    (node,) = graph.start(ReconstructionNode)
    frames = graph.listen(Image, "reconstruction")
    tensors = graph.publisher(mx.EventTensor, "frame_tensors")
    crops = graph.publisher(Image, "face_crops")
    graph.until(lambda: node.reconstruction.get_subscription_count() == 1)
    picture = np.full((128, 128, 3), 90, np.uint8)
    bins = node.model.bins
    for seq in (0, 1, 2, 5):  # the crops of 3 and 4 never come
        crops.publish(image_to_message(picture, (seq + 1) * HOP_NS, "face_f00000"))
        tensors.publish(tensor(seq, bins=bins))
    graph.until(
        lambda: node.health.counters["paired"] + node.health.counters["without_key_frame"] == 4
    )
    graph.until(lambda: len(frames) == 2)
    assert [frame.header.stamp.nanosec for frame in frames] == [2 * HOP_NS, 3 * HOP_NS]
    assert node.health.counters["without_key_frame"] == 2
    assert (frames[0].height, frames[0].width, frames[0].encoding) == (128, 128, "mono8")
    graph.until(lambda: not node._faces)


def test_two_faces_of_one_frame_keep_apart(graph):
    (node,) = graph.start(ReconstructionNode)
    frames = graph.listen(Image, "reconstruction")
    tensors = graph.publisher(mx.EventTensor, "frame_tensors")
    crops = graph.publisher(Image, "face_crops")
    graph.until(lambda: node.reconstruction.get_subscription_count() == 1)
    picture = np.full((128, 128), 90, np.uint8)
    for seq in range(3):
        for face in ("f00000", "f00001"):
            crops.publish(image_to_message(picture, (seq + 1) * HOP_NS, f"face_{face}"))
            tensors.publish(tensor(seq, bins=node.model.bins, face=face))
    graph.until(lambda: len(frames) == 4)
    assert (
        sorted(frame.header.frame_id for frame in frames)
        == ["face_f00000"] * 2 + ["face_f00001"] * 2
    )
