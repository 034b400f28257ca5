"""`./mx devices`: lists the cameras of this machine, and what keeps them from being used."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.table import Table

from mx_capture.devices.listing import FoundCamera, event_cameras, rgb_cameras, with_library
from mx_capture.devices.neuromorphic import load_library
from mx_capture.errors import MxError

ROOT = Path("/")


def main(argv: list[str]) -> int:
    """Print a table, or write it as JSON."""
    parser = argparse.ArgumentParser(
        prog="./mx devices",
        description="List event cameras and RGB cameras with their serial numbers and remedies.",
        epilog="example: ./mx devices --json devices.json",
    )
    parser.add_argument("--json", metavar="FILE", help="write the list to FILE, too")
    options = parser.parse_args(argv)
    cameras = [*with_library(event_cameras(ROOT)), *rgb_cameras(ROOT)]
    library = library_state()
    if options.json:
        listed = {"cameras": [asdict(camera) for camera in cameras], "library": library}
        Path(options.json).write_text(json.dumps(listed, indent=1))
    _print(cameras, library)
    return 0


def library_state() -> str:
    """`installed`, or what is missing and how to install it."""
    try:
        load_library()
    except MxError as error:
        return f"missing: {error}"
    return "installed"


def _print(cameras: list[FoundCamera], library: str) -> None:
    console = Console()
    table = Table("kind", "camera", "device", "serial", "state")
    for camera in cameras:
        style = "red" if camera.problem else "green"
        state = f"[{style}]{camera.problem or 'ok'}"
        table.add_row(camera.kind, camera.name, camera.device, camera.serial or "-", state)
    if cameras:
        console.print(table)
    else:
        console.print("no camera found; plug one in, or try the suite with `./mx demo`")
    for camera in cameras:
        if camera.problem:
            # On one line, to be copied.
            console.print(f"{camera.name}: {camera.remedy}", soft_wrap=True, markup=False)
    if library != "installed":
        console.print(library, soft_wrap=True, markup=False)
