"""Prophesee RAW files, EVT3 and EVT2: a text header, then the bytes of the camera.

Source: Prophesee, "RAW File Format", https://docs.prophesee.ai/stable/data/file_formats/raw.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numba import njit

from mx_capture.codecs import make_decoder
from mx_capture.errors import MxError
from mx_capture.files.packing import pack_events
from mx_capture.stream import Packet

_BLOCK_BYTES = 1 << 22
_WINDOW_BITS = 11  # A packet covers 2048 us.
_HEADER_LIMIT = 1 << 16
_WORD_BYTES = {"EVT3": 2, "EVT2": 4}
# Sensors whose older recordings do not tell their size, by what their plugin is called.
_SIZES = {
    "gen31": (480, 640),
    "gen3": (480, 640),
    "imx636": (720, 1280),
    "gen4": (720, 1280),
    "genx320": (320, 320),
}


@dataclass(frozen=True)
class RawHeader:
    """What the header tells: encoding, (height, width) in pixels, and its own length in bytes."""

    encoding: str
    size: tuple[int, int]
    length: int


class RawSource:
    """Packets of a RAW file; ROS time is sensor time.

    EVT3 passes through unchanged, cut before the time word that opens a new window of 2.048 ms.
    EVT2 is decoded and encoded as EVT3. The file is read once at the start to find the cuts.
    Raises MxError for a missing or unknown header, another encoding, or a file that is cut off.
    """

    frame_size: tuple[int, int] | None = None

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._path = path
        self.header = read_header(path)
        self.event_size: tuple[int, int] | None = self.header.size
        word = _WORD_BYTES[self.header.encoding]
        length = path.stat().st_size
        excess = (length - self.header.length) % word
        if excess:
            raise MxError(
                f"{path} is cut off within a word; shorten it by `truncate -s {length - excess}`"
            )
        if self.header.encoding == "EVT3":
            self._cuts, ends_us = _index(path, self.header.length)
            if not len(ends_us):
                raise MxError(f"{path} holds no EVT3 time; it is empty or damaged, copy it again")
            self._ends_us = ends_us
            first_us, last_us = int(ends_us[0]) - (1 << _WINDOW_BITS), int(ends_us[-1])
        else:
            first_us, last_us = self._span()
        self.start_ns = first_us * 1_000
        self.duration_ns = (last_us - first_us) * 1_000

    def __iter__(self) -> Iterator[Packet]:
        if self.header.encoding == "EVT2":
            return pack_events(self._evt2_blocks(), self.header.size, 0, self._path)
        return self._evt3_packets()

    def _evt3_packets(self) -> Iterator[Packet]:
        height, width = self.header.size
        with self._path.open("rb") as file:
            file.seek(int(self._cuts[0]))
            for seq, end_us in enumerate(self._ends_us):
                events = file.read(int(self._cuts[seq + 1] - self._cuts[seq]))
                yield Packet(int(end_us) * 1_000, seq, "evt3", height, width, 0, events)

    def _evt2_blocks(self) -> Iterator[np.ndarray]:
        decoder = make_decoder("evt2", *self.header.size)
        with self._path.open("rb") as file:
            file.seek(self.header.length)
            while block := file.read(_BLOCK_BYTES):
                yield decoder.decode(block)

    def _span(self) -> tuple[int, int]:
        """First and one past the last time of the events, in microseconds."""
        times = (block["t"] for block in self._evt2_blocks() if len(block))
        bounds = [(int(block.min()), int(block.max())) for block in times]
        if not bounds:
            raise MxError(f"{self._path} holds no EVT2 event; it is damaged, copy it again")
        return min(bounds)[0], max(last for _, last in bounds) + 1


def read_header(path: Path) -> RawHeader:
    """Parse the `% keyword value` lines; raises MxError naming what is missing or unknown."""
    with path.open("rb") as file:
        start = file.read(_HEADER_LIMIT)
    fields: dict[str, str] = {}
    length = 0
    while start[length : length + 2] == b"% ":
        end = start.find(b"\n", length)
        if end < 0:
            raise MxError(f"{path} is cut off within its header; copy it again")
        keyword, _, value = start[length + 2 : end].decode("latin-1").strip().partition(" ")
        length = end + 1
        if keyword == "end":
            break
        fields[keyword] = value.strip()
    if not fields:
        raise MxError(f"{path} has no Prophesee RAW header; it is empty or no RAW file")
    return RawHeader(_encoding(path, fields), _size(path, fields), length)


def _encoding(path: Path, fields: dict[str, str]) -> str:
    told = fields.get("format", "").partition(";")[0] or f"EVT{fields.get('evt', '')}"
    encoding = told.replace(" ", "").removesuffix(".0")
    if encoding not in _WORD_BYTES:
        raise MxError(
            f"{path} is encoded as {told!r}; known are EVT2 and EVT3, "
            "convert it with Metavision's file_to_hdf5 or record again in EVT3"
        )
    return encoding


def _size(path: Path, fields: dict[str, str]) -> tuple[int, int]:
    told = dict(re.findall(r"(height|width)=(\d+)", fields.get("format", "")))
    if len(told) == 2:
        return int(told["height"]), int(told["width"])
    if match := re.fullmatch(r"(\d+)x(\d+)", fields.get("geometry", "")):
        return int(match[2]), int(match[1])
    for sensor, size in _SIZES.items():
        if sensor in fields.get("plugin_name", ""):
            return size
    raise MxError(
        f"{path} does not tell its sensor's size; add '% geometry WIDTHxHEIGHT' to its header"
    )


def _index(path: Path, header_bytes: int) -> tuple[np.ndarray, np.ndarray]:
    """Where packets begin and end: `(n + 1,)` byte offsets, and `(n,)` window ends in us."""
    state = np.full(3, -1, np.int64)
    offsets, ends = [], []
    with path.open("rb") as file:
        begin = file.seek(header_bytes)
        while block := file.read(_BLOCK_BYTES):
            words = np.frombuffer(block, "<u2")
            cuts, windows = np.empty(len(words), np.int64), np.empty(len(words), np.int64)
            n = _find_cuts(words, state, cuts, windows)
            offsets.append(begin + 2 * cuts[:n])
            ends.append((windows[:n] + 1) << _WINDOW_BITS)
            begin += len(block)
    if not offsets:
        return np.empty(0, np.int64), np.empty(0, np.int64)
    # A sensor's small steps back must not make stamps go back.
    ends_us = np.maximum.accumulate(np.concatenate(ends))
    return np.append(np.concatenate(offsets), begin), ends_us


@njit(cache=True)
def _find_cuts(words, state, cuts, windows):
    """Positions of the EVT3 time words that open a window, and the windows; returns how many.

    `state`, kept between blocks: the TIME_HIGH with its rollovers, TIME_LOW, and the window.
    """
    high, low, window = state
    n = 0
    for i in range(len(words)):
        kind = words[i] >> 12
        value = np.int64(words[i] & 0xFFF)
        if kind == 8:
            if high < 0:
                high, low = value, 0
            elif value != high & 0xFFF:
                step = value - (high & 0xFFF)
                if step <= -2048:
                    step += 4096
                high, low = high + step, 0
        elif kind == 6 and high >= 0:
            low = value
        else:
            continue
        now = (high << 12 | low) >> _WINDOW_BITS
        if now != window:
            window = now
            cuts[n], windows[n] = i, now
            n += 1
    state[0], state[1], state[2] = high, low, window
    return n
