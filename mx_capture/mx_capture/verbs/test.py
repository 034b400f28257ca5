"""`./mx test`: the tests of this checkout, with pytest."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from mx_capture.errors import MxError

ROOT = Path(__file__).resolve().parents[3]
SUITES = ("core", "node", "end_to_end")


def main(argv: list[str]) -> int:
    """Run a suite, a path or everything; the options are pytest's."""
    parser = argparse.ArgumentParser(
        prog="./mx test",
        description="Run tests: core (no ROS), node (one at a time), end_to_end (the whole graph).",
        epilog="example: ./mx test core -k registration; with --slow it also ends the nodes of a "
        "graph one by one",
    )
    parser.add_argument("suite", nargs="?", help=f"{', '.join(SUITES)} or a path (default: all)")
    parser.add_argument("options", nargs=argparse.REMAINDER, help="options of pytest")
    # Without a suite, a pytest option comes first, and argparse would take its value for one.
    named = bool(argv) and (not argv[0].startswith("-") or argv[0] in ("-h", "--help"))
    suite = parser.parse_args(argv[:1]).suite if named else None
    options = argv[1:] if named else argv
    if suite is None:
        paths = [str(ROOT / "tests" / name) for name in SUITES]
    elif suite in SUITES:
        paths = [str(ROOT / "tests" / suite)]
    elif Path(suite.partition("::")[0]).exists():
        paths = [str(Path(suite).absolute())]
    else:
        raise MxError(f"there are no tests {suite}: give {', '.join(SUITES)} or a path")
    command = [sys.executable, "-m", "pytest", "--no-header", "-ra", *paths, *options]
    # Sums depend on the number of threads, and so does what a test trains.
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.chdir(ROOT)
    os.execv(sys.executable, command)
