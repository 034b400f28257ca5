"""What `ros2 param describe` and diagnostics say about every node that a launch file starts."""

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from mx_capture.nodes.event_camera_node import EventCameraNode
from mx_capture.nodes.event_tensor_node import EventTensorNode
from mx_capture.nodes.face_camera_node import FaceCameraNode
from mx_capture.nodes.face_detector_node import FaceDetectorNode
from mx_capture.nodes.recorder_node import RecorderNode
from mx_capture.nodes.rgb_camera_node import RgbCameraNode
from mx_capture.nodes.simulator_node import SimulatorNode
from mx_perception.nodes.au_classifier_node import AuClassifierNode
from mx_perception.nodes.overlay_node import OverlayNode
from mx_perception.nodes.reconstruction_node import ReconstructionNode
from rcl_interfaces.srv import DescribeParameters, ListParameters
from rclpy.parameter import Parameter

NODES = (
    EventCameraNode,
    EventTensorNode,
    FaceCameraNode,
    FaceDetectorNode,
    RecorderNode,
    RgbCameraNode,
    SimulatorNode,
    AuClassifierNode,
    OverlayNode,
    ReconstructionNode,
)
_OF_ROS = ("use_sim_time", "start_type_description_service", "qos_overrides.")


def ask(graph, kind, topic, request):
    client = graph.peer.create_client(kind, topic)
    graph.until(client.service_is_ready)
    future = client.call_async(request)
    graph.until(future.done)
    return future.result()


@pytest.mark.parametrize("node_class", NODES)
def test_every_parameter_explains_itself(graph, node_class):
    (node,) = graph.start(node_class, autostart="false")
    name = node.get_name()
    listed = ask(graph, ListParameters, f"{name}/list_parameters", ListParameters.Request())
    names = [name for name in listed.result.names if not name.startswith(_OF_ROS)]
    assert "autostart" in names
    request = DescribeParameters.Request(names=names)
    described = ask(graph, DescribeParameters, f"{name}/describe_parameters", request)
    for descriptor in described.descriptors:
        assert len(descriptor.description.split()) >= 2, descriptor.name
        assert descriptor.description[0].isupper() or ":" in descriptor.description
        number = descriptor.type in (2, 3)
        ranged = descriptor.integer_range or descriptor.floating_point_range
        assert bool(ranged) == number, f"{descriptor.name} has no range"
        assert not descriptor.dynamic_typing


def test_thresholds_change_while_running_and_diagnostics_show_them(graph):
    (node,) = graph.start(AuClassifierNode)
    heard = graph.listen(DiagnosticArray, "/diagnostics")

    def values():
        return {item.key: item.value for item in heard[-1].status[0].values} if heard else {}

    graph.until(lambda: values().get("thresholds", "").endswith(", off 0.1"))
    assert values()["model"].endswith("au_default")
    assert values()["model_card"].endswith("MODEL_CARD.md")
    changes = [Parameter("on_score", value=0.7), Parameter("off_score", value=0.4)]
    assert node.set_parameters_atomically(changes).successful
    graph.until(lambda: values().get("thresholds") == "on 0.7 to 0.7, off 0.4")
    refused = node.set_parameters([Parameter("off_score", value=0.9)])[0]
    assert not refused.successful and "above on_score" in refused.reason
    assert not node.set_parameters([Parameter("model", value="/tmp")])[0].successful


def test_how_faces_are_followed_changes_while_running(graph):
    (node,) = graph.start(FaceDetectorNode)
    assert node.set_parameters([Parameter("dark", value=30.0)])[0].successful
    assert node.set_parameters([Parameter("hold_ms", value=500)])[0].successful
    graph.until(lambda: node.finder.config.dark == 30.0)
    graph.until(lambda: node.finder._tracker.config.hold_ms == 500)


def test_the_clock_and_what_waits_are_in_diagnostics(graph):
    (node,) = graph.start(EventTensorNode)
    node.observe()
    facts = node.health.facts
    assert facts["clock"] == "shared" and facts["clock_offset_s"] == "unknown yet"
    assert facts["waiting_frames"] == "0"
