"""Publishes the messages of a recording as they were, with `/clock`."""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable, Iterable
from typing import Any

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rosgraph_msgs.msg import Clock

from mx_capture.conversions import ns_to_time
from mx_capture.errors import MxError
from mx_capture.recording.qos import Qos
from mx_capture.recording.replayer import RawMessage, RawSession

_SETTLED_S = 1.0
_POLL_S = 0.05
_ACKNOWLEDGED_WITHIN_S = 5.0
_ON_THE_WAY_S = 0.5


class ReplayNode(Node):
    """One publisher for each recorded topic, with the QoS that was offered, and the clock."""

    def __init__(self, session: RawSession, topics: Iterable[str]) -> None:
        """Raises MxError when a topic's interface package is not installed."""
        super().__init__("replay_node")
        self._clock_publisher = self.create_publisher(Clock, "/clock", 10)
        self._publishers_by_topic = {
            topic: self.create_publisher(
                _message_class(session.topics[topic].type_name, topic),
                topic,
                _profile(session.topics[topic].offered),
            )
            for topic in topics
        }

    def wait_for_subscribers(
        self, limit_s: float | None, show: Callable[[dict[str, int]], None]
    ) -> dict[str, int]:
        """Wait until somebody listens and nobody new has come for a second.

        `limit_s`: give up waiting after this time; None: wait for ever. `show` gets the number of
        subscribers by topic whenever it changes; the last ones are returned.
        """
        begin = changed_at = time.monotonic()
        before: dict[str, int] = {}
        while True:
            now = time.monotonic()
            counts = self.subscribers()
            if counts != before:
                before, changed_at = counts, now
                show(counts)
            if any(counts.values()) and now - changed_at >= _SETTLED_S:
                return counts
            if limit_s is not None and now - begin >= limit_s:
                return counts
            time.sleep(_POLL_S)

    def subscribers(self) -> dict[str, int]:
        """Subscribers by topic at this moment."""
        return {
            topic: publisher.get_subscription_count()
            for topic, publisher in self._publishers_by_topic.items()
        }

    def publish(self, message: RawMessage) -> None:
        """Publish the recorded bytes."""
        self._publishers_by_topic[message.topic].publish(message.cdr)

    def tick(self, stamp_ns: int) -> None:
        """Publish the recorded time on `/clock`."""
        self._clock_publisher.publish(Clock(clock=ns_to_time(stamp_ns)))

    def flush(self) -> None:
        """Wait until the subscribers have everything, at most some seconds."""
        for publisher in self._publishers_by_topic.values():
            publisher.wait_for_all_acked(Duration(seconds=_ACKNOWLEDGED_WITHIN_S))
        # Best-effort messages are not acknowledged, and are lost with their publisher.
        time.sleep(_ON_THE_WAY_S)


def _profile(offered: tuple[Qos, ...]) -> QoSProfile:
    """A profile that satisfies every subscriber that the recorded publishers satisfied."""
    qos = offered[0] if offered else Qos()
    latched = qos.durability == "transient_local"
    best_effort = qos.reliability == "best_effort"
    return QoSProfile(
        depth=max(qos.depth, 1),
        reliability=ReliabilityPolicy.BEST_EFFORT if best_effort else ReliabilityPolicy.RELIABLE,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
    )


def _message_class(type_name: str, topic: str) -> Any:
    package, _, name = type_name.split("/")
    try:
        return getattr(importlib.import_module(f"{package}.msg"), name)
    except (ImportError, AttributeError) as error:
        raise MxError(
            f"{topic} is of type {type_name}, which is not installed; install {package}, or "
            "choose other topics with --topics"
        ) from error
