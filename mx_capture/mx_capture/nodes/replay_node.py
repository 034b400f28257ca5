"""Publishes the messages of a recording as they were, with `/clock`."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterable

import rclpy
from rclpy._rclpy_pybind11 import RCLError
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from rclpy.utilities import remove_ros_args
from rosgraph_msgs.msg import Clock

from mx_capture.conversions import message_class, ns_to_time
from mx_capture.errors import MxError
from mx_capture.player import PlayerConfig, PlayerCounters
from mx_capture.recording.qos import Qos
from mx_capture.recording.replayer import RawMessage, RawSession, Replayer

_SETTLED_S = 1.0
_POLL_S = 0.05
_ACKNOWLEDGED_WITHIN_S = 5.0
_ON_THE_WAY_S = 0.5
_REFUSED_FOR_S = 10.0


class ReplayNode(Node):
    """One publisher for each recorded topic, with the QoS that was offered, and the clock."""

    def __init__(self, session: RawSession, topics: Iterable[str]) -> None:
        """Raises MxError when a topic's interface package is not installed."""
        super().__init__("replay_node")
        self._clock_publisher = self.create_publisher(Clock, "/clock", 10)
        self._publishers_by_topic = {
            topic: self.create_publisher(
                message_class(session.topics[topic].type_name, topic),
                topic,
                _profile(session.topics[topic].offered),
            )
            for topic in topics
        }

    def wait_for_subscribers(self, limit_s: float | None, listeners: int = 1) -> dict[str, int]:
        """Wait until so many listen, to all topics together, and nobody new came for a second.

        `limit_s`: give up waiting after this time; None: wait for ever. Returns the number of
        subscribers by topic.
        """
        begin = changed_at = time.monotonic()
        before: dict[str, int] = {}
        while True:
            now = time.monotonic()
            counts = self.subscribers()
            if counts != before:
                before, changed_at = counts, now
            if sum(counts.values()) >= listeners and now - changed_at >= _SETTLED_S:
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
        """Publish the recorded bytes; MxError when the transport does not take them for seconds."""
        publisher = self._publishers_by_topic[message.topic]
        give_up_at = time.monotonic() + _REFUSED_FOR_S
        while True:
            try:
                publisher.publish(message.cdr)
            except RCLError as error:
                # A starved machine has no room for one more reliable message; it will.
                if time.monotonic() > give_up_at:
                    raise MxError(
                        f"{message.topic}: a message was refused for {_REFUSED_FOR_S:.0f} s; "
                        "replay slower, by --rate"
                    ) from error
                time.sleep(_POLL_S)
            else:
                return

    def tick(self, stamp_ns: int) -> None:
        """Publish the recorded time on `/clock`."""
        self._clock_publisher.publish(Clock(clock=ns_to_time(stamp_ns)))

    def flush(self) -> None:
        """Wait until the subscribers have everything, at most some seconds."""
        for publisher in self._publishers_by_topic.values():
            publisher.wait_for_all_acked(Duration(seconds=_ACKNOWLEDGED_WITHIN_S))
        # Best-effort messages are not acknowledged, and are lost with their publisher.
        time.sleep(_ON_THE_WAY_S)


def replay(
    session: RawSession,
    config: PlayerConfig,
    topics: set[str],
    wait_s: float | None,
    started: Callable[[dict[str, int]], None],
    listeners: int = 1,
) -> PlayerCounters:
    """Wait for `listeners`, at most `wait_s`, then play to the end; Ctrl-C raises as usual.

    `started` gets the number of subscribers by topic. Raises MxError as `ReplayNode` does.
    """
    # ROS's own handler would end the waits in the middle without saying so.
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = None
    try:
        node = ReplayNode(session, topics)
        started(node.wait_for_subscribers(wait_s, listeners))
        counters = Replayer(session, config, topics=topics).run(node.publish, node.tick)
        node.flush()
        return counters
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()


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


def main() -> None:
    """The executable for launch files; people use `./mx replay`."""
    parser = argparse.ArgumentParser(prog="replay_node", description="Play a session once.")
    parser.add_argument("session", help="folder of a session or of a rosbag2")
    parser.add_argument("--listeners", type=int, default=1, help="wait for so many subscriptions")
    PlayerConfig.add_arguments(parser)
    try:
        options = parser.parse_args(remove_ros_args(sys.argv)[1:])
        session, config = RawSession(options.session), PlayerConfig.from_arguments(options)
        counters = replay(
            session,
            config,
            set(session.topics),
            None,
            lambda _: print("playing", flush=True),
            options.listeners,
        )
        print(f"played {counters.items} messages, {counters.late} of them late", flush=True)
    except MxError as error:
        print(f"mx: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
