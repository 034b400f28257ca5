"""`./mx bench`: runs the measurements in the `bench` folders of the packages."""

from __future__ import annotations

import argparse
import importlib
import importlib.util
import json
import tempfile
from pathlib import Path

from mx_capture.bench.command import new_file, write_json
from mx_capture.errors import MxError

BENCHES = {
    "conditions": "mx_perception.bench.conditions",
    "decode": "mx_capture.bench.decode",
    "evaluate": "mx_perception.bench.evaluate",
    "latency": "mx_perception.bench.latency",
    "memory": "mx_capture.bench.memory",
    "recording": "mx_capture.bench.recording",
    "recovery": "mx_perception.bench.recovery",
    "simulator": "mx_capture.bench.simulator",
    "snn": "mx_perception.bench.snn",
    "soak": "mx_perception.bench.soak",
    "spotting": "mx_perception.bench.spotting",
}
"""By name only, as `./mx` finds verbs: this package does not know the one above it."""
_DEFAULT = ("decode", "latency")


def main(argv: list[str]) -> int:
    """Run one bench with its own options, or the two of capture. Returns the worst exit code."""
    present = {name: module for name, module in BENCHES.items() if _exists(module)}
    if argv and argv[0] in present:
        try:
            return int(importlib.import_module(present[argv[0]]).main(argv[1:]))
        except ModuleNotFoundError as error:
            raise MxError(f"bench {argv[0]} needs {error.name}: ./mx setup train") from error
    parser = argparse.ArgumentParser(
        prog="./mx bench",
        description="Measure speed and latency on this machine; decode and latency by default.",
        epilog="example: ./mx bench --json figures.json; ./mx bench decode --help",
    )
    parser.add_argument("bench", nargs="?", choices=sorted(present), help="one of them only")
    parser.add_argument("--json", type=new_file, help="write the figures, by bench, to this file")
    arguments = parser.parse_args(argv)
    figures, code = {}, 0
    with tempfile.TemporaryDirectory() as folder:
        for name in _DEFAULT:
            if name in present:
                part = Path(folder, f"{name}.json")
                module = importlib.import_module(present[name])
                code = max(code, int(module.main(["--json", str(part)])))
                figures[name] = json.loads(part.read_text(encoding="utf-8"))
    write_json(figures, arguments.json)
    return code


def _exists(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:
        return False
