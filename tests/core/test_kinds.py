"""Kinds of sessions: what they are named by, which are left out, and accuracy in each."""

from dataclasses import replace

import numpy as np
import pytest
from mx_capture.errors import MxError
from mx_perception.conditions import by_condition, pooled
from mx_perception.kinds import is_of, kind, parse_kinds
from toy_faces import toy_sequence


def test_a_session_is_of_a_kind_that_it_meets() -> None:
    values = {"sensor": "346x260", "threshold": "0.21", "lighting": "dark"}
    assert is_of(values, parse_kinds("sensor=640x480,346x260"))
    assert is_of(values, parse_kinds("sensor=640x480 threshold=0.2:"))
    assert is_of(values, parse_kinds("threshold=:0.22"))
    assert not is_of(values, parse_kinds("threshold=0.22:0.5 lighting=dim glasses=some"))
    assert not is_of(values, parse_kinds("threshold=0.1:0.21"))  # half open
    assert not is_of(values, parse_kinds(""))


@pytest.mark.parametrize("text", ["sensor", "=x", "threshold=low:high", "lux="])
def test_what_is_no_kind_is_named(text: str) -> None:
    with pytest.raises(MxError, match=text.split(":")[0]):
        parse_kinds(text)


def test_sketched_people_are_known_by_their_looks() -> None:
    sequence = replace(toy_sequence("sketched00003", 0), condition="lux=20 sensor=160x160")
    values = kind(sequence)
    assert values["lux"] == "20" and values["skin"] in ("dark", "medium", "light")
    assert {"beard", "glasses", "age"} <= set(values)
    assert "skin" not in kind(replace(sequence, subject="s01"))


def test_accuracy_is_told_per_bin_and_adds_up_over_folds() -> None:
    values = [{"lux": "3", "sensor": "a"}, {"lux": "20"}, {"lux": "20", "sensor": "b"}, {}]
    found = by_condition(values, np.array([True, True, False, True]))
    assert set(found) == {"lux", "sensor"}
    assert [(b["range"], b["clips"], b["accuracy"]) for b in found["lux"]] == [
        ("2 to 15", 1, 1.0),
        ("15 to 60", 2, 0.5),
    ]
    other = by_condition([{"lux": "150", "sensor": "a"}, {"lux": "20"}], np.array([False, True]))
    both = pooled([found, other])
    assert [(b["range"], b["clips"]) for b in both["lux"]] == [
        ("2 to 15", 1),
        ("15 to 60", 3),
        ("150 to 400", 1),
    ]
    assert both["lux"][1]["accuracy"] == pytest.approx(2 / 3)
    assert both["sensor"] == [
        {"range": "a", "clips": 2, "accuracy": 0.5},
        {"range": "b", "clips": 1, "accuracy": 0.0},
    ]
