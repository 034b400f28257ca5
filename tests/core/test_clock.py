"""Sensor time to ROS time: drift, jitter, late joiners, set clocks and missing pulses."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
from mx_capture.clock import ArrivalClock, Clock, SharedClock, TriggerClock, make_clock
from mx_capture.codecs import TRIGGER_DTYPE
from mx_capture.errors import MxError
from mx_capture.stream import Packet

START_NS = 1_700_000_000_123_456_789


def packet(stamp_ns: int, time_base: int = 0, encoding: str = "evt3") -> Packet:
    return Packet(stamp_ns, 0, encoding, 480, 640, time_base, b"")


def true_ns(t_us: int, drift: float = 1e-4) -> int:
    """ROS time of a sensor that runs slow by `drift`."""
    return START_NS + 1000 * t_us + round(1000 * t_us * drift)


def arrivals(
    seconds: float, step_us: int = 4000, jitter_ns: float = 5e6, seed: int = 0
) -> Iterator[tuple[int, int]]:
    """(sensor time, lateness) of packets with exponential jitter."""
    rng = np.random.default_rng(seed)
    for t_us in range(step_us, round(seconds * 1e6), step_us):
        yield t_us, round(rng.exponential(jitter_ns))


@pytest.mark.parametrize("drift", [1e-4, -1e-4, 0.0])
@pytest.mark.parametrize("step_us", [1000, 4000, 33_000])
def test_arrival_follows_drift_under_jitter(drift: float, step_us: int) -> None:
    clock, errors = ArrivalClock(), []
    for t_us, late_ns in arrivals(30, step_us, seed=step_us):
        clock.observe(packet(true_ns(t_us, drift) + late_ns), t_us)
        if t_us > 10e6:
            errors.append(clock.stamp_ns(t_us) - true_ns(t_us, drift))
    assert np.percentile(np.abs(errors), 95) <= 1e6
    assert clock.counters["clock_jumps"] == 0


@pytest.mark.parametrize("jump_ns", [-3_000_000_000, -30_000_000, 30_000_000, 3_000_000_000])
def test_arrival_notices_that_the_host_clock_was_set(jump_ns: int) -> None:
    clock, errors = ArrivalClock(), []
    for t_us, late_ns in arrivals(40):
        truth = true_ns(t_us) + (jump_ns if t_us > 20e6 else 0)
        clock.observe(packet(truth + late_ns), t_us)
        if t_us > 30e6:
            errors.append(clock.stamp_ns(t_us) - truth)
    assert clock.counters["clock_jumps"] == 1
    assert np.percentile(np.abs(errors), 95) <= 1e6


@pytest.mark.parametrize("shift_us", [-15_000_000, 15_000_000])
def test_arrival_notices_that_the_sensor_was_reset(shift_us: int) -> None:
    clock = ArrivalClock()
    for t_us, late_ns in arrivals(40):
        sensor_us = t_us + (shift_us if t_us > 20e6 else 0)
        clock.observe(packet(true_ns(t_us) + late_ns), sensor_us)
    assert clock.counters["clock_jumps"] == 1
    assert abs(clock.stamp_ns(sensor_us) - true_ns(t_us)) <= 1e6


def test_arrival_is_not_upset_by_a_second_of_load() -> None:
    clock = ArrivalClock()
    for t_us, late_ns in arrivals(40):
        stall_ns = max(0, 21_000_000 - t_us) * 1000 if t_us > 20_000_000 else 0
        clock.observe(packet(true_ns(t_us) + late_ns + stall_ns), t_us)
    assert clock.counters["clock_jumps"] == 0
    assert abs(clock.stamp_ns(t_us) - true_ns(t_us)) <= 1e6


def run_trigger(
    clock: TriggerClock,
    seconds: float = 30,
    drift: float = 1e-4,
    edges: str = "both",
    jump_ns: int = 0,
    stamp_noise_ns: float = 0.0,
) -> np.ndarray:
    """Errors in ns after 10 s of a 30 Hz camera; now and then a pulse or a frame is missing."""
    rng = np.random.default_rng(0)
    errors, frame = [], 0
    for t_us, late_ns in arrivals(seconds):
        jumped = jump_ns if t_us > 15e6 else 0
        while 1_000_000 + frame * 33_333 <= t_us - 5_000:
            rise_us = 1_000_000 + frame * 33_333 - 5_000
            middle_us = rise_us + (5_000 if edges == "both" else 0)
            pulse = [(rise_us, 0, 1), (rise_us + 10_000, 0, 0)]
            if rng.random() > 0.02:
                kept = pulse if edges == "both" else pulse[:1]
                clock.observe_triggers(np.array(kept, TRIGGER_DTYPE))
            if rng.random() > 0.02:
                noise = round(rng.normal(0, stamp_noise_ns)) if stamp_noise_ns else 0
                clock.observe_frame(true_ns(middle_us, drift) + jumped + noise)
            frame += 1
        clock.observe(packet(true_ns(t_us, drift) + late_ns + 1_500_000 + jumped), t_us)
        if t_us > 10e6 and clock.ready:
            errors.append(clock.stamp_ns(t_us) - true_ns(t_us, drift) - jumped)
    return np.array(errors)


@pytest.mark.parametrize("edges", ["both", "rising"])
@pytest.mark.parametrize("drift", [1e-4, -1e-4])
@pytest.mark.parametrize("noise_ns", [0.0, 50_000.0])
def test_trigger_is_exact_to_tens_of_microseconds(
    edges: str, drift: float, noise_ns: float
) -> None:
    clock = TriggerClock()
    errors = run_trigger(clock, drift=drift, edges=edges, stamp_noise_ns=noise_ns)
    assert len(errors) > 4000 and np.percentile(np.abs(errors), 95) <= 50_000
    assert clock.counters["clock_jumps"] == 0
    assert 0 < clock.counters["frames_without_trigger"] < 40


@pytest.mark.parametrize("jump_ns", [-500_000_000, 500_000_000, 47_000_000])
def test_trigger_begins_anew_when_the_host_clock_was_set(jump_ns: int) -> None:
    clock = TriggerClock()
    errors = run_trigger(clock, 40, jump_ns=jump_ns)
    assert clock.counters["clock_jumps"] >= 1
    assert np.percentile(np.abs(errors[-4000:]), 95) <= 50_000


def test_trigger_uses_one_input_and_counts_the_others() -> None:
    clock = TriggerClock()
    clock.observe_triggers(np.array([(1, 0, 1), (2, 6, 1), (3, 6, 0)], TRIGGER_DTYPE))
    assert clock.counters["triggers_of_other_inputs"] == 2 and not clock.ready


def test_shared_is_exact_and_resolves_rollovers_for_late_joiners() -> None:
    for rollovers in (0, 1, 1000):
        clock = SharedClock()
        clock.observe(packet(1, START_NS), None)
        assert not clock.ready
        t_us = 5_000_000
        truth = START_NS + 1000 * (t_us + rollovers * 2**24)
        clock.observe(packet(truth + 3_000_000, START_NS), t_us)
        assert clock.stamp_ns(t_us) == truth
        assert clock.sensor_us(truth) == t_us and clock.sensor_us(truth - 1) == t_us - 1
    assert not clock.counters["clock_jumps"] and not clock.counters["different_clocks"]


def test_shared_takes_absolute_times_as_they_are() -> None:
    clock = SharedClock()
    t_us = START_NS // 1000
    clock.observe(packet(START_NS, START_NS, "libcaer_cmp"), t_us)
    assert clock.stamp_ns(t_us) == 1000 * t_us


def test_shared_counts_packets_whose_stamp_is_of_another_clock() -> None:
    clock = SharedClock()
    clock.observe(packet(START_NS + 4_000_000_000, START_NS), 1000)
    assert clock.counters["different_clocks"] == 1
    clock.observe(packet(START_NS + 90_000_000_000, START_NS + 50_000_000_000), 2000)
    assert clock.counters["clock_jumps"] == 1


@pytest.mark.parametrize("mode", ["shared", "trigger", "arrival"])
def test_there_and_back_again(mode: str) -> None:
    clock: Clock = make_clock(mode)
    if isinstance(clock, TriggerClock):
        run_trigger(clock, 20)
    for t_us, late_ns in arrivals(0 if mode == "trigger" else 20):
        clock.observe(packet(true_ns(t_us) + late_ns, START_NS), t_us)
    for t_us in (0, 1, 19_999_999, 123_456_789):
        assert abs(clock.sensor_us(clock.stamp_ns(t_us)) - t_us) <= 1


def test_an_unknown_mode_is_one_clear_line() -> None:
    with pytest.raises(MxError, match="clock='sundial' is not one of shared, trigger, arrival"):
        make_clock("sundial")
