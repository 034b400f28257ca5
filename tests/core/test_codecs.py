"""The encodings other than EVT3: fields, time, state between packets, and what is dropped."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mx_capture.codecs import DECODERS, LibcaerCmpEncoder, make_decoder
from mx_capture.errors import MxError
from mx_capture.stream import EVENT_DTYPE

HEIGHT, WIDTH = 40, 70
BASE_NS = 1_700_000_000_000_000_500
BASE_US = BASE_NS // 1000


@pytest.mark.parametrize("encoding", DECODERS)
@given(payload=st.binary(max_size=200), time_base=st.integers(0, 2**63 - 1))
@settings(max_examples=100, deadline=None)
def test_any_bytes_decode_to_events_on_the_sensor(
    encoding: str, payload: bytes, time_base: int
) -> None:
    decoder = make_decoder(encoding, HEIGHT, WIDTH)
    for part in (payload, payload[:9], b""):
        events = decoder.decode(part, time_base)
        assert events.dtype == EVENT_DTYPE
        assert np.all(events["x"] < WIDTH) and np.all(events["y"] < HEIGHT)
        assert np.all(events["p"] <= 1) and np.all(events["t"] >= 0)
        assert decoder.counters["events"] >= len(events)


def libcaer(x: int, y: int, p: int, t: int) -> bytes:
    return np.array([p << 1 | y << 2 | x << 17, t], "<u4").tobytes()


def test_libcaer_fields_wrap_and_counts() -> None:
    decoder = make_decoder("libcaer", HEIGHT, WIDTH)
    payload = b"".join(
        (
            libcaer(69, 39, 1, 2**31 - 1),
            libcaer(0, 0, 0, 4),
            libcaer(70, 0, 0, 5),
            libcaer(0, 40, 0, 6),
            libcaer(1, 1, 0, 2**32 - 1),
        )
    )
    found = decoder.decode(payload + b"abc", BASE_NS).tolist()
    assert found == [(BASE_US + 2**31 - 1, 69, 39, 1), (BASE_US + 2**31 + 4, 0, 0, 0)]
    counters = decoder.counters
    assert counters["out_of_range"] == 2 and counters["negative_time"] == 1
    assert counters["trailing_bytes"] == 3 and decoder.time_us == found[-1][0]


def test_libcaer_small_steps_back_are_no_wrap() -> None:
    decoder = make_decoder("libcaer", HEIGHT, WIDTH)
    payload = libcaer(1, 1, 0, 100) + libcaer(1, 1, 0, 80)
    assert decoder.decode(payload)["t"].tolist() == [100, 80]


def test_mono_fields_and_rounding() -> None:
    decoder = make_decoder("mono", HEIGHT, WIDTH)
    words = [1 << 63 | 39 << 48 | 69 << 32 | 4_294_967_295, 1 << 48 | 2 << 32 | 499, 70 << 32]
    found = decoder.decode(np.array(words, "<u8").tobytes(), BASE_NS).tolist()
    assert found == [(BASE_US + 4_294_967, 69, 39, 1), (BASE_US, 2, 1, 0)]
    assert decoder.counters["out_of_range"] == 1


def evt2(*words: int) -> bytes:
    return np.array(words, "<u4").tobytes()


def test_evt2_fields_state_rollover_and_triggers() -> None:
    decoder = make_decoder("evt2", HEIGHT, WIDTH)
    event = 1 << 28 | 5 << 22 | 69 << 11 | 39
    assert len(decoder.decode(evt2(event))) == 0 and decoder.counters["dropped_before_time"] == 1
    last = 2**28 - 1
    assert decoder.decode(evt2(8 << 28 | last, event)).tolist() == [(last * 64 + 5, 69, 39, 1)]
    trigger, off = 10 << 28 | 3 << 22 | 4 << 8 | 1, 7 << 22 | 1 << 11 | 2
    found = decoder.decode(evt2(off, 8 << 28 | 1, off, trigger, 70 << 11, 14 << 28)).tolist()
    assert found == [(last * 64 + 7, 1, 2, 0), ((2**28 + 1) * 64 + 7, 1, 2, 0)]
    assert decoder.triggers.tolist() == [((2**28 + 1) * 64 + 3, 4, 1)]
    counters = decoder.counters
    assert counters["rollovers"] == 1 and counters["out_of_range"] == 1
    assert counters["words_ignored"] == 1 and counters["words"] == 9


def cmp(*words: int) -> bytes:
    return np.array(words, "<u2").tobytes()


def test_libcaer_cmp_fields_and_state() -> None:
    decoder = make_decoder("libcaer_cmp", HEIGHT, WIDTH)
    assert len(decoder.decode(cmp(0x3001), BASE_NS)) == 0
    found = decoder.decode(cmp(0x1003, 0x2005, 0x3800 | 7, 0x0001, 0x4002, 0x5081, 0x5001), BASE_NS)
    assert found.tolist() == [
        (BASE_US + 3, 5, 7, 1),
        (BASE_US + 4096 + 3, 5, 2, 0),
        (BASE_US + 4096 + 3, 5, 9, 0),
        (BASE_US + 4096 + 3, 5, 10, 0),
    ]
    carried = decoder.decode(cmp(0x3004, 0x3000 | HEIGHT, 0x6000), BASE_NS + 1_000_000)
    assert carried.tolist() == [(BASE_US + 1000, 5, 4, 0)]
    counters = decoder.counters
    assert counters["dropped_before_time"] == 1 and counters["out_of_range"] == 1
    assert counters["words_ignored"] == 1 and counters["words"] == 11
    decoder.lost()
    assert len(decoder.decode(cmp(0x3004), BASE_NS)) == 0


def test_libcaer_cmp_reads_a_high_that_the_driver_cut_to_four_bits() -> None:
    decoder = make_decoder("libcaer_cmp", HEIGHT, WIDTH)
    payload = cmp(0x2001, 15, 0x3001, 0x0000, 0x3001, 0x0001, 0x3001)
    assert decoder.decode(payload)["t"].tolist() == [15 * 4096, 16 * 4096, 17 * 4096]
    assert decoder.counters["time_wraps"] == 1


def test_libcaer_cmp_what_is_encoded_is_decoded() -> None:
    rng = np.random.default_rng(3)
    events = np.zeros(20_000, EVENT_DTYPE)
    events["t"] = BASE_US + rng.integers(0, 400_000, 20_000) // 4000 * 4000
    events["x"] = rng.integers(0, WIDTH, 20_000)
    events["y"], events["p"] = rng.integers(0, HEIGHT, 20_000), rng.integers(0, 2, 20_000)
    order = np.lexsort((events["y"], events["p"], events["x"], events["t"]))
    events = events[order]
    events = events[np.append(True, events[1:] != events[:-1])]
    encoder = LibcaerCmpEncoder(HEIGHT, WIDTH)
    decoder = make_decoder("libcaer_cmp", HEIGHT, WIDTH)
    for part in np.array_split(events, 40):
        time_base = int(part["t"][0]) * 1000 - 999
        payload = encoder.encode(part, time_base)
        np.testing.assert_array_equal(decoder.decode(payload, time_base), part)
    assert decoder.counters["words_vector"] > 0


def test_libcaer_cmp_encoder_refuses_what_the_format_cannot_say() -> None:
    encoder = LibcaerCmpEncoder(HEIGHT, WIDTH)
    event = np.array([(BASE_US, 1, 1, 0)], EVENT_DTYPE)
    with pytest.raises(MxError, match=r"16\.7 s"):
        encoder.encode(event, BASE_NS - 17_000_000_000)
    with pytest.raises(MxError, match="before time_base"):
        encoder.encode(event, BASE_NS + 1_000_000)
    event["y"] = HEIGHT
    with pytest.raises(MxError, match="outside the sensor"):
        encoder.encode(event, BASE_NS)
