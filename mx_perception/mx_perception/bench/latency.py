"""`./mx bench latency`: from published event packets to received event tensors, over DDS.

Three processes: one publishes packets of 1 ms at a steady rate, event_tensor_node turns them into
tensors of one face, and this one receives them. The latency of a tensor is counted from when the
first packet of its hop was published, so it contains the hop. It says nothing about the camera's
own delay.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mx_capture.bench.command import bench_parser, write_json
from mx_capture.bench.streams import FACE, PACKET_US
from mx_capture.errors import MxError
from mx_capture.event_tensor import TensorConfig
from rich.console import Console
from rich.table import Table

from mx_perception.nodes.latency_node import LatencyNode
from mx_perception.nodes.monitor_node import Monitor

_TENSORS = "event_tensor_node"
_LOAD = "from mx_capture.nodes.packet_load_node import publish; publish()"
_START_S, _DRAIN_S, _LEAD_S = 60.0, 3.0, 0.5
_WARM_UP_PACKETS = 1000
"""The first second is discovery and cold caches, not the stream."""
_HOP_US = TensorConfig().hop_us
_PACKET_NS, _HOP_PACKETS = PACKET_US * 1000, _HOP_US // PACKET_US

_COLUMNS = {
    "p50": "p50 ms",
    "p99": "p99 ms",
    "after_hop_p99": "p99 - hop",
    "sent": "sent",
    "received": "received",
    "shed": "shed",
    "sent_late_p99": "late p99",
    "other_cores": "others",
}
_NOTES = (
    "p99 - hop: from the packet that closed the hop; late: how far the load fell behind, in ms; "
    "others: cores that other programs used"
)


def main(argv: list[str]) -> int:
    """Measure, print a table, and write JSON where asked."""
    parser = bench_parser(
        "latency",
        "Measure the latency from event packets to event tensors at several rates.",
        "--rates 1 10 50 --seconds 60 --json latency.json",
    )
    parser.add_argument("--rates", type=float, nargs="+", default=[1.0, 10.0, 50.0], help="Mev/s")
    parser.add_argument("--seconds", type=float, default=20.0, help="length of each run")
    options = parser.parse_args(argv)
    if not 2.0 <= options.seconds <= 3600.0:
        raise MxError(f"--seconds {options.seconds:g} is outside 2 to 3600")
    for rate in options.rates:
        if not 0.1 <= rate <= 200.0:
            raise MxError(f"--rates {rate:g} is outside 0.1 to 200 Mev/s")
    console = Console()
    figures = {}
    for rate in options.rates:
        with console.status(f"{rate:g} Mev/s for {options.seconds:g} s"):
            figures[f"{rate:g}"] = measure(rate, options.seconds)
    console.print(_table(figures))
    console.print(_NOTES)
    write_json(figures, options.json)
    return 0


def measure(rate_mev: float, seconds: float) -> dict[str, Any]:
    """One run: latencies in ms; packets sent, received and shed; how well the load kept time."""
    with tempfile.TemporaryDirectory() as folder:
        sent_at = Path(folder, "published.npy")
        options = ("--rate", str(rate_mev), "--seconds", str(seconds), "--out", str(sent_at))
        with (
            Monitor(LatencyNode) as probe,
            _process(
                f"from mx_capture.nodes.{_TENSORS} import main; main()",
                *("--ros-args", "-p", "face_timeout_us:=0"),
            ) as tensors,
            _process(_LOAD, *options) as load,
        ):
            _wait(lambda: probe.active([_TENSORS]))
            _wait(lambda: probe.count_publishers("event_tensors") == 1)
            assert load.stdin is not None and load.stdout is not None
            if load.stdout.readline() != "ready\n":
                raise MxError("the load did not start; try ./mx doctor")
            probe.tell_face(FACE)
            start_ns = time.time_ns() + round(_LEAD_S * 1e9)
            begun = _Effort.now(tensors.pid, load.pid, os.getpid())
            load.stdin.write(f"{start_ns}\n")
            load.stdin.close()
            time.sleep(_LEAD_S + seconds)
            others = _Effort.now(tensors.pid, load.pid, os.getpid()).others_since(begun)
            if load.wait(_START_S) != 0:
                raise MxError("the load ended early; is the machine overloaded?")
            time.sleep(_DRAIN_S)
            received = int(probe.number(_TENSORS, "packets") or 0)
        published_ns = np.load(sent_at)
    figures = latencies(published_ns, np.array(probe.received_ns), start_ns)
    return figures | {
        "sent": len(published_ns),
        "received": received,
        "shed": len(published_ns) - received,
        "tensors": len(probe.received_ns),
        "other_cores": round(others, 2),
    }


def latencies(
    published_ns: np.ndarray, received_ns: Sequence[Sequence[int]] | np.ndarray, start_ns: int
) -> dict[str, float]:
    """Percentiles in ms, from when packets went and `(start of its window, arrival)` of tensors.

    `after_hop` counts from the packet that closed the hop: what is left is not waiting for events.
    """
    received = np.asarray(received_ns, np.int64).reshape(-1, 2)
    first = (received[:, 0] - start_ns) // _PACKET_NS
    kept = (first >= _WARM_UP_PACKETS) & (first + _HOP_PACKETS < len(published_ns))
    if not kept.any():
        raise MxError("no tensor arrived; is the machine overloaded?")
    first, arrived = first[kept], received[kept, 1]
    whole = (arrived - published_ns[first]) / 1e6
    after = (arrived - published_ns[first + _HOP_PACKETS]) / 1e6
    due_ns = start_ns + (np.arange(len(published_ns)) + 1) * _PACKET_NS
    return {
        "p50": _percentile(whole, 50),
        "p99": _percentile(whole, 99),
        "max": _percentile(whole, 100),
        "after_hop_p50": _percentile(after, 50),
        "after_hop_p99": _percentile(after, 99),
        "sent_late_p99": _percentile((published_ns - due_ns) / 1e6, 99),
    }


def _percentile(values: np.ndarray, percent: float) -> float:
    return round(float(np.percentile(values, percent)), 2)


class _Effort:
    """Processor seconds used so far, by everything and by some processes."""

    def __init__(self, at: float, everything: float, ours: float) -> None:
        self.at, self.everything, self.ours = at, everything, ours

    @classmethod
    def now(cls, *pids: int) -> _Effort:
        tick = os.sysconf("SC_CLK_TCK")
        # user, nice, system, idle, iowait, irq, softirq, steal
        fields = [int(field) for field in Path("/proc/stat").read_text().split()[1:9]]
        busy = sum(fields) - fields[3] - fields[4]
        stats = [Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split() for pid in pids]
        ours = sum(int(stat[11]) + int(stat[12]) for stat in stats)
        return cls(time.monotonic(), busy / tick, ours / tick)

    def others_since(self, before: _Effort) -> float:
        """Cores that other programs used on the average."""
        busy = self.everything - before.everything - (self.ours - before.ours)
        return max(busy, 0.0) / (self.at - before.at)


@contextlib.contextmanager
def _process(code: str, *words: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", code, *words],
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


def _wait(condition: Callable[[], bool]) -> None:
    until = time.monotonic() + _START_S
    while not condition():
        if time.monotonic() > until:
            raise MxError("the nodes did not start within a minute; try ./mx doctor")
        time.sleep(0.1)


def _table(figures: dict[str, dict[str, Any]]) -> Table:
    hop = f"{_HOP_US / 1000:g} ms"
    table = Table(title=f"from the first packet of a hop ({hop}) published to its tensor received")
    for column in ("Mev/s", *_COLUMNS.values()):
        table.add_column(column, justify="right")
    for rate, row in figures.items():
        table.add_row(rate, *(str(row[key]) for key in _COLUMNS))
    return table
