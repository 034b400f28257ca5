"""N-Caltech101 `.bin` files: 5 bytes an event, from an ATIS sensor.

Big endian: x (8 bits), y (8 bits), polarity (1 bit), time in microseconds (23 bits).
Source: G. Orchard et al., "Converting Static Image Datasets to Spiking Neuromorphic Datasets
Using Saccades", Frontiers in Neuroscience 9:437, 2015.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from mx_capture.errors import MxError
from mx_capture.files.packing import pack_events
from mx_capture.stream import EVENT_DTYPE, Packet

_EVENT_BYTES = 5
_ROLLOVER_US = 1 << 23


class NCaltechSource:
    """Packets of one `.bin` file; ROS time is sensor time.

    The format does not tell the sensor's size: it is taken as the smallest that holds all events.
    Raises MxError for an empty file and for one that ends within an event.
    """

    frame_size: tuple[int, int] | None = None

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._path = path
        data = path.read_bytes()
        if not data:
            raise MxError(f"{path} is empty; copy it again")
        if len(data) % _EVENT_BYTES:
            raise MxError(
                f"{path} ends within an event ({len(data)} bytes are no multiple of "
                f"{_EVENT_BYTES}); it is cut off or no N-Caltech file"
            )
        self._events = _parse(np.frombuffer(data, np.uint8).reshape(-1, _EVENT_BYTES))
        times = self._events["t"]
        self._size = (int(self._events["y"].max()) + 1, int(self._events["x"].max()) + 1)
        self.event_size: tuple[int, int] | None = self._size
        self.start_ns = int(times.min()) * 1_000
        self.duration_ns = int(times.max() - times.min() + 1) * 1_000

    def __iter__(self) -> Iterator[Packet]:
        return pack_events([self._events], self._size, 0, self._path)


def _parse(rows: np.ndarray) -> np.ndarray:
    events = np.empty(len(rows), EVENT_DTYPE)
    events["x"], events["y"] = rows[:, 0], rows[:, 1]
    events["p"] = rows[:, 2] >> 7
    wide = rows.astype(np.int64)
    times = (wide[:, 2] & 0x7F) << 16 | wide[:, 3] << 8 | wide[:, 4]
    steps_back = np.diff(times, prepend=times[0]) < -_ROLLOVER_US // 2
    events["t"] = times + np.cumsum(steps_back) * _ROLLOVER_US
    return events
