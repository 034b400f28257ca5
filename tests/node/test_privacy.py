"""Privacy mode, with real processes: what is published, recorded, and sent to a network."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from rosbags.highlevel import AnyReader
from running_graph import RunningGraph

IMAGE = "sensor_msgs/msg/Image"
_QUICK = {"duration_s": 3.0, "render_fps": 50, "samples": 1, "protocol": "neutral"}
_QUICK |= {"distractors": 0.0, "step_px": 5.0, "sensor": "240x180", "frames_fps": 15}
"""A person that is rendered in seconds."""
_CAMERAS = ("event_camera_node", "face_camera_node")
_NAMESPACE = ("unshare", "--user", "--map-root-user", "--net")


@pytest.fixture
def private_graph(ros_domain, tmp_path):
    # Copies: rcl reads no aliases.
    values = {f"/**/{node}": {"ros__parameters": dict(_QUICK)} for node in _CAMERAS}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    out, params = str(tmp_path / "session"), str(tmp_path / "params.yaml")
    graph = RunningGraph(
        "demo", cameras=False, privacy="true", record="true", out=out, params=params
    )
    yield graph
    graph.close()


def test_no_image_of_anybody_is_published_or_recorded(private_graph, tmp_path):
    graph = private_graph
    graph.until(lambda: len(graph.scores) > 100, "scores", 240)
    topics = dict(graph.node.get_topic_names_and_types())
    images = [
        name
        for name, types in topics.items()
        if IMAGE in types and graph.node.count_publishers(name)
    ]
    assert images == []
    assert {"/faces", "/humans/faces/tracked", "/action_units"} <= set(topics)
    shown = [name for name in topics if name.startswith("/humans/faces/f")]
    assert {name.rpartition("/")[2] for name in shown} == {"roi", "facs", "expression"}
    graph.launch.stop()
    with AnyReader([tmp_path / "session" / "recording"]) as reader:
        recorded = {topic: info.msgtype for topic, info in reader.topics.items()}
    assert IMAGE not in recorded.values()
    assert {"/event_camera/events", "/faces", "/action_units"} <= set(recorded)


def test_nothing_is_sent_to_a_network(ros_domain, tmp_path):
    """With the defaults, beside a network card with a route to everywhere, in a namespace."""
    if subprocess.run([*_NAMESPACE, "test", "-w", "/dev/net/tun"], check=False).returncode:
        pytest.skip("this machine gives tests no network namespace of their own")
    tests = Path(__file__).parent
    paths = [str(tests), str(tests.parent), *sys.path]
    done = subprocess.run(
        [*_NAMESPACE, sys.executable, str(tests / "network_namespace.py"), str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        timeout=280,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
    )
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["control"] > 0, "the card does not show what is sent"
    assert seen["by_graph"] == 0, seen["heads"]
