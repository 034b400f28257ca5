"""What all nodes share: parameters, lifecycle, diagnostics, exit codes."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import pytest
from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from mx_capture.config import Config, setting
from mx_capture.errors import MxError
from mx_capture.node_setup import ManagedNode
from rcl_interfaces.srv import DescribeParameters
from rclpy._rclpy_pybind11 import RCLError
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter
from rclpy.publisher import Publisher

from mx_msgs.msg import Face


@dataclass(frozen=True)
class LampConfig(Config):
    level: int = setting(3, "Brightness", minimum=1, maximum=9, read_only=False)
    colour: str = setting("red", "Colour", choices=("red", "blue"))


class LampNode(ManagedNode):
    def __init__(self):
        self.done = []
        super().__init__("lamp_node", LampConfig)

    def load(self):
        self.update()
        if self.lamp.colour == "blue":
            raise MxError("no blue lamp; set colour to red")

    def update(self):
        self.lamp = self.config(LampConfig)

    def start(self):
        self.faces = self.publish_to(Face, "faces")
        if self.lamp.level == 9:
            raise RuntimeError("the bulb broke")

    def stop(self):
        self.done.append("stopped")

    def unload(self):
        self.done.append("unloaded")


def test_parameters_describe_themselves(graph):
    (node,) = graph.start(LampNode)
    client = graph.peer.create_client(DescribeParameters, "lamp_node/describe_parameters")
    request = DescribeParameters.Request(names=["level", "colour", "autostart"])
    future = client.call_async(request)
    graph.until(future.done)
    level, colour, autostart = future.result().descriptors
    assert (level.description, level.read_only) == ("Brightness", False)
    assert (level.integer_range[0].from_value, level.integer_range[0].to_value) == (1, 9)
    assert colour.read_only and "red, blue" in colour.additional_constraints
    assert autostart.description
    assert node.lamp == LampConfig()


def test_safe_parameters_change_while_running_and_wrong_values_do_not(graph):
    (node,) = graph.start(LampNode)
    assert node.set_parameters([Parameter("level", value=5)])[0].successful
    graph.until(lambda: node.lamp.level == 5)
    assert not node.set_parameters([Parameter("level", value=10)])[0].successful
    assert not node.set_parameters([Parameter("colour", value="blue")])[0].successful
    assert node.lamp == LampConfig(level=5)


def test_a_lifecycle_manager_drives_the_node_where_autostart_is_off(graph):
    (node,) = graph.start(LampNode, autostart="false")
    change = graph.peer.create_client(ChangeState, "lamp_node/change_state")
    states = []
    for transition in (
        Transition.TRANSITION_CONFIGURE,
        Transition.TRANSITION_ACTIVATE,
        Transition.TRANSITION_DEACTIVATE,
        Transition.TRANSITION_ACTIVATE,
    ):
        future = change.call_async(ChangeState.Request(transition=Transition(id=transition)))
        graph.until(future.done)
        assert future.result().success
        states.append(node.count_publishers("/faces"))
    assert states == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("transitions", "done"),
    [
        ("configure activate deactivate cleanup configure activate", ["stopped", "unloaded"]),
        ("configure activate shutdown", ["stopped", "unloaded"]),
        ("configure shutdown", ["unloaded"]),
        ("shutdown", []),
    ],
)
def test_every_transition_leaves_nothing_behind(graph, transitions, done):
    (node,) = graph.start(LampNode, autostart="false")
    for transition in transitions.split():
        assert getattr(node, f"trigger_{transition}")() == TransitionCallbackReturn.SUCCESS
    assert node.done == done
    assert node.count_publishers("/faces") == (transitions.split()[-1] == "activate")


def test_a_start_that_breaks_leaves_nothing_behind(graph):
    (node,) = graph.start(LampNode, level="9", autostart="false")
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.ERROR
    assert node.count_publishers("/faces") == 0
    assert node.done == ["unloaded"]
    node.set_parameters([Parameter("level", value=5)])
    assert node.trigger_configure() == TransitionCallbackReturn.SUCCESS
    assert node.trigger_activate() == TransitionCallbackReturn.SUCCESS


def test_diagnostics_tell_the_state(graph):
    graph.start(LampNode)
    heard = graph.listen(DiagnosticArray, "/diagnostics")
    graph.until(lambda: heard)
    status = heard[0].status[0]
    assert (status.name, status.message) == ("/lamp_node", "ok")
    assert {item.key: item.value for item in status.values}["state"] == "active"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("nosuch:=1",), "unknown parameter nosuch"),
        (("threads:=99",), "threads"),
        (("threads:=few",), "threads"),
        (("model:=nowhere",), "nowhere"),
    ],
)
def test_a_node_that_cannot_start_says_why_in_one_line(words, named):
    arguments = [word for value in words for word in ("-p", value)]
    done = subprocess.run(
        [sys.executable, "-c", _MAIN, "--ros-args", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_a_parameter_file_that_cannot_be_read_is_named_in_one_line(tmp_path):
    (tmp_path / "params.yaml").write_text("/**: [")
    words = ["--ros-args", "--params-file", str(tmp_path / "params.yaml")]
    done = subprocess.run(
        [sys.executable, "-c", _MAIN, *words], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert "params.yaml" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_message_that_cannot_be_sent_is_counted_and_told(graph, monkeypatch):
    (node,) = graph.start(LampNode)
    reports = graph.listen(DiagnosticArray, "/diagnostics")

    def refuse(*_):
        raise RCLError("Failed to publish: no room")

    with monkeypatch.context() as starved:
        starved.setattr(Publisher, "publish", refuse)
        for _ in range(3):
            node.faces.publish(Face())
    graph.until(
        lambda: any("refused_messages +3" in report.status[0].message for report in reports)
    )
    node.faces.publish(Face())


@pytest.mark.parametrize("numbers", [[signal.SIGINT], [signal.SIGTERM], [signal.SIGINT] * 2])
def test_signals_end_a_node_quietly(numbers):
    node = subprocess.Popen(
        [sys.executable, "-c", _MAIN],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"},
    )
    assert "ready" in node.stdout.readline()
    # It is ready a moment before its activation is complete.
    time.sleep(1.0)
    opened = [os.readlink(entry) for entry in Path(f"/proc/{node.pid}/fd").iterdir()]
    segments = [Path(name) for name in opened if re.fullmatch(r".*/fastdds_[0-9a-f]+_el", name)]
    assert os.getpriority(os.PRIO_PROCESS, node.pid) == os.nice(0) + 7
    for number in numbers:
        node.send_signal(number)
        time.sleep(0.05)
    output, _ = node.communicate(timeout=30)
    assert (node.returncode, output) == (0, "")
    # Each of them locks 34 MB of shared memory, which would stay behind.
    assert segments and not [segment for segment in segments if segment.exists()]


_MAIN = """
from mx_capture.nodes.executable import run
from mx_perception.nodes.au_classifier_node import AuClassifierNode
class Announced(AuClassifierNode):
    niceness = 7
    def start(self):
        super().start()
        print("ready", flush=True)
run(Announced)
"""
