"""`./mx evaluate`: measures the networks on sessions, and the sessions themselves."""

from __future__ import annotations

import argparse
from pathlib import Path

from mx_capture.errors import MxError
from rich.console import Console
from rich.progress import Progress

from mx_perception.evaluation.results import report_files
from mx_perception.evaluation.runs import evaluate_all, find_tasks, stored
from mx_perception.evaluation.session import EvaluationConfig, Evaluator
from mx_perception.evaluation.words import summary

INCOMPLETE = 3
"""Exit code when a session, or a part of one, could not be evaluated."""


def main(argv: list[str]) -> int:
    """Evaluate, then write report.json and report.html; interrupted, it goes on from there."""
    parser = argparse.ArgumentParser(
        prog="./mx evaluate",
        description="Measure Action Units, spotting, reconstruction and capture on recordings.",
        epilog=(
            "example: ./mx evaluate people --out report --workers 4; exit code 3 says that a "
            "session or a part of one was left out, which the report names with the reason"
        ),
    )
    parser.add_argument(
        "recordings", nargs="+", type=Path, metavar="SESSION|DATASET", help="or a recorded file"
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--workers", type=int, default=1, help="processes (default: 1)")
    parser.add_argument(
        "--scheduler",
        default="",
        metavar="ADDRESS",
        help="of Dask, such as tcp://host:8786, to work on a cluster that sees the same files",
    )
    EvaluationConfig.add_arguments(parser)
    arguments = parser.parse_args(argv)
    config = EvaluationConfig.from_arguments(arguments)
    if arguments.workers < 1:
        raise MxError(f"--workers is {arguments.workers}; give at least 1")
    tasks = find_tasks(arguments.recordings)
    out: Path = arguments.out
    with Progress(console=Console(stderr=True)) as progress:
        bar = progress.add_task("sessions", total=len(tasks))
        done = evaluate_all(tasks, out, config, arguments.workers, arguments.scheduler)
        for task, before in done:
            progress.update(bar, advance=1, description=task.name)
            if before:
                progress.console.print(f"{task.name}: done before")
    results = [result for task in tasks if (result := stored(out, task)) is not None]
    report = report_files(out, results, Evaluator(config).models())
    for line in summary(report):
        print(line)
    print(f"wrote {out / 'report.html'} and {out / 'report.json'}")
    return INCOMPLETE if report["left_out"] else 0
