"""Accuracy against intensity, light, noise, sensor and pose."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from mx_capture.simulator.action_units import FARTHEST_MM

from mx_perception.kinds import is_of, kind
from mx_perception.sequences import FaceSequence
from mx_perception.windows import NEUTRAL_CLASS, Window

Conditions = dict[str, list[dict[str, Any]]]
"""By condition, the `range`, `clips` and `accuracy` of its bins."""
PX_PER_MM = 0.67
"""Of the 128 px face crop, which shows 19 cm."""
EDGES: Mapping[str, tuple[float, ...]] = {
    "displacement px": (0.8, 1.1, 1.5, 2.0, 3.1),
    "lux": (2, 15, 60, 150, 400, 3000),
    "threshold": (0.1, 0.16, 0.22, 0.28, 0.5),
    "noise": (0.3, 0.6, 1.0, 1.5, 2.1),
    "sway": (0.3, 0.55, 0.8, 1.05, 1.3),
    "yaw_deg": (0, 3, 6, 10, 25),
}
CATEGORIES = ("sensor", "lighting", "skin", "beard", "glasses", "age")
"""Conditions without an order."""


def by_condition(
    values: Sequence[Mapping[str, str]],
    right: np.ndarray,
    kinds: Mapping[str, str] | None = None,
) -> Conditions:
    """Accuracy per bin of EDGES and per category, and of `kinds` against the rest.

    `values` are `conditions_of` each clip, `right (n,) bool` says which ones were named right.
    Conditions that no clip has are left out.
    """
    conditions: Conditions = {}
    for name, edges in EDGES.items():
        column = np.array([float(value.get(name, "nan")) for value in values])
        conditions[name] = [
            _bin(f"{low:g} to {high:g}", right[(column >= low) & (column < high)])
            for low, high in itertools.pairwise(edges)
        ]
    for name in CATEGORIES:
        column = np.array([value.get(name, "") for value in values])
        conditions[name] = [_bin(str(k), right[column == k]) for k in sorted(set(column) - {""})]
    if kinds:
        named = np.array([is_of(value, kinds) for value in values])
        conditions["kinds"] = [_bin("named", right[named]), _bin("the rest", right[~named])]
    shown = {name: [b for b in bins if b["clips"]] for name, bins in conditions.items()}
    return {name: bins for name, bins in shown.items() if bins}


def conditions_of(window: Window, sequence: FaceSequence) -> dict[str, str]:
    """The conditions of a clip, by name; the displacement only of an expression."""
    values = kind(sequence)
    if window.span is not None and window.label != NEUTRAL_CLASS:
        millimetres = window.span.intensity[0] * FARTHEST_MM[window.span.au[0]]
        values["displacement px"] = str(PX_PER_MM * millimetres)
    return values


def _bin(label: str, right: np.ndarray) -> dict[str, Any]:
    """How many clips, and the share that was named right; NaN of none."""
    accuracy = float(right.mean()) if right.size else float("nan")
    return {"range": label, "clips": int(right.size), "accuracy": accuracy}


def pooled(parts: Sequence[Conditions]) -> Conditions:
    """The bins of several tests as if they were one."""
    found: dict[str, dict[str, tuple[int, float]]] = {}
    for part in parts:
        for name, bins in part.items():
            sums = found.setdefault(name, {})
            for b in bins:
                clips, right = sums.get(b["range"], (0, 0.0))
                sums[b["range"]] = clips + b["clips"], right + b["clips"] * b["accuracy"]
    return {
        name: [
            {"range": label, "clips": clips, "accuracy": right / clips}
            for label, (clips, right) in sorted(sums.items(), key=lambda item: _order(item[0]))
        ]
        for name, sums in found.items()
    }


def _order(label: str) -> tuple[float, str]:
    """Ranges by their lower edge, categories by name."""
    low, between, _ = label.partition(" to ")
    return (float(low), "") if between else (0.0, label)
