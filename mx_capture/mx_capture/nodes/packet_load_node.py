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

from mx_capture.bench.streams import HEIGHT, PACKET_US, WIDTH, SteadySource
from mx_capture.node_setup import EVENTS_QOS
from mx_capture.recording.cdr import packet_to_cdr
from mx_capture.stream import Packet

_HIGH_US = 4_096
LOOP_US = 125 * _HIGH_US
"""Length of the prepared stream: a multiple of 1 ms packets and of one unit of TIME_HIGH."""
_TIME_HIGH = 8
_MATCHED_S, _ON_THE_WAY_S = 60.0, 1.0


class PreparedPacket:
    """The words of a packet, which can be had for any round of the stream."""

    def __init__(self, payload: bytes) -> None:
        self._words = np.frombuffer(payload, "<u2").copy()
        self._at = np.flatnonzero(self._words >> 12 == _TIME_HIGH)
        self._highs = self._words[self._at] & 0xFFF

    def payload(self, round_number: int) -> bytes:
        """The packet's words in a round, sensor time going on from the round before."""
        highs = (self._highs + round_number * (LOOP_US // _HIGH_US)) & 0xFFF
        self._words[self._at] = _TIME_HIGH << 12 | highs
        return self._words.tobytes()


def due_ns(seq: int, start_ns: int) -> int:
    """When a packet is complete, as ROS time; sensor time 0 is at `start_ns`."""
    return start_ns + (seq + 1) * PACKET_US * 1000


def make_message(packets: list[PreparedPacket], seq: int, start_ns: int) -> bytes:
    """A serialised EventPacket, stamped with when it is due."""
    round_number, index = divmod(seq, len(packets))
    payload = packets[index].payload(round_number)
    empty = Packet(due_ns(seq, start_ns), seq, "evt3", HEIGHT, WIDTH, start_ns, b"")
    # The message ends with its bytes, and before them stands how many they are.
    header = packet_to_cdr(empty, "event_camera")[:-4]
    return header + len(payload).to_bytes(4, "little") + payload


def main() -> None:
    """Says "ready", reads a ROS time from stdin, publishes from then on."""
    parser = argparse.ArgumentParser(prog="packet_load_node", description=__doc__)
    parser.add_argument("--rate", type=float, required=True, help="Mev/s")
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--out", type=Path, required=True, help="npy of when packets went, in ns")
    options = parser.parse_args()
    source = SteadySource(options.rate, LOOP_US)
    packets = [PreparedPacket(bytes(packet.events)) for packet in source]
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
        message = make_message(packets, seq, start_ns)
        if (left_ns := due_ns(seq, start_ns) - time.time_ns()) > 0:
            time.sleep(left_ns / 1e9)
        published_ns[seq] = time.time_ns()
        publisher.publish(message)
    time.sleep(_ON_THE_WAY_S)
    np.save(options.out, published_ns)
    node.destroy_node()
    rclpy.try_shutdown()
