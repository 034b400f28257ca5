"""The spotter: phases, their times, what it withdraws, and blinks."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mx_perception.action_units import AU_NUMBERS
from mx_perception.expressions import RULES, expression_of
from mx_perception.spotter import APEX, OFFSET, ONSET, MicroExpression, Spotter, SpotterConfig

HOP_NS = 10_000_000
HIGH = 0.9
PLAIN = SpotterConfig(off_score=0.3, confirm_us=20_000, onset_lag_us=0)


def play(
    tracks: dict[int, list[float]], spotter: Spotter | None = None, start_ns: int = HOP_NS
) -> list[MicroExpression]:
    """Feed score tracks per Action Unit, 0 elsewhere; returns all that was spotted."""
    spotter = spotter or Spotter(PLAIN)
    found = []
    for step in range(max(len(track) for track in tracks.values())):
        scores = np.zeros(len(AU_NUMBERS), np.float32)
        for au, track in tracks.items():
            scores[AU_NUMBERS.index(au)] = track[step] if step < len(track) else 0.0
        found += spotter.update("f", start_ns + step * HOP_NS, scores)
    return found


def test_an_expression_has_onset_apex_and_offset() -> None:
    found = play({12: [0, 0.4, 0.6, 0.8, HIGH, 0.8, 0.8, 0.7, 0.5, 0.4, 0.2, 0]})
    assert [event.phase for event in found] == [ONSET, APEX, OFFSET]
    assert {event.au for event in found} == {12}
    assert found[0].onset_ns == 2 * HOP_NS and found[0].apex_ns == found[0].offset_ns == 0
    assert found[1].apex_ns == 5 * HOP_NS and found[1].score == pytest.approx(HIGH)
    assert found[2].offset_ns == 11 * HOP_NS


def test_onset_waits_for_confirmation_and_no_longer() -> None:
    spotter = Spotter(SpotterConfig(confirm_us=30_000))
    assert play({12: [HIGH] * 3}, spotter) == []
    assert [e.phase for e in play({12: [HIGH]}, spotter, start_ns=4 * HOP_NS)] == [ONSET]


def test_a_flicker_is_nothing_and_a_short_expression_is_withdrawn() -> None:
    assert play({12: [0, HIGH, 0, HIGH, 0, 0]}) == []
    assert play({12: [0, HIGH, 0.4, 0.4, 0.4, HIGH, 0.4, 0]}) == []
    found = play({12: [0, HIGH, HIGH, HIGH, 0, 0]})
    assert [(event.phase, event.score) for event in found] == [
        (ONSET, np.float32(HIGH)),
        (OFFSET, 0),
    ]


def test_a_long_expression_is_withdrawn_once() -> None:
    spotter = Spotter(SpotterConfig(max_duration_us=300_000))
    found = play({12: [HIGH] * 60 + [0] * 5}, spotter)
    assert [(event.phase, event.score) for event in found] == [
        (ONSET, np.float32(HIGH)),
        (OFFSET, 0),
    ]
    assert play({12: [0] + [HIGH] * 5}, spotter, start_ns=100 * HOP_NS)[0].phase == ONSET


def test_what_is_too_long_already_is_not_told() -> None:
    spotter = Spotter(SpotterConfig(on_score=0.5, off_score=0.1, max_duration_us=300_000))
    assert play({12: [0.2] * 60 + [HIGH] * 20 + [0] * 5}, spotter) == []
    assert play({12: [HIGH] * 20 + [0] * 5}, spotter, 100 * HOP_NS)[0].phase == ONSET


def test_wavering_between_the_thresholds_is_one_expression() -> None:
    found = play({4: [0.6, 0.6, 0.6, 0.6, 0.35, 0.55, 0.4, 0.6, 0.35, 0.5, 0.1, 0]})
    assert [event.phase for event in found].count(ONSET) == 1
    assert [event.phase for event in found].count(OFFSET) == 1


def test_each_unit_begins_at_the_score_of_the_weights_unless_told_otherwise() -> None:
    own = [0.97 if au == 26 else 0.4 for au in AU_NUMBERS]
    track = {26: [0, *[HIGH] * 10, 0], 12: [0, *[0.45] * 10, 0]}
    assert {event.au for event in play(track, Spotter(PLAIN, AU_NUMBERS, own))} == {12}
    assert {event.au for event in play(track, Spotter(PLAIN))} == {26}
    told = SpotterConfig(on_score=0.8, off_score=0.3, confirm_us=20_000)
    assert {event.au for event in play(track, Spotter(told, AU_NUMBERS, own))} == {26}
    assert Spotter(told, AU_NUMBERS, own).on_scores == [0.8] * 14


def test_the_usual_delay_of_scores_is_taken_off_the_onset() -> None:
    found = play({12: [0, *[HIGH] * 10, 0]}, Spotter(SpotterConfig(onset_lag_us=30_000)))
    assert found[0].onset_ns == 2 * HOP_NS - 30_000_000


def test_a_blink_is_not_an_eyelid_expression() -> None:
    blink = [0, HIGH, HIGH, HIGH, HIGH, HIGH, 0.6, 0.6, 0.6, 0]
    assert play({5: blink, 7: blink, 6: blink}) == []
    assert [event.phase for event in play({7: blink})] == [ONSET, APEX, OFFSET]
    assert {event.au for event in play({5: blink, 7: blink, 12: blink})} == {12}


def test_what_was_announced_is_withdrawn_when_a_face_starts_over() -> None:
    spotter = Spotter(PLAIN)
    found = play({12: [0, *[HIGH] * 10]}, spotter)
    assert [event.phase for event in found] == [ONSET]
    (withdrawn,) = spotter.reset("f")
    assert (withdrawn.au, withdrawn.phase, withdrawn.score) == (12, OFFSET, 0.0)
    assert withdrawn.onset_ns == found[0].onset_ns and spotter.reset("f") == []
    play({12: [0, *[HIGH] * 10]}, spotter)
    back = spotter.update("f", HOP_NS, np.zeros(len(AU_NUMBERS), np.float32))
    assert [(event.phase, event.score) for event in back] == [(OFFSET, 0.0)]


def test_an_end_above_the_beginning_is_the_beginning() -> None:
    low = [0.4] * len(AU_NUMBERS)
    found = play({12: [0, *[0.5] * 10, 0]}, Spotter(SpotterConfig(off_score=0.6), AU_NUMBERS, low))
    assert [event.phase for event in found] == [ONSET, APEX, OFFSET]


def test_faces_are_apart_and_a_backward_stamp_starts_over() -> None:
    spotter = Spotter(PLAIN)
    high = np.zeros(len(AU_NUMBERS), np.float32)
    high[AU_NUMBERS.index(12)] = HIGH
    found = []
    for step in range(3):
        found += spotter.update("a", step * HOP_NS, high)
        found += spotter.update("b", step * HOP_NS, high if step else np.zeros_like(high))
    assert [event.face_id for event in found] == ["a"]
    assert spotter.update("b", HOP_NS, high) == []
    spotter.reset("a")
    assert spotter.update("a", 9 * HOP_NS, high) == []


@given(st.lists(st.floats(0, 1, width=32), min_size=1, max_size=200))
def test_phases_always_come_in_order(track: list[float]) -> None:
    order = [event.phase for event in play({1: [*track, 0.0]})]
    text = "".join(map(str, order))
    assert text.replace("012", "").replace("02", "") == ""


def test_combinations_name_expressions() -> None:
    assert expression_of({12: 0.9, 6: 0.8}).expression == "happy"
    assert expression_of({1: 0.9, 2: 0.9, 5: 0.8, 26: 0.7}).expression == "surprised"
    assert expression_of({1: 0.9, 2: 0.9, 4: 0.8}).expression == "scared"
    assert expression_of({4: 0.8, 7: 0.8}).expression == "angry"
    assert expression_of({1: 0.8, 15: 0.7}).expression == "sad"
    assert expression_of({9: 0.8}).expression == "disgusted"
    neutral = expression_of({12: 0.3})
    assert neutral.expression == "neutral" and neutral.confidence == pytest.approx(0.7)
    assert expression_of({}).expression == "neutral"
    happy, happier = expression_of({12: 0.7}), expression_of({12: 0.7, 6: 0.9})
    assert happy.confidence < happier.confidence <= 1.0


def test_rules_speak_only_of_units_that_are_read() -> None:
    for rule in RULES:
        assert {*rule.needs, *rule.helps} <= set(AU_NUMBERS)
        assert -1 <= rule.valence <= 1 and -1 <= rule.arousal <= 1
