"""The two ways from the bytes of a packet to histograms, behind one interface.

EVT3 goes through in one pass over its words. All other encodings are decoded to events first,
which are then binned; the results are identical.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from mx_capture.binning import bin_events
from mx_capture.binning_evt3 import bin_evt3
from mx_capture.codecs.decoder import TRIGGER_DTYPE, Decoder, Payload
from mx_capture.codecs.evt3 import COUNT_NAMES, Evt3Decoder
from mx_capture.layout import Window

_TRIGGER_ROOM = 256


@dataclass(slots=True)
class Chunk:
    """A packet on its way, kept so that it can be binned again."""

    words: np.ndarray
    """EVT3 words, or decoded events."""
    state: np.ndarray | None
    """The decoder's state in front of the words."""
    after_loss: bool
    """Whether packets are missing before this one."""
    end_us: int = 0
    """The time that the stream reached with this packet."""

    @property
    def size(self) -> int:
        """Words or events."""
        return len(self.words)


class OnePass:
    """From EVT3 words to cells."""

    def __init__(self, decoder: Evt3Decoder) -> None:
        self.decoder = decoder
        self._edges = np.empty(_TRIGGER_ROOM, TRIGGER_DTYPE)

    def begin(self, payload: Payload, time_base: int, after_loss: bool) -> Chunk:
        """Take up a packet."""
        return Chunk(self.decoder.words(payload), self.decoder.state.copy(), after_loss)

    def bin(self, chunk: Chunk, first: int, window: Window) -> tuple[int, int | None]:
        """Bin from index `first` on until the chunk or the window ends.

        Returns the next index and the time reached (None while unknown).
        """
        decoder, edges = self.decoder, self._edges
        at, now, timed, n_edges = bin_evt3(
            chunk.words, first, decoder.state, decoder.counts, *window.arguments, edges
        )
        if n_edges:
            decoder.add_triggers(edges[:n_edges].copy())
        return at, now if timed else None

    def replay(self, chunk: Chunk, window: Window) -> bool:
        """Bin a chunk of the past once more; returns whether it reached the window's end."""
        assert chunk.state is not None
        state, counts = chunk.state.copy(), np.zeros(len(COUNT_NAMES), np.uint64)
        at = 0
        while True:
            at, now, timed, _ = bin_evt3(
                chunk.words, at, state, counts, *window.arguments, self._edges
            )
            if timed and now >= window.end:
                return True
            if at == chunk.size:
                return False

    def events(self, chunk: Chunk) -> np.ndarray:
        """A chunk of the past as `(n,) EVENT_DTYPE`."""
        assert chunk.state is not None
        scratch = Evt3Decoder(self.decoder.height, self.decoder.width)
        scratch.state[:] = chunk.state
        return scratch.decode_words(chunk.words)


class TwoStep:
    """From any decoder's events to cells; the methods are those of `OnePass`."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder

    def begin(self, payload: Payload, time_base: int, after_loss: bool) -> Chunk:
        return Chunk(self.decoder.decode(payload, time_base), None, after_loss)

    def bin(self, chunk: Chunk, first: int, window: Window) -> tuple[int, int | None]:
        at = bin_events(chunk.words, first, *window.arguments)
        return at, int(chunk.words[at]["t"]) if at < chunk.size else self.decoder.time_us

    def replay(self, chunk: Chunk, window: Window) -> bool:
        return self.bin(chunk, 0, window)[0] < chunk.size

    def events(self, chunk: Chunk) -> np.ndarray:
        return chunk.words


Pass: TypeAlias = OnePass | TwoStep


def make_pass(decoder: Decoder, one_pass: bool = True) -> Pass:
    """One pass where the encoding has one and it is wanted, two steps otherwise."""
    if one_pass and isinstance(decoder, Evt3Decoder):
        return OnePass(decoder)
    return TwoStep(decoder)
