"""`libcaer`: uncompressed events of iniVation cameras, 8 bytes each.

A little-endian uint32 holds polarity (bit 1), y (bits 2..16) and x (bits 17..31); an int32 the
time in microseconds. Absolute time is the packet's `time_base` in ns plus that; where it wraps
at 2**31 us inside a packet, the rest of the packet continues behind the wrap.
"""

from __future__ import annotations

import numpy as np

from mx_capture.codecs.decoder import Decoder, Payload
from mx_capture.stream import EVENT_DTYPE

_WORD = np.dtype("<u8")
_WRAP_US = 1 << 31


class LibcaerDecoder(Decoder):
    """Events of `libcaer` packets; `t` counts from 1970.

    Further counter: `negative_time`, events with a time that cannot be, dropped.
    """

    encoding = "libcaer"
    absolute_time = True

    def __init__(self, height: int, width: int) -> None:
        super().__init__(height, width)
        self._counts["negative_time"] = 0
        self._now: int | None = None

    def decode(self, payload: Payload, time_base: int = 0) -> np.ndarray:
        pairs = self._whole_words(payload, _WORD)
        address = pairs & np.uint64(0xFFFFFFFF)
        elapsed = (pairs >> np.uint64(32)).astype(np.uint32).view(np.int32).astype(np.int64)
        wraps = np.zeros(len(elapsed), np.int64)
        np.cumsum(np.diff(elapsed) <= -_WRAP_US // 2, out=wraps[1:])
        x, y = address >> np.uint64(17), (address >> np.uint64(2)) & np.uint64(0x7FFF)
        inside, timed = (x < self.width) & (y < self.height), elapsed >= 0
        kept = inside & timed
        events = np.empty(int(kept.sum()), EVENT_DTYPE)
        events["t"] = (elapsed + wraps * _WRAP_US)[kept] + time_base // 1000
        events["x"], events["y"] = x[kept], y[kept]
        events["p"] = (address[kept] >> np.uint64(1)) & np.uint64(1)
        self._counts["events"] += len(events)
        self._counts["negative_time"] += int((~timed).sum())
        self._counts["out_of_range"] += int((timed & ~inside).sum())
        if len(events):
            self._now = int(events["t"][-1])
        return events

    def reset(self) -> None:
        self._now = None

    @property
    def time_us(self) -> int | None:
        return self._now
