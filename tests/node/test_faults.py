"""What goes wrong on a robot, done to the running graph: it recovers by itself and says what was.

The limits of time here are those of a hang. How long each recovery took is printed at the end.
"""

import os
import resource
import signal
import subprocess
import sys

import pytest
import rclpy
from mx_capture.verbs.recover import main as recover
from rclpy.qos import QoSProfile
from rosbags.highlevel import AnyReader
from running_graph import RunningGraph

from mx_msgs import msg as mx

NODES = {
    "face_detector_node": "faces",
    "event_tensor_node": "action_units",
    "au_classifier_node": "action_units",
    "reconstruction_node": "reconstruction",
}
"""Each with a topic that only comes with it."""
_MB_LEEWAY = 60


@pytest.fixture(scope="module")
def graph(module_ros_domain, recoveries):
    graph = RunningGraph("perception")
    try:
        graph.recovers("start", 60)
        yield graph
        recoveries.update(graph.recoveries)
    finally:
        graph.close()


@pytest.fixture(autouse=True)
def calm(graph):
    """Every test finds the graph at work, and a camera that behaves."""
    graph.until(graph.working, "the graph to work before the test", 60)
    graph.complaints.clear()
    yield
    cameras = graph.cameras
    cameras.events_on = cameras.rgb_on = True
    cameras.people, cameras.garbage, cameras.lose = 1, False, 0


@pytest.mark.parametrize("seconds", [1.0, 3.0])
def test_a_stall(graph, seconds):
    graph.cameras.events_on = graph.cameras.rgb_on = False
    graph.run_for(seconds)
    if seconds > 2:
        graph.until(lambda: graph.complained("event_tensor_node", "no packet"), "a warning")
        graph.until(lambda: graph.complained("face_detector_node", "start a camera"), "a warning")
    graph.cameras.events_on = graph.cameras.rgb_on = True
    graph.recovers(f"a stall of {seconds:.0f} s")


@pytest.mark.parametrize("seconds", [10, -10])
def test_a_clock_that_jumps(graph, seconds):
    graph.cameras.jump_ns += seconds * 10**9
    graph.recovers(f"a clock jump of {seconds:+d} s")
    # EVT3 sends 24 bits of time: a step back may look like a silence, and the stamps tell.
    words = ("gaps", "time_jumps", "clock_jumps")
    graph.until(
        lambda: any(graph.complained("event_tensor_node", word) for word in words), "a warning"
    )


def test_lost_packets(graph):
    graph.cameras.lose = 5
    graph.until(lambda: graph.cameras.lose == 0, "the gap")
    graph.recovers("a gap of 5 packets")
    graph.until(lambda: graph.complained("event_tensor_node", "lost_packets +5"), "a warning")


def test_a_burst_of_events(graph):
    """400,000 events every 4 ms are 100 million a second, as a lamp that is switched makes."""
    before = graph.memory_mb("event_tensor_node")
    rate = graph.cameras.burst(400_000, packets=50)
    graph.recovers(f"a burst of {rate / 1e6:.0f} Mev/s")
    assert graph.memory_mb("event_tensor_node") < before + 5 * _MB_LEEWAY


def test_garbage_instead_of_packets(graph):
    graph.cameras.garbage = True
    graph.run_for(1.0)
    graph.cameras.garbage = False
    graph.recovers("garbage packets")
    # Any two bytes are a word of EVT3: garbage is events outside the sensor, and leaps in time.
    for word in ("out_of_range", "time_jumps"):
        graph.until(lambda word=word: graph.complained("event_tensor_node", word), "a warning")
    assert graph.launch.pids.keys() >= {"event_tensor_node"}


def test_a_face_that_leaves_and_returns(graph):
    (name,) = graph.faces
    graph.cameras.people = 0
    graph.until(lambda: not graph.faces, "the face to be gone")
    graph.cameras.people = 1
    graph.recovers("a face that was away")
    graph.until(lambda: len(graph.faces) == 1, "the face")
    assert graph.faces == [name], "away for less than 1.5 s"


