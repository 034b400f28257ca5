"""Kinds of sessions: what they are named by, and which are left out."""

from dataclasses import replace

import pytest
from mx_capture.errors import MxError
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
