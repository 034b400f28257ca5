"""What the RViz and Foxglove layouts show is there: topics, their types, the fields of paths."""

import json
import re
from pathlib import Path

import pytest
import yaml
from diagnostic_msgs.msg import DiagnosticArray
from mx_capture.nodes.rgb_camera_node import RgbCameraNode
from mx_perception.action_units import AU_NUMBERS, au_name
from mx_perception.nodes.au_classifier_node import AuClassifierNode
from mx_perception.nodes.overlay_node import OverlayNode
from mx_perception.nodes.reconstruction_node import ReconstructionNode
from test_camera_nodes import video  # noqa: F401

from mx_msgs import msg as mx

LAUNCH = Path(__file__).parents[2] / "launch"
IMAGE = "sensor_msgs/msg/Image"
MESSAGES = {
    "mx_msgs/msg/ActionUnits": mx.ActionUnits,
    "mx_msgs/msg/MicroExpression": mx.MicroExpression,
    "diagnostic_msgs/msg/DiagnosticArray": DiagnosticArray,
}


@pytest.fixture
def published(graph, video):  # noqa: F811
    """The types of all topics that the nodes publish."""
    nodes = RgbCameraNode, AuClassifierNode, ReconstructionNode, OverlayNode
    camera = {"rgb_camera_node:backend": "uvc", "rgb_camera_node:video_device": video}
    started = graph.start(*nodes, **camera)
    names = {node.get_name() for node in started}
    types = {}
    for topic, (message_type, *_) in graph.peer.get_topic_names_and_types():
        if names & {end.node_name for end in graph.peer.get_publishers_info_by_topic(topic)}:
            types[topic] = message_type
    return types


def test_rviz_shows_images_that_are_published(published):
    layout = yaml.safe_load((LAUNCH / "mx.rviz").read_text())
    for display in layout["Visualization Manager"]["Displays"]:
        assert display["Class"] == "rviz_default_plugins/Image"
        assert published[display["Topic"]["Value"]] == IMAGE


def test_foxglove_shows_topics_and_fields_that_are_published(published):
    panels = json.loads((LAUNCH / "foxglove.json").read_text())["configById"]
    shown = {}
    for panel in panels.values():
        if topic := panel.get("imageMode", {}).get("imageTopic"):
            assert published[topic] == IMAGE
        if topic := panel.get("topicPath") or panel.get("topicToRender"):
            shown[topic] = []
        for path in panel.get("paths", ()):
            topic, _, field = path["value"].partition(".")
            shown.setdefault(topic, []).append(field)
    for topic, fields in shown.items():
        known = MESSAGES[published[topic]].get_fields_and_field_types()
        for field in fields:
            name, index = re.fullmatch(r"(\w+)\[(\d+)\]", field).groups()
            assert known[name] == "sequence<float>" and int(index) < len(AU_NUMBERS)
    assert set(shown) == {"/action_units", "/micro_expressions", "/diagnostics"}
    labels = [path["label"] for path in panels["Plot!scores"]["paths"]]
    assert labels == [au_name(number) for number in AU_NUMBERS]
