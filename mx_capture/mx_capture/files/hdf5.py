"""HDF5 event files: Prophesee's layout (`CD/events`) and that of DSEC (`events/x, y, p, t`).

Sources: Prophesee, "HDF5 Event File Format",
https://docs.prophesee.ai/stable/data/file_formats/hdf5.html; M. Gehrig et al., "DSEC: A Stereo
Event Camera Dataset for Driving Scenarios", IEEE RA-L 6(3), 2021, https://dsec.ifi.uzh.ch.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from mx_capture.errors import MxError
from mx_capture.files.packing import pack_events
from mx_capture.stream import EVENT_DTYPE, Packet

_BLOCK_EVENTS = 1 << 20
_KNOWN_SIZES = ((180, 240), (240, 304), (260, 346), (320, 320), (480, 640), (720, 1280))
_ECF_FILTER = 0x8ECF


class Hdf5Source:
    """Packets of an HDF5 event file; ROS time is sensor time, plus DSEC's `t_offset`.

    Where the file does not tell the sensor's size, it is the smallest common sensor that holds
    all events. Raises MxError for another layout, a missing compression filter, a damaged file,
    or one without events.
    """

    frame_size: tuple[int, int] | None = None

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._path = path
        _load_filters()
        with self._open() as file:
            columns, self._offset_us = self._columns(file)
            self._count = len(columns["t"])
            if not self._count:
                raise MxError(f"{path} holds no events; record or export it again")
            first_us = int(self._read(columns, 0, 1)["t"][0])
            last_us = int(self._read(columns, self._count - 1, self._count)["t"][0])
            self._size = self._told_size(file) or self._measured_size(columns)
        self.event_size: tuple[int, int] | None = self._size
        self.start_ns = (self._offset_us + first_us) * 1_000
        self.duration_ns = (last_us - first_us + 1) * 1_000

    def __iter__(self) -> Iterator[Packet]:
        return pack_events(self._blocks(), self._size, self._offset_us, self._path)

    def _blocks(self) -> Iterator[np.ndarray]:
        with self._open() as file:
            columns, _ = self._columns(file)
            for begin in range(0, self._count, _BLOCK_EVENTS):
                yield self._read(columns, begin, min(begin + _BLOCK_EVENTS, self._count))

    def _open(self) -> h5py.File:
        try:
            return h5py.File(self._path, "r")
        except OSError as error:
            raise MxError(
                f"{self._path} is no readable HDF5 file, or cut off; copy it again"
            ) from error

    def _columns(self, file: h5py.File) -> tuple[Any, int]:
        """Something with `x, y, p, t`, and the ROS time in microseconds where `t` is 0."""
        if "CD/events" in file:
            return _Compound(file["CD/events"]), 0
        if "events" in file and all(f"events/{name}" in file for name in "xypt"):
            lengths = {len(file[f"events/{name}"]) for name in "xypt"}
            if len(lengths) != 1:
                raise MxError(f"{self._path}: x, y, p and t differ in length; export it again")
            offset = int(file["t_offset"][()]) if "t_offset" in file else 0
            return file["events"], offset
        raise MxError(
            f"{self._path} has neither CD/events (Prophesee) nor events/x, y, p, t (DSEC); "
            f"it holds {', '.join(sorted(file)) or 'nothing'}"
        )

    def _read(self, columns: Any, begin: int, end: int) -> np.ndarray:
        events = np.empty(end - begin, EVENT_DTYPE)
        try:
            for name in "xyt":
                events[name] = columns[name][begin:end]
            events["p"] = columns["p"][begin:end] > 0
        except OSError as error:
            raise MxError(f"{self._path}: {_why_unreadable(columns)}") from error
        return events

    def _told_size(self, file: h5py.File) -> tuple[int, int] | None:
        for holder in (file, file.get("CD"), file.get("CD/events"), file.get("events")):
            attributes = dict(holder.attrs) if holder is not None else {}
            if match := re.fullmatch(r"(\d+)x(\d+)", _text(attributes.get("geometry", ""))):
                return int(match[2]), int(match[1])
            if {"height", "width"} <= set(attributes):
                return int(attributes["height"]), int(attributes["width"])
        return None

    def _measured_size(self, columns: Any) -> tuple[int, int]:
        height = width = 1
        for begin in range(0, self._count, _BLOCK_EVENTS):
            block = self._read(columns, begin, min(begin + _BLOCK_EVENTS, self._count))
            height = max(height, int(block["y"].max()) + 1)
            width = max(width, int(block["x"].max()) + 1)
        for size in _KNOWN_SIZES:
            if height <= size[0] and width <= size[1]:
                return size
        return height, width


class _Compound:
    """Reads single fields of a compound data set, as if it were a group of columns."""

    def __init__(self, dataset: h5py.Dataset) -> None:
        self.dataset = dataset

    def __getitem__(self, name: str) -> Any:
        return self.dataset.fields(name)


def _load_filters() -> None:
    """Blosc, zstd and others register themselves on import; plain and gzip files need none."""
    try:
        importlib.import_module("hdf5plugin")
    except ImportError:
        return


def _why_unreadable(columns: Any) -> str:
    dataset = columns.dataset if isinstance(columns, _Compound) else columns["t"]
    properties = dataset.id.get_create_plist()
    for number in range(properties.get_nfilters()):
        code, _, _, name = properties.get_filter(number)
        if h5py.h5z.filter_avail(code):
            continue
        if code == _ECF_FILTER:
            return (
                "its events are compressed with Prophesee's ECF; install that HDF5 plugin and set "
                "HDF5_PLUGIN_PATH, or import the RAW file"
            )
        return f"the HDF5 filter {name.decode() or code} is missing; `./mx setup files` adds it"
    return "its events cannot be read; the file is damaged, copy it again"


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
