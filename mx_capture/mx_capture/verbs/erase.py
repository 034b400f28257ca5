"""`./mx erase`: removes what a data set holds of one subject, on request or after its time."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from rich.console import Console
from rich.prompt import Confirm

from mx_capture.errors import MxError
from mx_capture.recording.erase import Traces, erase, find_expired, find_traces


def main(argv: list[str]) -> int:
    """List what would go, ask, remove it. 1 when something is left for a person to look at."""
    parser = argparse.ArgumentParser(
        prog="./mx erase",
        description="Remove all sessions of a subject, or all that were kept long enough, and the "
        "files derived from them.",
        epilog="examples:\n  ./mx erase s01 study --also weights --dry-run\n"
        "  ./mx erase --expired study",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("subject", nargs="?", help="pseudonym, as session.yaml has it")
    parser.add_argument("dataset", type=Path, help="folder of sessions")
    parser.add_argument(
        "--also",
        type=Path,
        nargs="+",
        default=[],
        metavar="DIR",
        help="where derived files lie, too: caches of trainings, exports, reports",
    )
    parser.add_argument(
        "--expired",
        action="store_true",
        help="instead of a subject's: sessions whose last day (retention: until) is over",
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would go")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    options = parser.parse_args(argv)
    console = Console(soft_wrap=True, highlight=False, markup=False)
    folders = [options.dataset, *options.also]
    if (options.subject is None) != options.expired:
        raise MxError("whose sessions? Give a subject and a data set, or --expired and a data set")
    if options.expired:
        traces = find_expired(time.strftime("%Y-%m-%d"), folders)
    else:
        traces = find_traces(options.subject, folders)
    _say(console, "session", traces.sessions)
    _say(console, "derived", traces.derived)
    paths = len(traces.sessions) + len(traces.derived)
    if not paths:
        found = (
            "nothing whose last day is over" if options.expired else f"nothing of {options.subject}"
        )
        console.print(f"{found} in {options.dataset}")
    elif options.dry_run:
        console.print(f"{paths} would go, {traces.bytes / 1e6:.1f} MB; nothing was removed")
    else:
        _confirm(options, paths, traces)
        size = traces.bytes
        erase(traces)
        console.print(f"{paths} removed, {size / 1e6:.1f} MB")
    _say(console, "look at", traces.mentions)
    for problem in traces.unreadable:
        console.print(f"whose?   {problem}")
    if traces.mentions:
        console.print("these texts name the subject or a session, and were left as they are")
    if paths:
        console.print("backups, and models that were trained with these sessions, know them still")
    return 1 if traces.mentions or traces.unreadable else 0


def _confirm(options: argparse.Namespace, paths: int, traces: Traces) -> None:
    if options.yes:
        return
    if not sys.stdin.isatty():
        raise MxError("nothing was removed; look at the list with --dry-run, then give --yes")
    if not Confirm.ask(f"remove these {paths} ({traces.bytes / 1e6:.1f} MB) for good?"):
        raise MxError("nothing was removed")


def _say(console: Console, kind: str, paths: list[Path]) -> None:
    for path in paths:
        console.print(f"{kind:<8} {path}")
