"""`./mx view` as a process: it shows what is on the topics, and ends when told to."""

import json
import os
import re
import signal
import subprocess
import sys
import urllib.request

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from mx_capture.conversions import image_to_message
from sensor_msgs.msg import Image

from mx_msgs import msg as mx


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_page_shows_the_graph_and_ends_quietly(graph, number):
    graph.start()
    module = ["-m", "mx_capture.verbs", "mx_perception.verbs.view"]
    process = subprocess.Popen(
        [sys.executable, *module, "--no-browser", "--port", "0"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
    )
    try:
        address = re.search(r"http://127.0.0.1:\d+/", process.stdout.readline())[0]

        def get(path):
            with urllib.request.urlopen(address + path, timeout=10) as answer:
                return answer.status, answer.read()

        assert b"<canvas" in get("")[1]
        images = graph.publisher(Image, "rgb/image_raw")
        scores = graph.publisher(mx.ActionUnits, "action_units")
        nodes = graph.publisher(DiagnosticArray, "/diagnostics")
        image = image_to_message(np.zeros((48, 64, 3), np.uint8), 10**9, "rgb_camera")
        message = mx.ActionUnits(face_id="f00000", au=[12], score=[0.75])
        message.header.stamp.sec = 1
        state = {}

        def all_came():
            nodes.publish(DiagnosticArray(status=[DiagnosticStatus(name="/lamp", message="ok")]))
            images.publish(image)
            scores.publish(message)
            state.update(json.loads(get("state.json")[1]))
            shown = state["scores"][:1] == [[0.75]] and state["nodes"]
            return shown and get("rgb")[0] == 200

        graph.until(all_came)
        assert (state["face"], state["nodes"][0]["name"]) == ("f00000", "/lamp")
    finally:
        process.send_signal(number)
        output, _ = process.communicate(timeout=30)
    assert (process.returncode, output) == (0, "")
