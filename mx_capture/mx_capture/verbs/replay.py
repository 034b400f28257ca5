"""`./mx replay`: plays a session back as topics."""

from __future__ import annotations

import argparse

from rich.console import Console

from mx_capture.errors import MxError
from mx_capture.player import PlayerConfig, PlayerCounters
from mx_capture.recording.replayer import RawSession, Replayer


def main(argv: list[str]) -> int:
    """Play until the end, or until Ctrl-C."""
    parser = argparse.ArgumentParser(
        prog="./mx replay",
        description="Publish a session with its original QoS and timing, and with /clock.",
        epilog="example: ./mx replay data/s01 --rate 0.5; listeners want use_sim_time:=true",
    )
    parser.add_argument("session", help="folder of a session or of a rosbag2")
    PlayerConfig.add_arguments(parser)
    parser.add_argument("--topics", nargs="+", metavar="TOPIC", help="play only these")
    parser.add_argument(
        "--wait",
        type=float,
        metavar="S",
        help="start after this many seconds even if nobody listens (default: wait)",
    )
    options = parser.parse_args(argv)
    config = PlayerConfig.from_arguments(options)
    session = RawSession(options.session)
    for topic in options.topics or ():
        if topic not in session.topics:
            known = ", ".join(sorted(session.topics))
            raise MxError(f"{options.session} has no topic {topic!r}; it has {known}")
    topics = set(options.topics or session.topics)
    counters = _play(session, config, topics, options.wait)
    Console().print(f"played {counters.items} messages, {counters.late} of them late")
    return 0


def _play(
    session: RawSession, config: PlayerConfig, topics: set[str], wait_s: float | None
) -> PlayerCounters:
    # ROS is imported here, so that --help and errors in the arguments do not wait for it.
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from mx_capture.nodes.replay_node import ReplayNode

    console = Console()
    rclpy.init(args=[], signal_handler_options=SignalHandlerOptions.NO)
    node = None
    try:
        node = ReplayNode(session, topics)
        with console.status("waiting for subscribers (Ctrl-C ends)"):
            listening = node.wait_for_subscribers(wait_s, lambda _: None)
        heard = ", ".join(sorted(topic for topic, count in listening.items() if count))
        seconds = (session.end_ns - session.start_ns) / 1e9 / config.rate
        console.print(f"playing {seconds:.1f} s; subscribed: {heard or 'nothing'}")
        with console.status("playing (Ctrl-C ends)"):
            counters = Replayer(session, config, topics=topics).run(node.publish, node.tick)
        node.flush()
        return counters
    finally:
        if node is not None:
            node.destroy_node()
        rclpy.try_shutdown()
