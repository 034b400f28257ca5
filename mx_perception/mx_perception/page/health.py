"""What the nodes say of themselves, summed up for the page."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

_SILENT_S = 3.0
"""Nodes report once a second; one that has not for this long is gone or stuck."""
LEVELS = ("ok", "warn", "error", "silent")


@dataclass(frozen=True)
class _Report:
    level: int
    message: str
    values: Mapping[str, str]
    heard_s: float


class Reports:
    """The latest diagnostics of every node, from any thread."""

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now = now
        self._lock = threading.Lock()
        self._reports: dict[str, _Report] = {}

    def add(self, name: str, level: int, message: str, values: Mapping[str, str]) -> None:
        """One status of `/diagnostics`; `level` is 0 (ok) to 3 (stale)."""
        with self._lock:
            self._reports[name] = _Report(level, message, dict(values), self._now())

    def nodes(self) -> list[dict[str, Any]]:
        """Every node with its level, what is wrong, and its values; the worst first."""
        with self._lock:
            reports = dict(self._reports)
        now = self._now()
        nodes = []
        for name, report in reports.items():
            level, message = min(report.level, 3), report.message
            silent_s = now - report.heard_s
            if silent_s > _SILENT_S:
                level = 3
                message = f"has said nothing for {silent_s:.0f} s; see its log, or start it again"
            values = dict(sorted(report.values.items()))
            nodes.append(
                {"name": name, "level": LEVELS[level], "message": message, "values": values}
            )
        return sorted(nodes, key=lambda node: (-LEVELS.index(node["level"]), node["name"]))

    def tiles(self) -> list[dict[str, str]]:
        """The few figures that tell whether all is well: title, value and unit."""
        with self._lock:
            by_name = {name.rpartition("/")[2]: r.values for name, r in self._reports.items()}
        tensors = by_name.get("event_tensor_node", {})
        faces = by_name.get("face_detector_node", by_name.get("face_camera_node", {}))
        scores = by_name.get("au_classifier_node", {})
        latency = "event_to_au_ms_"
        both = f"{_whole(scores.get(latency + 'p50'))} / {_whole(scores.get(latency + 'p99'))}"
        return [
            _tile("events", _short(tensors.get("events_hz")), "/s"),
            _tile("RGB frames", _short(faces.get("frames_hz")), "/s"),
            _tile("scores", _short(scores.get("action_units_hz")), "/s"),
            _tile("event to score", both, "ms p50 / p99"),
            _tile("lost packets", _count(tensors, "lost_packets"), ""),
            _tile("missed tensors", _count(scores, "missed_tensors"), ""),
        ]


def _tile(title: str, value: str, unit: str) -> dict[str, str]:
    return {"title": title, "value": value, "unit": unit}


def _count(values: Mapping[str, str], name: str) -> str:
    """A node tells what it counted; what it never counted is 0."""
    return values.get(name, "0") if values else "-"


def _whole(value: str | None) -> str:
    """Two such numbers fit a tile; tenths matter below 10 only."""
    if value is None:
        return "-"
    number = float(value)
    return f"{number:.1f}" if number < 9.95 else f"{number:.0f}"


def _short(value: str | None) -> str:
    """Three digits are enough to look at."""
    if value is None:
        return "-"
    number = float(value)
    for limit, letter in ((1e6, "M"), (1e3, "k")):
        if number >= limit:
            return f"{number / limit:.3g} {letter}"
    return f"{number:.3g}"
