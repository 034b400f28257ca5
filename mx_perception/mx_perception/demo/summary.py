"""What a demo run amounts to: `summary.json`, and whether every stage did its work."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

OK = "ok"


@dataclass(frozen=True)
class Inputs:
    """What the demo was given; a stage can only be asked for what its inputs allow."""

    events: bool
    rgb: bool
    simulated: bool
    emulated: bool = False
    """Whether the events were made from images."""


@dataclass(frozen=True)
class Counts:
    """Totals of one run, from the nodes' own counters and from the recording."""

    duration_s: float
    event_packets: int
    events: int
    rgb_frames: int
    faces: int
    event_tensors: int
    au_messages: int
    reconstructions: int
    lost_packets: int
    lost_tensors: int
    dropped_events: int
    labels: int
    micro_expressions: int
    published: Mapping[str, int]
    recording_messages: Mapping[str, int]
    latency_ms: Mapping[str, Mapping[str, float | None]]


def stages(inputs: Inputs, counts: Counts) -> dict[str, str]:
    """Every stage with `ok`, why its inputs do not allow it, or what went wrong."""
    no_face = counts.faces == 0 and not inputs.simulated
    seen = counts.faces > 0
    result = {
        "events": _stage(counts.event_packets, inputs.events, "no event input"),
        "rgb": _stage(counts.rgb_frames, inputs.rgb, "no RGB input"),
        "faces": "no face was seen" if no_face else _stage(counts.faces, True, ""),
    }
    if inputs.emulated and result["events"] == OK:
        result["events"] = "ok, but emulated from images: scores mean nothing"
    why = "no event input" if not inputs.events else "no face was seen"
    possible = inputs.events and (seen or inputs.simulated)
    result["event_tensors"] = _stage(counts.event_tensors, possible, why)
    result["action_units"] = _stage(counts.au_messages, possible, why)
    why_not = "no RGB input, so no key frame" if inputs.events and not inputs.rgb else why
    result["reconstruction"] = _stage(counts.reconstructions, possible and inputs.rgb, why_not)
    if inputs.simulated:
        result["labels"] = _stage(counts.labels, counts.duration_s >= 5, "too short for a label")
    result["recording"] = _recording(counts)
    lost = {"packets": counts.lost_packets, "tensors": counts.lost_tensors}
    told = [f"{count} {name}" for name, count in lost.items() if count]
    result["losses"] = f"failed: {' and '.join(told)} were lost" if told else OK
    return result


def failed(stage_results: Mapping[str, str]) -> list[str]:
    """The stages that should have worked and did not."""
    return [name for name, result in stage_results.items() if result.startswith("failed")]


def as_json(inputs: Inputs, counts: Counts) -> dict[str, Any]:
    """The content of `summary.json`."""
    values = dict(vars(counts))
    values["latency_ms"] = {name: dict(parts) for name, parts in counts.latency_ms.items()}
    values["published"] = dict(counts.published)
    values["recording_messages"] = dict(counts.recording_messages)
    values["inputs"] = vars(inputs)
    values["stages"] = stages(inputs, counts)
    return values


def _stage(count: int, possible: bool, why_not: str) -> str:
    if not possible:
        return why_not
    return OK if count > 0 else "failed: produced nothing"


def _recording(counts: Counts) -> str:
    for topic, published in counts.published.items():
        recorded = counts.recording_messages.get(topic, 0)
        if recorded != published:
            return f"failed: {topic} has {recorded} of {published} published messages"
    return OK
