"""Several sources as one: events of one file with the frames of another, and labels."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Sequence

from mx_capture.errors import MxError
from mx_capture.files.ordering import stamp_of
from mx_capture.player import restamped
from mx_capture.stream import Frame, Label, Packet, Source


class MergedSource:
    """Sources moved to one start, each by its own shift, in the order of their stamps.

    Raises MxError when two of them have events, or two have frames.
    """

    def __init__(
        self,
        sources: Sequence[tuple[Source, int]],
        *,
        start_ns: int,
        labels: Iterable[Label] = (),
    ) -> None:
        """`sources`: with the ns by which each starts after `start_ns` (0 or more).

        `labels` are in the ROS time of the result.
        """
        self._parts = [
            (source, start_ns + later_ns - source.start_ns) for source, later_ns in sources
        ]
        self._labels = sorted(labels, key=stamp_of)
        self.name = "+".join(source.name for source, _ in sources)
        self.event_size = _only([source.event_size for source, _ in sources], "events", self.name)
        self.frame_size = _only([source.frame_size for source, _ in sources], "frames", self.name)
        self.start_ns = start_ns
        self.duration_ns = max(later_ns + source.duration_ns for source, later_ns in sources)

    def __iter__(self) -> Iterator[Packet | Frame | Label]:
        parts = [_shifted(source, shift_ns) for source, shift_ns in self._parts]
        return heapq.merge(*parts, self._labels, key=stamp_of)


class EventsOf:
    """The packets of a source, without its frames and labels. Raises MxError without events."""

    frame_size: tuple[int, int] | None = None

    def __init__(self, source: Source) -> None:
        if source.event_size is None:
            raise MxError(f"{source.name} holds no events; give an event recording")
        self._source = source
        self.name = source.name
        self.event_size: tuple[int, int] | None = source.event_size
        self.start_ns, self.duration_ns = source.start_ns, source.duration_ns

    def __iter__(self) -> Iterator[Packet]:
        return (item for item in self._source if isinstance(item, Packet))


def _shifted(source: Source, shift_ns: int) -> Iterator[Packet | Frame | Label]:
    for item in source:
        yield restamped(item, shift_ns)


def _only(sizes: Sequence[tuple[int, int] | None], kind: str, name: str) -> tuple[int, int] | None:
    found = [size for size in sizes if size is not None]
    if len(found) > 1:
        raise MxError(f"{name}: both hold {kind}; give the file without them for one of the two")
    return found[0] if found else None
