"""A slow EVT3 decoder and binner, written for being obviously right, and streams to try it on."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
from mx_capture.roi import Roi

Event = tuple[int, int, int, int]


class SlowDecoder:
    """Follows the format word by word; `take` returns what one word holds."""

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self.counts: Counter[str] = Counter()
        self.triggers: list[tuple[int, int, int]] = []
        self.rollovers = 0
        self.high = 0
        self.low = 0
        self.row = self.base = self.polarity = 0
        self.lose()

    def lose(self) -> None:
        self.has_high = self.has_low = self.has_row = self.has_base = False

    @property
    def now(self) -> int:
        return self.rollovers * 2**24 + self.high * 4096 + self.low

    @property
    def timed(self) -> bool:
        return self.has_high and self.has_low

    def take(self, word: int) -> list[Event]:
        self.counts["words"] += 1
        code, payload = word >> 12, word & 0xFFF
        if code == 0:
            self.counts["words_y"] += 1
            self.row, self.has_row = payload & 0x7FF, True
        elif code == 2:
            self.counts["words_x"] += 1
            return self._events([payload & 0x7FF], payload >> 11, True)
        elif code == 3:
            self.counts["words_vector"] += 1
            self.base, self.polarity, self.has_base = payload & 0x7FF, payload >> 11, True
        elif code in (4, 5):
            self.counts["words_vector"] += 1
            lanes = 12 if code == 4 else 8
            columns = [self.base + i for i in range(lanes) if payload >> i & 1]
            self.base += lanes
            return self._events(columns, self.polarity, self.has_base)
        elif code == 6:
            self.counts["words_time"] += 1
            if self.has_high:
                self.counts["time_backward"] += payload < self.low
                self.low, self.has_low = payload, True
        elif code == 8:
            self.counts["words_time"] += 1
            self._time_high(payload)
        elif code == 10:
            self.counts["words_trigger"] += 1
            if self.timed:
                self.counts["triggers"] += 1
                self.triggers.append((self.now, payload >> 8, payload & 1))
        else:
            self.counts["words_ignored"] += 1
        return []

    def _time_high(self, high: int) -> None:
        if self.has_high and high == self.high:
            return
        if self.high - high >= 2048:
            self.rollovers += 1
            self.counts["rollovers"] += 1
        elif high - self.high >= 4096 - 64 and self.rollovers:
            self.rollovers -= 1
            self.counts["time_backward"] += 1
        elif high < self.high:
            self.counts["time_backward"] += 1
        self.high, self.low, self.has_high = high, 0, True

    def _events(self, columns: list[int], polarity: int, based: bool) -> list[Event]:
        if not (self.timed and self.has_row and based):
            self.counts["dropped_before_time"] += len(columns)
            return []
        inside = [x for x in columns if x < self.width and self.row < self.height]
        self.counts["out_of_range"] += len(columns) - len(inside)
        self.counts["events"] += len(inside)
        return [(self.now, x, self.row, polarity) for x in inside]


class SlowTensors:
    """The hop windows of a TensorStream, event by event; `tensors` holds what was closed."""

    def __init__(self, decoder: SlowDecoder, hop: int, bins: int, crop: tuple[int, int]) -> None:
        self.decoder, self.hop, self.bins, self.crop = decoder, hop, bins, crop
        self.longest_gap = 1_000_000
        self.face_sets: list[tuple[int, dict[str, Roi]]] = []
        self.delay = 0
        self.open, self.start = False, 0
        self.faces: dict[str, Roi] = {}
        self.data: dict[str, np.ndarray] = {}
        self.counts: Counter[str] = Counter()
        self.tensors: list[tuple[str, int, int, np.ndarray, int, int]] = []

    def push(self, words: list[int]) -> None:
        for word in words:
            for event in self.decoder.take(word):
                self._count(event)
        if self.decoder.timed:
            self._reach(self.decoder.now)

    def _reach(self, t: int) -> None:
        if not self.open:
            self._begin(t // self.hop * self.hop)
        elif t < self.start - self.longest_gap:
            self.counts["time_jumps"] += 1
            self.close()
            self.face_sets = [entry for entry in self.face_sets if entry[0] <= t]
            self._begin(t // self.hop * self.hop)
        elif t >= self.start + self.hop + self.longest_gap:
            self.counts["gaps"] += 1
            self.close()
            self._begin(t // self.hop * self.hop)
        while t >= self.start + self.hop:
            self.close()
            self._begin(self.start + self.hop)

    def _begin(self, start: int) -> None:
        self.open, self.start = True, start
        known = [faces for t, faces in self.face_sets if t <= start - self.delay]
        if known:
            self.faces = known[-1]
        self.data = {f: np.zeros((self.bins, 2, *self.crop), np.int64) for f in self.faces}

    def close(self) -> None:
        for face, data in self.data.items():
            shown = np.minimum(data, 255).astype(np.uint8)
            full = int((data - shown).sum())
            self.counts["saturated"] += full
            self.tensors.append(
                (face, self.start, self.start + self.hop, shown, int(data.sum()), full)
            )

    def _count(self, event: Event) -> None:
        t, x, y, p = event
        self._reach(t)
        if t < self.start:
            self.counts["late"] += 1
            return
        if not self.faces:
            self.counts["no_face"] += 1
            return
        hit = False
        for face, roi in self.faces.items():
            column = math.floor((x + 0.5 - roi.x) * self.crop[1] / roi.width)
            row = math.floor((y + 0.5 - roi.y) * self.crop[0] / roi.height)
            if 0 <= column < self.crop[1] and 0 <= row < self.crop[0]:
                hit = True
                time_bin = (t - self.start) * self.bins // self.hop
                self.data[face][time_bin, p, row, column] += 1
        self.counts["in_roi" if hit else "outside_roi"] += 1


def random_words(rng: np.random.Generator, n: int, height: int, width: int) -> np.ndarray:
    """`n` words that look like a stream, with everything in it that should not be."""
    words = rng.integers(0, 1 << 16, n).astype(np.uint16)
    usual = rng.random(n) < 0.9
    codes = rng.choice(
        [0, 2, 3, 4, 5, 6, 8, 10, 9], n, p=[0.15, 0.4, 0.1, 0.12, 0.06, 0.12, 0.02, 0.01, 0.02]
    )
    fields = rng.integers(0, 1 << 12, n)
    is_row, is_column = codes == 0, (codes == 2) | (codes == 3)
    fields[is_row] = rng.integers(0, height + 2, is_row.sum())
    fields[is_column] = rng.integers(0, width + 3, is_column.sum()) | rng.choice(
        [0, 0x800], is_column.sum()
    )
    is_high = codes == 8
    steps = rng.choice([0, 1, 2, 30, 300, -1, -20, -400, 2100], is_high.sum())
    fields[is_high] = (4000 + np.cumsum(steps)) & 0xFFF
    words[usual] = ((codes << 12) | fields).astype(np.uint16)[usual]
    _insert_groups(words, rng, width)
    return words


def _insert_groups(words: np.ndarray, rng: np.random.Generator, width: int) -> None:
    """Complete vector groups, as sensors send them, at random places."""
    for at in rng.integers(0, max(len(words) - 4, 1), len(words) // 20):
        if at + 4 <= len(words):
            masks = rng.integers(0, 1 << 12, 3)
            base = int(rng.integers(0, width + 2)) | int(rng.choice([0, 0x800]))
            words[at : at + 4] = (
                0x3000 | base,
                0x4000 | masks[0],
                0x4000 | masks[1],
                0x5000 | masks[2],
            )


def cut(words: np.ndarray, rng: np.random.Generator, pieces: int) -> list[np.ndarray]:
    """The words in packets of random length, some of them empty."""
    return np.split(words, np.sort(rng.integers(0, len(words) + 1, pieces)))
