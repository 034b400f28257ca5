"""`./mx bench latency`: from published event packets to received event tensors, over DDS.

Three processes: event_camera_node plays packets of 1 ms at a steady rate, event_tensor_node turns
them into tensors of one face, and this one receives them. The latency of a tensor is counted from
when the first packet of its window was published, so it contains the hop.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from mx_capture.bench.streams import FACE, PACKET_US, SteadySource
from mx_capture.errors import MxError
from mx_capture.recording.session_writer import write_item
from mx_capture.recording.writer import RecordingWriter
from rich.console import Console
from rich.table import Table

from mx_perception.nodes.latency_node import LatencyNode
from mx_perception.nodes.monitor_node import Monitor

_LOOP_US = 512_000
"""Length of the prepared stream: a multiple of 1 ms packets and of 4.096 ms (see Player)."""
_CAMERA, _TENSORS = "event_camera_node", "event_tensor_node"
_START_S, _DRAIN_S = 60.0, 3.0


def main(argv: list[str]) -> int:
    """Measure, print a table, and write JSON where asked."""
    parser = argparse.ArgumentParser(
        prog="./mx bench latency",
        description="Measure the latency from event packets to event tensors at several rates.",
        epilog="example: ./mx bench latency --rates 1 10 50 --seconds 60 --json latency.json",
    )
    parser.add_argument("--rates", type=float, nargs="+", default=[1.0, 10.0, 50.0], help="Mev/s")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each run")
    parser.add_argument("--json", type=Path, help="write the figures to this file")
    options = parser.parse_args(argv)
    console = Console()
    figures = {}
    for rate in options.rates:
        if not 0.1 <= rate <= 200.0:
            raise MxError(f"--rates {rate} is outside 0.1 to 200 Mev/s")
        with console.status(f"{rate:g} Mev/s for {options.seconds:g} s"):
            figures[f"{rate:g}"] = measure(rate, options.seconds)
    console.print(_table(figures))
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 0


def measure(rate_mev: float, seconds: float) -> dict[str, Any]:
    """One run: p50 and p99 in ms; packets sent, received and shed; packets handed over late."""
    with tempfile.TemporaryDirectory() as folder:
        recording = Path(folder, "recording")
        with RecordingWriter(recording) as writer:
            for packet in SteadySource(rate_mev, _LOOP_US):
                write_item(writer, packet)
        with Monitor(LatencyNode) as probe, _nodes(recording):
            _wait(lambda: probe.active([_TENSORS]))
            probe.change_state(_CAMERA, "configure")
            _wait(lambda: (probe.number(_CAMERA, "event_camera/events_subscribers") or 0) >= 1)
            _wait(lambda: probe.count_publishers("event_tensors") == 1)
            probe.tell_face(FACE)
            probe.change_state(_CAMERA, "activate")
            time.sleep(seconds)
            probe.change_state(_CAMERA, "deactivate")
            time.sleep(_DRAIN_S)
            sent = int(probe.number(_CAMERA, "published_events") or 0)
            received = int(probe.number(_TENSORS, "packets") or 0)
            late = int(probe.number(_CAMERA, "late_items") or 0)
            # The first second is discovery and warm caches, not the stream.
            latency = np.array(probe.latency_ms[100:]) - PACKET_US / 1000
    if len(latency) == 0:
        raise MxError(f"no tensor arrived at {rate_mev:g} Mev/s; is the machine overloaded?")
    p50, p99 = np.percentile(latency, (50, 99))
    return {
        "p50": round(float(p50), 2),
        "p99": round(float(p99), 2),
        "sent": sent,
        "received": received,
        "shed": sent - received,
        "sent_late": late,
        "tensors": len(probe.latency_ms),
    }


@contextlib.contextmanager
def _nodes(recording: Path) -> Iterator[None]:
    camera = ["-p", "backend:=file", "-p", f"path:={recording}", "-p", "loop:=true"]
    commands: tuple[tuple[str, list[str]], ...] = (
        ("mx_capture.nodes.event_tensor_node", []),
        ("mx_capture.nodes.event_camera_node", [*camera, "-p", "autostart:=false"]),
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", f"from {module} import main; main()", "--ros-args", *words],
            env=os.environ | {"OMP_NUM_THREADS": "1"},
        )
        for module, words in commands
    ]
    try:
        yield
    finally:
        for process in processes:
            process.terminate()
        for process in processes:
            process.wait(20)


def _wait(condition: Any) -> None:
    until = time.monotonic() + _START_S
    while not condition():
        if time.monotonic() > until:
            raise MxError("the nodes did not start within a minute; try ./mx doctor")
        time.sleep(0.1)


def _table(figures: dict[str, dict[str, Any]]) -> Table:
    table = Table(title="from the first packet of a hop (10 ms) published to its tensor received")
    columns = ("Mev/s", "p50 ms", "p99 ms", "packets sent", "received", "shed", "sent late")
    for column in columns:
        table.add_column(column, justify="right")
    for rate, row in figures.items():
        keys = ("p50", "p99", "sent", "received", "shed", "sent_late")
        table.add_row(rate, *(str(row[key]) for key in keys))
    return table
