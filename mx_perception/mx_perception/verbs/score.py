"""`./mx score`: Action Unit scores of a session as a table, to look at or to annotate with."""

from __future__ import annotations

import argparse
import csv
import os
from pathlib import Path

from mx_capture.clock import CLOCKS
from mx_capture.errors import MxError
from mx_capture.files import open_source
from mx_capture.recording.session_info import calibration_file
from mx_capture.tensorizer import TensorizerConfig
from rich.console import Console
from rich.progress import Progress

from mx_perception.checkpoint import DEFAULT_AU
from mx_perception.event_driven import EventDrivenStream
from mx_perception.session_scores import column_names, session_scores


def main(argv: list[str]) -> int:
    """Write the table as a whole or not at all, with progress."""
    parser = argparse.ArgumentParser(
        prog="./mx score",
        description="Write a score of 0 to 1 for each Action Unit every 10 ms of a session as CSV.",
        epilog="example: ./mx score s01 --out s01.csv; ./mx annotate s01 --scores s01.csv",
    )
    parser.add_argument("session", help="folder of a session or a rosbag2, or an event file")
    parser.add_argument("--out", required=True, metavar="FILE", help="the new table, .csv")
    parser.add_argument("--model", metavar="DIR", help="folder of the weights (default: shipped)")
    parser.add_argument(
        "--clock",
        choices=tuple(CLOCKS),
        default=TensorizerConfig.clock,
        help="how sensor time becomes ROS time (default: %(default)s)",
    )
    options = parser.parse_args(argv)
    out = Path(options.out)
    if out.exists():
        raise MxError(f"{out} exists already; give another name")
    source = open_source(options.session)
    if source.event_size is None:
        raise MxError(f"{options.session} has no events, and scores are read from events")
    stream = EventDrivenStream(options.model or DEFAULT_AU)
    calibration = calibration_file(Path(options.session))
    console = Console()
    partial = out.with_name(out.name + ".partial")
    rows = 0
    try:
        with (
            partial.open("w", newline="", encoding="utf-8") as file,
            Progress(console=console, transient=True, disable=not console.is_terminal) as progress,
        ):
            task = progress.add_task("scoring", total=source.duration_ns)
            table = csv.writer(file)
            table.writerow(column_names(stream))
            for stamp_ns, scores in session_scores(source, stream, calibration, options.clock):
                table.writerow([stamp_ns, *(f"{score:.4f}" for score in scores)])
                rows += 1
                progress.update(task, completed=stamp_ns - source.start_ns)
        if not rows:
            raise MxError(f"no face was found in {options.session}, so there are no scores")
        os.replace(partial, out)
    except OSError as error:
        raise MxError(f"cannot write {out}: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)
    console.print(f"{out}: {rows} rows of {len(stream.action_units)} scores", soft_wrap=True)
    return 0
