"""Spotting figures on scores that are perfect, late, or wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mx_capture.errors import MxError
from mx_perception.action_units import AU_NUMBERS
from mx_perception.bench import spotting as bench
from mx_perception.sequences import Span
from mx_perception.spotter import SpotterConfig
from mx_perception.spotting import Detection, SpottingCounts, count, spans_as_scores, spot
from toy_faces import toy_sequence

from mx_perception import processes, sketched

CONFIG = SpotterConfig(onset_lag_us=0)


def test_perfect_scores_find_everything_at_once() -> None:
    sequence = toy_sequence("s", 0)
    counts = count(sequence, spot(spans_as_scores(sequence), sequence.hop_us, CONFIG))
    report = counts.report()
    assert report["labels"] == report["found"] == report["hits"] == len(AU_NUMBERS)
    assert report["strs"] == report["f1_spotting"] == 1.0
    assert report["false_alarms_per_minute"] == 0.0
    assert report["onset_error_ms"]["median"] == pytest.approx(10.0)
    assert report["latency_ms"]["median"] == pytest.approx(10.0 + CONFIG.confirm_us / 1000)


def test_the_wrong_unit_is_spotted_but_not_analysed() -> None:
    sequence = toy_sequence("s", 0)
    wrong = np.roll(spans_as_scores(sequence), 1, axis=1)
    report = count(sequence, spot(wrong, sequence.hop_us, CONFIG)).report()
    assert report["f1_spotting"] == 1.0 and report["f1_analysis"] == report["strs"] == 0.0


def test_a_hit_that_reaches_into_a_long_expression_is_found_too() -> None:
    micro, long_one = Span((12,), (1.0,), 100, 115, 130), Span((4,), (1.0,), 131, 180, 231)
    sequence = replace(toy_sequence("s", 0), spans=(micro, long_one))
    report = count(sequence, [Detection(12, 1000.0, 1180.0, 1350.0, 1050.0, 0.9)]).report()
    assert report["labels"] == report["found"] == report["hits"] == 1
    assert report["f1_spotting"] == 1.0
    assert report["apex_error_ms"]["median"] == pytest.approx(30.0)


def test_alarms_where_nothing_is_labelled_are_counted() -> None:
    sequence = toy_sequence("s", 0)
    scores = spans_as_scores(sequence)
    scores[640:660, 3] = 0.9
    report = (count(sequence, spot(scores, sequence.hop_us, CONFIG)) + SpottingCounts()).report()
    assert report["false_alarms_per_minute"] == pytest.approx(60 / 7.2)
    assert report["found"] == report["hits"] + 1


def test_silence_finds_nothing() -> None:
    sequence = toy_sequence("s", 0)
    report = count(sequence, spot(np.zeros((720, 14)), sequence.hop_us, CONFIG)).report()
    assert report["hits"] == report["found"] == 0 and report["f1_spotting"] == 0.0
    assert report["latency_ms"] is None


def test_the_bench_spots_in_sketched_people(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(processes, "cores", lambda: 1)
    monkeypatch.setattr(sketched, "NEUTRAL_S", 6.0)
    out = tmp_path / "spotting.json"
    words = ["--minutes", "2", "--people", "1", "--cache", str(tmp_path), "--json", str(out)]
    assert bench.main(words) == 0
    figures = json.loads(out.read_text())
    assert figures["expressions"]["labels"] > 5
    assert figures["neutral"]["labels"] == 0
    assert figures["neutral"]["false_alarms_per_minute"] is not None
    assert "of" in capsys.readouterr().out
    with pytest.raises(MxError, match="--minutes 0"):
        bench.main(["--minutes", "0"])


def test_neutral_minutes_are_of_different_people_and_hold_no_expression(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "cores", lambda: 1)
    monkeypatch.setattr(sketched, "NEUTRAL_S", 2.0)
    people = (2, bench.UNSEEN, tmp_path, lambda numbers, description: numbers)
    one, two = sketched.neutral_people(*people)
    monkeypatch.setattr(sketched, "sketch_at_rest", None)  # what was drawn is kept
    assert [s.subject for s in sketched.neutral_people(*people)] == [one.subject, two.subject]
    assert one.subject != two.subject and one.spans == two.spans == ()
    assert len(one.cells) > 0
