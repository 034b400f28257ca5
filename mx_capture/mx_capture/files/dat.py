"""Prophesee DAT files: decoded events, 8 bytes each, after a text header.

Two bytes after the header tell the kind of event and its size. An event is two little-endian
uint32: time in microseconds; x in bits 0..13, y in bits 14..27, polarity in bits 28..31.
Source: Prophesee, "DAT File Format", https://docs.prophesee.ai/stable/data/file_formats/dat.html
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mx_capture.errors import MxError
from mx_capture.files.packing import pack_events
from mx_capture.stream import EVENT_DTYPE, Packet

_EVENT_BYTES = 8
_CD_KINDS = (0x00, 0x0C)
_BLOCK_EVENTS = 1 << 20
_HEADER_LIMIT = 1 << 16


class DatSource:
    """Packets of a DAT file of CD events; ROS time is sensor time.

    Raises MxError for a header without the sensor's size, another kind of event, an empty file,
    and one that ends within an event.
    """

    frame_size: tuple[int, int] | None = None

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._path = path
        self._size, self._begin = _header(path)
        length = path.stat().st_size - self._begin
        if length % _EVENT_BYTES:
            whole = self._begin + length // _EVENT_BYTES * _EVENT_BYTES
            raise MxError(f"{path} is cut off within an event; shorten it by `truncate -s {whole}`")
        if not length:
            raise MxError(f"{path} holds no event; copy or record it again")
        self.event_size: tuple[int, int] | None = self._size
        blocks = self._blocks()
        bounds = [(int(block["t"].min()), int(block["t"].max())) for block in blocks]
        first_us, last_us = min(bounds)[0], max(last for _, last in bounds)
        self.start_ns = first_us * 1_000
        self.duration_ns = (last_us - first_us + 1) * 1_000

    def __iter__(self) -> Iterator[Packet]:
        return pack_events(self._blocks(), self._size, 0, self._path)

    def _blocks(self) -> Iterator[np.ndarray]:
        with self._path.open("rb") as file:
            file.seek(self._begin)
            while block := file.read(_BLOCK_EVENTS * _EVENT_BYTES):
                words = np.frombuffer(block, "<u4").reshape(-1, 2)
                events = np.empty(len(words), EVENT_DTYPE)
                events["t"] = words[:, 0]
                events["x"], events["y"] = words[:, 1] & 0x3FFF, words[:, 1] >> 14 & 0x3FFF
                events["p"] = words[:, 1] >> 28 & 1
                yield events


def _header(path: Path) -> tuple[tuple[int, int], int]:
    """(height, width) in pixels, and where the events begin."""
    with path.open("rb") as file:
        start = file.read(_HEADER_LIMIT)
    fields: dict[str, str] = {}
    length = 0
    while start[length : length + 1] == b"%" and b"\n" in start[length:]:
        end = start.index(b"\n", length)
        keyword, _, value = start[length + 1 : end].decode("latin-1").strip().partition(" ")
        fields[keyword.lower()] = value.strip()
        length = end + 1
    if len(start) < length + 2:
        raise MxError(f"{path} is cut off within its header; copy it again")
    kind, size = start[length], start[length + 1]
    if kind not in _CD_KINDS or size != _EVENT_BYTES:
        raise MxError(
            f"{path} holds events of kind {kind} and {size} bytes; only CD events are read"
        )
    try:
        return (int(fields["height"]), int(fields["width"])), length + 2
    except (KeyError, ValueError) as error:
        raise MxError(
            f"{path} does not tell its sensor's size; its header needs '% Width W' and '% Height H'"
        ) from error
