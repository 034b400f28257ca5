"""Faces as a ROS4HRI listener hears them: it subscribes what libhri subscribes, with its QoS."""

import cv2
import numpy as np
from drawn_face import drawn_face
from hri_msgs.msg import (
    Expression,
    FacialActionUnits,
    FacialLandmarks,
    IdsList,
    NormalizedRegionOfInterest2D,
)
from mx_capture.conversions import image_to_message, tensor_to_message
from mx_capture.event_tensor import EventTensor
from mx_capture.nodes.face_detector_node import FaceDetectorNode
from mx_capture.roi import Roi
from mx_perception.nodes.au_classifier_node import AuClassifierNode
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy, qos_profile_system_default
from sensor_msgs.msg import Image

from mx_msgs import msg as mx

FRAME_NS = 33_000_000
TOPICS = {
    "roi": NormalizedRegionOfInterest2D,
    "cropped": Image,
    "aligned": Image,
    "landmarks": FacialLandmarks,
    "facs": FacialActionUnits,
    "expression": Expression,
}


class Listener:
    """Follows `/humans/faces/tracked`: subscribes the topics of new ids, drops those of others."""

    def __init__(self, node):
        self._node, self._subscriptions = node, {}
        self.lists = []
        self.heard = {}
        node.create_subscription(
            IdsList, "/humans/faces/tracked", self._on_ids, qos_profile_system_default
        )

    def _on_ids(self, message):
        self.lists.append(message)
        for name in set(message.ids) - set(self._subscriptions):
            self.heard[name] = {}
            self._subscriptions[name] = [
                self._node.create_subscription(
                    message_type,
                    f"/humans/faces/{name}/{kind}",
                    lambda heard, name=name, kind=kind: self.heard[name].update({kind: heard}),
                    qos_profile_system_default,
                )
                for kind, message_type in TOPICS.items()
            ]
        for name in set(self._subscriptions) - set(message.ids):
            for subscription in self._subscriptions.pop(name):
                self._node.destroy_subscription(subscription)


def film(graph, images, pictures, begin, until):
    """Publish pictures, 30 a second of their own time, until a condition holds."""
    stamp = begin

    def step():
        nonlocal stamp
        stamp += FRAME_NS
        images.publish(image_to_message(pictures[stamp // FRAME_NS % len(pictures)], stamp, "cam"))
        return until()

    graph.until(step)
    return stamp


def test_a_face_is_heard_on_every_topic_of_the_standard(graph):
    _, classifier = graph.start(FaceDetectorNode, AuClassifierNode)
    listener = Listener(graph.peer)
    images = graph.publisher(Image, "rgb/image_raw")
    tensors = graph.publisher(mx.EventTensor, "event_tensors")
    picture = drawn_face()
    seq = 0

    def everything_came():
        nonlocal seq
        if listener.heard:
            (name,) = listener.heard
            tensors.publish(quiet_tensor(name, seq))
            seq += 1
        return any(set(heard) == set(TOPICS) for heard in listener.heard.values())

    stamp = film(graph, images, [picture], 10**9, everything_came)
    ((name, heard),) = listener.heard.items()
    assert name[0].isalpha() and name.isalnum()
    for kind in ("roi", "cropped", "aligned", "landmarks"):
        header = heard[kind].header
        assert header.frame_id == "cam"
        stamped = header.stamp.sec * 10**9 + header.stamp.nanosec
        assert 10**9 < stamped <= stamp and (stamped - 10**9) % FRAME_NS == 0
    roi = heard["roi"]
    assert 0 <= roi.xmin < 0.5 < roi.xmax <= 1 and 0 <= roi.ymin < 0.5 < roi.ymax <= 1
    assert 0 < roi.c <= 1
    for kind in ("cropped", "aligned"):
        crop = heard[kind]
        assert (crop.height, crop.width, crop.encoding) == (128, 128, "bgr8")
        pixels = np.frombuffer(crop.data, np.uint8).reshape(128, 128, 3)
        # The drawing's skin is red before it is blue.
        assert pixels[64, 50, 2] > pixels[64, 50, 0]
    points = heard["landmarks"].landmarks
    assert (heard["landmarks"].height, heard["landmarks"].width) == picture.shape[:2]
    assert len(points) == 70
    assert all(roi.xmin - 0.1 < point.x < roi.xmax + 0.1 for point in points)
    estimated = {n for n in range(99) if heard["facs"].confidence[n] > 0}
    assert estimated == set(classifier.model.action_units)
    assert -1 <= heard["expression"].valence <= 1
    assert heard["expression"].expression


def test_lost_faces_leave_the_list_and_their_topics_are_withdrawn(graph):
    graph.start(FaceDetectorNode)
    listener = Listener(graph.peer)
    images = graph.publisher(Image, "rgb/image_raw")
    topic = "/humans/faces/f00000/roi"
    here, nobody = drawn_face(), np.full((480, 640, 3), 110, np.uint8)
    stamp = film(graph, images, [here], 10**9, lambda: listener.heard)
    stamp = film(
        graph, images, [nobody], stamp, lambda: listener.lists and not listener.lists[-1].ids
    )
    film(graph, images, [nobody], stamp, lambda: graph.peer.count_publishers(topic) == 0)


def test_without_images_nobody_is_followed(graph):
    graph.start(FaceDetectorNode)
    listener = Listener(graph.peer)
    images = graph.publisher(Image, "rgb/image_raw")
    film(graph, images, [drawn_face()], 10**9, lambda: listener.heard)
    graph.until(lambda: not listener.lists[-1].ids)


def test_two_people_have_topics_of_their_own_and_late_listeners_learn_of_them(graph):
    graph.start(FaceDetectorNode)
    images = graph.publisher(Image, "rgb/image_raw")
    left = drawn_face(center=(160, 240), face_px=130)
    both = cv2.hconcat([left[:, :320], left[:, :320]])
    listener = Listener(graph.peer)
    film(
        graph,
        images,
        [both],
        10**9,
        lambda: sum("roi" in heard for heard in listener.heard.values()) == 2,
    )
    places = sorted(heard["roi"].xmin for heard in listener.heard.values())
    assert places[1] - places[0] > 0.3
    latched = QoSProfile(
        depth=1,
        reliability=ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL,
    )
    late = graph.listen(IdsList, "/humans/faces/tracked", latched)
    graph.until(lambda: late)
    assert len(late[0].ids) == 2


def quiet_tensor(face, seq):
    """A tensor of a face that does not move."""
    data = np.zeros((1, 2, 128, 128), np.uint8)
    roi = Roi(0.0, 0.0, 128.0, 128.0)
    start_us = seq * 10_000
    made = EventTensor(face, seq, start_us, start_us + 10_000, data, 0, 0, roi, False)
    return tensor_to_message(made, start_us * 1000, (start_us + 10_000) * 1000, "event_camera")
