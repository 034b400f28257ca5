"""`./mx bench spotting`: micro-expressions found in streams, and false alarms of neutral faces."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mx_capture.bench.command import bench_parser, write_json
from mx_capture.errors import MxError
from rich.progress import track

from mx_perception.au_stream import AuStream
from mx_perception.bench.conditions import UNSEEN
from mx_perception.checkpoint import DEFAULT_AU
from mx_perception.event_driven import EventDrivenStream
from mx_perception.sequences import FaceSequence
from mx_perception.sketched import neutral_people, sketched_people
from mx_perception.spotter import SpotterConfig
from mx_perception.spotting import SpottingCounts, count, spot, stream_scores


def main(argv: list[str]) -> int:
    """Sketch people, spot in their streams with the thresholds of the nodes, print and write."""
    parser = bench_parser(
        "spotting",
        "Spot micro-expressions of sketched people that nobody trained on.",
        "--minutes 30 --people 40 --json spotting.json",
    )
    parser.add_argument("--checkpoint", type=Path, default=DEFAULT_AU, help="folder of the weights")
    parser.add_argument(
        "--minutes", type=int, default=30, help="of neutral faces (default: %(default)s)"
    )
    parser.add_argument(
        "--people", type=int, default=40, help="who show expressions (default: %(default)s)"
    )
    parser.add_argument("--cache", type=Path, help="folder that keeps the sketches")
    arguments = parser.parse_args(argv)
    if arguments.minutes < 1 or arguments.people < 1:
        raise MxError(
            f"--minutes {arguments.minutes} and --people {arguments.people} must be at least 1"
        )
    stream = EventDrivenStream(arguments.checkpoint)
    with tempfile.TemporaryDirectory() as folder:
        cache = arguments.cache or Path(folder)
        people = sketched_people(arguments.people, cache, track, UNSEEN)
        expressions = _spotted(people, stream)
        neutral = _spotted(neutral_people(arguments.minutes, UNSEEN, cache, track), stream)
    if not expressions.minutes or not neutral.minutes:
        raise MxError("no face was found in the sketches; raise --people and --minutes")
    figures = {"expressions": expressions.report(), "neutral": neutral.report()}
    _print(figures, neutral.minutes)
    write_json(figures, arguments.json)
    return 0


def _spotted(sequences: Iterator[FaceSequence], stream: AuStream) -> SpottingCounts:
    counts, config, on_scores = SpottingCounts(), SpotterConfig(), stream.checkpoint.on_scores
    for sequence in sequences:
        scores, _ = stream_scores(sequence, stream)
        counts += count(sequence, spot(scores, sequence.hop_us, config, on_scores))
    return counts


def _print(figures: dict[str, Any], neutral_minutes: float) -> None:
    spotted = figures["expressions"]
    print(
        f"{spotted['hits']} of {spotted['labels']} micro-expressions found "
        f"({spotted['found']} told), {100 * spotted['f1_analysis']:.0f}% of them with their "
        f"Action Unit; STRS {spotted['strs']:.2f}"
    )
    for name, words in (
        ("onset_error_ms", "error of the onset"),
        ("apex_error_ms", "error of the apex"),
        ("latency_ms", "told after the onset"),
    ):
        if found := spotted[name]:
            print(f"{words}: median {found['median']:.0f} ms, p95 {found['p95']:.0f} ms")
    print(
        f"false alarms a minute: {spotted['false_alarms_per_minute']:.2f} among expressions, "
        f"{figures['neutral']['false_alarms_per_minute']:.2f} in {neutral_minutes:.0f} neutral "
        "minutes (all sketched, synthetic)"
    )
