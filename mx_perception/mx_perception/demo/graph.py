"""Starts the launch file of a demo, waits until everything listens, and reads the nodes' counts."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from mx_capture.devices.emulated import WARNING, EmulatedSource, EmulationConfig
from mx_capture.errors import MxError
from mx_capture.files import open_source
from mx_capture.simulator.cache import simulated_session
from mx_capture.simulator.config import SimulationConfig
from mx_capture.stream import Source
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from mx_perception.demo.summary import Counts, Inputs
from mx_perception.nodes.monitor_node import MonitorNode

_LISTENERS = [
    "face_detector_node",
    "event_tensor_node",
    "au_classifier_node",
    "reconstruction_node",
    "recorder_node",
]
_DISCOVERY_S = 1.0
_DRAIN_S = 20.0
_PROGRESS = (
    ("event_tensor_node", "packets"),
    ("au_classifier_node", "action_units"),
    ("reconstruction_node", "reconstructions"),
    ("recorder_node", "written"),
)
_RECORDED = {
    "event_camera/events": "published_events",
    "rgb/image_raw": "published_image_raw",
    "rgb/camera_info": "published_camera_info",
    "labels": "published_labels",
}


def _render(console: Console) -> None:
    """Have the simulated session in the cache before any node asks for it."""
    title = "rendering the simulated person (once; later runs use the cache)"
    columns = (TextColumn(title), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=1.0)
        simulated_session(SimulationConfig(), lambda share: bar.update(task, completed=share))


class DemoGraph:
    """The processes of one demo run."""

    def __init__(self, out: Path, *, events: str | None, rgb: str | None, console: Console) -> None:
        self.out, self.console = out, console
        self._process: subprocess.Popen[bytes] | None = None
        if events is None and rgb is None:
            _render(console)
            self.inputs = Inputs(events=True, rgb=True, simulated=True)
            self.cameras = ["simulator_node"]
            self._command = self._launch("demo.launch.xml", {})
            return
        sources: dict[str, Source] = {
            name: open_source(path) for name, path in (("events", events), ("rgb", rgb)) if path
        }
        emulated = False
        if "events" in sources and sources["events"].event_size is None:
            emulated = True
            sources["events"] = EmulatedSource(sources["events"], EmulationConfig())
            console.print(WARNING, style="bold red")
        if "rgb" in sources and sources["rgb"].frame_size is None:
            raise MxError(f"--rgb {sources['rgb'].name} holds no frames; give a file that does")
        frames = rgb is not None or (
            "events" in sources and sources["events"].frame_size is not None
        )
        self.inputs = Inputs("events" in sources, frames, simulated=False, emulated=emulated)
        self.cameras = [
            node
            for name, node in (("events", "event_camera_node"), ("rgb", "rgb_camera_node"))
            if name in sources
        ]
        files = {
            name: str(Path(path).resolve())
            for name, path in (("events", events), ("rgb", rgb))
            if path
        }
        self._command = self._launch("files.launch.xml", files)

    def start(self, monitor: MonitorNode) -> None:
        """Start all processes; the cameras start last, when everybody listens to them."""
        self._refuse_company(monitor)
        self.out.mkdir(parents=True, exist_ok=True)
        self._log = (self.out / "nodes.log").open("wb")
        self._process = subprocess.Popen(
            self._command, stdout=self._log, stderr=subprocess.STDOUT, start_new_session=True
        )
        with self.console.status("starting the nodes"):
            self._wait(lambda: monitor.active(_LISTENERS), 120, "the nodes to start")
            for camera in self.cameras:
                monitor.change_state(camera, "configure")
            self._wait(lambda: self._all_listen(monitor), 60, "the cameras to be listened to")
        for camera in self.cameras:
            monitor.change_state(camera, "activate")

    def _refuse_company(self, monitor: MonitorNode) -> None:
        time.sleep(_DISCOVERY_S)
        others = {*_LISTENERS, *self.cameras}.intersection(monitor.get_node_names())
        if others:
            raise MxError(
                f"another graph is running ({', '.join(sorted(others))}); end it, or give this "
                "demo a domain of its own with ROS_DOMAIN_ID"
            )

    def check(self) -> None:
        """Raise if the graph has ended by itself."""
        if self._process is not None and self._process.poll() is not None:
            lines = (self.out / "nodes.log").read_text(errors="replace").strip().splitlines()
            reason = next((line for line in lines if "ERROR" in line or "mx:" in line), "")
            raise MxError(f"the graph ended early (see {self.out}/nodes.log) {reason}")

    def drain(self, monitor: MonitorNode) -> None:
        """Stop the cameras and let everything under way arrive."""
        for camera in self.cameras:
            monitor.change_state(camera, "deactivate")
        until = time.monotonic() + _DRAIN_S
        # The report that says so has the final counts of what was published.
        while time.monotonic() < until and any(map(monitor.active, ([c] for c in self.cameras))):
            time.sleep(0.1)
        # Nodes report once a second: nothing new in two reports means that all has arrived.
        before = None
        while time.monotonic() < until:
            time.sleep(2.2)
            now = [monitor.value(node, key) for node, key in _PROGRESS]
            if now == before:
                return
            before = now

    def stop(self) -> None:
        """End all processes; the recorder closes its recording."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()
        self._log.close()

    def counts(
        self, monitor: MonitorNode, duration_s: float, recorded: Mapping[str, int]
    ) -> Counts:
        """What the nodes say of themselves, beside what is in the recording."""

        def total(node: str, key: str) -> int:
            return int(monitor.number(node, key) or 0)

        published = {
            topic: sum(total(camera, key) for camera in self.cameras)
            for topic, key in _RECORDED.items()
        }
        heard, tensors = monitor.heard, "event_tensor_node"
        return Counts(
            duration_s=round(duration_s, 3),
            event_packets=total(tensors, "packets"),
            events=total(tensors, "events"),
            rgb_frames=published["rgb/image_raw"],
            faces=sum(len(boxes.rois) for boxes in heard.faces),
            event_tensors=total(tensors, "event_tensors"),
            au_messages=total("au_classifier_node", "action_units"),
            reconstructions=total("reconstruction_node", "reconstructions"),
            lost_packets=published["event_camera/events"] - total(tensors, "packets"),
            lost_tensors=total("au_classifier_node", "missed_tensors"),
            dropped_events=total(tensors, "dropped_events"),
            labels=len(heard.labels),
            micro_expressions=len(heard.micro_expressions),
            published=published,
            recording_messages={topic: recorded.get(f"/{topic}", 0) for topic in _RECORDED},
            latency_ms={
                "event_to_tensor": self._latency(monitor, tensors, "event_to_tensor"),
                "event_to_au": self._latency(monitor, "au_classifier_node", "event_to_au"),
            },
        )

    def _latency(self, monitor: MonitorNode, node: str, name: str) -> dict[str, float | None]:
        return {p: monitor.number(node, f"{name}_ms_{p}") for p in ("p50", "p99")}

    def _all_listen(self, monitor: MonitorNode) -> bool:
        """The cameras are matched with the recorder and whoever else subscribes."""
        for camera in self.cameras:
            if monitor.value(camera, "state") != "inactive":
                return False
            for topic in _RECORDED:
                matched = monitor.number(camera, f"{topic}_subscribers")
                if matched is None:
                    continue
                recorded = monitor.value("recorder_node", f"recording /{topic}") is not None
                if not recorded or matched < monitor.subscribers(topic):
                    return False
        return True

    def _wait(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        until = time.monotonic() + seconds
        while not condition():
            self.check()
            if time.monotonic() > until:
                raise MxError(f"gave up waiting for {what}; see {self.out}/nodes.log")
            time.sleep(0.1)

    def _launch(self, file: str, inputs: Mapping[str, str]) -> list[str]:
        """The command for a launch file: the same words for ros2 and for our runner."""
        out = str(self.out.resolve())
        values = {"autostart_cameras": "false", "record": "true", "out": out, **inputs}
        values["respawn"] = "false"
        runner = ["ros2", "launch"] if shutil.which("ros2") else [sys.executable, "-m", "mx_launch"]
        arguments = [f"{name}:={value}" for name, value in values.items()]
        return [*runner, "mx_bringup", file, *arguments]
