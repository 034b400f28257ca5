"""The demo as a user runs it: separate processes, real DDS, a real recording."""

import json
import os
import subprocess
import sys

import cv2
import pytest
from rosbags.highlevel import AnyReader


def mx(verb, *words, timeout=240):
    """Run a verb; returns the finished process with its output as text."""
    return subprocess.run(
        [sys.executable, "-m", "mx_capture.verbs", f"mx_perception.verbs.{verb}", *map(str, words)],
        capture_output=True,
        text=True,
        timeout=timeout,
        env=os.environ | {"COLUMNS": "200"},
    )


def test_the_whole_graph_loses_nothing(tmp_path):
    out = tmp_path / "out"
    done = mx("demo", "--duration", 8, "--out", out)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    summary = json.loads((out / "summary.json").read_text())
    assert set(summary["stages"].values()) == {"ok"}
    assert summary["lost_packets"] == summary["lost_tensors"] == summary["dropped_events"] == 0
    assert summary["recording_messages"] == summary["published"]
    assert summary["rgb_frames"] == pytest.approx(30 * summary["duration_s"], rel=0.1)
    assert summary["event_tensors"] == summary["au_messages"] > 500
    assert summary["reconstructions"] > 150
    assert summary["latency_ms"]["event_to_au"]["p99"] > summary["latency_ms"]["event_to_au"]["p50"]

    with AnyReader([out / "recording"]) as reader:
        counts = {topic: info.msgcount for topic, info in reader.topics.items()}
    assert counts["/event_camera/events"] == summary["event_packets"]
    assert counts["/rgb/image_raw"] == summary["rgb_frames"]
    assert counts["/labels"] == summary["labels"] > 0

    film = cv2.VideoCapture(str(out / "overlay.mp4"))
    assert film.get(cv2.CAP_PROP_FRAME_COUNT) == pytest.approx(15 * 8, rel=0.2)


def test_a_video_alone_shows_faces_and_names_what_is_missing(tmp_path):
    video = tmp_path / "grey.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 30, (320, 240))
    for _ in range(60):
        writer.write(cv2.UMat(240, 320, cv2.CV_8UC3, (90, 90, 90)).get())
    writer.release()
    done = mx("demo", "--rgb", video, "--duration", 4, "--no-film", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    stages = json.loads((tmp_path / "out" / "summary.json").read_text())["stages"]
    assert stages["rgb"] == stages["recording"] == "ok"
    assert stages["faces"] == "no face was seen"
    assert stages["event_tensors"] == "no event input"


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("--events", "nothing.raw"), "nothing.raw"),
        (("--rgb", "notes.txt"), "notes.txt"),
        (("--duration", "0"), "--duration 0.0 is outside 1 to 3600 s"),
    ],
)
def test_bad_input_is_one_line(tmp_path, monkeypatch, words, named):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("no video")
    done = mx("demo", "--out", tmp_path / "out", *words)
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stderr.startswith("mx: ") and named in done.stderr
    assert not (tmp_path / "out").exists()


def test_an_existing_folder_is_not_overwritten(tmp_path):
    (tmp_path / "kept").write_text("mine")
    done = mx("demo", "--out", tmp_path)
    assert done.returncode == 2
    assert "not empty" in done.stderr
    assert (tmp_path / "kept").read_text() == "mine"