def test_two_faces(graph):
    graph.cameras.people = 2
    graph.until(lambda: len(graph.faces) == 2, "two faces")
    graph.heard.clear()
    graph.until(
        lambda: min(graph.heard[name] for name in graph.faces) >= 50 and len(graph.faces) == 2,
        "scores of both",
    )
    graph.cameras.people = 1
    graph.recovers("two faces")


def test_rgb_that_stops(graph):
    """Events go on alone: scores come until the box is too old, or faces are found in events."""
    graph.cameras.rgb_on = False
    graph.scores.clear()
    graph.until(graph.working, "scores without RGB")
    detector = "face_detector_node"
    before = graph.value(detector, "event_images")
    graph.until(lambda: graph.value(detector, "event_images") > before, "a look at the events")
    graph.until(lambda: graph.complained(detector, "no RGB frame"), "a warning")
    graph.cameras.rgb_on = True
    graph.recovers("RGB that stopped")


def test_a_subscriber_that_never_reads(graph):
    """Reliable, deep, and not spun: nobody waits for it, nothing piles up."""
    before = {name: graph.memory_mb(name) for name in NODES}
    lazy = rclpy.create_node("lazy", context=graph.node.context)
    profile = QoSProfile(depth=1000)
    lazy.create_subscription(mx.EventTensor, "event_tensors", print, profile)
    lazy.create_subscription(mx.ActionUnits, "action_units", print, profile)
    graph.run_for(5.0)
    graph.recovers("a subscriber that never reads")
    after = {name: graph.memory_mb(name) for name in NODES}
    lazy.destroy_node()
    assert all(after[name] < before[name] + _MB_LEEWAY for name in NODES)


def test_a_disk_that_is_full(graph, recorder, tmp_path):
    """Files of this process may have 48 MB, as if the disk were full then."""
    # Shared memory is made of files, too, of 34 MB.
    recorder(resource.RLIMIT_FSIZE, 48_000_000)
    graph.until(lambda: graph.complained("recorder_node", "free some space"), "an error")
    graph.recovers("a full disk")
    message = next(text for name, text in graph.complaints if name == "recorder_node")
    assert "cannot write" in message
    assert graph.value("recorder_node", "dropped") > 0
    assert_readable(tmp_path)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
def test_a_recorder_that_ends(graph, recorder, tmp_path, number):
    process = recorder()
    graph.until(lambda: graph.value("recorder_node", "written") > 300, "a recording")
    process.send_signal(number)
    process.wait(30)
    graph.recovers(f"{number.name} of recorder_node")
    # What was written in the last second before SIGKILL may be lost.
    assert_readable(tmp_path, expected=100)


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGKILL])
@pytest.mark.parametrize("name", NODES)
def test_a_node_that_ends(graph, name, number):
    graph.end(name, number)
    graph.recovers(f"{number.name} of {name}", 60, NODES[name])


@pytest.mark.slow
def test_eight_restarts_in_a_row(graph):
    for _ in range(8):
        graph.end("event_tensor_node", signal.SIGKILL)
        graph.recovers("the last of 8 restarts of event_tensor_node", 60)


@pytest.fixture
def recorder(graph, tmp_path):
    """Starts a recorder beside the graph, with a limit on a resource if wanted."""
    processes = []

    def start(limit=None, value=0):
        graph.run_for(0.5)  # what the last recorder said is on its way, and counts for nothing
        graph.reports.pop("recorder_node", None)
        words = ["--ros-args", "-p", f"out:={tmp_path / 'recording'}", "-p", "reserve_mb:=0"]
        code = "from mx_capture.nodes.recorder_node import main; main()"
        limits = None if limit is None else lambda: resource.setrlimit(limit, (value, value))
        environment = {**os.environ, "ROS_DOMAIN_ID": str(graph.domain)}
        processes.append(
            subprocess.Popen(
                [sys.executable, "-c", code, *words], preexec_fn=limits, env=environment
            )
        )
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.wait()


def assert_readable(folder, expected=1):
    """What was recorded can be read, after `recover` where the recorder could not close it."""
    bag = folder / "recording"
    if not (bag / "metadata.yaml").exists():
        assert recover([str(bag)]) == 0
    with AnyReader([bag]) as reader:
        assert sum(1 for _ in reader.messages()) >= expected
