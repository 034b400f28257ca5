"""EVT3 against the slow reference, the encoder, the installed peer and odd streams."""

from __future__ import annotations

import numpy as np
import pytest
from evt3_reference import SlowDecoder, cut, random_words
from hypothesis import given, settings
from hypothesis import strategies as st
from mx_capture.codecs import Evt3Encoder, make_decoder
from mx_capture.codecs.evt3 import Evt3Decoder
from mx_capture.errors import MxError
from mx_capture.stream import EVENT_DTYPE

HEIGHT, WIDTH = 40, 70
HIGH, LOW, ROW, X, BASE, V12, V8 = 0x8000, 0x6000, 0x0000, 0x2000, 0x3000, 0x4000, 0x5000


def decode(*packets: list[int], decoder: Evt3Decoder | None = None) -> list[tuple[int, ...]]:
    decoder = decoder or Evt3Decoder(HEIGHT, WIDTH)
    parts = [decoder.decode(np.array(words, "<u2").tobytes()) for words in packets]
    return [tuple(event) for part in parts for event in part.tolist()]


def events_of(*rows: tuple[int, int, int, int]) -> np.ndarray:
    return np.array(list(rows), EVENT_DTYPE)


@pytest.mark.parametrize("seed", range(6))
def test_random_words_cut_anywhere_equal_the_reference(seed: int) -> None:
    rng = np.random.default_rng(seed)
    words = random_words(rng, 20_000, HEIGHT, WIDTH)
    slow, fast = SlowDecoder(HEIGHT, WIDTH), Evt3Decoder(HEIGHT, WIDTH)
    expected = [event for word in words.tolist() for event in slow.take(word)]
    found = [fast.decode(part.tobytes()) for part in cut(words, rng, 50)]
    assert np.concatenate(found).tolist() == expected
    counters = fast.counters
    for name, count in slow.counts.items():
        assert counters[name] == count, name
    assert fast.triggers.tolist() == slow.triggers


@settings(max_examples=200, deadline=None)
@given(st.lists(st.integers(0, 0xFFFF), max_size=60), st.integers(0, 60))
def test_any_words_equal_the_reference(words: list[int], border: int) -> None:
    slow, fast = SlowDecoder(HEIGHT, WIDTH), Evt3Decoder(HEIGHT, WIDTH)
    expected = [event for word in words for event in slow.take(word)]
    assert decode(words[:border], words[border:], decoder=fast) == expected
    assert fast.counters["words"] == len(words)


def test_time_is_unknown_until_high_and_low_and_rows_until_a_row() -> None:
    decoder = Evt3Decoder(HEIGHT, WIDTH)
    words = [LOW | 5, ROW | 1, X | 1, HIGH | 2, X | 2, LOW | 7, X | 3]
    assert decode(words, decoder=decoder) == [(2 * 4096 + 7, 3, 1, 0)]
    assert decoder.counters["dropped_before_time"] == 2
    joined = Evt3Decoder(HEIGHT, WIDTH)
    assert decode([HIGH, LOW, X | 1, V12 | 3, ROW | 2, V8 | 1], decoder=joined) == []
    assert joined.counters["dropped_before_time"] == 4
    assert joined.time_us == 0 and Evt3Decoder(HEIGHT, WIDTH).time_us is None


def test_a_vector_group_may_be_split_between_packets() -> None:
    start = [HIGH, LOW, ROW | 3, BASE | 0x800 | 10, V12 | 0b1001]
    assert decode(start, [V12 | 1], [V8 | 0x80]) == [
        (0, 10, 3, 1),
        (0, 13, 3, 1),
        (0, 22, 3, 1),
        (0, 41, 3, 1),
    ]


