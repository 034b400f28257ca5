"""The graph as it runs on a robot: real processes, and cameras that misbehave."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter, deque
from pathlib import Path

import cv2
import numpy as np
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from drawn_face import drawn_face
from event_camera_msgs.msg import EventPacket
from mx_capture.codecs import Evt3Encoder
from mx_capture.conversions import camera_info, image_to_message, packet_to_message, time_to_ns
from mx_capture.node_setup import EVENTS_QOS, RESULT_QOS
from mx_capture.stream import EVENT_DTYPE, EVENT_FRAME, RGB_FRAME, Packet
from mx_launch import Launch
from rclpy.executors import SingleThreadedExecutor
from sensor_msgs.msg import CameraInfo, Image

from mx_msgs import msg as mx

LAUNCH = Path(__file__).parents[2] / "launch"
HEIGHT, WIDTH = 240, 320
PERIOD_NS = 4_000_000
FRAME_EVERY = 8
_LATEST_NS = 100_000_000
_LATE_NS = 2_000_000_000
_SCORES = 20
"""Scores in time that say that the graph works."""


class Cameras(threading.Thread):
    """Both cameras before people who fidget; the attributes say how they misbehave."""

    def __init__(self, node):
        super().__init__(name="cameras", daemon=True)
        self.events_on = self.rgb_on = True
        self.people = 1
        self.jump_ns = 0
        self.garbage = False
        self.lose = 0
        """Packets to leave out."""
        self._events = node.create_publisher(EventPacket, "event_camera/events", EVENTS_QOS)
        self._images = node.create_publisher(Image, "rgb/image_raw", RESULT_QOS)
        self._infos = node.create_publisher(CameraInfo, "rgb/camera_info", RESULT_QOS)
        self._ended = threading.Event()
        self._random = np.random.default_rng(1)
        one = drawn_face(HEIGHT, WIDTH, (WIDTH // 2, HEIGHT // 2), 100)
        half = drawn_face(HEIGHT, WIDTH, (WIDTH // 4, HEIGHT // 2), 80)[:, : WIDTH // 2]
        self._pictures = [np.full_like(one, 125), one, cv2.hconcat([half, half])]
        self._step = self.seq = 0
        self._burst: dict[int, bytes] = {}
        """Packets of a burst by their step; drawing them takes longer than it lasts."""
        self.now_ns = self._begin_ns = time.time_ns()

    def run(self):
        step = next_frame = 0
        while not self._ended.is_set():
            due_ns = self._begin_ns + step * PERIOD_NS
            early_ns = due_ns - time.time_ns()
            time.sleep(max(0.0, early_ns / 1e9))
            if early_ns < -_LATEST_NS:
                # A busy machine: cameras do not wait either.
                step += -early_ns // PERIOD_NS
                due_ns = self._begin_ns + step * PERIOD_NS
            self.now_ns, self._step = due_ns + self.jump_ns, step
            if self.events_on:
                self._send_events()
            if self.rgb_on and step >= next_frame:
                next_frame = step + FRAME_EVERY
                self._send_image()
            step += 1

    def close(self):
        self._ended.set()
        self.join()

    def burst(self, events, packets):
        """Packets of so many events one after the other; returns the events sent a second."""
        first = self._step + 500
        drawn = _fidgeting(np.random.default_rng(2), events)
        for step in range(first, first + packets):
            self._burst[step] = _encoded(drawn, step * PERIOD_NS + self.jump_ns)
        assert self._step < first, "drawing the burst took longer than 2 s"
        while self._step < first + packets:
            time.sleep(0.01)
        sent = packets - len(self._burst)
        self._burst.clear()
        return sent * events / (packets * PERIOD_NS / 1e9)

    def _send_events(self):
        if self.lose:
            self.lose -= 1
            self.seq += 1
            return
        data = self._burst.pop(self._step, b"")
        if self.garbage:
            data = self._random.bytes(400)
        data = data or _encoded(_fidgeting(self._random, 60), self.now_ns - self._begin_ns)
        packet = Packet(self.now_ns, self.seq, "evt3", HEIGHT, WIDTH, self._begin_ns, data)
        self._events.publish(packet_to_message(packet, EVENT_FRAME))
        self.seq += 1

    def _send_image(self):
        picture = self._pictures[self.people]
        self._images.publish(image_to_message(picture, self.now_ns, RGB_FRAME))
        self._infos.publish(camera_info((HEIGHT, WIDTH), self.now_ns, RGB_FRAME))


def _fidgeting(random, count):
    events = np.zeros(count, EVENT_DTYPE)
    events["t"] = np.sort(random.integers(0, PERIOD_NS // 1000, count))
    events["x"] = random.integers(0, WIDTH, count)
    events["y"] = random.integers(0, HEIGHT, count)
    events["p"] = random.integers(0, 2, count)
    return events


def _encoded(events, begin_ns):
    """With times from `begin_ns` of the sensor on."""
    events = events.copy()
    events["t"] += begin_ns // 1000
    return Evt3Encoder(HEIGHT, WIDTH).encode(events)


class RunningGraph:
    """The processes of a launch file, and a subscriber like any other stack's."""

    def __init__(self, file, cameras=True, forget=(), **arguments):
        """`forget`: variables of the environment that the launch file does not see."""
        self.domain = os.environ["ROS_DOMAIN_ID"]
        rclpy.init(args=[])
        self.node = rclpy.create_node("watcher")
        self.lines = deque(maxlen=1000)
        self.scores = deque(maxlen=1000)
        self.heard = Counter()
        """Scores of each face."""
        self.messages = Counter()
        self.faces = []
        self.reports = {}
        self.complaints = []
        self.recoveries = {}
        for message_type, topic, callback in (
            (mx.ActionUnits, "action_units", self._on_scores),
            (mx.Faces, "faces", self._on_faces),
            (DiagnosticArray, "/diagnostics", self._on_diagnostics),
            (Image, "reconstruction", lambda _: None),
            (Image, "overlay", lambda _: None),
        ):
            self._listen(message_type, topic, callback)
        self._executor = SingleThreadedExecutor()
        self._executor.add_node(self.node)
        self.cameras = Cameras(self.node) if cameras else None
        for name in forget:
            os.environ.pop(name)
        self.launch = Launch(
            LAUNCH / f"{file}.launch.xml", arguments, output=lambda *line: self.lines.append(line)
        ).start()
        if self.cameras:
            self.cameras.start()

    def close(self):
        if self.cameras:
            self.cameras.close()
        self.launch.stop()
        self._executor.shutdown()
        self.node.destroy_node()
        rclpy.shutdown()

    # What it says.
    def value(self, name, key):
        """The latest diagnostic value of a node, as a number."""
        return float(self.reports.get(name, (0, "", {}))[2].get(key, 0))

    def working(self):
        """Whether scores come for what the cameras see now."""
        now_ns = self.cameras.now_ns if self.cameras else time.time_ns()
        recent = [stamp for stamp in list(self.scores)[-_SCORES:] if abs(now_ns - stamp) < _LATE_NS]
        return len(recent) == _SCORES

    def memory_mb(self, name):
        """Resident memory of a process."""
        pages = Path(f"/proc/{self.launch.pids[name]}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE") / 1e6

    # Waiting.
    def until(self, condition, what, seconds=30.0):
        """Spin until a condition holds; fails with the last words of the processes."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() > end:
                last = "\n".join(f"[{name}] {line}" for name, line in list(self.lines)[-20:])
                raise AssertionError(f"gave up waiting for {what}\n{self.reports}\n{last}")
            self._executor.spin_once(timeout_sec=0.02)

    def run_for(self, seconds):
        """Listen for some time."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._executor.spin_once(timeout_sec=0.02)

    def recovers(self, what, seconds=30.0, topic="action_units"):
        """Wait until scores and messages on `topic` come again; keeps how long that took."""
        self.scores.clear()
        self.messages.clear()
        began = time.monotonic()
        self.until(
            lambda: self.working() and self.messages[topic],
            f"the graph to recover from {what}",
            seconds,
        )
        self.recoveries[what] = time.monotonic() - began

    def end(self, name, number):
        """Send a signal to a node, and wait until the launcher has started it again."""
        before = self.launch.pids[name]
        os.kill(before, number)
        self.until(lambda: self.launch.pids.get(name, before) != before, f"{name} to start again")

    def complained(self, name, word):
        """Whether a node's diagnostics warned with this word since `complaints` was cleared."""
        return any(name == node and word in text for node, text in self.complaints)

    def _listen(self, message_type, topic, callback):
        def heard(message):
            self.messages[topic] += 1
            callback(message)

        self.node.create_subscription(message_type, topic, heard, RESULT_QOS)

    def _on_scores(self, message):
        self.scores.append(time_to_ns(message.header.stamp))
        self.heard[message.face_id] += 1

    def _on_faces(self, message):
        self.faces = [face.id for face in message.faces]

    def _on_diagnostics(self, message):
        for status in message.status:
            name = status.name.rpartition("/")[2]
            values = {item.key: item.value for item in status.values}
            self.reports[name] = (status.level[0], status.message, values)
            if status.level != b"\x00":
                self.complaints.append((name, status.message))
