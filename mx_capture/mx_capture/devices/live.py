"""A source without an end: what a camera sends, for as long as it is plugged in, and after."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Protocol

from mx_capture.errors import MxError
from mx_capture.stream import Frame, Packet


class Stream(Protocol):
    """A camera that is open. Its items carry host time; its packets are numbered from 0."""

    name: str
    event_size: tuple[int, int] | None
    frame_size: tuple[int, int] | None

    @property
    def counters(self) -> Mapping[str, int]:
        """What was counted since it was opened."""

    def read(self) -> Sequence[Packet | Frame]:
        """What has come; waits a fraction of a second at most. Raises MxError when it is gone."""

    def facts(self) -> Mapping[str, str]:
        """What a user wants to know about this camera: its serial number, its temperature."""

    def close(self) -> None:
        """Give the camera free; nothing is read afterwards."""


class LiveSource:
    """Plays a camera, opens it again after an unplug, and counts how often.

    Items come with host time and must not be paced. The camera is open from the start, so that
    one that is missing is known before anything runs: raises MxError then. Afterwards it is tried
    again every `retry_s`, and `problem` says why it is away. The numbers of its packets go on
    over an unplug with one left out, which tells readers that sensor time starts anew.
    """

    start_ns = 0
    duration_ns = 0

    def __init__(self, open_stream: Callable[[], Stream], retry_s: float = 1.0) -> None:
        self._open, self._retry_s = open_stream, retry_s
        self._stopped = threading.Event()
        self._lock = threading.Lock()
        self._past: Counter[str] = Counter(unplugged=0, reopened=0)
        self._next_seq = 0
        self.problem: str | None = None
        """Why nothing comes at the moment, and what to do about it."""
        self._stream: Stream | None = open_stream()
        self.name = self._stream.name
        self.event_size = self._stream.event_size
        self.frame_size = self._stream.frame_size

    def __iter__(self) -> Iterator[Packet | Frame]:
        """Items as they come, until `stop`; a `stop` from now on counts."""
        self._stopped.clear()
        return self._items()

    def _items(self) -> Iterator[Packet | Frame]:
        first_seq = self._next_seq
        try:
            while not self._stopped.is_set():
                if self._stream is None:
                    if not self._reopen():
                        self._stopped.wait(self._retry_s)
                        continue
                    first_seq = self._next_seq = self._next_seq + 1
                for item in self._read():
                    if isinstance(item, Packet):
                        item = replace(item, seq=first_seq + item.seq)
                        self._next_seq = item.seq + 1
                    yield item
        finally:
            self.close()

    def stop(self) -> None:
        """End the iteration, from any thread."""
        self._stopped.set()

    def close(self) -> None:
        """Give the camera free; iterating opens it again."""
        with self._lock:
            stream, self._stream = self._stream, None
            self._past.update(stream.counters if stream else {})
        if stream:
            stream.close()

    @property
    def counters(self) -> dict[str, int]:
        """`unplugged`, `reopened`, and what the camera itself counts, since the start."""
        with self._lock:
            totals = self._past.copy()
            totals.update(self._stream.counters if self._stream else {})
        return dict(totals)

    def facts(self) -> Mapping[str, str]:
        """What the camera says about itself; nothing while it is away."""
        stream = self._stream
        return stream.facts() if stream else {}

    def _read(self) -> Sequence[Packet | Frame]:
        assert self._stream is not None
        try:
            items = self._stream.read()
        except MxError as error:
            self.problem = f"{error}; waiting for it to come back"
            self._past["unplugged"] += 1
            self.close()
            return ()
        if items:
            self.problem = None
        return items

    def _reopen(self) -> bool:
        try:
            stream = self._open()
        except MxError as error:
            self.problem = str(error)
            return False
        if (stream.event_size, stream.frame_size) != (self.event_size, self.frame_size):
            stream.close()
            self.problem = f"{stream.name} came back with another resolution; start its node again"
            return False
        self._stream = stream
        self._past["reopened"] += 1
        return True
