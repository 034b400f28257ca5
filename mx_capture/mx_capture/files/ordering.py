"""Puts what several streams delivered almost in order into the order of its stamps."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator

from mx_capture.stream import Frame, Label, Packet

SLACK_NS = 1_000_000_000
"""How late an item may come: files and recordings interleave streams by less than a second."""


def stamp_of(item: Packet | Frame | Label) -> int:
    """ROS time in ns at which an item is due: its stamp, and for a label its offset."""
    return item.offset_ns if isinstance(item, Label) else item.stamp_ns


def in_stamp_order(
    items: Iterable[Packet | Frame | Label], slack_ns: int = SLACK_NS
) -> Iterator[Packet | Frame | Label]:
    """Sort a stream whose items are at most `slack_ns` out of order; equal stamps keep theirs.

    Holds the items of the last `slack_ns` in memory. What comes later than that is passed on at
    once, so nothing is ever dropped.
    """
    heap: list[tuple[int, int, Packet | Frame | Label]] = []
    for number, item in enumerate(items):
        stamp_ns = stamp_of(item)
        heapq.heappush(heap, (stamp_ns, number, item))
        while heap[0][0] <= stamp_ns - slack_ns:
            yield heapq.heappop(heap)[2]
    while heap:
        yield heapq.heappop(heap)[2]
