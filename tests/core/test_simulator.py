"""A simulated session as a source: order, labels, determinism, and what may not change events."""

from dataclasses import replace

import numpy as np
import pytest
from mx_capture.codecs import make_decoder
from mx_capture.errors import MxError
from mx_capture.simulator.action_units import ACTION_UNITS
from mx_capture.simulator.config import SENSOR_SIZES, SimulationConfig
from mx_capture.simulator.event_sensor import EventSensor, EventSensorConfig
from mx_capture.simulator.scene import Scene
from mx_capture.simulator.script import SPEECH, Script
from mx_capture.simulator.source import SimulatedSource
from mx_capture.stream import Frame, Label, Packet

SHORT = SimulationConfig(duration_s=0.2, seed=5)


def stamp(item: Packet | Frame | Label) -> int:
    return item.offset_ns if isinstance(item, Label) else item.stamp_ns


def events_of(items: list) -> np.ndarray:
    packets = [item for item in items if isinstance(item, Packet)]
    decoder = make_decoder("evt3", packets[0].height, packets[0].width)
    return np.concatenate([decoder.decode(packet.events, 0) for packet in packets])


@pytest.fixture(scope="module")
def short() -> list:
    return list(SimulatedSource(SHORT))


def test_items_come_in_order_and_at_their_rates(short: list) -> None:
    stamps = [stamp(item) for item in short]
    assert stamps == sorted(stamps)
    packets = [item for item in short if isinstance(item, Packet)]
    assert [packet.seq for packet in packets] == list(range(50))
    assert max(np.diff([packet.stamp_ns for packet in packets])) == 4_000_000
    frames = [item for item in short if isinstance(item, Frame)]
    assert len(frames) == 6
    assert frames[0].image.shape == (180, 240, 3) and frames[0].image.dtype == np.uint8
    assert set(np.diff([frame.stamp_ns for frame in frames])) <= {33333333, 33333334}


def test_iterating_again_gives_the_same_bytes(short: list) -> None:
    for first, second in zip(short, SimulatedSource(SHORT), strict=True):
        if isinstance(first, Packet):
            assert first.events == second.events
        elif isinstance(first, Frame):
            assert np.array_equal(first.image, second.image)


def test_events_lie_in_their_packets(short: list) -> None:
    decoder = make_decoder("evt3", 180, 240)
    for packet in short:
        if isinstance(packet, Packet):
            events = decoder.decode(packet.events, 0)
            assert len(packet.events) >= 2
            assert (events["t"] * 1000 <= packet.stamp_ns).all()
            assert (events["t"] * 1000 > packet.stamp_ns - 5_000_000).all()


def test_silence_still_tells_the_time() -> None:
    quiet = replace(SHORT, sensor_noise=0.0, distractors=0.0, protocol="neutral", duration_s=0.1)
    packets = [item for item in SimulatedSource(quiet) if isinstance(item, Packet)]
    words = [np.frombuffer(packet.events, "<u2") for packet in packets]
    assert all(len(word) for word in words)
    assert {int(word[0]) >> 12 for word in words} == {8}


@pytest.mark.parametrize("sensor", list(SENSOR_SIZES))
def test_every_preset_renders(sensor: str) -> None:
    source = SimulatedSource(SimulationConfig(sensor=sensor, duration_s=0.1, frames_fps=60))
    frame = next(item for item in source if isinstance(item, Frame))
    assert source.event_size == source.frame_size == frame.image.shape[:2]
    assert frame.image.shape[:2] == SENSOR_SIZES[sensor]


def test_a_study_shows_every_unit_with_the_times_of_micro_expressions() -> None:
    source = SimulatedSource(SimulationConfig(protocol="study", duration_s=60, seed=3))
    labels = source.labels()
    shown = {unit for label in labels for unit in label.au}
    assert set(ACTION_UNITS) <= shown
    alone = [label for label in labels if len(label.au) == 1 and label.au[0] not in (45, SPEECH)]
    lengths = np.array([(label.offset_ns - label.onset_ns) / 1e9 for label in alone])
    assert (lengths <= 0.5).mean() > 0.6
    for label in labels:
        assert 0 <= label.onset_ns < label.apex_ns < label.offset_ns <= 60e9
        assert len(label.au) == len(label.intensity)
        assert all(0 < value <= 1 for value in label.intensity)
        assert "lux=" in label.condition and label.source == "simulator"


def test_a_neutral_session_has_blinks_and_speech_only() -> None:
    script = Script(SimulationConfig(protocol="neutral", duration_s=60, seed=8))
    assert {unit for expression in script.expressions for unit in expression.units} <= {45}
    still = Script(SimulationConfig(protocol="neutral", duration_s=60, seed=8, distractors=0.0))
    assert not still.expressions and not still.talks
    assert np.array_equal(still.pose(1.0).rotation, still.pose(2.0).rotation)


def test_poses_are_continuous() -> None:
    script = Script(SimulationConfig(protocol="study", duration_s=10, seed=2))
    times = np.arange(0, 10, 0.001)
    units = np.array([script.pose(t).units for t in times])
    assert np.abs(np.diff(units, axis=0)).max() < 0.08
    rotation = np.array([script.pose(t).rotation for t in times])
    assert np.abs(np.diff(rotation, axis=0)).max() < 0.002


def test_events_hardly_depend_on_the_rendering_rate() -> None:
    config = SimulationConfig(
        seed=12, duration_s=0.5, protocol="study", sensor_noise=0.0, frames_fps=0
    )
    counts = [
        len(events_of(list(SimulatedSource(replace(config, render_fps=fps, step_px=px)))))
        for fps, px in ((125, 0.3), (500, 0.1))
    ]
    assert counts[0] == pytest.approx(counts[1], rel=0.05)
    assert counts[0] > 300


def test_events_hardly_depend_on_finer_supersampling() -> None:
    luminance = np.array([0.2126, 0.7152, 0.0722], np.float32)
    counts = {2: 0, 4: 0}
    for seed in (14, 15):
        for samples in counts:
            scene = Scene(SimulationConfig(seed=seed, samples=samples, protocol="neutral"))
            silent = EventSensorConfig(shot_hz=0.0, leak_hz=0.0, hot_share=0.0)
            camera = EventSensor(silent, 180, 240, seed)
            for k in range(40):
                image = scene.render(0.008 * k) @ luminance
                counts[samples] += len(camera.see(image, 8000.0 * k))
    assert counts[4] > 500
    assert counts[2] == pytest.approx(counts[4], rel=0.3)


def test_settings_out_of_range_are_named() -> None:
    with pytest.raises(MxError, match="sensor='12x12'"):
        SimulationConfig(sensor="12x12")
    with pytest.raises(MxError, match="duration_s=0"):
        SimulationConfig(duration_s=0)
    with pytest.raises(MxError, match="seed=-1"):
        SimulationConfig(seed=-1)
