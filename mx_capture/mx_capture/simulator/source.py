"""A simulated session as a source of packets, frames and labels."""

from __future__ import annotations

import struct
from collections.abc import Iterator

import numpy as np

from mx_capture.codecs import Evt3Encoder
from mx_capture.files.ordering import in_stamp_order
from mx_capture.simulator.config import SimulationConfig
from mx_capture.simulator.event_sensor import EventSensor, draw_sensor
from mx_capture.simulator.rgb_sensor import RgbSensor, RgbSensorConfig
from mx_capture.simulator.scene import Scene
from mx_capture.simulator.script import SPEECH, Script
from mx_capture.stream import EVENT_DTYPE, Frame, Label, Packet

LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)
"""Light that the event sensor sees of linear RGB (ITU-R BT.709)."""
_PACKET_US = 4_000
_FLICKER_STEP_US = 1000.0
_FINEST_STEP_US = 500.0


class SimulatedSource:
    """One person before an event camera and an RGB camera that share their optics.

    Implements `Source`. Iterating renders as it goes; the same configuration always gives the
    same bytes. Sensor time 0 is ROS time 0.
    """

    def __init__(self, config: SimulationConfig | None = None) -> None:
        self.config = config or SimulationConfig()
        self.script = Script(self.config)
        self.name = f"simulated {self.config.protocol}, seed {self.config.seed}"
        self.event_size: tuple[int, int] | None = self.config.size
        self.frame_size: tuple[int, int] | None = (
            self.config.size if self.config.frames_fps else None
        )
        self.start_ns = 0
        self.duration_ns = round(self.config.duration_s * 1e9)
        self.subject = f"sim{self.config.person:06d}"

    def labels(self) -> list[Label]:
        """All labels of the session, by offset."""
        condition = self.condition()
        labels = [
            Label(
                self.subject,
                expression.units,
                expression.intensity,
                round(expression.onset_s * 1e9),
                round(expression.apex_s * 1e9),
                round(expression.offset_s * 1e9),
                "simulator",
                condition,
            )
            for expression in self.script.expressions
        ]
        for start, end in self.script.talks:
            onset, apex, offset = (round(t * 1e9) for t in (start, (start + end) / 2, end))
            labels.append(
                Label(self.subject, (SPEECH,), (1.0,), onset, apex, offset, "simulator", condition)
            )
        return sorted(labels, key=lambda label: label.offset_ns)

    def condition(self) -> str:
        """The circumstances as `name=value` pairs."""
        light = self.script.light
        flicker = light.flicker_hz if light.flicker_depth > 0 else 0
        return (
            f"lighting={light.name} lux={light.lux:.0f} flicker_hz={flicker:.0f} "
            f"flicker_depth={light.flicker_depth:.2f} protocol={self.config.protocol} "
            f"sensor={self.config.sensor}"
        )

    def __iter__(self) -> Iterator[Packet | Frame | Label]:
        """Items in the order of their stamps; a label at its offset."""
        # A frame is stamped in the middle of its exposure but known at the end.
        return in_stamp_order(self._render(), slack_ns=100_000_000)

    def _render(self) -> Iterator[Packet | Frame | Label]:
        """All items, less than 0.1 s out of order."""
        labels = self.labels()
        config = self.config
        scene = Scene(config)
        height, width = config.size
        lux = self.script.light.lux
        sensor = EventSensor(
            draw_sensor(config.sensor, config.seed, config.sensor_noise),
            height, width, config.seed, lux,
        )  # fmt: skip
        encoder = Evt3Encoder(height, width)
        rgb = RgbSensor(RgbSensorConfig(), config.seed, lux)
        image = scene.render(0.0).copy()
        rgb.settle(image)
        exposure = rgb.exposure_us
        sensor.see(image @ LUMINANCE, 0.0, self._gains(0.0, 0.0))
        end_us = round(config.duration_s * 1e6)
        last_us, sequence, frame, cut_us = 0.0, 0, 0, 0
        held: np.ndarray = np.zeros(0, EVENT_DTYPE)
        for now_us in self._times(scene):
            before = image
            image = scene.render(now_us * 1e-6).copy()
            gains = self._gains(last_us, now_us)
            held = np.concatenate([held, sensor.see(image @ LUMINANCE, now_us, gains)])
            while config.frames_fps:
                middle = (frame + 0.5) * 1e6 / config.frames_fps
                begin, stop = middle - exposure / 2, middle + exposure / 2
                overlap = min(stop, now_us) - max(begin, last_us)
                if overlap > 0:
                    rgb.gather((before + image) * np.float32(0.5 * gains.mean()), overlap)
                if stop > now_us or stop > end_us:
                    break
                yield Frame(round(middle * 1000), rgb.develop(frame))
                frame += 1
            last_us = now_us
            while cut_us < end_us and now_us >= min(cut_us + _PACKET_US, end_us):
                cut_us = min(cut_us + _PACKET_US, end_us)
                count = int(np.searchsorted(held["t"], cut_us))
                # In silence a sensor still tells the time.
                payload = encoder.encode(held[:count]) or _time_high(cut_us)
                held = held[count:]
                packet = Packet(
                    cut_us * 1000, sequence, encoder.encoding, height, width, 0, payload
                )
                sequence += 1
                yield packet

            while labels and labels[0].offset_ns <= now_us * 1000:
                yield labels.pop(0)
        yield from labels

    def _times(self, scene: Scene) -> Iterator[float]:
        """Times in us to render: even ones, and more of them where the face moves fast."""
        config = self.config
        count = max(1, round(config.duration_s * config.render_fps))
        step = config.duration_s * 1e6 / count
        for number in range(count):
            start = number * step
            travel = scene.travel_px(start * 1e-6, (start + step) * 1e-6)
            pieces = max(1, int(np.ceil(min(travel / config.step_px, step / _FINEST_STEP_US))))
            for piece in range(pieces):
                yield start + step * (piece + 1) / pieces

    def _gains(self, start_us: float, end_us: float) -> np.ndarray:
        """Factors on all light at even times from start to end."""
        light = self.script.light
        pieces = 1
        if light.flicker_depth > 0:
            pieces = max(1, int(np.ceil((end_us - start_us) / _FLICKER_STEP_US)))
        return light.gain(np.linspace(start_us, end_us, pieces + 1) * 1e-6)


def _time_high(time_us: int) -> bytes:
    """A packet with the time alone: EVT3's TIME_HIGH word, bits 12 to 23 of the time."""
    return struct.pack("<H", 0x8000 | (time_us >> 12 & 0xFFF))
