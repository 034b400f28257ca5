"""Looks at a running graph for a few seconds, from outside, for `./mx doctor`."""

from __future__ import annotations

import functools
import time

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.srv import GetState
from mx_capture.errors import MxError
from mx_capture.node_setup import RESULT_QOS
from rclpy._rclpy_pybind11 import RCLError
from rclpy.client import Client
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy
from rclpy.task import Future

from mx_perception.doctor.graph import OURS, Seen

_NAME = "doctor_node"
_STEP_S = 0.05
_AGAIN_S = 0.5
"""A node that found the request before it found where the reply goes has dropped the reply."""
_PATIENCE_S = 5.0
"""How much longer a node may take that has not said anything, before it counts as silent."""


class GraphNode(Node):
    """Listens to /diagnostics only, and asks managed nodes for their state."""

    def __init__(self) -> None:
        super().__init__(_NAME)
        self.seen = Seen()
        self._getters: dict[str, Client[GetState.Request, GetState.Response]] = {}
        self._ask_s = 0.0
        self.create_subscription(DiagnosticArray, "/diagnostics", self._on_diagnostics, RESULT_QOS)

    def look(self) -> None:
        """Take up what has become known of the graph since the last look."""
        self.seen.nodes = sorted(
            f"{namespace.rstrip('/')}/{name}"
            for name, namespace in self.get_node_names_and_namespaces()
            if not name.startswith("_") and name != _NAME
        )
        for topic, types in self.get_service_names_and_types():
            name = topic.removesuffix("/get_state")
            if "lifecycle_msgs/srv/GetState" in types and name not in self._getters:
                self._getters[name] = self.create_client(GetState, topic)
                self.seen.states[name] = ""
        if time.monotonic() >= self._ask_s:
            self._ask_s = time.monotonic() + _AGAIN_S
            self._ask()

    def silent(self) -> list[str]:
        """Nodes that have not told their state, or not reported, and should have."""
        return [
            name
            for name in self.seen.nodes
            if self.seen.states.get(name) == ""
            or (name.rpartition("/")[2] in OURS and name not in self.seen.reports)
        ]

    def look_at_topics(self) -> None:
        """Find subscriptions that have no publisher, or one that they never match."""
        for topic, _ in self.get_topic_names_and_types():
            subscriptions = self.get_subscriptions_info_by_topic(topic)
            publishers = self.get_publishers_info_by_topic(topic)
            if subscriptions:
                self.seen.publishers[topic] = len(publishers)
            for writer in publishers:
                for reader in subscriptions:
                    if reason := _mismatch(writer.qos_profile, reader.qos_profile):
                        self.seen.mismatches.append(
                            f"{topic}: {reader.node_name} wants {reason} of {writer.node_name}"
                        )

    def _ask(self) -> None:
        for name, client in self._getters.items():
            if self.seen.states[name] == "" and client.service_is_ready():
                reply = client.call_async(GetState.Request())
                reply.add_done_callback(functools.partial(self._on_state, name))

    def _on_state(self, name: str, reply: Future[GetState.Response]) -> None:
        if (response := reply.result()) is not None:
            self.seen.states[name] = response.current_state.label

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            name = status.name.partition(": ")[0]
            self.seen.reports[name] = int.from_bytes(status.level, "little"), status.message


def look_at_graph(seconds: float) -> Seen:
    """What is seen of the graph within some seconds, or some more where a node is silent.

    Raises MxError when ROS does not start.
    """
    try:
        rclpy.init(args=[])
        node = GraphNode()
    except (RCLError, ValueError) as error:
        raise MxError(f"ROS does not start: {str(error).splitlines()[0]}") from error
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    try:
        end = time.monotonic() + seconds
        while time.monotonic() < end or (node.silent() and time.monotonic() < end + _PATIENCE_S):
            executor.spin_once(timeout_sec=_STEP_S)
            node.look()
        node.look_at_topics()
        return node.seen
    finally:
        executor.shutdown()
        node.destroy_node()
        rclpy.try_shutdown()


def _mismatch(offered: QoSProfile, wanted: QoSProfile) -> str:
    """What a subscription wants and a publisher does not offer; empty when they match."""
    effort, volatile = ReliabilityPolicy.BEST_EFFORT, DurabilityPolicy.VOLATILE
    if offered.reliability == effort and wanted.reliability == ReliabilityPolicy.RELIABLE:
        return "reliable delivery"
    if offered.durability == volatile and wanted.durability == DurabilityPolicy.TRANSIENT_LOCAL:
        return "the last message again"
    return ""
