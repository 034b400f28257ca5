"""Camera nodes that die, and cameras that are pulled out, in graphs of real processes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from person import write_person
from running_graph import RunningGraph

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
def graph(module_ros_domain, recoveries, tmp_path_factory):
    session = write_person(tmp_path_factory.mktemp("session") / "person")
    graph = RunningGraph("files", cameras=False, events=str(session))
    try:
        graph.recovers("start with a camera node", 60)
        yield graph
        recoveries.update(graph.recoveries)
    finally:
        graph.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_camera_node_that_ends(graph, number):
    graph.end("event_camera_node", number)
    graph.recovers(f"{number.name} of event_camera_node", 60)


@pytest.mark.slow
def test_eight_restarts_of_the_camera_in_a_row(graph):
    for _ in range(8):
        graph.end("event_camera_node", signal.SIGKILL)
        graph.recovers("the last of 8 restarts of event_camera_node", 60)


def test_a_camera_that_is_pulled_out(graph, tmp_path):
    """Beside the graph, under a name of its own: it must not disturb the others."""
    cable = tmp_path / "cable"
    cable.touch()
    code = _PLUGGED.format(tests=str(Path(__file__).parents[1]), cable=str(cable))
    words = ["-p", "backend:=neuromorphic", "-p", "device:=evk4"]
    words += ["-r", "__node:=evk4_node", "-r", "event_camera/events:=evk4/events"]
    process = subprocess.Popen(
        [sys.executable, "-c", code, "--ros-args", *words],
        env={**os.environ, "ROS_DOMAIN_ID": graph.domain},
    )

    def sent():
        return graph.value("evk4_node", "published_events")

    try:
        graph.until(lambda: sent() > 100, "packets of the camera")
        cable.unlink()
        graph.until(lambda: graph.reports["evk4_node"][0] == 2, "an error")
        assert "plugged in" in graph.reports["evk4_node"][1]
        before = sent()
        cable.touch()
        graph.until(lambda: sent() > before + 100, "packets after the camera is back")
        graph.until(lambda: graph.value("evk4_node", "unplugged") == 1, "the count")
        graph.until(graph.working, "the others")
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
