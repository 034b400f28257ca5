"""The command line of mx_launch."""

from __future__ import annotations

import argparse
import itertools
import os
import shlex
import signal
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from ament_index_python.packages import get_package_share_directory

from mx_launch.description import declared_arguments, describe
from mx_launch.document import LaunchError
from mx_launch.runner import Launch, Output

_COLOURS = (36, 32, 33, 35, 34, 96, 92, 93, 95, 94)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a launch file until it ends or a signal comes.

    Returns the exit code of the whole; 130 after Ctrl-C, 143 after SIGTERM, 2 for a bad file.
    """
    options = _parser().parse_intermixed_args(argv)
    try:
        path, arguments = _file_and_arguments(options.file, options.arguments)
        if options.show_args:
            _show_arguments(path)
            return 0
        if options.print:
            _print_processes(path, arguments)
            return 0
        return _run(Launch(path, arguments, output=_console()))
    except LaunchError as error:
        print(f"mx_launch: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m mx_launch",
        description="Run a ROS launch file in XML, one process for each node.",
        epilog="example: python -m mx_launch mx_bringup demo.launch.xml record:=true",
    )
    parser.add_argument("file", help="path of a launch file, or a package followed by a file name")
    parser.add_argument("arguments", nargs="*", help="values of launch arguments, as name:=value")
    parser.add_argument("--show-args", action="store_true", help="list the arguments and stop")
    parser.add_argument("--print", action="store_true", help="print the commands and stop")
    return parser


def _file_and_arguments(first: str, rest: Sequence[str]) -> tuple[Path, dict[str, str]]:
    words = list(rest)
    path = Path(first)
    if words and ":=" not in words[0]:
        path = _in_package(first, words.pop(0))
    arguments = {}
    for word in words:
        name, separator, value = word.partition(":=")
        if not (name and separator):
            raise LaunchError(f"{word!r} is no launch argument; write name:=value")
        arguments[name] = value
    return path, arguments


def _in_package(package: str, name: str) -> Path:
    """A launch file anywhere below the share folder of a package, as `ros2 launch` finds it."""
    try:
        share = Path(get_package_share_directory(package))
    except (LookupError, ValueError):
        raise LaunchError(f"package {package!r} not found; is the workspace set up?") from None
    found = sorted(share.rglob(name))
    if not found:
        known = sorted(path.name for path in share.rglob("*.launch.xml"))
        listing = ", ".join(known) or "none"
        raise LaunchError(f"package {package!r} has no {name!r}; it has {listing}")
    return found[0]


def _show_arguments(path: Path) -> None:
    for argument in declared_arguments(path):
        default = "needed" if argument.default is None else f"default: {argument.default!r}"
        choices = f"; one of {', '.join(argument.choices)}" if argument.choices else ""
        print(f"{argument.name}:=   {argument.description} ({default}{choices})")


def _print_processes(path: Path, arguments: dict[str, str]) -> None:
    with tempfile.TemporaryDirectory(prefix="launch_params_") as scratch:
        for process in describe(path, arguments, Path(scratch)):
            print(f"[{process.name}] {shlex.join(process.command)}")
            for word in process.command:
                if word.startswith(scratch):
                    print("".join(f"    {line}\n" for line in Path(word).read_text().splitlines()))


def _console() -> Output:
    """Writes each line at once, behind the name of its process, coloured on a terminal."""
    coloured = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    colours = itertools.cycle(_COLOURS)
    prefixes: dict[str, str] = {}

    def write(name: str, line: str) -> None:
        if name not in prefixes:
            prefixes[name] = f"\033[{next(colours)}m[{name}]\033[0m" if coloured else f"[{name}]"
        sys.stdout.write(f"{prefixes[name]} {line}\n")
        sys.stdout.flush()

    return write


def _run(launch: Launch) -> int:
    received: list[int] = []

    def on_signal(number: int, _: object) -> None:
        stop: Callable[[], None] = launch.kill if received else launch.request_stop
        received.append(number)
        stop()

    signals = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.signal(number, on_signal) for number in signals}
    try:
        with launch:
            # A wait without an end would keep Python from running the handler of a signal.
            while (code := launch.wait(0.2)) is None:
                pass
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return 128 + received[0] if received else code


if __name__ == "__main__":
    sys.exit(main())
