"""The command line that all benches share: figures for people, and as JSON for programs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def bench_parser(name: str, description: str, example: str) -> argparse.ArgumentParser:
    """The parser of `./mx bench NAME`, with `--json` already there."""
    parser = argparse.ArgumentParser(
        prog=f"./mx bench {name}",
        description=description,
        epilog=f"example: ./mx bench {name} {example}",
    )
    parser.add_argument(
        "--json", type=new_file, metavar="FILE", help="write the figures to this file"
    )
    return parser


def write_json(figures: Mapping[str, Any], path: Path | None) -> None:
    """Write figures where `--json` said, if it did."""
    if path is not None:
        path.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def new_file(text: str) -> Path:
    """A file that can be written: said before a bench runs, which may take an hour."""
    path = Path(text)
    if not path.parent.is_dir() or path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} cannot be written; name a file in a folder")
    return path
