"""`./mx export`: turns a session into one file for people who do not use ROS."""

from __future__ import annotations

import argparse

from rich.console import Console
from rich.progress import Progress

from mx_capture.files.session import SessionSource
from mx_capture.recording.export import export_session


def main(argv: list[str]) -> int:
    """Write the file, with progress."""
    parser = argparse.ArgumentParser(
        prog="./mx export",
        description="Write the events, frames and labels of a session into one npz or HDF5 file.",
        epilog="example: ./mx export data/s01 --out s01.h5; its events read like a DSEC file",
    )
    parser.add_argument("session", help="folder of a session or of a rosbag2")
    parser.add_argument("--out", required=True, metavar="FILE", help=".npz, .h5 or .hdf5")
    options = parser.parse_args(argv)
    source = SessionSource(options.session)
    console = Console()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("exporting", total=source.duration_ns)
        counts = export_session(
            options.session,
            options.out,
            lambda stamp_ns: progress.update(task, completed=stamp_ns - source.start_ns),
        )
    contents = ", ".join(f"{n} {kind}" for kind, n in counts.items())
    console.print(f"{options.out}: {contents}", soft_wrap=True)
    return 0
