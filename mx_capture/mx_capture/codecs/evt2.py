"""EVT2, the older 32-bit event stream of Prophesee sensors; found in RAW files.

Little-endian uint32 words with their kind in bits 31..28:

- 0 CD_OFF, 1 CD_ON: low 6 bits of the time (27..22), x (21..11), y (10..0); one event.
- 8 TIME_HIGH: bits 33..6 of the time in microseconds.
- A EXT_TRIGGER: low 6 bits of the time (27..22), input (12..8), edge (0).
- others: ignored.

Source: Prophesee, "EVT 2.0 Format", https://docs.prophesee.ai/stable/data/encoding_formats/evt2.html
"""

from __future__ import annotations

import numpy as np

from mx_capture.codecs.decoder import TRIGGER_DTYPE, Decoder, Payload
from mx_capture.stream import EVENT_DTYPE

_WORD = np.dtype("<u4")
_RANGE = 1 << 28  # values of TIME_HIGH


class Evt2Decoder(Decoder):
    """EVT2 words to events.

    Further counters: `words`, `words_time`, `words_trigger`, `words_ignored`, `rollovers`.
    """

    encoding = "evt2"

    def __init__(self, height: int, width: int) -> None:
        super().__init__(height, width)
        names = ("words", "words_time", "words_trigger", "words_ignored", "rollovers")
        self._counts.update(dict.fromkeys(names, 0))
        self._high: int | None = None
        self._now: int | None = None

    def decode(self, payload: Payload, time_base: int = 0) -> np.ndarray:
        words = self._whole_words(payload, _WORD)
        kind = words >> 28
        is_event, is_time, is_trigger = kind <= 1, kind == 8, kind == 10
        high = self._high_at(words, is_time)
        times = (high << 6) | ((words >> 22) & 0x3F)
        timed = high >= 0
        x, y = (words >> 11) & 0x7FF, words & 0x7FF
        inside = (x < self.width) & (y < self.height)
        kept = is_event & timed & inside
        events = np.empty(int(kept.sum()), EVENT_DTYPE)
        events["t"], events["p"] = times[kept], kind[kept]
        events["x"], events["y"] = x[kept], y[kept]
        edges = is_trigger & timed
        triggers = np.empty(int(edges.sum()), TRIGGER_DTYPE)
        triggers["t"], triggers["edge"] = times[edges], words[edges] & 1
        triggers["id"] = (words[edges] >> 8) & 0x1F
        self.add_triggers(triggers)
        counted = {
            "words": len(words),
            "words_time": is_time.sum(),
            "words_trigger": is_trigger.sum(),
            "words_ignored": (~(is_event | is_time | is_trigger)).sum(),
            "events": len(events),
            "out_of_range": (is_event & timed & ~inside).sum(),
            "dropped_before_time": (is_event & ~timed).sum(),
        }
        for name, count in counted.items():
            self._counts[name] += int(count)
        known = times[(is_event | is_trigger) & timed]
        if len(known):
            self._now = int(known[-1])
        return events

    def _high_at(self, words: np.ndarray, is_time: np.ndarray) -> np.ndarray:
        """For each word the TIME_HIGH in force, `(n,) int64`, rollovers added; -1 before any."""
        first = -1 if self._high is None else self._high
        highs = np.concatenate(([first], (words[is_time] & (_RANGE - 1)).astype(np.int64)))
        if len(highs) > 1:
            falls = np.diff(highs % _RANGE if first >= 0 else highs) <= -_RANGE // 2
            self._counts["rollovers"] += int(falls.sum())
            passed = 0 if first < 0 else first // _RANGE
            highs[1:] += (passed + np.cumsum(falls)) * _RANGE
            self._high = int(highs[-1])
        return highs[np.cumsum(is_time)]

    def reset(self) -> None:
        self._high = self._now = None

    @property
    def time_us(self) -> int | None:
        return self._now
