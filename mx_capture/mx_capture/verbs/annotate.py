"""`./mx annotate`: marks expressions in a session, on a page or from a CSV."""

from __future__ import annotations

import argparse
import contextlib
import webbrowser
from pathlib import Path

from rich.console import Console

from mx_capture.files.session import SessionSource
from mx_capture.recording.annotation_server import Annotator, make_server
from mx_capture.recording.annotations import FIELDS, check_inside, read_csv, write_annotations


def main(argv: list[str]) -> int:
    """Serve the page until Ctrl-C, or store the labels of a CSV."""
    parser = argparse.ArgumentParser(
        prog="./mx annotate",
        description="Mark onset, apex, offset and Action Units; labels go beside the recording.",
        epilog="example: ./mx annotate data/s01, or ./mx annotate data/s01 --csv labels.csv",
    )
    parser.add_argument("session", help="folder of a session or of a rosbag2")
    parser.add_argument(
        "--csv", metavar="FILE", help=f"store these labels instead: {','.join(FIELDS)}"
    )
    parser.add_argument("--scores", metavar="FILE", help="CSV to draw: stamp_ns,AU01,AU02,...")
    parser.add_argument("--port", type=int, default=0, help="default: a free one")
    parser.add_argument(
        "--browser", action=argparse.BooleanOptionalAction, default=True, help="open a browser"
    )
    options = parser.parse_args(argv)
    console = Console()
    session = Path(options.session)
    if options.csv:
        _store_csv(session, Path(options.csv), console)
        return 0
    with console.status("reading the session"):
        annotator = Annotator(session, options.scores)
    with make_server(annotator, options.port) as server:
        address = f"http://127.0.0.1:{server.server_address[1]}/"
        console.print(f"mark the expressions on {address} (Ctrl-C ends)")
        if options.browser:
            webbrowser.open(address)
        with contextlib.suppress(KeyboardInterrupt):
            server.serve_forever()
    return 0


def _store_csv(session: Path, path: Path, console: Console) -> None:
    source = SessionSource(session)
    labels = read_csv(path)
    for number, label in enumerate(labels, 2):
        end_ns = source.start_ns + source.duration_ns
        check_inside(label, source.start_ns, end_ns, f"{path}, line {number}")
    write_annotations(session, labels)
    console.print(f"{len(labels)} labels stored beside the recording of {session}")
