"""`mono`: the first encoding of the ROS event packages, deprecated, 8 bytes an event.

A little-endian uint64 holds polarity (bit 63), y (bits 48..62), x (bits 32..47) and the time
since the packet's `time_base` in ns (bits 0..31).
"""

from __future__ import annotations

import numpy as np

from mx_capture.codecs.decoder import Decoder, Payload
from mx_capture.stream import EVENT_DTYPE

_WORD = np.dtype("<u8")


class MonoDecoder(Decoder):
    """Events of `mono` packets; `t` contains `time_base`, rounded down to microseconds."""

    encoding = "mono"
    absolute_time = True

    def __init__(self, height: int, width: int) -> None:
        super().__init__(height, width)
        self._now: int | None = None

    def decode(self, payload: Payload, time_base: int = 0) -> np.ndarray:
        words = self._whole_words(payload, _WORD)
        x = (words >> np.uint64(32)) & np.uint64(0xFFFF)
        y = (words >> np.uint64(48)) & np.uint64(0x7FFF)
        kept = (x < self.width) & (y < self.height)
        events = np.empty(int(kept.sum()), EVENT_DTYPE)
        base_us, base_ns = divmod(time_base, 1000)
        elapsed_ns = (words[kept] & np.uint64(0xFFFFFFFF)).astype(np.int64)
        events["t"] = base_us + (elapsed_ns + base_ns) // 1000
        events["x"], events["y"], events["p"] = x[kept], y[kept], words[kept] >> np.uint64(63)
        self._counts["events"] += len(events)
        self._counts["out_of_range"] += len(words) - len(events)
        if len(events):
            self._now = int(events["t"][-1])
        return events

    def reset(self) -> None:
        self._now = None

    @property
    def time_us(self) -> int | None:
        return self._now
