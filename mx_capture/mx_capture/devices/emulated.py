"""A webcam or a video in place of an event camera: events made from its images.

They show that the pipeline works, and nothing about micro-expressions: an image every 33 ms holds
no more than it does, however many events are drawn between two of them.
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from mx_capture.config import Config, setting
from mx_capture.devices.live import Stream
from mx_capture.devices.uvc import UvcConfig, open_uvc
from mx_capture.errors import MxError
from mx_capture.stream import Frame, Label, Packet, Source

WARNING = (
    "EMULATED EVENTS: they are made from ordinary images. Good for trying the pipeline; "
    "scores and micro-expressions mean nothing"
)
_PACKET_US = 4_000
_DARK_LUX = 12.0
"""4% of white: the log of darker pixels would turn a webcam's noise and 8 bits into events."""
_LINEAR = ((np.arange(256) / 255) ** 2.2).astype(np.float32)


@dataclass(frozen=True)
class EmulationConfig(Config):
    """How events are made from images."""

    threshold: float = setting(
        0.2,
        "Change of log intensity that makes an event of images",
        minimum=0.02,
    )


def open_emulated(camera: UvcConfig, config: EmulationConfig) -> EmulatedStream:
    """Open a video device as an event camera. Raises MxError with the reason and the remedy."""
    return EmulatedStream(open_uvc(camera), config)


class EventsFromFrames:
    """Packets of events between images.

    An event fires whenever a pixel's log intensity has left its memory by the threshold, at a
    time interpolated between two images. Both share one clock: `time_base` is the stamp of the
    first image.
    """

    def __init__(self, size: tuple[int, int], config: EmulationConfig) -> None:
        """`size` is (height, width) of the images, and so of the event sensor."""
        # Other cameras start without waiting for the compiler.
        from mx_capture.codecs import Evt3Encoder
        from mx_capture.simulator.event_sensor import EventSensor, EventSensorConfig

        self.size = size
        self.counters: Counter[str] = Counter(emulated_events=0, images_out_of_order=0)
        self._sensor = EventSensor(
            EventSensorConfig(
                threshold_on=config.threshold,
                threshold_off=config.threshold,
                mismatch=0.0,
                cutoff_hz=0.0,
                dark_lux=_DARK_LUX,
                leak_hz=0.0,
                shot_hz=0.0,
                hot_share=0.0,
                refractory_us=0.0,
                jitter_us=0.0,
            ),
            *size,
            seed=0,
        )
        self._encoder = Evt3Encoder(*size)
        self._base_ns: int | None = None
        self._end_us = 0
        self._seq = 0

    def packets(self, frame: Frame) -> list[Packet]:
        """What happened since the frame before."""
        if self._base_ns is None:
            self._base_ns = frame.stamp_ns
        start_us, end_us = self._end_us, (frame.stamp_ns - self._base_ns) // 1000
        if self._seq and end_us <= start_us:
            self.counters["images_out_of_order"] += 1
            return []
        events = self._sensor.see(linear_light(frame.image), end_us)
        self.counters["emulated_events"] += len(events)
        self._end_us = end_us
        cuts = [*range(start_us + _PACKET_US, end_us, _PACKET_US), end_us]
        ends = np.searchsorted(events["t"], cuts)
        return [
            self._packet(events[first:last], cut_us)
            for first, last, cut_us in zip([0, *ends], ends, cuts, strict=False)
        ]

    def _packet(self, events: np.ndarray, end_us: int) -> Packet:
        assert self._base_ns is not None
        high, low = 0x8000 | end_us >> 12 & 0xFFF, 0x6000 | end_us & 0xFFF
        # Time goes on without events, as a sensor's does.
        payload = self._encoder.encode(events) + struct.pack("<2H", high, low)
        packet = Packet(
            stamp_ns=self._base_ns + 1000 * end_us,
            seq=self._seq,
            encoding="evt3",
            height=self.size[0],
            width=self.size[1],
            time_base=self._base_ns,
            events=payload,
        )
        self._seq += 1
        return packet


class EmulatedStream:
    """Images of a camera with events between them; a `Stream` on top of another one."""

    def __init__(self, camera: Stream, config: EmulationConfig) -> None:
        assert camera.frame_size is not None
        self._camera = camera
        self._events = EventsFromFrames(camera.frame_size, config)
        self.event_size: tuple[int, int] | None = camera.frame_size
        self.frame_size: tuple[int, int] | None = camera.frame_size
        self.name = f"events emulated from {camera.name}"

    @property
    def counters(self) -> Mapping[str, int]:
        """Emulated events, images whose stamp did not rise, and what the camera counts."""
        return {**self._events.counters, **self._camera.counters}

    def read(self) -> list[Packet | Frame]:
        """The next image, behind the events since the one before. Raises MxError like a camera."""
        items: list[Packet | Frame] = []
        for frame in self._camera.read():
            if isinstance(frame, Frame):
                items += [*self._events.packets(frame), frame]
        return items

    def facts(self) -> Mapping[str, str]:
        return {**self._camera.facts(), "emulated": WARNING}

    def close(self) -> None:
        self._camera.close()


class EmulatedSource:
    """The frames of a recording with events between them; a `Source` on top of another one."""

    def __init__(self, source: Source, config: EmulationConfig) -> None:
        """Raises MxError for a source without frames."""
        if source.frame_size is None:
            raise MxError(f"{source.name} holds neither events nor frames; give another recording")
        self._source, self._config, self._size = source, config, source.frame_size
        self.name = f"events emulated from {source.name}"
        self.event_size: tuple[int, int] | None = source.frame_size
        self.frame_size: tuple[int, int] | None = source.frame_size
        self.start_ns, self.duration_ns = source.start_ns, source.duration_ns

    def __iter__(self) -> Iterator[Packet | Frame | Label]:
        events = EventsFromFrames(self._size, self._config)
        for item in self._source:
            if isinstance(item, Frame):
                yield from events.packets(item)
            yield item


def linear_light(image: np.ndarray) -> np.ndarray:
    """`(H, W, 3) uint8` or grey, gamma 2.2, to `(H, W) float32` linear light, 0 to 1."""
    grey = image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    return _LINEAR[grey]
