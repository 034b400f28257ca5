"""Labels that were added after a recording: `labels.yaml` beside the bag, never inside it."""

from __future__ import annotations

import csv
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from mx_capture.errors import MxError
from mx_capture.recording.session_info import SESSION_FILE
from mx_capture.stream import Label

LABELS_FILE = "labels.yaml"
FIELDS = ("subject", "au", "intensity", "onset_ns", "apex_ns", "offset_ns", "source", "condition")


def labels_file(path: Path) -> Path:
    """Where the labels of a session, or of a rosbag2 folder, are kept."""
    if not (path / "metadata.yaml").is_file():
        return path / LABELS_FILE
    bag = path.resolve()
    if (bag.parent / SESSION_FILE).is_file():
        return bag.parent / LABELS_FILE
    return bag.with_name(f"{bag.name}.{LABELS_FILE}")


def read_annotations(session: Path) -> list[Label]:
    """The labels beside a recording, in their order; none without the file.

    Raises MxError naming the file and the wrong entry.
    """
    path = labels_file(session)
    if not path.is_file():
        return []
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise MxError(f"{path} is no readable YAML: {' '.join(str(error).split())}") from error
    if not isinstance(entries, list):
        raise MxError(f"{path} is not a list of labels; see what ./mx annotate writes")
    return [label_from_entry(entry, f"{path}, label {n}") for n, entry in enumerate(entries, 1)]


def write_annotations(session: Path, labels: Sequence[Label]) -> None:
    """Replace the labels beside a recording, in the order of their onsets, all or nothing."""
    ordered = sorted(labels, key=lambda label: (label.onset_ns, label.offset_ns))
    entries = [
        {
            "subject": label.subject,
            "au": list(label.au),
            "intensity": [float(value) for value in label.intensity],
            "onset_ns": label.onset_ns,
            "apex_ns": label.apex_ns,
            "offset_ns": label.offset_ns,
            "source": label.source,
            "condition": label.condition,
        }
        for label in ordered
    ]
    path = labels_file(session)
    partial = path.with_suffix(".yaml.partial")
    try:
        partial.write_text(
            yaml.safe_dump(entries, sort_keys=False, allow_unicode=True), encoding="utf-8"
        )
        os.replace(partial, path)
    except OSError as error:
        raise MxError(f"cannot write {path}: {error.strerror}; check its rights") from error


def read_csv(path: Path) -> list[Label]:
    """Labels from a CSV with the columns of `FIELDS`; several AUs are separated by spaces.

    `source` may be left out (`annotator`), and `condition`. Raises MxError naming file and line.
    """
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise MxError(f"cannot read {path} as CSV: {error}") from error
    if not rows:
        raise MxError(f"{path} holds no label; expected the columns {','.join(FIELDS)}")
    labels = []
    for number, row in enumerate(rows, 2):
        entry: dict[str, Any] = {key: value for key, value in row.items() if key and value}
        for name in ("au", "intensity"):
            entry[name] = (entry.get(name) or "").split()
        labels.append(label_from_entry(entry, f"{path}, line {number}"))
    return labels


def label_from_entry(entry: Any, where: str) -> Label:
    """A checked label from plain values; MxError begins with `where`."""
    if not isinstance(entry, dict):
        raise MxError(f"{where}: expected the entries {', '.join(FIELDS)}")
    for name in entry:
        if name not in FIELDS:
            raise MxError(f"{where}: unknown entry {name!r}; known are {', '.join(FIELDS)}")
    try:
        label = Label(
            subject=str(entry["subject"]),
            au=tuple(int(str(au).upper().removeprefix("AU")) for au in entry["au"]),
            intensity=tuple(float(value) for value in entry["intensity"]),
            onset_ns=int(entry["onset_ns"]),
            apex_ns=int(entry["apex_ns"]),
            offset_ns=int(entry["offset_ns"]),
            source=str(entry.get("source", "annotator")),
            condition=str(entry.get("condition", "")),
        )
    except KeyError as error:
        raise MxError(f"{where}: the entry {error.args[0]!r} is missing") from error
    except (TypeError, ValueError) as error:
        raise MxError(f"{where}: {error}") from error
    _check(label, where)
    return label


def check_inside(label: Label, start_ns: int, end_ns: int, where: str) -> None:
    """Raise MxError when a label reaches outside its session."""
    if label.onset_ns < start_ns or label.offset_ns > end_ns:
        raise MxError(
            f"{where}: the label from {label.onset_ns} to {label.offset_ns} ns lies outside its "
            f"session ({start_ns} to {end_ns} ns)"
        )


def check_action_units(au: Sequence[int], intensity: Sequence[float], where: str) -> None:
    """Raise MxError, beginning with `where`, unless each FACS number has an intensity in 0..1."""
    if len(au) != len(intensity):
        raise MxError(
            f"{where}: {len(au)} Action Units with {len(intensity)} intensities; "
            "give one intensity for each"
        )
    for number, value in zip(au, intensity, strict=True):
        if not 1 <= number <= 99:
            raise MxError(f"{where}: AU{number} is no FACS number from 1 to 99")
        if not 0 <= value <= 1:
            raise MxError(f"{where}: intensity {value} is outside 0 to 1")


def _check(label: Label, where: str) -> None:
    check_action_units(label.au, label.intensity, where)
    if not label.au and not label.condition:
        raise MxError(f"{where}: a label needs Action Units, or a condition such as an emotion")
    if not label.onset_ns <= label.apex_ns <= label.offset_ns:
        raise MxError(f"{where}: onset, apex and offset are not in this order")
