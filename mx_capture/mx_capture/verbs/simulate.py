"""`./mx simulate`: renders sessions of simulated people as a data set."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mx_capture.simulator.config import SessionConfig
from mx_capture.simulator.dataset import (
    DatasetConfig,
    expected_bytes,
    open_dataset,
    render_sessions,
)


def main(argv: list[str]) -> int:
    """Render what is still missing; an interrupted run goes on where it stopped."""
    parser = argparse.ArgumentParser(
        prog="./mx simulate",
        description="Render sessions of simulated people as rosbag2 recordings with exact labels.",
        epilog="example: ./mx simulate --out data/simulated --subjects 20 --seed 1 --workers 2",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="folder of the data set")
    DatasetConfig.add_arguments(parser)
    SessionConfig.add_arguments(parser)
    arguments = parser.parse_args(argv)
    dataset = DatasetConfig.from_arguments(arguments)
    template = SessionConfig.from_arguments(arguments)
    return _simulate(Path(arguments.out), dataset, template)


def _simulate(folder: Path, dataset: DatasetConfig, template: SessionConfig) -> int:
    console = Console()
    left = open_dataset(folder, dataset, template)
    total = dataset.subjects * dataset.sessions
    if len(left) < total:
        console.print(f"{total - len(left)} of {total} sessions are in {folder} already")
    if not left:
        return 0
    size = len(left) * expected_bytes(template)
    console.print(
        f"rendering {len(left)} sessions of {template.duration_s:g} s at {template.sensor} "
        f"with {dataset.workers} workers, about {size / 1e6:,.0f} MB"
    )
    started = time.monotonic()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f}%"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    shares: dict[str, float] = {}
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("sessions", total=float(len(left)))

        def report(name: str, share: float) -> None:
            shares[name] = share
            progress.update(task, completed=sum(shares.values()))

        render_sessions(folder, left, dataset.workers, report)
    seconds = time.monotonic() - started
    pace = len(left) * template.duration_s / seconds * 60
    console.print(f"{len(left)} sessions in {folder}: {pace:.0f} s of session a minute")
    return 0
