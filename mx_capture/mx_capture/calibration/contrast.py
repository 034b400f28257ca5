"""Pictures from events: what moves or blinks, at the moments of RGB frames."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np

from mx_capture.clock import make_clock
from mx_capture.codecs import Decoder, make_decoder
from mx_capture.errors import MxError
from mx_capture.stream import EVENT_DTYPE, Frame, Packet, Source

_MEMORY_US = 250_000
"""Time constant with which a change is forgotten, before and after the moment of a picture."""
_REACH_US = 3 * _MEMORY_US
_WAITING_FRAMES = 60
_LOG_RANGE = 1.2
"""Log intensity from rest to white: reads most tags (measured)."""
REST = int(255 / np.exp(_LOG_RANGE))
"""Grey level of a pixel that nothing happens to."""


@dataclass(frozen=True)
class Pair:
    """Both sensors at one moment: RGB or grey `(H, W[, 3]) uint8`, and events.

    `contrast`: (H, W) float32, the log intensity of what moves or blinks, in contrast
    thresholds. `change`: (H, W) float32, that since the frame before, nothing else.
    """

    stamp_ns: int
    image: np.ndarray
    contrast: np.ndarray
    change: np.ndarray

    def picture(self) -> np.ndarray:
        """`contrast` as light: (H, W) uint8, `REST` where all rests."""
        # A median takes single hot pixels out; the percentile keeps others from setting the scale.
        contrast = cv2.medianBlur(self.contrast, 3)
        extreme = max(float(np.percentile(np.abs(contrast), 98.0)), 0.5)
        return np.minimum(REST * np.exp(contrast / extreme * _LOG_RANGE), 255.0).astype(np.uint8)


def pairs(rgb: Source, events: Source, clock_mode: str = "shared") -> Iterator[Pair]:
    """Frames of `rgb` with the events of the same moment, in order of time.

    Both may be one source. Raises MxError if frames or events are missing.
    """
    if rgb.frame_size is None:
        raise MxError(f"{rgb.name} has no frames; give a source with RGB frames")
    if events.event_size is None:
        raise MxError(f"{events.name} has no events; give a source with events")
    clock = make_clock(clock_mode)
    decoder: Decoder | None = None
    contrast = _ZeroPhaseContrast(*events.event_size)
    frames: deque[Frame] = deque(maxlen=_WAITING_FRAMES)
    for item in _merged(rgb, events):
        if isinstance(item, Frame):
            frames.append(item)
        else:
            decoder = decoder or make_decoder(item.encoding, item.height, item.width)
            contrast.take(decoder.decode(item.events, item.time_base))
        if decoder is None or decoder.time_us is None:
            continue
        if isinstance(item, Packet):
            clock.observe(item, decoder.time_us)
        while frames and clock.ready:
            moment_us = clock.sensor_us(frames[0].stamp_ns)
            if moment_us > decoder.time_us:
                break
            yield from contrast.add_moment(frames.popleft(), moment_us)
    yield from contrast.rest()


@dataclass
class _Moment:
    frame: Frame
    t_us: int
    past: np.ndarray
    future: np.ndarray
    change: np.ndarray


class _ZeroPhaseContrast:
    """Log intensity around each frame, from the events before and after it alike.

    A leaky sum of past polarities (the high-pass reconstruction of Scheerlinck, Barnes and Mahony
    2018) lags behind what moves; the negative sum of future ones leads by as much. Their mean
    does neither, which moves the corners of a board by up to a pixel less.
    """

    def __init__(self, height: int, width: int) -> None:
        self._shape = height, width
        self._events: np.ndarray = np.empty(0, EVENT_DTYPE)
        self._past = np.zeros(self._shape, np.float32)
        self._last_us: int | None = None
        self._moments: deque[_Moment] = deque()

    def take(self, events: np.ndarray) -> None:
        self._events = np.concatenate([self._events, events])

    def add_moment(self, frame: Frame, t_us: int) -> Iterator[Pair]:
        """Pairs that the events up to this moment complete; those of the frame come later."""
        before = self._events["t"] < t_us
        events, self._events = self._events[before], self._events[~before]
        last_us = t_us if self._last_us is None else self._last_us
        polarity = events["p"] * 2.0 - 1.0
        to_last = self._image(events, polarity * np.exp((last_us - events["t"]) / _MEMORY_US))
        to_now = self._image(events, polarity * np.exp((events["t"] - t_us) / _MEMORY_US))
        for moment in self._moments:
            moment.future += np.float32(np.exp((moment.t_us - last_us) / _MEMORY_US)) * to_last
        self._past = self._past * np.float32(np.exp((last_us - t_us) / _MEMORY_US)) + to_now
        self._last_us = t_us
        change = self._image(events, polarity)
        self._moments.append(
            _Moment(frame, t_us, self._past, np.zeros(self._shape, np.float32), change)
        )
        while t_us - self._moments[0].t_us > _REACH_US:
            yield self._pair(self._moments.popleft())

    def rest(self) -> Iterator[Pair]:
        """The last pairs, without a future of full length."""
        while self._moments:
            yield self._pair(self._moments.popleft())

    def _pair(self, moment: _Moment) -> Pair:
        contrast = (moment.past - moment.future) / 2
        return Pair(moment.frame.stamp_ns, moment.frame.image, contrast, moment.change)

    def _image(self, events: np.ndarray, weights: np.ndarray) -> np.ndarray:
        height, width = self._shape
        pixel = events["y"].astype(np.int64) * width + events["x"]
        total = np.bincount(pixel, weights, height * width)
        return total.reshape(self._shape).astype(np.float32)


def _merged(rgb: Source, events: Source) -> Iterator[Packet | Frame]:
    if rgb is events:
        return (item for item in rgb if isinstance(item, (Packet, Frame)))
    frames = (item for item in rgb if isinstance(item, Frame))
    packets = (item for item in events if isinstance(item, Packet))
    return heapq.merge(frames, packets, key=lambda item: item.stamp_ns)
