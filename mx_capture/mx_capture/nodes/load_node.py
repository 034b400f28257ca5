"""Publishes packets and frames at constant rates, to measure what listens to them."""

from __future__ import annotations

import contextlib
import time

import numpy as np
import rclpy
from event_camera_msgs.msg import EventPacket
from rclpy._rclpy_pybind11 import RCLError
from sensor_msgs.msg import Image

from mx_capture.errors import MxError
from mx_capture.node_setup import EVENTS_QOS, RESULT_QOS
from mx_capture.recording import cdr
from mx_capture.stream import Frame, Packet

_MATCHED_S = 30.0
_ON_THE_WAY_S = 1.0


def publish_load(
    seconds: float,
    packet_hz: float,
    packet_bytes: int,
    frame_hz: float,
    frame_size: tuple[int, int],
) -> dict[str, int]:
    """Publish for some seconds, once both topics have a subscriber; returns messages by topic.

    Packets hold random bytes, frames `(height, width)` are black. Raises MxError when nobody
    subscribes.
    """
    rclpy.init(args=[])
    node = rclpy.create_node("load_node")
    try:
        events = node.create_publisher(EventPacket, "event_camera/events", EVENTS_QOS)
        images = node.create_publisher(Image, "rgb/image_raw", RESULT_QOS)
        deadline = time.monotonic() + _MATCHED_S
        while not (events.get_subscription_count() and images.get_subscription_count()):
            if time.monotonic() > deadline:
                raise MxError(f"nobody subscribed within {_MATCHED_S:.0f} s; start the recorder")
            time.sleep(0.05)
        payload = np.random.default_rng(1).bytes(packet_bytes)
        frame = np.zeros((*frame_size, 3), np.uint8)
        packets = frames = 0
        begin = time.monotonic()
        while (elapsed := time.monotonic() - begin) < seconds and rclpy.ok():
            now_ns = time.time_ns()
            # What a starved transport refuses was published as far as the figures go: it is lost.
            if frames < elapsed * frame_hz:
                with contextlib.suppress(RCLError):
                    images.publish(cdr.frame_to_cdr(Frame(now_ns, frame), "rgb_camera"))
                frames += 1
            if packets < elapsed * packet_hz:
                packet = Packet(now_ns, packets, "evt3", 720, 1280, 0, payload)
                with contextlib.suppress(RCLError):
                    events.publish(cdr.packet_to_cdr(packet, "event_camera"))
                packets += 1
            else:
                time.sleep(0.25 / packet_hz)
        time.sleep(_ON_THE_WAY_S)
        return {events.topic_name: packets, images.topic_name: frames}
    finally:
        node.destroy_node()
        rclpy.try_shutdown()
