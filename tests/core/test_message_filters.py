"""message_filters by itself: what comes out for given messages, without a middleware."""

import random
from types import SimpleNamespace

import pytest
from builtin_interfaces.msg import Time as TimeMessage
from message_filters import (
    ApproximateTimeSynchronizer,
    Cache,
    SimpleFilter,
    Subscriber,
    TimeSynchronizer,
)
from rclpy.clock import ClockType, ROSClock
from rclpy.time import Time

MS = 1_000_000


def message(stamp_ns, name=""):
    sec, nanosec = divmod(stamp_ns, 1_000_000_000)
    header = SimpleNamespace(stamp=TimeMessage(sec=sec, nanosec=nanosec))
    return SimpleNamespace(header=header, stamp_ns=stamp_ns, name=name)


def ros_time(nanoseconds):
    return Time(nanoseconds=nanoseconds, clock_type=ClockType.ROS_TIME)


def collect(output):
    seen = []
    output.registerCallback(lambda *messages: seen.append(messages))
    return seen


class FakeNode:
    """Remembers how a subscription was asked for."""

    def create_subscription(self, msg_type, topic, callback, **options):
        self.options = options
        return SimpleNamespace(callback=callback, topic_name=f"/ns/{topic}", msg_type=msg_type)


def test_a_filter_calls_every_callback_with_its_arguments():
    source, seen = SimpleFilter(), []
    assert source.registerCallback(lambda *args: seen.append(args), "a", 1) == 0
    assert source.registerCallback(lambda *args: seen.append(args)) == 1
    source.signalMessage("m", "n")
    assert seen == [("m", "n", "a", 1), ("m", "n")]


def test_a_subscriber_passes_options_and_messages_on():
    node = FakeNode()
    subscriber = Subscriber(node, str, "rgb", qos_profile=3, callback_group="group")
    assert node.options == {"qos_profile": 3, "callback_group": "group"}
    assert subscriber.getTopic() == "rgb"
    assert subscriber.topic_name == "/ns/rgb"
    seen = collect(subscriber)
    subscriber.sub.callback("m")
    assert seen == [("m",)]
    Subscriber(node, str, "rgb")
    assert node.options == {"qos_profile": 10}


def test_a_cache_keeps_the_last_messages_and_finds_them_by_time():
    source = SimpleFilter()
    cache = Cache(source, cache_size=3)
    assert cache.getLast() is None
    assert cache.getOldestTime() is None
    assert cache.getElemAfterTime(ros_time(0)) is None
    seen = collect(cache)
    messages = [message(stamp * MS) for stamp in (1, 2, 3, 4)]
    for each in messages:
        source.signalMessage(each)
    assert [m for (m,) in seen] == messages
    assert cache.getInterval(ros_time(0), ros_time(3 * MS)) == messages[1:3]
    assert cache.getElemAfterTime(ros_time(3 * MS)) is messages[2]
    assert cache.getElemBeforeTime(ros_time(4 * MS - 1)) is messages[2]
    assert cache.getElemBeforeTime(ros_time(2 * MS - 1)) is None
    assert cache.getOldestTime() == ros_time(2 * MS)
    assert cache.getLastestTime() == ros_time(4 * MS)
    assert cache.getLast() is messages[3]
    with pytest.raises(AssertionError):
        cache.getInterval(ros_time(2), ros_time(1))


def test_a_cache_takes_headerless_messages_only_if_allowed():
    source = SimpleFilter()
    strict, lenient = Cache(source, 2), Cache(source, 2, allow_headerless=True)
    before = ROSClock().now()
    source.signalMessage("no header")
    assert strict.getLast() is None
    assert lenient.getLast() == "no header"
    assert before <= lenient.getLastestTime() <= ROSClock().now()


def test_equal_stamps_are_matched_whatever_the_order():
    a, b, c = SimpleFilter(), SimpleFilter(), SimpleFilter()
    seen = collect(TimeSynchronizer([a, b, c], 10))
    stamps = [5, 1, 3, 2]
    for source in (a, c, b):
        random.Random(7).shuffle(stamps)
        for stamp in stamps:
            source.signalMessage(message(stamp))
    assert sorted(m[0].stamp_ns for m in seen) == [1, 2, 3, 5]
    assert all(len({m.stamp_ns for m in group}) == 1 for group in seen)


