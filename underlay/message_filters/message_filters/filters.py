"""The filters with one input: a subscription, and a cache of the last messages."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from rclpy.clock import ROSClock
from rclpy.logging import get_logger
from rclpy.time import Time


def stamp_of(message: Any) -> Time | None:
    """The header's stamp, as a message or as an rclpy Time; None where there is no header."""
    stamp = getattr(getattr(message, "header", None), "stamp", None)
    if stamp is None or hasattr(stamp, "nanoseconds"):
        return stamp
    return Time.from_msg(stamp)


def arrival_or_none(allow_headerless: bool, logger_name: str) -> Time | None:
    """The time now in place of a missing stamp; None, with a warning, if not allowed."""
    if allow_headerless:
        return ROSClock().now()
    get_logger(logger_name).warning(
        "dropped a message without a stamp: set allow_headerless to use its time of arrival",
        throttle_duration_sec=5.0,
    )
    return None


class SimpleFilter:
    """What every filter has: callbacks that its output goes to."""

    def __init__(self) -> None:
        self.callbacks: dict[int, tuple[Callable[..., Any], tuple[Any, ...]]] = {}

    def registerCallback(self, cb: Callable[..., Any], *args: Any) -> int:
        """Call `cb(*messages, *args)` on every output. Returns the number of the connection."""
        connection = len(self.callbacks)
        self.callbacks[connection] = (cb, args)
        return connection

    def signalMessage(self, *msg: Any) -> None:
        """Give `msg` to every callback, in the order of registration."""
        for callback, args in list(self.callbacks.values()):
            callback(*msg, *args)


class Subscriber(SimpleFilter):
    """A subscription as a filter, with the keywords of `Node.create_subscription`.

    Attributes that it does not have itself are those of the subscription.
    """

    def __init__(
        self, node: Any, msg_type: Any, topic: str, *, qos_profile: Any = 10, **kwargs: Any
    ) -> None:
        super().__init__()
        self.node = node
        self.topic = topic
        self.sub = node.create_subscription(
            msg_type, topic, self.callback, qos_profile=qos_profile, **kwargs
        )

    def callback(self, msg: Any) -> None:
        """Pass a received message on."""
        self.signalMessage(msg)

    def getTopic(self) -> str:
        """The topic as it was given, before remapping."""
        return self.topic

    def __getattr__(self, key: str) -> Any:
        if key == "sub":  # not made yet: looking further would ask for it again
            raise AttributeError(key)
        return getattr(self.sub, key)


class Cache(SimpleFilter):
    """Keeps the last `cache_size` messages in the order of arrival and passes each of them on.

    Times are rclpy Times, whose clock must be that of the stamps (ROS_TIME for real messages).
    With `allow_headerless` a message without a stamp is kept under its time of arrival; without,
    it is dropped with a warning.
    """

    def __init__(
        self, f: SimpleFilter, cache_size: int = 1, allow_headerless: bool = False
    ) -> None:
        super().__init__()
        self.cache_size = cache_size
        self.allow_headerless = allow_headerless
        self.cache_msgs: list[Any] = []
        self.cache_times: list[Time] = []
        self.connectInput(f)

    def connectInput(self, f: SimpleFilter) -> None:
        """Take the output of `f` in."""
        self.incoming_connection = f.registerCallback(self.add)

    def add(self, msg: Any) -> None:
        """Keep a message, drop the oldest one beyond the size, and pass the new one on."""
        stamp = stamp_of(msg) or arrival_or_none(self.allow_headerless, "message_filters_cache")
        if stamp is None:
            return
        self.cache_msgs.append(msg)
        self.cache_times.append(stamp)
        if len(self.cache_msgs) > self.cache_size:
            del self.cache_msgs[0], self.cache_times[0]
        self.signalMessage(msg)

    def getInterval(self, from_stamp: Time, to_stamp: Time) -> list[Any]:
        """The messages with `from_stamp <= stamp <= to_stamp`, in the order of arrival."""
        assert from_stamp <= to_stamp, "the interval ends before it starts"
        return [msg for msg, stamp in self._entries() if from_stamp <= stamp <= to_stamp]

    def getElemAfterTime(self, stamp: Time) -> Any:
        """The first message at or after `stamp`, or None."""
        return next((msg for msg, time in self._entries() if time >= stamp), None)

    def getElemBeforeTime(self, stamp: Time) -> Any:
        """The last message at or before `stamp`, or None."""
        earlier = [msg for msg, time in self._entries() if time <= stamp]
        return earlier[-1] if earlier else None

    def getLastestTime(self) -> Time | None:
        """The stamp that came last, or None. (The spelling is that of the interface.)"""
        return self.cache_times[-1] if self.cache_times else None

    def getOldestTime(self) -> Time | None:
        """The stamp that came first, or None."""
        return self.cache_times[0] if self.cache_times else None

    def getLast(self) -> Any:
        """The first message at or after the stamp that came last, or None."""
        latest = self.getLastestTime()
        return None if latest is None else self.getElemAfterTime(latest)

    def _entries(self) -> Iterable[tuple[Any, Time]]:
        # Not strict: another thread may be between its two appends.
        return zip(self.cache_msgs, self.cache_times, strict=False)
