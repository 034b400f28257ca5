"""`./mx bench recovery`: kills each node of the live graph and measures how long it is missed.

Time counts from the signal to the first message about what the cameras saw after it: scores, and
what the node itself publishes. In it are the end of the process, its start, discovery by DDS, the
loading of models, and one hop or frame of the cameras.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mx_capture.bench.command import bench_parser, write_json
from mx_capture.errors import MxError
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mx_perception.bench.live_graph import LiveGraph, session_or_simulated
from mx_perception.nodes.monitor_node import Monitor
from mx_perception.nodes.recovery_node import RecoveryNode

BOUND_S = 2.0
SCORES = "action_units"
NODES = {
    "event_camera_node": "faces",
    "face_detector_node": "faces",
    "event_tensor_node": "reconstruction",
    "au_classifier_node": SCORES,
    "reconstruction_node": "reconstruction",
}
"""The nodes of the graph, each with a topic that only comes with it."""
_SETTLE_S = 3.0
"""Between the recovery from one kill and the next kill, so that each meets a graph at work."""


def main(argv: list[str]) -> int:
    """Kill, measure, print a table, and write JSON where asked; 1 where it took too long."""
    parser = bench_parser(
        "recovery",
        "Kill each node of the live graph, and measure how long until it works again.",
        "--times 10 --json recovery.json",
    )
    parser.add_argument("--times", type=int, default=5, help="kills a node (default: %(default)s)")
    parser.add_argument("--nodes", nargs="+", choices=NODES, default=list(NODES))
    parser.add_argument(
        "--signal",
        choices=("SIGKILL", "SIGTERM", "SIGINT"),
        default="SIGKILL",
        help="default: %(default)s",
    )
    parser.add_argument("--session", type=Path, help="session with events and frames to replay")
    options = parser.parse_args(argv)
    if not 1 <= options.times <= 1000:
        raise MxError(f"--times {options.times} is outside 1 to 1000")
    console = Console()
    session = session_or_simulated(options.session, console)
    figures = measure(session, options.nodes, options.times, options.signal, console)
    console.print(_table(figures))
    write_json(figures, options.json)
    slowest = max(max(values) for of in figures["seconds"].values() for values in of.values())
    return 0 if slowest <= BOUND_S else 1


def measure(
    session: Path, nodes: Sequence[str], times: int, signal_name: str, console: Console
) -> dict[str, Any]:
    """Seconds until scores and the node's own topic came again, for every kill of every node."""
    kills = [name for name in nodes for _ in range(times)]
    random.Random(1).shuffle(kills)
    seconds: dict[str, dict[str, list[float]]] = {
        name: {"scores_s": [], "own_s": []} for name in nodes
    }
    with LiveGraph(session, respawn=True) as graph, Monitor(RecoveryNode) as monitor:
        _wait_for_all(graph, monitor, {SCORES, *NODES.values()})
        for name in track(kills, "killing", console=console, transient=True):
            time.sleep(_SETTLE_S)
            pid = graph.pids()[name]
            monitor.forget()
            began_s = time.monotonic()
            os.kill(pid, signal.Signals[signal_name])
            _wait_for_all(graph, monitor, {SCORES, NODES[name]})
            for figure, topic in (("scores_s", SCORES), ("own_s", NODES[name])):
                came_s = monitor.first_s(topic)
                assert came_s is not None
                seconds[name][figure].append(round(came_s - began_s, 3))
    return {"session": session.name, "signal": signal_name, "seconds": seconds}


def _wait_for_all(graph: LiveGraph, monitor: RecoveryNode, topics: set[str]) -> None:
    for topic in topics:
        graph.wait_for(lambda topic=topic: monitor.first_s(topic) is not None, topic)  # type: ignore[misc]


def _table(figures: dict[str, Any]) -> Table:
    title = f"seconds from {figures['signal']} to ..."
    table = Table(title=title, box=None)
    for column in ("node", "kills", "scores: median", "most", "its own topic: median", "most"):
        table.add_column(column, justify="left" if column == "node" else "right")
    for name, measured in figures["seconds"].items():
        cells = []
        for values in measured.values():
            middle, most = sorted(values)[len(values) // 2], max(values)
            style = "green" if most <= BOUND_S else "red"
            cells += [f"{middle:.2f}", f"[{style}]{most:.2f}"]
        table.add_row(name, str(len(measured["own_s"])), *cells)
    return table
