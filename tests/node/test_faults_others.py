"""An RGB camera node of its own and the overlay that end, in a graph of real processes."""

import signal

import pytest
from person import write_person
from running_graph import RunningGraph


@pytest.fixture(scope="module")
def graph(module_ros_domain, recoveries, tmp_path_factory):
    session = str(write_person(tmp_path_factory.mktemp("session") / "person"))
    graph = RunningGraph("files", cameras=False, events=session, rgb=session, overlay="true")
    try:
        graph.recovers("start with two camera nodes", 60, "reconstruction")
        yield graph
        recoveries.update(graph.recoveries)
    finally:
        graph.close()


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    ("name", "topic"), [("rgb_camera_node", "reconstruction"), ("overlay_node", "overlay")]
)
def test_a_node_that_ends(graph, name, topic, number):
    graph.end(name, number)
    graph.recovers(f"{number.name} of {name}", 60, topic)