def test_a_fall_of_half_the_range_is_a_rollover_and_a_smaller_one_is_not() -> None:
    row = [LOW | 1, ROW, X]
    times = [t for t, *_ in decode([HIGH | 4095, *row, HIGH | 0, *row, HIGH | 1, *row])]
    assert times == [4095 * 4096 + 1, 2**24 + 1, 2**24 + 4097]
    back = Evt3Decoder(HEIGHT, WIDTH)
    times = [t for t, *_ in decode([HIGH | 100, *row, HIGH | 80, *row], decoder=back)]
    assert times == [100 * 4096 + 1, 80 * 4096 + 1]
    assert back.counters["time_backward"] == 1 and back.counters["rollovers"] == 0
    over = [HIGH | 4095, *row, HIGH | 0, *row, HIGH | 4095, *row, HIGH | 0, *row]
    times = [t for t, *_ in decode(over)]
    assert times == [4095 * 4096 + 1, 2**24 + 1, 4095 * 4096 + 1, 2**24 + 1]


def test_a_new_high_restarts_low_and_a_repeated_one_does_not() -> None:
    words = [HIGH | 1, LOW | 9, ROW, X, HIGH | 1, X, HIGH | 2, X]
    assert [t for t, *_ in decode(words)] == [4096 + 9, 4096 + 9, 2 * 4096]


def test_out_of_range_and_padding_are_counted_and_dropped() -> None:
    decoder = Evt3Decoder(HEIGHT, WIDTH)
    words = [
        0x9999,
        HIGH,
        LOW,
        ROW | 1,
        X | WIDTH,
        X | (WIDTH - 1),
        ROW | HEIGHT,
        X,
        0xE000,
        0x7123,
    ]
    assert decode(words, decoder=decoder) == [(0, WIDTH - 1, 1, 0)]
    counters = decoder.counters
    assert counters["out_of_range"] == 2 and counters["words_ignored"] == 3
    kinds = ("time", "y", "x", "vector", "trigger", "ignored")
    assert sum(counters[f"words_{kind}"] for kind in kinds) == counters["words"] == len(words)


def test_triggers_have_time_input_and_edge_and_are_read_once() -> None:
    decoder = Evt3Decoder(HEIGHT, WIDTH)
    decode([0xA001, HIGH | 1, LOW | 5, 0xA301, LOW | 6, 0xA300], decoder=decoder)
    assert decoder.triggers.tolist() == [(4101, 3, 1), (4102, 3, 0)]
    assert len(decoder.triggers) == 0
    assert decoder.counters["words_trigger"] == 3 and decoder.counters["triggers"] == 2


def test_triggers_that_nobody_reads_stay_bounded_and_are_counted() -> None:
    decoder = Evt3Decoder(HEIGHT, WIDTH)
    decode([HIGH, LOW], decoder=decoder)
    for _ in range(4):
        decode([0xA001] * 50_000, decoder=decoder)
    assert decoder.counters["triggers_unread"] == 100_000
    assert len(decoder.triggers) == 100_000


def test_after_a_loss_nothing_is_believed_but_rollovers_are_not_missed() -> None:
    decoder = Evt3Decoder(HEIGHT, WIDTH)
    decode([HIGH | 4095, LOW, ROW | 5, X], decoder=decoder)
    decoder.lost()
    assert decode([X | 1, LOW | 3, X | 2, HIGH, LOW | 1, X | 3], decoder=decoder) == []
    assert decode([ROW | 6, X | 4], decoder=decoder) == [(2**24 + 1, 4, 6, 0)]
    assert decoder.counters["dropped_before_time"] == 3


def test_odd_bytes_and_odd_addresses() -> None:
    payload = np.array([HIGH, LOW, ROW | 1, X | 2], "<u2").tobytes()
    decoder = Evt3Decoder(HEIGHT, WIDTH)
    assert len(decoder.decode(payload + b"\x20")) == 1
    assert decoder.counters["trailing_bytes"] == 1
    assert len(decoder.decode(memoryview(b"\0" + payload)[1:])) == 1
    assert len(decoder.decode(bytearray(payload))) == 1
    assert len(decoder.decode(b"")) == 0


