"""The live table of a demo."""

from __future__ import annotations

import time

import numpy as np
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from mx_perception.demo.graph import DemoGraph
from mx_perception.nodes.monitor_node import MonitorNode

_ROWS = (
    ("event packets", "event_tensor_node", "packets", ""),
    ("events", "event_tensor_node", "events", ""),
    ("RGB frames", "face_detector_node", "frames", "image_to_faces"),
    ("event tensors", "event_tensor_node", "event_tensors", "event_to_tensor"),
    ("Action Unit scores", "au_classifier_node", "action_units", "event_to_au"),
    ("reconstructions", "reconstruction_node", "reconstructions", "step"),
)


def show(monitor: MonitorNode, graph: DemoGraph, until: float, console: Console) -> None:
    """Watch the graph until a monotonic time; a terminal gets a table, a pipe gets lines."""
    if not console.is_terminal:
        while (left := until - time.monotonic()) > 0:
            graph.check()
            time.sleep(min(left, 5.0))
            console.print(_line(monitor))
        return
    with Live(_table(monitor), console=console, refresh_per_second=4) as live:
        while time.monotonic() < until:
            graph.check()
            time.sleep(0.25)
            live.update(_table(monitor))


def _table(monitor: MonitorNode) -> Group:
    table = Table(box=None)
    for title in ("", "rate /s", "total", "latency p50 ms", "p99 ms"):
        table.add_column(title, justify="left" if not title else "right")
    for title, node, key, latency in _ROWS:
        table.add_row(
            title,
            monitor.value(node, f"{key}_hz") or "-",
            monitor.value(node, key) or "-",
            monitor.value(node, f"{latency}_ms_p50") or "-",
            monitor.value(node, f"{latency}_ms_p99") or "-",
        )
    lost = monitor.value("event_tensor_node", "lost_packets") or "0"
    table.add_row("lost packets", "", lost, style="red" if lost != "0" else "dim")
    return Group(table, Text(_scores(monitor), style="bold"), Text(_label(monitor)))


def _line(monitor: MonitorNode) -> str:
    rates = ", ".join(
        f"{monitor.value(node, f'{key}_hz') or '-'} {title}/s" for title, node, key, _ in _ROWS
    )
    return f"{rates}; {_scores(monitor)}; {_label(monitor)}"


def _scores(monitor: MonitorNode) -> str:
    heard = monitor.heard
    if not heard.scores:
        return "no scores yet"
    _, face, score = heard.scores[-1]
    top = np.argsort(score)[::-1][:3]
    return f"{face}: " + "  ".join(f"AU{heard.au[i]:02d} {score[i]:.2f}" for i in top)


def _label(monitor: MonitorNode) -> str:
    if not monitor.heard.labels:
        return "no label yet"
    label = monitor.heard.labels[-1]
    names = "+".join(f"AU{number:02d}" for number in label.au)
    return f"last label: {names} ({label.condition})"
