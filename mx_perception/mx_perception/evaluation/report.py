"""Merges the results of sessions into one report: counts are added up before any average."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from mx_perception import metrics
from mx_perception.action_units import AU_NUMBERS, CLIP_CLASSES, au_name
from mx_perception.evaluation.frames import METHODS
from mx_perception.spotting import SpottingCounts

REPORT_FORMAT = 1
INTENSITIES = (0.0, 0.25, 0.5, 0.75, 1.0)
AGES_MS = ((0, 50), (50, 150), (150, 250), (250, 1000))
"""Ages of key frames that go into one row, `(from, to]`."""

Figures = Mapping[str, Any]


def merge(results: Iterable[Figures], models: Mapping[str, Any]) -> dict[str, Any]:
    """The report on all sessions, whatever the order they come in."""
    sessions = sorted(results, key=lambda figures: str(figures["session"]))
    used = [figures for figures in sessions if figures["status"] != "skipped"]
    labelled = [figures for figures in used if "clips" in figures]
    report = {
        "format": REPORT_FORMAT,
        "models": dict(models),
        "sessions": {
            "total": len(sessions),
            **{
                status: sum(figures["status"] == status for figures in sessions)
                for status in ("evaluated", "partial", "skipped")
            },
            "seconds": sum(figures["seconds"] for figures in used),
            "subjects": len({figures["subject"] for figures in used} - {""}),
        },
        "left_out": _left_out(sessions),
        "action_units": _action_units(labelled),
        "spotting": _spotting(labelled),
        "reconstruction": _reconstruction(used),
        "capture": _capture(used),
        "per_session": sessions,
    }
    rounded: dict[str, Any] = _rounded(report)
    return rounded


def classification(clips: Sequence[Figures], named_by: str) -> dict[str, Any] | None:
    """Accuracy, UF1 and UAR over clips, beside chance and majority; None without an answer.

    UF1 and UAR are None where a class has no clip (`absent`): both would change silently.
    Clips in which no face was tracked count as wrong.
    """
    seen = [clip for clip in clips if clip["seen"] > 0]
    if not clips or (seen and all(clip[named_by] is None for clip in seen)):
        return None
    wrong = len(CLIP_CLASSES)
    truth = np.array([CLIP_CLASSES.index(clip["au"]) for clip in clips])
    guess = np.array(
        [wrong if clip[named_by] is None else CLIP_CLASSES.index(clip[named_by]) for clip in clips]
    )
    counts = metrics.confusion(truth, guess, wrong + 1)[:wrong]
    figures = metrics.classification(counts)
    absent = [au_name(CLIP_CLASSES[i]) for i in figures["absent"]]
    unseen = int(counts[:, wrong].sum())
    return {**figures, "absent": absent, "unseen": unseen, "confusion": counts.tolist()}


def _action_units(sessions: Sequence[Figures]) -> dict[str, Any] | None:
    clips = [
        {**clip, "lighting": figures["lighting"], "sensor": sensor(figures)}
        for figures in sessions
        for clip in figures["clips"]
    ]
    if not clips:
        return None
    groups: dict[str, Callable[[Figures], str]] = {
        "lighting": lambda clip: clip["lighting"],
        "sensor": lambda clip: clip["sensor"],
        "intensity": lambda clip: "neutral" if clip["au"] == 0 else _bin(clip["intensity"]),
    }
    return {
        "classes": [au_name(au) for au in CLIP_CLASSES],
        "by_evidence": classification(clips, "evidence"),
        "by_scores": classification(clips, "scores"),
        "hops": _hops([figures["hop_counts"] for figures in sessions]),
        **{
            f"by_{name}": {
                key: _short(part) for key, part in sorted(_grouped(clips, key_of).items())
            }
            for name, key_of in groups.items()
        },
    }


def _short(clips: Sequence[Figures]) -> dict[str, Any]:
    found = classification(clips, "evidence") or classification(clips, "scores") or {}
    return {name: found.get(name) for name in ("clips", "accuracy", "majority", "chance")}


def _hops(counts: Sequence[Figures]) -> dict[str, Any]:
    """F1 per Action Unit; `always` is the F1 of saying that it is always there."""
    hops = sum(part["hops"] for part in counts)
    hit, missed, false = (
        np.sum([part[name] for part in counts], axis=0) for name in ("hit", "missed", "false")
    )
    units = {}
    for index, au in enumerate(AU_NUMBERS):
        shown = int(hit[index] + missed[index])
        wrong = int(missed[index] + false[index])
        units[au_name(au)] = {
            "f1": float(2 * hit[index] / (2 * hit[index] + wrong)) if shown else None,
            "always": 2 * shown / (shown + hops) if shown else None,
            "prevalence": shown / hops if hops else None,
        }
    known = [unit for unit in units.values() if unit["f1"] is not None]
    return {
        "hops": hops,
        "units": units,
        "mean_f1": float(np.mean([unit["f1"] for unit in known])) if known else None,
        "mean_always": float(np.mean([unit["always"] for unit in known])) if known else None,
    }


def _spotting(sessions: Sequence[Figures]) -> dict[str, Any] | None:
    if not sessions:
        return None

    def total(part: Sequence[Figures]) -> dict[str, Any]:
        counts = SpottingCounts()
        for figures in part:
            values: dict[str, Any] = {
                k: tuple(v) if isinstance(v, list) else v for k, v in figures["spotting"].items()
            }
            counts = counts + SpottingCounts(**values)
        return {**counts.report(), "false_alarms": counts.false_alarms, "minutes": counts.minutes}

    return {
        **total(sessions),
        "by_lighting": {
            light: total(part)
            for light, part in sorted(_grouped(sessions, lambda f: str(f["lighting"])).items())
        },
    }


def _reconstruction(sessions: Sequence[Figures]) -> dict[str, Any] | None:
    rows = [
        {**row, "lighting": figures["lighting"], "sensor": sensor(figures)}
        for figures in sessions
        for row in figures["reconstruction"]
    ]
    if not rows:
        return None
    by_age = {}
    for low, high in AGES_MS:
        part = [row for row in rows if low < row["age_ms"] <= high]
        if part:
            ages = sorted({row["age_ms"] for row in part})
            name = f"{ages[0]} ms" if len(ages) == 1 else f"{ages[0]} to {ages[-1]} ms"
            by_age[name] = _quality(part)
    return {
        "all": _quality(rows),
        "by_age": by_age,
        "by_lighting": {
            key: _quality(part)
            for key, part in sorted(_grouped(rows, lambda row: row["lighting"]).items())
        },
        "by_sensor": {
            key: _quality(part)
            for key, part in sorted(_grouped(rows, lambda row: row["sensor"]).items())
        },
    }


def _quality(rows: Sequence[Figures]) -> dict[str, Any]:
    found: dict[str, Any] = {"frames": len(rows), "moved": sum(row["moved"] > 0 for row in rows)}
    for method in METHODS:
        columns = zip(*(row[method] for row in rows), strict=True)
        values = [[v for v in column if v is not None] for column in columns]
        means = [float(np.mean(column)) if column else None for column in values]
        found[method] = dict(zip(metrics.FRAME_QUALITIES, means, strict=True))
    for other in METHODS[1:]:
        mine, theirs = found["network"]["psnr_motion"], found[other]["psnr_motion"]
        found[f"gain_over_{other}_db"] = None if mine is None else mine - theirs
    return found


def _capture(sessions: Sequence[Figures]) -> dict[str, Any] | None:
    parts = [figures["capture"] for figures in sessions]
    if not parts:
        return None
    packets, lost = (sum(part[name] for part in parts) for name in ("packets", "lost_packets"))
    images = sum(figures["faces"]["images"] for figures in sessions)
    found = sum(figures["faces"]["frames"] for figures in sessions)
    drifts = [abs(part["drift_ppm"]) for part in parts if part["drift_ppm"] is not None]
    rates = [part["events_per_s"] for part in parts if part["events_per_s"] is not None]
    return {
        "packets": packets,
        "lost_packets": lost,
        "lost_share": lost / (packets + lost) if packets + lost else None,
        "frames": images,
        "lost_frames": sum(part["lost_frames"] or 0 for part in parts),
        "frames_with_a_face": found / images if images else None,
        "events_per_s": {"median": float(np.median(rates)), "highest": max(rates)}
        if rates
        else None,
        "largest_drift_ppm": max(drifts) if drifts else None,
        "time_jumps": sum(part.get("time_jumps", 0) for part in parts),
        "gaps": sum(part.get("gaps", 0) for part in parts),
    }


def sensor(figures: Figures) -> str:
    """The size of the event sensor, `240x180`."""
    height, width = figures["event_size"] or (0, 0)
    return f"{width}x{height}"


def _left_out(sessions: Sequence[Figures]) -> list[dict[str, str]]:
    found = []
    for figures in sessions:
        if figures["status"] == "skipped":
            part = {"session": figures["session"], "part": "all", "reason": figures["reason"]}
            found.append(part)
        for name, reason in sorted(figures.get("missing", {}).items()):
            found.append({"session": figures["session"], "part": name, "reason": reason})
    return found


def _grouped(
    items: Iterable[Figures], key_of: Callable[[Figures], str]
) -> dict[str, list[Figures]]:
    groups: dict[str, list[Figures]] = {}
    for item in items:
        groups.setdefault(key_of(item), []).append(item)
    return groups


def _bin(intensity: float) -> str:
    index = min(int(np.searchsorted(INTENSITIES, intensity, side="right")), len(INTENSITIES) - 1)
    return f"{INTENSITIES[index - 1]:.2f} to {INTENSITIES[index]:.2f}"


def _rounded(value: Any) -> Any:
    """Six digits are more than is known, and the same everywhere."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, Mapping):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(item) for item in value]
    return value
