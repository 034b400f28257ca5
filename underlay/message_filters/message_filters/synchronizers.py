"""The filters with several inputs: sets of messages whose stamps are equal, or nearly so.

Callbacks run inside the lock of the synchroniser: they must not feed messages back into it.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from typing import Any

from rclpy.clock import ROSClock
from rclpy.duration import Duration
from rclpy.time import Time

from message_filters.filters import SimpleFilter, arrival_or_none, stamp_of

Queue = dict[int, Any]


class TimeSynchronizer(SimpleFilter):
    """Gives out one message of every input of `fs` when their stamps are equal.

    Each input waits in a queue, by stamp in nanoseconds, of at most `queue_size` messages; beyond
    it the one with the earliest stamp is dropped.
    """

    def __init__(self, fs: Sequence[SimpleFilter], queue_size: int) -> None:
        super().__init__()
        self.queue_size = queue_size
        self.lock = threading.Lock()
        self.connectInput(fs)

    def connectInput(self, fs: Sequence[SimpleFilter]) -> None:
        """Take the outputs of `fs` in, with new queues."""
        self.queues: list[Queue] = [{} for _ in fs]
        self.input_connections = [
            f.registerCallback(self.add, queue, index)
            for index, (f, queue) in enumerate(zip(fs, self.queues, strict=True))
        ]

    def add(self, msg: Any, my_queue: Queue, my_queue_index: int | None = None) -> None:
        """Take a message in and give out every complete set, the earliest first."""
        stamp = stamp_of(msg)
        if stamp is None:
            raise AttributeError(f"{type(msg).__name__} has no header.stamp to synchronise by")
        with self.lock:
            self._enqueue(msg, stamp, my_queue)
            for common in sorted(set.intersection(*map(set, self.queues))):
                self._give_out([common] * len(self.queues))

    def _enqueue(self, msg: Any, stamp: Time, queue: Queue) -> None:
        queue[stamp.nanoseconds] = msg
        while len(queue) > self.queue_size:
            del queue[min(queue)]

    def _give_out(self, stamps: Sequence[int]) -> None:
        messages = [queue.pop(stamp) for queue, stamp in zip(self.queues, stamps, strict=True)]
        self.signalMessage(*messages)


class ApproximateTimeSynchronizer(TimeSynchronizer):
    """Gives out one message of every input when their stamps differ by less than `slop` seconds.

    A new message looks for the nearest partners at once, so a pair that a later message would have
    made better is not waited for. With `allow_headerless` a message without a stamp counts as
    stamped on arrival; with `sync_arrival_time` every message does.
    """

    def __init__(
        self,
        fs: Sequence[SimpleFilter],
        queue_size: int,
        slop: float,
        allow_headerless: bool = False,
        sync_arrival_time: bool = False,
    ) -> None:
        self.slop = Duration(seconds=slop)
        self.allow_headerless = allow_headerless
        self.sync_arrival_time = sync_arrival_time
        super().__init__(fs, queue_size)

    def add(self, msg: Any, my_queue: Queue, my_queue_index: int | None = None) -> None:
        """Take a message in and give out at most one set, of the nearest stamps."""
        stamp = ROSClock().now() if self.sync_arrival_time else stamp_of(msg)
        stamp = stamp or arrival_or_none(self.allow_headerless, "message_filters_approx")
        if stamp is None:
            return
        with self.lock:
            self._enqueue(msg, stamp, my_queue)
            near = self._nearest(stamp.nanoseconds, my_queue_index)
            for stamps in itertools.product(*near):
                if max(stamps) - min(stamps) < self.slop.nanoseconds and self._all_held(stamps):
                    self._give_out(stamps)
                    return

    def _nearest(self, stamp_ns: int, index: int | None) -> list[list[int]]:
        """Per queue the stamps within the slop, nearest first; for its own only the new one."""
        return [
            [stamp_ns]
            if number == index
            else sorted(
                (held for held in queue if abs(held - stamp_ns) <= self.slop.nanoseconds),
                key=lambda held: abs(held - stamp_ns),
            )
            for number, queue in enumerate(self.queues)
        ]

    def _all_held(self, stamps: Sequence[int]) -> bool:
        """False when the new message was at once the one too many."""
        return all(stamp in queue for queue, stamp in zip(self.queues, stamps, strict=True))
