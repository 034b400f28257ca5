"""Writes the report of session results: report.json for programs, report.html for people."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mx_perception.evaluation.report import merge
from mx_perception.evaluation.session import SessionResult


def report_files(
    out: Path, results: Sequence[SessionResult], models: Mapping[str, Any]
) -> dict[str, Any]:
    """Merge and write; returns what report.json holds.

    `report.json` depends on the sessions and the models alone: not on workers, order or times.
    """
    # Matplotlib is needed here only, and takes a while to import.
    from mx_perception.evaluation.page import page

    ordered = sorted(results, key=lambda result: str(result.figures["session"]))
    report = merge((result.figures for result in ordered), models)
    text = json.dumps(report, indent=1, sort_keys=True, allow_nan=False) + "\n"
    out.mkdir(parents=True, exist_ok=True)
    for name, content in (("report.json", text), ("report.html", page(report, ordered))):
        part = out / f"{name}.part"
        part.write_text(content, encoding="utf-8")
        part.replace(out / name)
    return report
