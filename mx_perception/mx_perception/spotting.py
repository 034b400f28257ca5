"""How well a stream of scores finds micro-expressions, and how soon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mx_perception import metrics
from mx_perception.action_units import AU_NUMBERS
from mx_perception.au_stream import AuStream
from mx_perception.sequences import FaceSequence
from mx_perception.spotter import OFFSET, ONSET, MicroExpression, Spotter, SpotterConfig
from mx_perception.windows import MICRO_HOPS


@dataclass(frozen=True)
class Detection:
    """An expression as the spotter told it; times in ms from the start, `told_ms` of its ONSET."""

    au: int
    onset_ms: float
    apex_ms: float
    offset_ms: float
    told_ms: float
    score: float


@dataclass(frozen=True)
class SpottingCounts:
    """Adds up over recordings before anything is averaged."""

    labels: int = 0
    found: int = 0
    hits: int = 0
    right_unit: int = 0
    minutes: float = 0.0
    false_alarms: int = 0
    onset_errors_ms: tuple[float, ...] = ()
    apex_errors_ms: tuple[float, ...] = ()
    latencies_ms: tuple[float, ...] = ()

    def __add__(self, other: SpottingCounts) -> SpottingCounts:
        return SpottingCounts(
            *(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__)
        )

    def report(self) -> dict[str, Any]:
        """F1 of spotting, of analysis (the right unit among hits), STRS, alarms and delays."""
        spotting = metrics.spotting_f1(self.hits, self.labels, self.found)
        analysis = self.right_unit / self.hits if self.hits else 0.0
        return {
            "labels": self.labels,
            "found": self.found,
            "hits": self.hits,
            "f1_spotting": spotting,
            "f1_analysis": analysis,
            "strs": metrics.strs(spotting, analysis),
            "false_alarms_per_minute": self.false_alarms / self.minutes if self.minutes else None,
            "onset_error_ms": _median_and_p95(self.onset_errors_ms),
            "apex_error_ms": _median_and_p95(self.apex_errors_ms),
            "latency_ms": _median_and_p95(self.latencies_ms),
        }


def stream_scores(sequence: FaceSequence, stream: AuStream) -> tuple[np.ndarray, np.ndarray]:
    """Scores `(hops, n_au)` and evidence `(hops, 15)` of a whole sequence, from rest."""
    scores, evidence = [], []
    stream.forget(["face"])
    for first in range(0, sequence.hops, 100):
        for hop in sequence.dense(first, min(100, sequence.hops - first)):
            scores.append(stream.step({"face": hop[np.newaxis]})["face"])
            evidence.append(stream.evidence["face"])
    return np.array(scores), np.array(evidence)


def spot(
    scores: np.ndarray, hop_us: int, config: SpotterConfig, on_scores: Sequence[float] = ()
) -> list[Detection]:
    """The expressions that the spotter lets stand in `scores (hops, n_au)`."""
    spotter, told, found = Spotter(config, on_scores=on_scores), dict[tuple[int, int], int](), []
    for hop, row in enumerate(scores):
        stamp_ns = (hop + 1) * hop_us * 1000
        for event in spotter.update("face", stamp_ns, row):
            if event.phase == ONSET:
                told[event.au, event.onset_ns] = stamp_ns
            elif event.phase == OFFSET and event.score > 0:
                found.append(_detection(event, told[event.au, event.onset_ns]))
    return found


def count(sequence: FaceSequence, found: Sequence[Detection]) -> SpottingCounts:
    """Match detections with the labelled micro-expressions of a sequence.

    An interval is a hit at IoU of at least 0.5 whatever its Action Unit (MEGC); `right_unit`
    counts the hits whose unit is labelled there. Overlapping detections of several units count
    as one interval, the one with the highest score. A false alarm overlaps no expression at all.
    """
    hop_ms = sequence.hop_us / 1000
    spans = [s for s in sequence.spans if s.onset >= 0 and s.offset <= sequence.hops]
    micro = [s for s in spans if s.offset - s.onset <= MICRO_HOPS]
    intervals = [(s.onset * hop_ms, s.offset * hop_ms) for s in micro]
    merged = _merge(found)
    pairs = metrics.match_intervals(intervals, [(d.onset_ms, d.offset_ms) for d in merged])
    everything = [(s.onset * hop_ms, s.offset * hop_ms) for s in sequence.spans]
    alarms = [d for d in merged if not any(_touches(d, interval) for interval in everything)]
    long_ones = [(s.onset * hop_ms, s.offset * hop_ms) for s in spans if s not in micro]
    hits = {j for _, j in pairs}
    counted = [
        d
        for j, d in enumerate(merged)
        if j in hits or not any(_touches(d, interval) for interval in long_ones)
    ]
    return SpottingCounts(
        labels=len(micro),
        found=len(counted),
        hits=len(pairs),
        right_unit=sum(merged[j].au in micro[i].au for i, j in pairs),
        minutes=sequence.hops * hop_ms / 60_000,
        false_alarms=len(alarms),
        onset_errors_ms=tuple(abs(merged[j].onset_ms - intervals[i][0]) for i, j in pairs),
        apex_errors_ms=tuple(abs(merged[j].apex_ms - micro[i].apex * hop_ms) for i, j in pairs),
        latencies_ms=tuple(merged[j].told_ms - intervals[i][0] for i, j in pairs),
    )


def spans_as_scores(sequence: FaceSequence) -> np.ndarray:
    """Scores of a perfect network, `(hops, n_au)` 0 or 1: what the spotter can reach at best."""
    scores = np.zeros((sequence.hops, len(AU_NUMBERS)), np.float32)
    for span in sequence.spans:
        for number in span.au:
            begin, end = max(round(span.onset), 0), max(round(span.offset), 0)
            scores[begin:end, AU_NUMBERS.index(number)] = 1.0
    return scores


def _detection(event: MicroExpression, told_ns: int) -> Detection:
    return Detection(
        event.au,
        event.onset_ns / 1e6,
        event.apex_ns / 1e6,
        event.offset_ns / 1e6,
        told_ns / 1e6,
        event.score,
    )


def _merge(found: Sequence[Detection]) -> list[Detection]:
    kept: list[Detection] = []
    for detection in sorted(found, key=lambda d: -d.score):
        if not any(_touches(detection, (k.onset_ms, k.offset_ms)) for k in kept):
            kept.append(detection)
    return sorted(kept, key=lambda d: d.onset_ms)


def _touches(detection: Detection, interval: tuple[float, float]) -> bool:
    return detection.onset_ms < interval[1] and detection.offset_ms > interval[0]


def _median_and_p95(values: Sequence[float]) -> dict[str, float] | None:
    if not values:
        return None
    median, p95 = np.percentile(values, [50, 95])
    return {"median": float(median), "p95": float(p95)}
