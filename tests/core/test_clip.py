"""Clips of simple scenes before both cameras."""

from __future__ import annotations

import numpy as np
import pytest
from mx_capture.simulator.clip import ClipConfig, draw_shake, take_clip, take_shaken_clip
from mx_capture.simulator.event_sensor import EventSensorConfig

QUIET = EventSensorConfig(
    mismatch=0.0, cutoff_hz=0.0, leak_hz=0.0, shot_hz=0.0, hot_share=0.0, refractory_us=0.0
)


def bar(left: float) -> np.ndarray:
    """A bright bar, 8 px wide, on grey; its edges lie between pixels."""
    x = np.arange(48) + 0.5
    cover = np.clip(np.minimum(x - left, left + 8 - x) + 0.5, 0, 1)
    return np.tile((0.1 + 0.4 * cover).astype(np.float32), (32, 1))


def test_nothing_moves_and_nothing_is_told() -> None:
    clip = take_clip(lambda t: bar(20), ClipConfig(QUIET, 1000.0), 1.0, 100_000.0, seed=3)
    assert len(clip.events) == 0
    assert np.abs(clip.key.astype(int) - clip.truth).mean() < 6


def test_events_lead_from_the_key_frame_to_the_truth() -> None:
    config = ClipConfig(QUIET, 1000.0)
    clip = take_clip(lambda t: bar(16 + 40 * (t - 1.0)), config, 1.0, 100_000.0, seed=3)
    events = clip.events
    assert events["t"].min() >= 0 and events["t"].max() < clip.length_us
    assert set(events["x"][events["p"] == 1]) <= {23, 24, 25, 26, 27, 28}
    assert set(events["x"][events["p"] == 0]) <= {15, 16, 17, 18, 19, 20}
    before, after = (picture[..., 1].mean(0, dtype=float) for picture in (clip.key, clip.truth))
    assert after[24:28].sum() > before[24:28].sum() and after[16:20].sum() < before[16:20].sum()


def test_a_shaken_key_frame_is_blurred_and_its_truth_is_not() -> None:
    config = ClipConfig(QUIET, 10.0, longest_exposure_us=100_000.0)
    clip = take_shaken_clip(lambda t: bar(20), config, 1.0, 20_000.0, 8.0, seed=3)
    assert clip.exposure_us > 20_000 and clip.length_us == clip.exposure_us + 20_000
    key, truth = (picture[..., 1].mean(0) for picture in (clip.key, clip.truth))
    assert np.abs(np.diff(key)).max() < 0.8 * np.abs(np.diff(truth)).max()
    # The events begin with the exposure.
    assert (clip.events["t"] < clip.exposure_us / 2).any()


def test_the_same_seed_gives_the_same_clip() -> None:
    config = ClipConfig(EventSensorConfig(), 100.0)
    one, two = (take_clip(lambda t: bar(10 * t), config, 1.0, 50_000.0, seed=5) for _ in range(2))
    np.testing.assert_array_equal(one.key, two.key)
    np.testing.assert_array_equal(one.events, two.events)


def test_the_path_of_a_shake_is_as_long_as_asked_for() -> None:
    shake = draw_shake(np.random.default_rng(1), 6.0, 0.05)
    places = np.array([shake.at(t) for t in np.linspace(0, 0.05, 50)])
    assert np.hypot(*np.diff(places, axis=0).T).sum() == pytest.approx(6.0, rel=0.05)
