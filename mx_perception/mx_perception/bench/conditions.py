"""`./mx bench conditions`: accuracy against intensity, light, noise, sensor and pose."""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from mx_capture.bench.command import bench_parser, write_json
from mx_capture.errors import MxError
from mx_capture.simulator.action_units import FARTHEST_MM
from rich.progress import track

from mx_perception.checkpoint import DEFAULT_AU
from mx_perception.kinds import is_of, kind, parse_kinds
from mx_perception.sequences import FaceSequence
from mx_perception.sketched import sketched_people
from mx_perception.windows import NEUTRAL_CLASS, Window

UNSEEN = 500_000
"""Number of the first person: training sketches people from 0 on."""
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


def main(argv: list[str]) -> int:
    """Sketch people, classify their micro-expressions, print and draw accuracy per condition."""
    parser = bench_parser(
        "conditions",
        "Accuracy of clips of sketched people that nobody trained on, per condition.",
        "--people 60 --picture conditions.png",
    )
    parser.add_argument("--checkpoint", type=Path, default=DEFAULT_AU, help="folder of the weights")
    parser.add_argument("--people", type=int, default=60, help="people to sketch (default: 60)")
    parser.add_argument(
        "--kinds",
        default="",
        help="kinds of sessions to tell apart from the rest, as --leave-out of ./mx train au",
    )
    parser.add_argument("--cache", type=Path, help="folder that keeps the sketches")
    parser.add_argument("--picture", type=Path, help="draw the curves into this PNG")
    arguments = parser.parse_args(argv)
    if arguments.people < 1:
        raise MxError(f"--people must be at least 1, not {arguments.people}")
    kinds = parse_kinds(arguments.kinds)
    with tempfile.TemporaryDirectory() as folder:
        cache = arguments.cache or Path(folder)
        people = list(sketched_people(arguments.people, cache, track, UNSEEN))
    figures = measure(arguments.checkpoint, people, kinds)
    for name, bins in figures["conditions"].items():
        shown = ", ".join(f"{b['range']} {100 * b['accuracy']:.0f}% of {b['clips']}" for b in bins)
        print(f"{name}: {shown}")
    print(
        f"all: {100 * figures['accuracy']:.1f}% of {figures['clips']} clips (sketched, synthetic)"
    )
    write_json(figures, arguments.json)
    if arguments.picture:
        draw(figures, arguments.picture)
    return 0


def measure(
    checkpoint: Path, people: Sequence[FaceSequence], kinds: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Accuracy over all clips, per bin of EDGES, per category, and of `kinds` against the rest."""
    from mx_perception.clips import clip_logits, micro_windows, outputs
    from mx_perception.networks.export import load_au

    hops = 64
    windows = micro_windows(people, hops)
    guesses = [
        clip_logits(evidence, batch).argmax(1).numpy()
        for batch, _, evidence in outputs(load_au(checkpoint).deployed(), people, windows, hops)
    ]
    right = np.concatenate(guesses) == [window.label for window in windows]
    values = [_values(window, people[window.sequence]) for window in windows]
    conditions: dict[str, list[dict[str, Any]]] = {}
    for name, edges in EDGES.items():
        column = np.array([float(value.get(name, "nan")) for value in values])
        bins = []
        for low, high in itertools.pairwise(edges):
            inside = (column >= low) & (column < high)
            bins.append(_bin(f"{low:g} to {high:g}", right[inside]))
        conditions[name] = [b for b in bins if b["clips"]]
    for name in CATEGORIES:
        column = np.array([str(value.get(name)) for value in values])
        conditions[name] = [_bin(kind, right[column == kind]) for kind in sorted(set(column))]
    if kinds:
        named = np.array([is_of(value, kinds) for value in values])
        conditions["kinds"] = [_bin("named", right[named]), _bin("the rest", right[~named])]
    return {"clips": len(right), "accuracy": float(right.mean()), "conditions": conditions}


def draw(figures: Mapping[str, Any], path: Path) -> None:
    """One small plot per condition, with the standard error of each point."""
    matplotlib.use("Agg")
    from matplotlib import pyplot

    conditions = figures["conditions"]
    figure, axes = pyplot.subplots(3, (len(conditions) + 2) // 3, figsize=(13, 9), sharey=True)
    for axis, (name, bins) in zip(axes.flat, conditions.items(), strict=False):
        accuracy = np.array([b["accuracy"] for b in bins])
        error = np.sqrt(accuracy * (1 - accuracy) / [b["clips"] for b in bins])
        style = "o-" if name in EDGES else "o"
        axis.errorbar(range(len(bins)), 100 * accuracy, 100 * error, fmt=style, capsize=3)
        axis.axhline(100 / 15, linestyle="--", linewidth=1, color="tab:red")
        axis.set_xticks(range(len(bins)), [b["range"] for b in bins], rotation=30, ha="right")
        axis.set_title(name)
        axis.set_ylim(0, 100)
    for axis in axes[:, 0]:
        axis.set_ylabel("clips named right (%)")
    for axis in list(axes.flat)[len(conditions) :]:
        axis.axis("off")
    figure.tight_layout()
    figure.savefig(path, dpi=90)


def _values(window: Window, sequence: FaceSequence) -> dict[str, str]:
    """The conditions of a clip by name; displacement only of an expression."""
    values = kind(sequence)
    if window.span is not None and window.label != NEUTRAL_CLASS:
        millimetres = window.span.intensity[0] * FARTHEST_MM[window.span.au[0]]
        values["displacement px"] = str(PX_PER_MM * millimetres)
    return values


def _bin(label: str, right: np.ndarray) -> dict[str, Any]:
    accuracy = float(right.mean()) if right.size else float("nan")
    return {"range": label, "clips": int(right.size), "accuracy": accuracy}
