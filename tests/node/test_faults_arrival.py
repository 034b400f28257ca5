"""The faults of time once more, with the clock of a robot whose two cameras share none."""

import pytest
from running_graph import RunningGraph
from test_faults import (  # noqa: F401
    calm,
    test_a_clock_that_jumps,
    test_a_stall,
    test_lost_packets,
)


@pytest.fixture(scope="module")
def graph(module_ros_domain):
    graph = RunningGraph("perception", clock="arrival")
    try:
        graph.recovers("start", 60)
        yield graph
    finally:
        graph.close()
