"""`./mx doctor`: checks this machine and the graph that runs on it."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import asdict
from pathlib import Path

from mx_capture.errors import MxError
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from mx_perception.doctor.check import Check
from mx_perception.doctor.graph import graph_checks
from mx_perception.doctor.machine import machine_checks
from mx_perception.doctor.ros import ros_checks


def main(argv: list[str]) -> int:
    """Print a line for each thing looked at; 1 when one of them needs a remedy."""
    parser = argparse.ArgumentParser(
        prog="./mx doctor",
        description="Check this machine, its cameras, its ROS, and the graph that is running.",
        epilog="example: ./mx doctor --json doctor.json",
    )
    parser.add_argument("--json", metavar="FILE", help="write the report to FILE, too")
    parser.add_argument(
        "--seconds",
        type=float,
        default=3.0,
        help="how long to look at the graph (default: 3); silent nodes get 5 more",
    )
    parser.add_argument("--no-graph", action="store_true", help="check the machine only")
    options = parser.parse_args(argv)
    if not 0.5 <= options.seconds <= 60:
        raise MxError(f"--seconds {options.seconds} is outside 0.5 to 60")
    console = Console()
    with console.status("looking at this machine"):
        checks = [*ros_checks(os.environ), *machine_checks()]
    if not options.no_graph:
        with console.status("looking at the running graph"):
            checks += _graph(options.seconds)
    _print(console, checks)
    if options.json:
        report = {
            "ok": all(check.ok for check in checks),
            "checks": [{**asdict(check), "ok": check.ok} for check in checks],
        }
        Path(options.json).write_text(json.dumps(report, indent=1) + "\n")
    return 0 if all(check.ok for check in checks) else 1


def _graph(seconds: float) -> list[Check]:
    try:
        from mx_perception.nodes.graph_node import look_at_graph
    except ImportError as error:
        return [Check("graph", f"ROS cannot be imported ({error})", "run through ./mx")]
    try:
        return list(graph_checks(look_at_graph(seconds)))
    except MxError as error:
        return [Check("graph", str(error), "set ROS_DOMAIN_ID and RMW_IMPLEMENTATION as above")]


def _print(console: Console, checks: list[Check]) -> None:
    table = Table.grid(padding=(0, 2))
    for check in checks:
        state = "[green]ok" if check.ok else "[red]problem"
        table.add_row(state, escape(check.subject), escape(check.finding))
        if check.remedy:
            table.add_row("", "", f"[yellow]{escape(check.remedy)}")
    console.print(table)
    problems = sum(not check.ok for check in checks)
    console.print(f"{len(checks)} checks, {problems} problem{'s' if problems != 1 else ''}")
