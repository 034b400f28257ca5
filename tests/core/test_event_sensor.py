"""The event sensor against what can be worked out by hand."""

import numpy as np
import pytest
from mx_capture.errors import MxError
from mx_capture.simulator.event_sensor import PRESETS, EventSensor, EventSensorConfig, draw_sensor

IDEAL = {
    "mismatch": 0.0,
    "cutoff_hz": 0.0,
    "dark_lux": 0.0,
    "leak_hz": 0.0,
    "shot_hz": 0.0,
    "hot_share": 0.0,
    "refractory_us": 0.0,
    "jitter_us": 0.0,
}


def sensor(
    height: int = 1, width: int = 1, seed: int = 3, lux: float = 300.0, **changes
) -> EventSensor:
    return EventSensor(EventSensorConfig(**{**IDEAL, **changes}), height, width, seed, lux)


def image(value: float, height: int = 1, width: int = 1) -> np.ndarray:
    return np.full((height, width), value, np.float32)


@pytest.mark.parametrize("threshold", [0.1, 0.17, 0.25])
@pytest.mark.parametrize("delta", [-2.31, -0.63, -0.05, 0.05, 0.31, 1.04, 2.47])
@pytest.mark.parametrize("steps", [1, 7, 40])
def test_a_ramp_gives_as_many_events_as_thresholds_fit(
    threshold: float, delta: float, steps: int
) -> None:
    camera = sensor(threshold_on=threshold, threshold_off=threshold)
    camera.see(image(0.2), 0.0)
    events = [
        camera.see(image(0.2 * np.exp(delta * k / steps)), 1e5 * k / steps)
        for k in range(1, steps + 1)
    ]
    found = np.concatenate(events)
    assert len(found) == int(np.floor(abs(delta) / threshold))
    assert (found["p"] == (delta > 0)).all()


def test_times_on_a_ramp_are_those_of_the_crossings() -> None:
    camera = sensor(threshold_on=0.2)
    camera.see(image(0.1), 0.0)
    events = camera.see(image(0.1 * np.e), 100_000.0)
    np.testing.assert_allclose(events["t"], [20_000, 40_000, 60_000, 80_000], atol=5)


def test_memory_survives_between_images() -> None:
    camera = sensor(threshold_on=0.2, threshold_off=0.2)
    camera.see(image(0.5), 0.0)
    assert len(camera.see(image(0.5 * np.exp(0.15)), 1e4)) == 0
    assert len(camera.see(image(0.5 * np.exp(0.15)), 2e4)) == 0
    assert len(camera.see(image(0.5 * np.exp(0.21)), 3e4)) == 1


def test_refractory_period_limits_the_rate() -> None:
    camera = sensor(threshold_on=0.1, refractory_us=1000.0)
    camera.see(image(0.1), 0.0)
    events = camera.see(image(0.1 * np.exp(3.0)), 10_000.0)
    gaps = np.diff(events["t"])
    # The rest of 1000 us, then 0.1 at 3 per 10,000 us.
    assert gaps.min() >= 1000
    np.testing.assert_allclose(gaps, 1333, atol=2)


def test_low_pass_reaches_the_share_that_its_time_constant_allows() -> None:
    cutoff = 20.0
    camera = sensor(threshold_on=0.01, cutoff_hz=cutoff, mismatch=0.0)
    camera.see(image(1.0 / np.e), 0.0)
    camera.see(image(1.0), 1.0)
    wait_us = 1e6 / (2 * np.pi * cutoff)
    events = camera.see(image(1.0), 1.0 + wait_us)
    assert len(events) == pytest.approx((1 - np.exp(-1)) / 0.01, abs=2)


def test_a_dim_pixel_is_slower() -> None:
    counts = []
    for lux in (300.0, 3.0):
        camera = sensor(threshold_on=0.05, cutoff_hz=100.0, lux=lux)
        camera.see(image(0.5), 0.0)
        counts.append(len(camera.see(image(1.0), 2000.0)))
    assert counts[0] > 2 * counts[1]


