"""Publishes a steady stream of EVT3 packets and writes down when; `./mx bench latency` uses it.

Everything is prepared before the first packet, so that the load keeps its schedule, and what
listens to it is measured instead of this.
"""

from __future__ import annotations

import argparse
import gc
import sys
import time
from pathlib import Path

import numpy as np
import rclpy
from event_camera_msgs.msg import EventPacket

from mx_capture.bench.streams import PACKET_US, PreparedLoad, due_ns
from mx_capture.node_setup import EVENTS_QOS

_MATCHED_S, _ON_THE_WAY_S = 60.0, 1.0


def publish() -> None:
    """Says "ready", reads a ROS time from stdin, publishes from then on."""
    parser = argparse.ArgumentParser(prog="packet_load_node", description=__doc__)
    parser.add_argument("--rate", type=float, required=True, help="Mev/s")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--out", type=Path, required=True, help="npy of when packets went, in ns")
    options = parser.parse_args()
    load = PreparedLoad(options.rate)
    published_ns = np.zeros(round(options.seconds * 1e6 / PACKET_US), np.int64)
    rclpy.init(args=[])
    node = rclpy.create_node("packet_load_node")
    publisher = node.create_publisher(EventPacket, "event_camera/events", EVENTS_QOS)
    give_up = time.monotonic() + _MATCHED_S
    while not publisher.get_subscription_count():
        if time.monotonic() > give_up:
            sys.exit("nobody subscribed to event_camera/events")
        time.sleep(0.05)
    print("ready", flush=True)
    start_ns = int(sys.stdin.readline())
    gc.freeze()
    gc.disable()
    for seq in range(len(published_ns)):
        message = load.message(seq, start_ns)
        if (left_ns := due_ns(seq, start_ns) - time.time_ns()) > 0:
            time.sleep(left_ns / 1e9)
        published_ns[seq] = time.time_ns()
        publisher.publish(message)
    time.sleep(_ON_THE_WAY_S)
    np.save(options.out, published_ns)
    node.destroy_node()
    rclpy.try_shutdown()