def test_reset_forgets_the_stream_but_not_the_counts() -> None:
    decoder = Evt3Decoder(HEIGHT, WIDTH)
    decode([HIGH, LOW, ROW, X], decoder=decoder)
    decoder.reset()
    assert decode([X], decoder=decoder) == [] and decoder.time_us is None
    assert decoder.counters["events"] == 1


def random_events(seed: int, n: int) -> np.ndarray:
    """Events as a sensor reads them out: rows, some of them dense, in rising time."""
    rng = np.random.default_rng(seed)
    sizes = rng.choice([1, 2, 40], n)
    events = np.empty(sizes.sum(), EVENT_DTYPE)
    events["t"] = np.repeat(np.cumsum(rng.integers(0, 3000, n)), sizes)
    events["y"] = np.repeat(rng.integers(0, HEIGHT, n), sizes)
    events["p"] = np.repeat(rng.integers(0, 2, n), sizes)
    events["x"] = rng.integers(0, WIDTH, sizes.sum())
    events = np.unique(events)
    return events[np.lexsort((events["x"], events["p"], events["y"], events["t"]))]


@pytest.mark.parametrize("vectors", [True, False])
def test_what_is_encoded_is_decoded(vectors: bool) -> None:
    events = random_events(1, 12_000)
    assert events["t"][-1] > 2**24
    encoder, decoder = Evt3Encoder(HEIGHT, WIDTH, vectors), make_decoder("evt3", HEIGHT, WIDTH)
    packets = [encoder.encode(part) for part in np.array_split(events, 99)]
    found = np.concatenate([decoder.decode(packet) for packet in packets])
    np.testing.assert_array_equal(found, events)
    assert (decoder.counters["words_vector"] > 0) == vectors
    for packet in packets:
        assert [word >> 12 for word in np.frombuffer(packet, "<u2")[:3]] == [8, 6, 0]


def test_the_encoder_leads_over_silences_of_any_length() -> None:
    events = events_of((5, 1, 1, 0), (30_000_000, 2, 1, 0), (90_000_000, 3, 1, 1))
    for parts in ([events], np.array_split(events, 3)):
        encoder, decoder = Evt3Encoder(HEIGHT, WIDTH), Evt3Decoder(HEIGHT, WIDTH)
        found = [decoder.decode(encoder.encode(part)) for part in parts]
        assert np.concatenate(found).tolist() == events.tolist()


def test_the_encoder_refuses_what_the_format_cannot_say() -> None:
    encoder = Evt3Encoder(HEIGHT, WIDTH)
    assert encoder.encode(np.empty(0, EVENT_DTYPE)) == b""
    with pytest.raises(MxError, match="outside the sensor of 70x40"):
        encoder.encode(events_of((0, WIDTH, 0, 0)))
    with pytest.raises(MxError, match="before time 0"):
        encoder.encode(events_of((-1, 0, 0, 0)))


def test_the_installed_peer_agrees_on_valid_streams() -> None:
    evt3 = pytest.importorskip("evt3", reason="the package evt3 is not installed")
    encoder, ours = Evt3Encoder(HEIGHT, WIDTH), Evt3Decoder(HEIGHT, WIDTH)
    theirs = evt3.Decoder(sensor_width=WIDTH, sensor_height=HEIGHT)
    for part in np.array_split(random_events(2, 12_000), 70):
        payload = encoder.encode(part)
        found, expected = ours.decode(payload), theirs.feed(payload)
        for field, name in (("t", "timestamp"), ("x", "x"), ("y", "y"), ("p", "polarity")):
            np.testing.assert_array_equal(found[field], getattr(expected, name))


def test_an_unknown_encoding_or_size_is_one_clear_line() -> None:
    with pytest.raises(MxError, match="unknown event encoding 'evt9'; known are evt3"):
        make_decoder("evt9", HEIGHT, WIDTH)
    with pytest.raises(MxError, match="0x40 is outside 1 to 2048"):
        make_decoder("evt3", HEIGHT, 0)
