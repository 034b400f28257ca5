"""`./mx bench soak`: the live graph for minutes or hours: cores, memory, latency, losses.

The cameras are replayed from a session, by default a simulated person at 346x260. The graph runs
in processes of its own, as on a robot; its cameras are not counted, for a real one costs nothing.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mx_capture.bench.command import bench_parser, write_json
from mx_capture.errors import MxError
from rich.console import Console
from rich.progress import track
from rich.table import Table

from mx_perception.bench.live_graph import CAMERAS, LiveGraph, session_or_simulated
from mx_perception.bench.processes import Usage, usage
from mx_perception.nodes.monitor_node import Monitor
from mx_perception.nodes.soak_node import SoakNode

BOUNDS = {"start_s": 5.0, "cpu_percent": 120.0, "rss_mb": 1200.0, "growth": 0.02, "p99_ms": 20.0}
"""What the graph stays below on two cores."""
_UNITS = {
    "start_s": "s from launch to the first score",
    "cpu_percent": "% of one core, all nodes",
    "rss_mb": "MB resident, all nodes, at most",
    "growth": "growth of that, last tenth over first tenth",
    "p99_ms": "ms from the end of a hop to its score, p99",
}
_SETTLE_S = 20.0
"""What belongs to the start: allocators and queues reach their size."""
_NICENESS = 10
"""Who watches stands back."""
_LOSSES = {
    "lost_packets": "event_tensor_node",
    "shed_packets": "event_tensor_node",
    "bad_packets": "event_tensor_node",
    "frame_tensors_without_events": "event_tensor_node",
    "refused_messages": "event_tensor_node",
    "missed_tensors": "au_classifier_node",
    "refused_tensors": "au_classifier_node",
    "late_items": "event_camera_node",
}


@dataclass(frozen=True)
class Sample:
    """One look at all nodes, at the latency (ms) that the classifier reports, and at the losses."""

    at_s: float
    nodes: dict[str, Usage]
    p50_ms: float
    p99_ms: float
    losses: dict[str, int]


def main(argv: list[str]) -> int:
    """Run the graph, print the figures beside their bounds, and write JSON where asked.

    1 where a bound is passed or something was lost.
    """
    parser = bench_parser(
        "soak",
        "Run the live graph on a replayed session and watch cores, memory, losses.",
        "--minutes 60 --json soak.json",
    )
    parser.add_argument("--minutes", type=float, default=3.0, help="default: %(default)s")
    parser.add_argument("--session", type=Path, help="session with events and frames to replay")
    options = parser.parse_args(argv)
    if not 0.2 <= options.minutes <= 1440:
        raise MxError(f"--minutes {options.minutes:g} is outside 0.2 to 1440")
    console = Console()
    session = session_or_simulated(options.session, console)
    figures = soak(session, options.minutes * 60, console)
    console.print(_table(figures))
    write_json(figures, options.json)
    # What comes late is replayed late by this machine, and not lost.
    lost = any(count for name, count in figures["losses"].items() if name != "late_items")
    return 1 if lost or any(figures[name] > bound for name, bound in BOUNDS.items()) else 0


def soak(session: Path, seconds: float, console: Console) -> dict[str, Any]:
    """The figures of one run. Raises MxError when the graph does not start, or ends early."""
    with LiveGraph(session, respawn=False) as graph:
        os.nice(_NICENESS)
        with Monitor(SoakNode) as monitor:
            with console.status("starting the graph"):
                graph.wait_for(lambda: monitor.first_score_s is not None, "score")
            assert monitor.first_score_s is not None
            start_s = monitor.first_score_s - graph.began_s
            time.sleep(_SETTLE_S)
            pids = graph.pids()
            samples = [_sample(monitor, pids)]
            for _ in track(range(round(seconds)), "soaking", console=console, transient=True):
                graph.check()
                time.sleep(max(0.0, samples[-1].at_s + 1.0 - time.monotonic()))
                samples.append(_sample(monitor, pids))
    return {"session": session.name, "seconds": seconds, "start_s": round(start_s, 2)} | summary(
        samples
    )


def summary(samples: Sequence[Sample]) -> dict[str, Any]:
    """Means, extremes and trends of a run, from what was seen once a second."""
    first, last = samples[0], samples[-1]
    counted = [name for name in last.nodes if name in first.nodes and name not in CAMERAS]
    if not counted:
        raise MxError("no node ran from the first to the last moment; see ./mx launch")
    seconds = last.at_s - first.at_s
    cpu = {
        name: round(100 * (last.nodes[name].cpu_s - first.nodes[name].cpu_s) / seconds, 1)
        for name in (*counted, *(name for name in CAMERAS if name in last.nodes))
    }
    total_mb = [sum(sample.nodes[name].rss_mb for name in counted) for sample in samples]
    tenth = max(len(samples) // 10, 1)
    return {
        "cpu_percent": round(sum(cpu[name] for name in counted), 1),
        "rss_mb": round(max(total_mb), 1),
        "growth": round(float(np.median(total_mb[-tenth:]) / np.median(total_mb[:tenth])) - 1, 4),
        "p50_ms": round(float(np.median([sample.p50_ms for sample in samples])), 2),
        "p99_ms": round(float(np.median([sample.p99_ms for sample in samples])), 2),
        "p99_worst_ms": round(max(sample.p99_ms for sample in samples), 2),
        "p50_drift_ms": round(last.p50_ms - first.p50_ms, 2),
        "cpu_percent_by_node": cpu,
        "rss_mb_by_node": {name: round(node.rss_mb, 1) for name, node in last.nodes.items()},
        "losses": {name: last.losses[name] - first.losses[name] for name in last.losses},
    }


def _sample(monitor: SoakNode, pids: Mapping[str, int]) -> Sample:
    nodes = {name: usage(pid) for name, pid in pids.items()}
    return Sample(
        time.monotonic(),
        {name: node for name, node in nodes.items() if node is not None},
        _latency_ms(monitor, "event_to_au_ms_p50"),
        _latency_ms(monitor, "event_to_au_ms_p99"),
        {name: int(monitor.number(node, name) or 0) for name, node in _LOSSES.items()},
    )


def _latency_ms(monitor: SoakNode, key: str) -> float:
    latency_ms = monitor.number("au_classifier_node", key)
    if latency_ms is None:
        raise MxError("au_classifier_node tells no latency; look at ./mx doctor")
    return latency_ms


def _table(figures: dict[str, Any]) -> Table:
    table = Table(title=f"{figures['seconds']:.0f} s of {figures['session']}", box=None)
    for title in ("", "measured", "bound", ""):
        table.add_column(title, justify="right" if title else "left")
    for name, bound in BOUNDS.items():
        style = "green" if figures[name] <= bound else "red"
        table.add_row(_UNITS[name], f"[{style}]{figures[name]:g}", f"{bound:g}")
    table.add_row("ms, p99 of the worst 20 s", f"{figures['p99_worst_ms']:g}", "")
    for name, count in figures["losses"].items():
        table.add_row(name.replace("_", " "), f"[{'red' if count else 'green'}]{count}", "0")
    for name, percent in figures["cpu_percent_by_node"].items():
        memory = figures["rss_mb_by_node"][name]
        table.add_row(name, f"{percent:g} %", f"{memory:.0f} MB")
    return table
