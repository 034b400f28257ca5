"""`./mx recover`: repairs a recording that was cut short."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console

from mx_capture.files.session import SessionSource
from mx_capture.recording.recover import recover
from mx_capture.recording.session_info import SESSION_FILE, read_session, with_cameras, write_info
from mx_capture.recording.verify import quality_table, verify


def main(argv: list[str]) -> int:
    """Repair, then show what was saved."""
    parser = argparse.ArgumentParser(
        prog="./mx recover",
        description="Repair the recording of a session whose recorder was killed.",
        epilog="example: ./mx recover data/s01; the damaged bag is kept beside the repaired one",
    )
    parser.add_argument("session", help="folder of a session or of a rosbag2 (mcap)")
    options = parser.parse_args(argv)
    console = Console()
    with console.status("reading what is left"):
        report = recover(options.session)
    if report.intact:
        console.print(f"{report.bag} was closed properly; nothing to repair")
        return 0
    messages = sum(report.messages.values())
    console.print(
        f"saved {messages} messages; {report.unreadable_bytes} bytes held no whole message; "
        f"the damaged bag is kept as {report.original}: delete it when this one is good",
        soft_wrap=True,
    )
    session = Path(options.session)
    if (session / SESSION_FILE).is_file():
        # The recorder tells the cameras at the end, which it did not see.
        info = with_cameras(read_session(session), SessionSource(session))
        write_info(session / SESSION_FILE, info, replace=True)
    console.print(quality_table(verify(session)))
    return 0