def test_a_full_queue_loses_its_earliest_stamp():
    a, b = SimpleFilter(), SimpleFilter()
    seen = collect(TimeSynchronizer([a, b], queue_size=2))
    for stamp in (1, 2, 3):
        a.signalMessage(message(stamp))
    for stamp in (1, 2, 3):
        b.signalMessage(message(stamp))
    assert [m[0].stamp_ns for m in seen] == [2, 3]


def test_exact_synchronisation_needs_a_header():
    a, b = SimpleFilter(), SimpleFilter()
    TimeSynchronizer([a, b], 2)
    with pytest.raises(AttributeError, match="header"):
        a.signalMessage("no header")


def test_nearest_stamps_are_matched_within_the_slop():
    a, b = SimpleFilter(), SimpleFilter()
    seen = collect(ApproximateTimeSynchronizer([a, b], 10, slop=0.01))
    for stamp in (0, 6, 12):
        a.signalMessage(message(stamp * MS))
    b.signalMessage(message(7 * MS))
    b.signalMessage(message(23 * MS))
    assert [tuple(m.stamp_ns for m in pair) for pair in seen] == [(6 * MS, 7 * MS)]


def test_a_difference_of_the_slop_itself_does_not_match():
    a, b = SimpleFilter(), SimpleFilter()
    seen = collect(ApproximateTimeSynchronizer([a, b], 10, slop=0.01))
    a.signalMessage(message(0))
    b.signalMessage(message(10 * MS))
    assert seen == []
    b.signalMessage(message(10 * MS - 1))
    assert len(seen) == 1


def test_the_spread_of_a_set_counts_not_only_the_distance_to_the_newest():
    a, b, c = SimpleFilter(), SimpleFilter(), SimpleFilter()
    seen = collect(ApproximateTimeSynchronizer([a, b, c], 10, slop=0.01))
    a.signalMessage(message(0))
    b.signalMessage(message(16 * MS))
    c.signalMessage(message(8 * MS))
    assert seen == []


def test_headerless_messages_match_by_arrival_if_allowed():
    a, b = SimpleFilter(), SimpleFilter()
    strict = collect(ApproximateTimeSynchronizer([a, b], 10, 10.0))
    lenient = collect(ApproximateTimeSynchronizer([a, b], 10, 10.0, allow_headerless=True))
    a.signalMessage(message(ROSClock().now().nanoseconds))
    b.signalMessage("no header")
    assert strict == []
    assert len(lenient) == 1


def test_arrival_can_count_instead_of_every_stamp():
    a, b = SimpleFilter(), SimpleFilter()
    seen = collect(ApproximateTimeSynchronizer([a, b], 10, 10.0, sync_arrival_time=True))
    a.signalMessage(message(0))
    b.signalMessage(message(10**15))
    assert len(seen) == 1


@pytest.mark.parametrize("seed", range(5))
def test_no_message_is_given_out_twice(seed):
    rng = random.Random(seed)
    sources = [SimpleFilter() for _ in range(3)]
    seen = collect(ApproximateTimeSynchronizer(sources, 5, slop=0.02))
    for step in range(300):
        index = rng.randrange(3)
        sources[index].signalMessage(message(step * 5 * MS + rng.randrange(8 * MS), index))
    given = [(m.name, m.stamp_ns) for group in seen for m in group]
    assert seen
    assert len(given) == len(set(given))
    assert all(max(s) - min(s) < 20 * MS for s in ([m.stamp_ns for m in g] for g in seen))


def test_a_failing_callback_does_not_block_the_synchroniser():
    a, b = SimpleFilter(), SimpleFilter()
    synchronizer = TimeSynchronizer([a, b], 10)
    synchronizer.registerCallback(lambda *_: 1 / 0)
    a.signalMessage(message(1))
    with pytest.raises(ZeroDivisionError):
        b.signalMessage(message(1))
    assert not synchronizer.lock.locked()
