"""The doctor beside a running graph."""

import json
import subprocess
import sys

import pytest
import rclpy
from event_camera_msgs.msg import EventPacket
from lifecycle_msgs.srv import GetState
from mx_capture.node_setup import EVENTS_QOS, RESULT_QOS
from mx_capture.nodes.event_tensor_node import EventTensorNode
from mx_perception.nodes.graph_node import GraphNode


@pytest.fixture
def examine(graph, tmp_path):
    """Runs the doctor in a process of its own while the graph goes on; returns its graph lines."""

    def examine():
        file = tmp_path / "doctor.json"
        command = [sys.executable, "-m", "mx_capture.verbs", "mx_perception.verbs.doctor"]
        words = ["--seconds", "4", "--json", str(file)]
        with subprocess.Popen([*command, *words], stdout=subprocess.DEVNULL) as process:
            graph.until(lambda: process.poll() is not None, seconds=60.0)
        report = json.loads(file.read_text())
        assert process.returncode == (0 if report["ok"] else 1)
        return {check["subject"]: check for check in report["checks"]}

    return examine


def test_a_running_graph_is_seen_with_its_states_and_reports(graph, examine):
    graph.start(EventTensorNode)
    checks = examine()
    assert checks["graph"]["finding"] == "2 nodes"
    assert checks["/event_tensor_node"]["finding"] == "WARN"
    assert "start the camera" in checks["/event_tensor_node"]["remedy"]
    assert checks["/peer"]["finding"] == "runs"
    assert checks["/event_camera/events"]["finding"] == "nobody publishes it"


def test_an_inactive_node_and_a_reader_that_never_matches_are_found(graph, examine):
    (node,) = graph.start(EventTensorNode)
    node.trigger_deactivate()
    graph.peer.create_publisher(EventPacket, "event_camera/events", EVENTS_QOS)
    graph.listen(EventPacket, "event_camera/events", RESULT_QOS)
    checks = examine()
    assert checks["/event_tensor_node"]["finding"] == "is inactive"
    assert "activate" in checks["/event_tensor_node"]["remedy"]
    assert "wants reliable delivery" in checks["QoS"]["finding"]


def test_a_node_whose_reply_was_lost_is_asked_again(graph):
    """As a server does that has matched the client's requests, and not yet where replies go."""
    graph.start()
    late = rclpy.create_node("late_node")
    server = late.create_service(GetState, "late_node/get_state", lambda _, reply: reply)
    doctor = GraphNode()
    graph.executor.add_node(doctor)
    taken = []

    def answered():
        doctor.look()
        request, header = server.handle.service_take_request(GetState.Request)
        if request is not None:
            taken.append(request)
            if len(taken) == 1:
                assert doctor.silent() == ["/late_node"]
            else:
                reply = GetState.Response()
                reply.current_state.label = "inactive"
                server.send_response(reply, header)
        return doctor.seen.states.get("/late_node") == "inactive"

    graph.until(answered)
    assert doctor.silent() == []
    doctor.destroy_node()
    late.destroy_node()
