"""Real nodes in a fresh context with a domain of their own, spun until something happens."""

from __future__ import annotations

import time

import pytest
import rclpy
from mx_capture.node_setup import RESULT_QOS
from rclpy.executors import SingleThreadedExecutor


class Graph:
    """Nodes of one test. `node_arguments` become `-p name:=value` of every node."""

    def __init__(self):
        self._context = None
        self._nodes = []

    def start(self, *node_classes, **parameters):
        """Start managed nodes with these parameters; returns them, active."""
        if self._context is None:
            words = [w for name, value in parameters.items() for w in ("-p", f"{name}:={value}")]
            self._context = True
            rclpy.init(args=["--ros-args", *words] if words else None)
            self.executor = SingleThreadedExecutor()
            self.peer = rclpy.create_node("peer", use_global_arguments=False)
            self.executor.add_node(self.peer)
        nodes = [node_class() for node_class in node_classes]
        for node in nodes:
            self._nodes.append(node)
            self.executor.add_node(node)
            assert node.autostart(), node.failure
        return nodes

    def listen(self, message_type, topic, qos=RESULT_QOS):
        """A list that fills with what comes on a topic."""
        heard = []
        self.peer.create_subscription(message_type, topic, heard.append, qos)
        return heard

    def publisher(self, message_type, topic, qos=RESULT_QOS, subscribers=1):
        """A publisher that is matched already."""
        publisher = self.peer.create_publisher(message_type, topic, qos)
        self.until(lambda: publisher.get_subscription_count() >= subscribers)
        return publisher

    def until(self, condition, seconds=20.0):
        """Spin until a condition holds; fails the test when it does not in time."""
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, "nothing happened in time"
            self.executor.spin_once(timeout_sec=0.02)

    def close(self):
        if self._context is None:
            return
        for node in self._nodes:
            node.close()
            node.destroy_node()
        self.peer.destroy_node()
        self.executor.shutdown()
        rclpy.shutdown()


@pytest.fixture
def graph(ros_domain):
    graph = Graph()
    yield graph
    graph.close()
