"""The packets of the last moments, so that any window of them can be binned again."""

from __future__ import annotations

from collections import deque

from mx_capture.passes import Chunk

# Sensors step back in time by some microseconds: a packet may hold events from after its end.
_STEP_BACK_US = 5_000


class PacketBuffer:
    """Keeps packets until the stream is `duration_us` beyond them."""

    def __init__(self, duration_us: int) -> None:
        self.duration_us = duration_us
        self._chunks: deque[Chunk] = deque()
        self._start_us: int | None = None

    @property
    def kept(self) -> tuple[int, int] | None:
        """The sensor time from which on and up to which all is kept; None while nothing is."""
        if self._start_us is None or not self._chunks:
            return None
        return self._start_us, self._chunks[-1].end_us

    def clear(self, start_us: int | None = None) -> None:
        """Forget everything; keep again from `start_us` on, or from the end of the next packet."""
        self._chunks.clear()
        self._start_us = start_us

    def add(self, chunk: Chunk, now_us: int) -> None:
        """Keep a packet with which the stream reached `now_us`."""
        if self._start_us is None:
            # Part of this packet is from before a jump back in time: it cannot be binned again.
            self._start_us = now_us
            return
        chunk.end_us = max(now_us, self._chunks[-1].end_us) if self._chunks else now_us
        self._chunks.append(chunk)
        while self._chunks[0].end_us < now_us - self.duration_us:
            self._start_us = self._chunks.popleft().end_us

    def covering(self, start_us: int, end_us: int) -> list[Chunk] | None:
        """The packets that hold `[start_us, end_us)`; None unless all of it is kept."""
        kept = self.kept
        if kept is None or not kept[0] <= start_us <= end_us <= kept[1]:
            return None
        chunks: list[Chunk] = []
        for chunk in reversed(self._chunks):
            if chunk.end_us < start_us - _STEP_BACK_US:
                break
            chunks.append(chunk)
        return chunks[::-1]
