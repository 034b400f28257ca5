"""Fast topics beside the executor, and the figures of `./mx bench latency`."""

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from event_camera_msgs.msg import EventPacket
from mx_capture.errors import MxError
from mx_capture.node_setup import EVENTS_QOS
from mx_capture.nodes.event_tensor_node import EventTensorNode
from mx_capture.nodes.listener import Listener
from mx_perception.bench.latency import latencies


def packet(seq):
    return EventPacket(height=8, width=8, encoding="evt3", seq=seq)


def test_messages_come_in_order_and_beside_the_executor(graph):
    graph.start()
    heard, threads = [], set()

    def take(message):
        heard.append(message.seq)
        threads.add(threading.current_thread())

    listener = Listener(graph.peer, EventPacket, "events", take, EVENTS_QOS)
    events = graph.publisher(EventPacket, "events", EVENTS_QOS)
    for seq in range(50):
        events.publish(packet(seq))
    graph.until(lambda: len(heard) == 50)
    listener.close()
    assert heard == list(range(50)) and listener.shed == 0
    assert len(threads) == 1 and threading.current_thread() not in threads
    assert not any(thread.is_alive() for thread in threads)


def test_a_backlog_that_is_too_old_is_dropped_whole_and_counted(graph, monkeypatch):
    graph.start()
    heard, ahead_ns, go_on = [], [0], threading.Event()
    clock = SimpleNamespace(time_ns=lambda: time.time_ns() + ahead_ns[0])
    monkeypatch.setattr("mx_capture.nodes.listener.time", clock)

    def take(message):
        heard.append(message.seq)
        if message.seq == 0:
            go_on.wait(30.0)

    listener = Listener(graph.peer, EventPacket, "events", take, EVENTS_QOS, longest_wait_s=100.0)
    events = graph.publisher(EventPacket, "events", EVENTS_QOS)
    for seq in range(30):
        events.publish(packet(seq))
    graph.until(lambda: heard == [0])
    ahead_ns[0] = 200_000_000_000
    go_on.set()
    graph.until(lambda: listener.shed == 29)
    ahead_ns[0] = 0
    events.publish(packet(30))
    graph.until(lambda: len(heard) == 2)
    listener.close()
    assert heard == [0, 30]


def test_what_a_callback_raises_ends_the_executor(graph):
    graph.start()

    def take(message):
        raise ZeroDivisionError("in the callback")

    listener = Listener(graph.peer, EventPacket, "events", take, EVENTS_QOS)
    graph.publisher(EventPacket, "events", EVENTS_QOS).publish(packet(0))
    with pytest.raises(ZeroDivisionError):
        graph.until(lambda: False)
    listener.close()


def test_the_tensor_node_reports_what_it_shed(graph):
    (node,) = graph.start(EventTensorNode)
    node._events.shed = 3
    node.observe()
    report = node.health.report()
    assert report.values["shed_packets"] == "3" and "lower the event rate" in report.message


def test_latency_counts_from_the_actual_moment_of_publishing():
    start_ns = 1_700_000_000_000_000_000
    published_ns = start_ns + (np.arange(1300) + 1) * 1_000_000
    published_ns[1100] += 4_000_000
    # The first hop is in the warm-up, the last one was not closed by a packet.
    hops = np.arange(0, 1300, 10)
    arrived_ns = start_ns + hops * 1_000_000 + 13_000_000
    received = np.stack([start_ns + hops * 1_000_000, arrived_ns], axis=1)
    figures = latencies(published_ns, received, start_ns)
    assert figures["p50"] == figures["max"] == 12.0 and figures["after_hop_p50"] == 2.0
    assert latencies(published_ns, received[110:111], start_ns)["p50"] == 8.0
    with pytest.raises(MxError, match="overloaded"):
        latencies(published_ns, received[:50], start_ns)
