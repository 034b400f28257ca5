"""Windows, faces, counts and cuts of TensorStream, against a slow event-by-event reference."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from evt3_reference import SlowDecoder, SlowTensors, cut, random_words
from mx_capture.codecs import Evt3Encoder, LibcaerCmpEncoder
from mx_capture.errors import MxError
from mx_capture.event_tensor import EventTensor, TensorConfig, TensorStream
from mx_capture.roi import Roi
from mx_capture.stream import EVENT_DTYPE, Packet

HEIGHT, WIDTH = 40, 70
CROP = (16, 12)
HOP = 1000
FACES = {
    "left": Roi(3.3, 5.2, 30.0, 20.0),
    "right": Roi(45.0, 2.0, 20.5, 37.9),
    "over": Roi(25.0, 10.0, 30.0, 12.0),
    "beyond": Roi(-10.0, 25.0, 200.0, 90.0),
}


def stream(bins: int = 1, two_step: bool = False, **settings: int) -> TensorStream:
    settings = {"hop_us": HOP, "roi_delay_us": 0, "face_timeout_us": 0} | settings
    config = TensorConfig(height=CROP[0], width=CROP[1], bins=bins, **settings)
    return TensorStream(config, "evt3", HEIGHT, WIDTH, one_pass=not two_step)


def packet(words: np.ndarray | bytes, seq: int = 0) -> Packet:
    payload = words if isinstance(words, bytes) else words.astype("<u2").tobytes()
    return Packet(0, seq, "evt3", HEIGHT, WIDTH, 0, payload)


def events_of(*rows: tuple[int, int, int, int]) -> np.ndarray:
    return np.array(list(rows), EVENT_DTYPE)


def push_events(target: TensorStream, *parts: np.ndarray) -> list[EventTensor]:
    encoder = Evt3Encoder(HEIGHT, WIDTH)
    found = []
    for part in parts:
        found += target.push(packet(encoder.encode(part), target.counters["packets"]))
    return found


def summary(tensors: list[EventTensor]) -> list[tuple]:
    return [
        (t.face_id, t.start_us, t.end_us, t.data.tobytes(), t.events, t.saturated) for t in tensors
    ]


@pytest.mark.parametrize("seed", range(8))
def test_both_passes_equal_the_reference_on_random_words(seed: int) -> None:
    rng = np.random.default_rng(seed)
    words = random_words(rng, 15_000, HEIGHT, WIDTH)
    bins = int(rng.choice([1, 3]))
    names = list(FACES)[: int(rng.integers(0, 5))]
    faces = {name: FACES[name] for name in names}
    slow = SlowTensors(SlowDecoder(HEIGHT, WIDTH), HOP, bins, CROP)
    one, two = stream(bins), stream(bins, two_step=True)
    slow.face_sets.append((0, faces))
    one.set_faces(0, faces)
    two.set_faces(0, faces)
    found, found_two = [], []
    for seq, part in enumerate(cut(words, rng, 40)):
        slow.push(part.tolist())
        found += one.push(packet(part, seq))
        found_two += two.push(packet(part, seq))
    expected = [
        (face, start, end, data.tobytes(), events, full)
        for face, start, end, data, events, full in slow.tensors
    ]
    assert summary(found) == expected
    assert summary(found_two) == expected
    slow.close()
    for name, count in (slow.counts + slow.decoder.counts).items():
        assert one.counters[name] == two.counters[name] == count, name
    assert one.triggers.tolist() == two.triggers.tolist() == slow.decoder.triggers


@pytest.mark.parametrize("seed", range(3))
def test_every_event_and_word_is_accounted_for(seed: int) -> None:
    rng = np.random.default_rng(seed)
    words = random_words(rng, 30_000, HEIGHT, WIDTH)
    target = stream()
    target.set_faces(0, FACES)
    for seq, part in enumerate(cut(words, rng, 30)):
        target.push(packet(part, seq))
    counts = target.counters
    kinds = ("time", "y", "x", "vector", "trigger", "ignored")
    assert sum(counts[f"words_{kind}"] for kind in kinds) == counts["words"] == len(words)
    fates = ("in_roi", "outside_roi", "no_face", "late")
    assert counts["events"] == sum(counts[fate] for fate in fates)
    codes, payloads = words >> 12, words & 0xFFF
    encoded = int((codes == 2).sum())
    encoded += sum(bin(word).count("1") for word in payloads[codes == 4].tolist())
    encoded += sum(bin(word & 0xFF).count("1") for word in payloads[codes == 5].tolist())
    lost = counts["out_of_range"] + counts["dropped_before_time"]
    assert counts["events"] + lost == encoded


def test_pixels_go_where_their_centres_are() -> None:
    target = stream()
    roi = Roi(10.5, 4.5, 12.0, 16.0)
    target.set_faces(0, {"f": roi})
    events = events_of((0, 9, 5, 0), (0, 10, 4, 0), (0, 21, 19, 1), (0, 22, 19, 1), (0, 10, 20, 1))
    (tensor,) = push_events(target, events, events_of((HOP, 0, 0, 0)))
    assert tensor.data.shape == (1, 2, *CROP) and tensor.events == 2
    assert np.argwhere(tensor.data).tolist() == [[0, 0, 0, 0], [0, 1, 15, 11]]
    assert target.counters["outside_roi"] == 4


def test_windows_and_bins_are_half_open() -> None:
    target = stream(bins=3)
    target.set_faces(0, {"f": Roi.full(HEIGHT, WIDTH)})
    times = [0, 333, 334, 666, 667, 999, 1000, 1999, 2000]
    found = push_events(target, events_of(*((t, 3, 3, 0) for t in times)))
    assert [t.data.sum(axis=(1, 2, 3)).tolist() for t in found] == [[2, 2, 2], [1, 0, 1]]
    assert [(t.start_us, t.end_us, t.seq) for t in found] == [(0, 1000, 0), (1000, 2000, 1)]
    assert [t.discontinuity for t in found] == [True, False]


def test_counts_saturate_at_255_and_are_counted() -> None:
    for two_step in (False, True):
        target = stream(two_step=two_step)
        target.set_faces(0, FACES)
        events = events_of(*((5, 4, 6, 1),) * 300, *((5, 69, 0, 0),) * 300, (HOP, 0, 0, 0))
        left = push_events(target, events)[0]
        assert left.data.max() == 255 and (left.events, left.saturated) == (300, 45)
        assert target.counters["saturated"] == 45 and target.counters["outside_roi"] == 301


def test_a_face_is_used_from_its_time_plus_the_delay_on() -> None:
    for early in (True, False):
        target = stream(roi_delay_us=1500)
        sets = [(0, {"a": FACES["left"]}), (1600, {"a": FACES["left"], "b": FACES["right"]})]
        sets.append((3000, {"b": FACES["right"]}))
        if early:
            for t_us, faces in sets:
                target.set_faces(t_us, faces)
        found = []
        for hop in range(8):
            for t_us, faces in sets:
                if not early and hop * HOP <= t_us + 1500 < hop * HOP + HOP:
                    target.set_faces(t_us, faces)
            found += push_events(target, events_of((hop * HOP + 1, 50, 5, 0)))
        assert [(t.start_us // HOP, t.face_id, t.seq, t.discontinuity) for t in found] == [
            (2, "a", 0, True),
            (3, "a", 1, False),
            (4, "a", 2, False),
            (4, "b", 0, True),
            (5, "b", 1, False),
            (6, "b", 2, False),
        ]
        assert target.counters["no_face"] == 2 and target.counters["late_faces"] == 0


def test_faces_told_too_late_are_counted_and_used_from_then_on() -> None:
    target = stream()
    push_events(target, events_of((1, 5, 6, 0)), events_of((5000, 5, 6, 0)))
    target.set_faces(2000, {"a": FACES["left"]})
    assert target.counters["late_faces"] == 1
    (tensor,) = push_events(target, events_of((6100, 5, 6, 0)), events_of((7000, 5, 6, 0)))
    assert (tensor.start_us, tensor.events) == (6000, 1)


def test_a_face_that_returns_starts_anew() -> None:
    target = stream()
    target.set_faces(0, {"a": FACES["left"]})
    target.set_faces(1000, {})
    target.set_faces(2000, {"a": FACES["left"]})
    found = push_events(target, *(events_of((t, 5, 6, 0)) for t in (0, 1000, 2000, 3000)))
    assert [(t.seq, t.discontinuity) for t in found] == [(0, True), (0, True)]


def test_silence_makes_empty_tensors_and_long_silence_a_discontinuity() -> None:
    target = stream(longest_gap_us=5000)
    target.set_faces(0, {"a": FACES["left"]})
    found = push_events(target, events_of((1, 5, 6, 0)), events_of((5999, 5, 6, 0)))
    assert [t.events for t in found] == [1, 0, 0, 0, 0]
    found = push_events(target, events_of((20_000, 5, 6, 0)), events_of((21_000, 5, 6, 0)))
    assert [(t.start_us, t.events, t.discontinuity) for t in found] == [
        (5000, 1, False),
        (20_000, 1, True),
    ]
    assert target.counters["gaps"] == 1


def test_small_steps_back_are_late_and_large_ones_a_discontinuity() -> None:
    target = stream(longest_gap_us=5000)
    target.set_faces(0, {"a": FACES["left"]})
    parts = (events_of((t, 5, 6, 0)) for t in (9000, 9990, 10_010, 9995, 11_000))
    found = push_events(target, *parts)
    assert [t.events for t in found] == [2, 1] and target.counters["late"] == 1
    found = push_events(target, events_of((3000, 5, 6, 0)), events_of((4000, 5, 6, 0)))
    assert [(t.start_us, t.discontinuity) for t in found] == [(11_000, False), (3000, True)]
    assert target.counters["time_jumps"] == 1 and target.counters["time_backward"] == 2


def test_lost_packets_are_counted_and_break_the_hops_that_they_touch() -> None:
    target = stream()
    target.set_faces(0, {"a": FACES["left"]})
    encoder = Evt3Encoder(HEIGHT, WIDTH)
    found = []
    for seq, t in ((7, 1), (8, 1001), (11, 3001), (12, 4001), (13, 5001)):
        found += target.push(packet(encoder.encode(events_of((t, 5, 6, 0))), seq))
    assert [(t.start_us, t.discontinuity) for t in found] == [
        (0, True),
        (1000, True),
        (2000, True),
        (3000, True),
        (4000, False),
    ]
    assert target.counters["lost_packets"] == 2 and target.counters["packets"] == 5


def test_packets_of_another_camera_are_ignored_and_counted() -> None:
    target = stream()
    for other in (("evt3", HEIGHT, WIDTH + 1), ("mono", HEIGHT, WIDTH)):
        assert target.push(Packet(0, 0, *other, 0, b"")) == []
    assert target.counters["mismatched_packets"] == 2 and target.counters["packets"] == 0


def test_empty_regions_and_too_many_faces() -> None:
    target = stream()
    odd = {"none": Roi(5, 5, 0, 0), "away": Roi(500, 500, 9, 9), "nan": Roi(float("nan"), 0, 9, 9)}
    target.set_faces(0, odd)
    found = push_events(target, events_of((1, 5, 6, 0)), events_of((1000, 5, 6, 0)))
    assert [t.events for t in found] == [0, 0, 0]
    with pytest.raises(MxError, match="16 faces are more than the 15 possible"):
        target.set_faces(0, {str(i): FACES["left"] for i in range(16)})


def random_stream(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    events = np.empty(20_000, EVENT_DTYPE)
    events["t"] = np.sort(rng.integers(0, 60_000, len(events)))
    events["x"], events["y"] = rng.integers(0, WIDTH, 20_000), rng.integers(0, HEIGHT, 20_000)
    events["p"] = rng.integers(0, 2, len(events))
    return events


@pytest.mark.parametrize("two_step", [False, True])
def test_cuts_equal_the_hops_and_reach_back_as_far_as_the_buffer(two_step: bool) -> None:
    target = stream(bins=2, two_step=two_step, buffer_us=20_000)
    target.set_faces(0, FACES)
    found = push_events(target, *np.array_split(random_stream(1), 77))
    now = target.now_us
    assert now is not None
    recent = [t for t in found if t.start_us >= now - 20_000]
    assert len(recent) == 4 * 19
    for tensor in recent:
        again = target.cut(tensor.roi, tensor.start_us, tensor.end_us, 2, tensor.face_id)
        assert again is not None
        assert summary([again]) == summary([tensor])
    assert target.cut(FACES["left"], now - 25_000, now, 1, "left") is None
    assert target.cut(FACES["left"], now - 1000, now + 1, 1, "left") is None
    counts = target.counters
    three = [target.cut(FACES["left"], now - 3000, now, 3, "new") for _ in range(2)]
    assert [(t.seq, t.discontinuity, t.data.shape[0]) for t in three if t] == [
        (0, True, 3),
        (1, False, 3),
    ]
    assert target.counters == counts


def test_cuts_know_of_losses_and_not_of_what_was_before_a_jump() -> None:
    target = stream(longest_gap_us=5000)
    encoder = Evt3Encoder(HEIGHT, WIDTH)
    for seq, t in ((0, 10_000), (1, 11_000), (3, 12_000), (4, 13_000)):
        target.push(packet(encoder.encode(events_of((t, 5, 6, 0))), seq))
    roi = FACES["left"]
    cuts = [target.cut(roi, t, t + 900, 1, "a") for t in (10_000, 11_100, 12_050)]
    assert [tensor.discontinuity for tensor in cuts if tensor] == [True, True, False]
    target.push(packet(encoder.encode(events_of((3000, 5, 6, 0))), 5))
    assert target.cut(roi, 12_050, 12_950, 1, "a") is None
    target.push(packet(encoder.encode(events_of((4000, 5, 6, 0))), 6))
    tensor = target.cut(roi, 3500, 4000, 1, "a")
    assert tensor is not None and tensor.events == 0


def test_an_event_image_shows_the_last_events() -> None:
    target = stream()
    assert target.event_image() is None
    push_events(target, events_of((0, 1, 2, 0), (50_000, 30, 20, 1), (50_000, 30, 20, 0)))
    image = target.event_image(10_000)
    assert image is not None and image.dtype == np.uint8 and image.shape == (HEIGHT, WIDTH)
    assert np.argwhere(image).tolist() == [[20, 30]] and image[20, 30] == 255
    part = target.event_image(10_000, Roi(29.6, 19.8, 100, 4))
    assert part is not None and part.shape == (4, 40) and part[0, 0] == 255


def test_the_last_hop_of_a_stream_stays_open_and_its_events_are_told() -> None:
    target = stream()
    target.set_faces(0, {"a": Roi(0, 0, 20, 20), "b": Roi(0, 0, 10, 10)})
    events = events_of((1000, 1, 1, 1), (1500, 30, 1, 1), (2000, 2, 2, 0), (2100, 15, 2, 0))
    closed = push_events(target, events)
    assert [tensor.events for tensor in closed] == [1, 1]
    assert target.open_events == 2
    assert target.counters["in_roi"] == 3
    assert target.counters["outside_roi"] == 1


def test_a_picture_can_be_drawn_later_while_packets_go_on() -> None:
    target = stream(buffer_us=5_000)
    assert target.event_image_later(3_000) is None
    push_events(target, events_of((0, 0, 0, 1)), events_of((1, 3, 2, 1), (2, 3, 2, 0)))
    now, draw = target.event_image(3_000), target.event_image_later(3_000)
    push_events(target, events_of((50_000, 9, 9, 1)), events_of((90_000, 9, 9, 1)))
    assert now is not None and draw is not None
    assert now[2, 3] == 255 and now[0, 0] == 128 and np.count_nonzero(now) == 2
    np.testing.assert_array_equal(draw(), now)


def test_other_encodings_give_the_same_tensors() -> None:
    events = random_stream(2)
    order = np.lexsort((events["y"], events["p"], events["x"], events["t"]))
    base_us = 1_700_000_000_000_000
    evt3, cmp = stream(), TensorStream(stream().config, "libcaer_cmp", HEIGHT, WIDTH)
    evt3.set_faces(0, FACES)
    cmp.set_faces(base_us, FACES)
    expected = push_events(evt3, *np.array_split(events, 50))
    encoder, found = LibcaerCmpEncoder(HEIGHT, WIDTH), []
    for seq, part in enumerate(np.array_split(events[order], 50)):
        part = part.copy()
        part["t"] += base_us
        time_base = int(part["t"][0]) * 1000
        payload = encoder.encode(part, time_base)
        found += cmp.push(Packet(0, seq, "libcaer_cmp", HEIGHT, WIDTH, time_base, payload))
    assert len(found) == len(expected) > 200
    for ours, other in zip(expected, found, strict=True):
        assert ours.start_us + base_us == other.start_us
        np.testing.assert_array_equal(ours.data, other.data)


def test_bounds_are_kept_with_checked_accesses(tmp_path: Path) -> None:
    environment = os.environ | {
        "NUMBA_BOUNDSCHECK": "1",
        "NUMBA_CACHE_DIR": str(tmp_path),
        "PYTHONPATH": os.pathsep.join(sys.path),
    }
    script = Path(__file__).with_name("evt3_fuzz.py")
    result = subprocess.run(
        [sys.executable, str(script), "300000"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr[-2000:]
    assert "bounds checked" in result.stdout and "all accounted for" in result.stdout


def tick_at(hop: int) -> np.ndarray:
    return events_of((hop * HOP + 1, 10, 10, 1))


def test_faces_that_nobody_tells_anew_are_followed_no_longer() -> None:
    target = stream(face_timeout_us=10 * HOP)
    target.set_faces(0, FACES)
    expired = push_events(target, *(tick_at(hop) for hop in range(30)))
    assert max(tensor.end_us for tensor in expired) == 11 * HOP
    assert target.counters["expired_faces"] == 1
    target.set_faces(30 * HOP, FACES)
    later = push_events(target, *(tick_at(hop) for hop in range(30, 36)))
    assert {tensor.face_id for tensor in later} == set(FACES)
    assert target.counters["expired_faces"] == 1
