"""Faults of time, and a camera that is pulled out, with the clock of cameras that share none."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from running_graph import RunningGraph
from test_faults import (  # noqa: F401
    calm,
    test_a_clock_that_jumps,
    test_a_stall,
    test_lost_packets,
)

_PLUGGED = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
from fake_neuromorphic import FakeDevice, FakeLibrary, Name

class Pulled(FakeDevice):
    plugged = property(lambda self: Path({cable!r}).exists(), lambda self, value: None)

sys.modules["neuromorphic_drivers"] = FakeLibrary(Pulled(Name.PROPHESEE_EVK4, "00051234"))
from mx_capture.nodes.event_camera_node import main
main()
"""


@pytest.fixture(scope="module")
def graph(module_ros_domain, recoveries):
    graph = RunningGraph("perception", clock="arrival")
    try:
        graph.recovers("start", 60)
        yield graph
        recoveries.update(graph.recoveries)
    finally:
        graph.close()


def test_a_camera_that_is_pulled_out(graph, evk4):
    """Another camera takes over the topic, and is pulled out for a while."""
    graph.cameras.events_on = False
    cable = evk4()
    graph.recovers("another event camera", 60)
    cable.unlink()
    graph.until(lambda: graph.reports.get("evk4_node", (0,))[0] == 2, "an error")
    assert "plugged in" in graph.reports["evk4_node"][1]
    graph.until(lambda: graph.complained("event_tensor_node", "no packet"), "a warning")
    cable.touch()
    graph.recovers("an event camera that was pulled out")
    graph.until(lambda: graph.value("evk4_node", "unplugged") == 1, "the count")


@pytest.fixture
def evk4(graph, tmp_path):
    """Start the node of an EVK4 on the graph's topic; its cable is a file to remove."""
    cable = tmp_path / "cable"
    processes = []

    def start():
        cable.touch()
        code = _PLUGGED.format(tests=str(Path(__file__).parents[1]), cable=str(cable))
        words = ["-p", "backend:=neuromorphic", "-p", "device:=evk4", "-r", "__node:=evk4_node"]
        environment = {**os.environ, "ROS_DOMAIN_ID": graph.domain}
        processes.append(
            subprocess.Popen([sys.executable, "-c", code, "--ros-args", *words], env=environment)
        )
        return cable

    yield start
    for process in processes:
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
