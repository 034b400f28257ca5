"""`./mx launch`: starts the nodes of a launch file, and stops them together."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from ament_index_python.packages import get_package_share_directory

from mx_capture.errors import MxError


def main(argv: list[str]) -> int:
    """Hand over to `ros2 launch`, or to its stand-in where there is none."""
    share = Path(get_package_share_directory("mx_bringup"))
    parser = argparse.ArgumentParser(
        prog="./mx launch",
        description="Start the nodes of a launch file until Ctrl-C.",
        epilog="example: ./mx launch demo.launch.xml record:=false; with --show-args it lists the "
        "arguments of the file",
    )
    parser.add_argument(
        "file", help=f"a path, or one of {', '.join(sorted(f.name for f in launch_files(share)))}"
    )
    parser.add_argument("arguments", nargs="*", metavar="name:=value", help="launch arguments")
    options, more = parser.parse_known_args(argv)
    file = next((f for f in (Path(options.file), share / options.file) if f.is_file()), None)
    if file is None:
        names = ", ".join(sorted(f.name for f in launch_files(share)))
        raise MxError(f"there is no launch file {options.file}: give a path, or one of {names}")
    runner = ["ros2", "launch"] if shutil.which("ros2") else [sys.executable, "-m", "mx_launch"]
    os.execvp(runner[0], [*runner, str(file), *options.arguments, *more])


def launch_files(share: Path) -> list[Path]:
    """The launch files that the suite comes with."""
    return list(share.glob("**/*.launch.xml"))
