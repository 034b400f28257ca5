"""What the nodes make of a replay is what the offline evaluation makes of the recording."""

import json
import subprocess
import sys

from drawn_person import write_drawn
from mx_capture.nodes.event_tensor_node import EventTensorNode
from mx_capture.nodes.face_detector_node import FaceDetectorNode
from mx_perception.nodes.au_classifier_node import AuClassifierNode
from mx_perception.nodes.evaluation_node import EvaluationNode
from mx_perception.nodes.reconstruction_node import ReconstructionNode
from mx_perception.verbs.evaluate import main

PLAY = "from mx_capture.nodes.replay_node import main; main()"
NODES = (
    FaceDetectorNode,
    EventTensorNode,
    AuClassifierNode,
    ReconstructionNode,
    EvaluationNode,
)


def test_offline_and_live_agree_bit_for_bit(graph, tmp_path):
    session = write_drawn(tmp_path / "s01")
    assert main([str(session), "--out", str(tmp_path / "offline")]) == 0
    graph.start(
        *NODES,
        **{
            "evaluation_node:session": session,
            "evaluation_node:out": tmp_path / "live",
            "evaluation_node:silence_s": 3.0,
            "evaluation_node:end": "false",
        },
    )
    # Slowly, so that one process can be all nodes, and nothing is lost on a busy machine.
    command = [sys.executable, "-c", PLAY, str(session), "--rate", "0.25", "--listeners", "6"]
    with subprocess.Popen(command) as player:
        live = tmp_path / "live" / "report.json"
        graph.until(live.is_file, seconds=150)
        assert player.wait(20) == 0
    one, two = (
        json.loads((tmp_path / place / "report.json").read_text())["per_session"][0]
        for place in ("offline", "live")
    )
    assert one["tensors"]["count"] > 150
    assert one["tensors"] == two["tensors"]
    assert one["hop_counts"] == two["hop_counts"]
    assert one["spotting"] == two["spotting"]
    named = ("au", "begin_s", "end_s", "seen", "scores")
    assert [[clip[n] for n in named] for clip in one["clips"]] == [
        [clip[n] for n in named] for clip in two["clips"]
    ]
    # Only offline there are older key frames as well.
    assert [row for row in one["reconstruction"] if row["age_ms"] == 32] == two["reconstruction"]
    assert two["capture"]["lost_packets"] == 0 and two["faces"]["tracks"] == 1