def test_leak_gives_on_events_at_its_rate() -> None:
    camera = sensor(20, 20, leak_hz=5.0)
    camera.see(image(0.5, 20, 20), 0.0)
    events = np.concatenate([camera.see(image(0.5, 20, 20), 1e5 * k) for k in range(1, 41)])
    assert (events["p"] == 1).all()
    assert len(events) / (4.0 * 400) == pytest.approx(5.0, rel=0.12)


@pytest.mark.parametrize("step_us", [1_000.0, 50_000.0])
def test_shot_noise_has_its_rate_whatever_the_image_rate(step_us: float) -> None:
    camera = sensor(30, 30, shot_hz=2.0)
    camera.see(image(1.0, 30, 30), 0.0)
    count = int(2e6 / step_us)
    frame = image(1.0, 30, 30)
    events = np.concatenate([camera.see(frame, step_us * k) for k in range(1, count + 1)])
    assert len(events) / (2.0 * 900) == pytest.approx(2.0, rel=0.15)
    assert 0.4 < events["p"].mean() < 0.6


def test_noise_grows_in_the_dark() -> None:
    counts = []
    for lux in (300.0, 3.0):
        camera = sensor(20, 20, lux=lux, shot_hz=1.0)
        camera.see(image(1.0, 20, 20), 0.0)
        counts.append(sum(len(camera.see(image(1.0, 20, 20), 1e5 * k)) for k in range(1, 11)))
    assert counts[1] > 5 * counts[0]


def test_thresholds_differ_between_pixels() -> None:
    camera = sensor(40, 40, mismatch=0.1)
    camera.see(image(0.2, 40, 40), 0.0)
    events = camera.see(image(0.2 * np.exp(1.35), 40, 40), 1e5)
    per_pixel = np.bincount(events["y"].astype(int) * 40 + events["x"], minlength=1600)
    # Memories start anywhere between the thresholds, half a threshold behind on the average.
    assert per_pixel.mean() == pytest.approx(1.35 / 0.2 - 0.5, rel=0.05)
    assert per_pixel.std() > 0.6


def test_flicker_between_images_is_seen() -> None:
    camera = sensor(threshold_on=0.1, threshold_off=0.1)
    camera.see(image(0.5), 0.0)
    up_and_down = np.exp(0.35 * np.sin(np.linspace(0, np.pi, 41)))
    events = camera.see(image(0.5), 10_000.0, up_and_down)
    assert events["p"].tolist() == [1, 1, 1, 0, 0, 0]


def test_events_are_sorted_in_range_and_repeatable() -> None:
    def run() -> np.ndarray:
        camera = EventSensor(draw_sensor("240x180", 5), 24, 32, 5)
        rng = np.random.default_rng(0)
        frames = rng.uniform(0.1, 1.0, (10, 24, 32)).astype(np.float32)
        return np.concatenate([camera.see(f, 4000.0 * k) for k, f in enumerate(frames)])

    first, second = run(), run()
    assert np.array_equal(first, second)
    assert len(first) > 500
    assert (np.diff(first["t"]) >= 0).all()
    assert first["x"].max() < 32 and first["y"].max() < 24
    assert first["t"].max() < 36_000


def test_time_must_rise() -> None:
    camera = sensor()
    camera.see(image(0.5), 10.0)
    with pytest.raises(MxError, match=r"10\.0"):
        camera.see(image(0.5), 10.0)


@pytest.mark.parametrize("preset", list(PRESETS))
def test_drawn_sensors_vary(preset: str) -> None:
    drawn = [draw_sensor(preset, seed) for seed in range(20)]
    thresholds = [config.threshold_on for config in drawn]
    assert max(thresholds) > 1.4 * min(thresholds)
    assert draw_sensor(preset, 3) == drawn[3]
