"""Playing in recorded time, with a clock that never sleeps."""

from dataclasses import dataclass

import numpy as np
import pytest
from mx_capture.codecs import Evt3Encoder, make_decoder
from mx_capture.errors import MxError
from mx_capture.player import Player, PlayerConfig
from mx_capture.stream import EVENT_DTYPE, Frame, Label, Packet

START = 1_700_000_000_000_000_000


@dataclass
class StoppedClock:
    """Time moves only while the player sleeps, and by `delay_ns` at each look."""

    time_ns: int = START
    delay_ns: int = 0
    slept: float = 0.0

    def now_ns(self):
        self.time_ns += self.delay_ns
        return self.time_ns

    def sleep(self, seconds):
        self.slept += seconds
        self.time_ns += round(seconds * 1e9)


class ListSource:
    name, event_size, frame_size = "list", (16, 16), (2, 2)

    def __init__(self, items, start_ns=0, duration_ns=100_000_000):
        self.items, self.start_ns, self.duration_ns = items, start_ns, duration_ns

    def __iter__(self):
        return iter(self.items)


def frames(*stamps_ms):
    return [Frame(ms * 1_000_000, np.zeros((2, 2), np.uint8)) for ms in stamps_ms]


def packets(n):
    encoder = Evt3Encoder(16, 16)
    made = []
    for seq in range(n):
        events = np.zeros(3, EVENT_DTYPE)
        events["t"] = seq * 10_000 + np.array([1, 5, 9])
        made.append(Packet((seq + 1) * 10_000_000, seq, "evt3", 16, 16, 0, encoder.encode(events)))
    return made


def test_items_are_due_in_recorded_time():
    clock = StoppedClock()
    seen = []
    for _, stamp_ns in Player(ListSource(frames(0, 40, 90)), clock=clock):
        assert clock.time_ns == stamp_ns
        seen.append(stamp_ns - START)
    assert seen == [0, 40_000_000, 90_000_000]


def test_rate_and_kept_stamps():
    clock = StoppedClock()
    player = Player(
        ListSource(frames(0, 40, 90)), PlayerConfig(rate=2.0), keep_stamps=True, clock=clock
    )
    seen = [(stamp_ns, clock.time_ns - START) for _, stamp_ns in player]
    assert seen == [(0, 0), (40_000_000, 20_000_000), (90_000_000, 45_000_000)]


def test_a_delay_does_not_drift_and_is_counted():
    clock = StoppedClock()
    player = Player(ListSource(frames(0, 10, 20, 30, 90)), clock=clock)
    seen = []
    for _, stamp_ns in player:
        seen.append(stamp_ns - START)
        if len(seen) == 1:
            clock.time_ns += 60_000_000
    assert seen == [0, 10_000_000, 20_000_000, 30_000_000, 90_000_000]
    assert player.counters.late == 3
    assert player.counters.worst_late_ns == 50_000_000
    assert clock.time_ns == START + 90_000_000


def test_loop_goes_on_in_stamps_numbers_and_sensor_time():
    source = ListSource(packets(10))
    player = Player(source, PlayerConfig(loop=True), clock=StoppedClock())
    decoder = make_decoder("evt3", 16, 16)
    last_us, period_ns = -1, 25 * 4_096_000
    for n, (packet, stamp_ns) in enumerate(player):
        if n == 2_000:  # More than one rollover of 16.8 s.
            break
        events = decoder.decode(packet.events)
        assert packet.seq == n
        assert stamp_ns == START + n // 10 * period_ns + (n % 10 + 1) * 10_000_000
        assert events["t"][0] > last_us
        assert packet.time_base + events["t"][0] * 1_000 == stamp_ns - 9_999_000
        last_us = events["t"][-1]
    assert player.counters.passes == 200
    assert decoder.counters["rollovers"] == 1


def test_a_damaged_packet_loops_with_its_odd_byte():
    odd = Packet(1_000, 0, "evt3", 16, 16, 0, b"\x05\x80\xff")
    player = Player(ListSource([odd]), PlayerConfig(loop=True), clock=StoppedClock())
    first, second = (packet.events for (packet, _), _ in zip(player, range(2), strict=False))
    assert (first, second) == (b"\x05\x80\xff", b"\x1e\x80\xff")


def test_recorded_losses_stay():
    some = [packet for packet in packets(10) if packet.seq not in (3, 4)]
    player = Player(ListSource(some), PlayerConfig(loop=True), clock=StoppedClock())
    seqs = [packet.seq for (packet, _), _ in zip(player, range(16), strict=False)]
    assert seqs == [0, 1, 2, 5, 6, 7, 8, 9, 10, 11, 12, 15, 16, 17, 18, 19]


def test_labels_move_as_a_whole():
    label = Label("s", (12,), (0.5,), 10, 20, 30, "protocol", "")
    [(moved, stamp_ns)] = Player(ListSource([label]), clock=StoppedClock())
    assert (moved.onset_ns, moved.apex_ns, moved.offset_ns) == (START + 10, START + 20, START + 30)
    assert stamp_ns == START + 30


def test_two_players_with_one_start_are_in_step():
    first = Player(ListSource(frames(0, 40)), start_ns=START, clock=StoppedClock())
    second = Player(ListSource(frames(0, 40)), start_ns=START, clock=StoppedClock(START + 9))
    assert [stamp for _, stamp in first] == [stamp for _, stamp in second]


def test_an_empty_source_is_an_error():
    with pytest.raises(MxError, match="nothing to play"):
        list(Player(ListSource([]), PlayerConfig(loop=True), clock=StoppedClock()))
