"""`./mx bench conditions`: accuracy against intensity, light, noise, sensor and pose."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mx_capture.bench.command import bench_parser, write_json
from mx_capture.errors import MxError
from rich.progress import track

from mx_perception.checkpoint import DEFAULT_AU
from mx_perception.evaluation import plots
from mx_perception.kinds import parse_kinds
from mx_perception.sequences import FaceSequence
from mx_perception.sketched import sketched_people

UNSEEN = 500_000
"""Number of the first person: training sketches people from 0 on."""


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
        arguments.picture.write_bytes(plots.condition_curves(figures["conditions"]))
    return 0


def measure(
    checkpoint: Path, people: Sequence[FaceSequence], kinds: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """Accuracy over all clips, per bin of EDGES, per category, and of `kinds` against the rest."""
    from mx_perception.clips import evaluate_clips, micro_windows
    from mx_perception.networks.export import load_au

    network, hops = load_au(checkpoint).deployed(), 64
    found = evaluate_clips(network, people, micro_windows(people, hops), hops, kinds)
    return {
        **{name: found["classification"][name] for name in ("clips", "accuracy")},
        **{name: found[name] for name in ("accuracy_interval", "conditions")},
    }
