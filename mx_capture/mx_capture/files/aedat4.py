"""AEDAT4, the file format of iniVation cameras: events and frames of one sensor."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import aedat
import cv2
import numpy as np

from mx_capture.errors import MxError
from mx_capture.files.ordering import in_stamp_order, stamp_of
from mx_capture.files.packing import pack_events
from mx_capture.stream import EVENT_DTYPE, Frame, Packet


class Aedat4Source:
    """Packets of the first event stream and frames of the first frame stream.

    Stamps are the file's own, microseconds since 1970; a frame has the middle of its exposure.
    The file is read once at the start, so that a damaged one is known before it plays.
    Raises MxError for a file that is no AEDAT4, is cut off, or has neither events nor frames.
    """

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._path = path
        self._event_stream, self.event_size = self._find("events")
        self._frame_stream, self.frame_size = self._find("frame")
        first_us, last_us = self._span()
        self._base_us = first_us
        self.start_ns = first_us * 1_000
        self.duration_ns = (last_us - first_us + 1) * 1_000

    def __iter__(self) -> Iterator[Packet | Frame]:
        return in_stamp_order(self._interleaved())  # type: ignore[return-value]

    def _interleaved(self) -> Iterator[Packet | Frame]:
        """Frames as they come in the file between packets, which are packed window by window."""
        frames: list[Frame] = []
        if self.event_size is not None:
            blocks = self._event_blocks(frames)
            for packet in pack_events(blocks, self.event_size, self._base_us, self._path):
                yield from _drain(frames)
                yield packet
            yield from _drain(frames)
            return
        for raw in self._packets():
            if raw["stream_id"] == self._frame_stream:
                yield _frame(raw["frame"])

    def _event_blocks(self, frames: list[Frame]) -> Iterator[np.ndarray]:
        """Event blocks; frames met on the way are left in `frames`."""
        for packet in self._packets():
            if packet["stream_id"] == self._frame_stream:
                frames.append(_frame(packet["frame"]))
            elif packet["stream_id"] == self._event_stream:
                yield self._events(packet["events"])

    def _events(self, raw: np.ndarray) -> np.ndarray:
        events = np.empty(len(raw), EVENT_DTYPE)
        events["t"] = raw["t"].astype(np.int64) - self._base_us
        events["x"], events["y"], events["p"] = raw["x"], raw["y"], raw["on"]
        return events

    def _find(self, kind: str) -> tuple[int | None, tuple[int, int] | None]:
        try:
            streams = aedat.Decoder(self._path).id_to_stream()
        except RuntimeError as error:
            raise MxError(f"{self._path} is no readable AEDAT4 file ({_line(error)})") from error
        for number, stream in sorted(streams.items()):
            if stream["type"] == kind:
                return number, (stream["height"], stream["width"])
        return None, None

    def _span(self) -> tuple[int, int]:
        """First and last time in the file, in microseconds."""
        bounds: list[int] = []
        for packet in self._packets():
            if packet["stream_id"] == self._event_stream and len(packet["events"]):
                times = packet["events"]["t"]
                bounds = _widen(bounds, int(times.min()), int(times.max()))
            elif packet["stream_id"] == self._frame_stream:
                middle = stamp_of(_frame(packet["frame"])) // 1_000
                bounds = _widen(bounds, middle, middle)
        if not bounds:
            raise MxError(f"{self._path} holds neither events nor frames; record it again")
        return bounds[0], bounds[1]

    def _packets(self) -> Iterator[dict[str, Any]]:
        decoder = iter(aedat.Decoder(self._path))
        while True:
            try:
                packet = next(decoder)
            except StopIteration:
                return
            except RuntimeError as error:
                raise MxError(
                    f"{self._path} is damaged or cut off ({_line(error)}); copy it again"
                ) from error
            yield packet


def _drain(frames: list[Frame]) -> Iterable[Frame]:
    drained, frames[:] = frames[:], []
    return drained


def _widen(bounds: list[int], low: int, high: int) -> list[int]:
    return [min(low, bounds[0]), max(high, bounds[1])] if bounds else [low, high]


def _frame(raw: dict[str, Any]) -> Frame:
    pixels = raw["pixels"]
    if pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    if raw["format"] == "RGBA":
        pixels = cv2.cvtColor(pixels, cv2.COLOR_RGBA2RGB)
    middle_us = (raw["exposure_begin_t"] + raw["exposure_end_t"]) // 2
    return Frame((middle_us or raw["t"]) * 1_000, np.ascontiguousarray(pixels))


def _line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__
