"""`./mx replay`: plays a session back as topics."""

from __future__ import annotations

import argparse

from rich.console import Console

from mx_capture.errors import MxError
from mx_capture.player import PlayerConfig
from mx_capture.recording.replayer import RawSession


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
    # ROS is imported here, so that --help and errors in the arguments do not wait for it.
    from mx_capture.nodes.replay_node import replay

    console = Console()
    with console.status("waiting for subscribers (Ctrl-C ends)") as status:

        def show(listening: dict[str, int]) -> None:
            heard = ", ".join(sorted(topic for topic, count in listening.items() if count))
            seconds = (session.end_ns - session.start_ns) / 1e9 / config.rate
            listeners = heard or "nothing"
            console.print(f"playing {seconds:.2f} s; subscribed: {listeners}", soft_wrap=True)
            status.update("playing (Ctrl-C ends)")

        counters = replay(session, config, topics, options.wait, show)
    console.print(f"played {counters.items} messages, {counters.late} of them late")
    return 0
