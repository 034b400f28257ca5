"""The report in plain words, for somebody who sees such figures for the first time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def summary(report: Mapping[str, Any]) -> list[str]:
    """A sentence or two for each part of the report."""
    parts = (_sessions, _action_units, _spotting, _frames, _capture)
    return [line for part in parts if (line := part(report))]


def _sessions(report: Mapping[str, Any]) -> str:
    found = report["sessions"]
    origins = {figures.get("origin") for figures in report["per_session"]} - {None}
    kind = "simulated: no real person was recorded" if origins == {"simulator"} else "not simulated"
    if "simulator" in origins and origins != {"simulator"}:
        kind = "partly simulated"
    total, people, seconds = found["total"], found["subjects"], found["seconds"]
    length = f"{seconds / 60:.1f} minutes"
    if seconds < 120:
        length = f"{seconds:.{0 if seconds >= 10 else 1}f} seconds"
    line = f"{total} session{'' if total == 1 else 's'}, {length}"
    if people:
        line += f" of {people} {'person' if people == 1 else 'people'}"
    line += f"; the faces are {kind}."
    if found["partial"] or found["skipped"]:
        line += (
            f" {found['evaluated']} were evaluated as a whole, {found['partial']} in part, "
            f"{found['skipped']} not at all; the reasons follow."
        )
    return line


def _action_units(report: Mapping[str, Any]) -> str:
    found = report["action_units"]
    if found is None:
        return "Action Units: nothing to compare with, for no session has labels and a face."
    part = found["by_evidence"] or found["by_scores"]
    return (
        f"Action Units: of {part['clips']} short clips, {100 * part['accuracy']:.0f}% were named "
        f"right among 15 classes. Guessing would reach {100 * part['chance']:.1f}%, always naming "
        f"the most frequent class {100 * part['majority']:.1f}%."
    )


def _spotting(report: Mapping[str, Any]) -> str:
    found = report["spotting"]
    if found is None:
        return ""
    line = (
        f"Micro-expressions in the running stream: {found['hits']} of {found['labels']} labelled "
        "ones were found at the right time"
    )
    if found["false_alarms_per_minute"] is not None:
        line += f", with {found['false_alarms_per_minute']:.1f} false alarms a minute"
    if found["latency_ms"]:
        line += f". They were told {found['latency_ms']['median']:.0f} ms after they began (median)"
    return line + "."


def _frames(report: Mapping[str, Any]) -> str:
    found = report["reconstruction"]
    if found is None:
        return "Frames from events: no session has both RGB frames and events of a face."
    part = found["all"]
    line = f"Frames from events: {part['frames']} frames were reconstructed and compared"
    if part["gain_over_copy_db"] is None:
        return line + "; nothing moved in any of them."
    gain, more = part["gain_over_copy_db"], part["gain_over_integration_db"]
    return (
        f"{line}. Where something moved, they are {_decibels(gain)} the last camera frame, and "
        f"{_decibels(more)} that frame with its events added up (3 dB is half the squared error)."
    )


def _decibels(gain: float) -> str:
    if abs(gain) < 0.05:
        return "as close to the truth as"
    return f"{abs(gain):.1f} dB {'closer to the truth than' if gain > 0 else 'farther off than'}"


def _capture(report: Mapping[str, Any]) -> str:
    found = report["capture"]
    if found is None:
        return ""
    lost = found["lost_packets"]
    line = (
        f"Recordings: {'no' if not lost else f'{lost:,}'} event packet{'' if lost == 1 else 's'} "
        f"of {found['packets'] + lost:,} lost"
    )
    if found["frames"]:
        line += f"; a face was found in {100 * found['frames_with_a_face']:.0f}% of the RGB frames"
    return line + "."
