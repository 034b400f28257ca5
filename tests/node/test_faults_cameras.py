"""Camera nodes that die, in graphs of real processes."""

import signal

import pytest
from person import write_person
from running_graph import RunningGraph


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
