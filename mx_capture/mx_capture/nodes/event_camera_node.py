"""An event camera: plugged in, simulated, or played from a file (with its frames, if any)."""

from __future__ import annotations

from dataclasses import dataclass

from mx_capture.config import Config, setting
from mx_capture.devices.emulated import WARNING, EmulatedSource, EmulationConfig, open_emulated
from mx_capture.devices.live import LiveSource
from mx_capture.devices.neuromorphic import open_neuromorphic
from mx_capture.devices.neuromorphic_settings import NeuromorphicConfig
from mx_capture.devices.uvc import UvcConfig
from mx_capture.files import open_source
from mx_capture.nodes.camera_node import CameraNode
from mx_capture.nodes.executable import run
from mx_capture.player import PlayerConfig
from mx_capture.simulator.config import SimulationConfig
from mx_capture.stream import Frame, Label, Packet, Source


@dataclass(frozen=True)
class EventCameraConfig(Config):
    """Where the events come from."""

    backend: str = setting(
        "simulator",
        "Kind of camera; uvc_emulated makes events from a webcam's images",
        choices=("simulator", "file", "neuromorphic", "uvc_emulated"),
    )
    path: str = setting("", "Recording to play (backend file); of a video, events are emulated")
    publish_frames: bool = setting(True, "Publish the frames and labels of a file or webcam, too")


class EventCameraNode(CameraNode):
    """Publishes `event_camera/events`."""

    def __init__(self) -> None:
        super().__init__(
            "event_camera_node",
            EventCameraConfig,
            PlayerConfig,
            SimulationConfig,
            NeuromorphicConfig,
            UvcConfig,
            EmulationConfig,
        )

    def open(self) -> Source:
        config = self.config(EventCameraConfig)
        simulated = config.backend == "simulator"
        both = config.publish_frames and not simulated
        self.wanted = (Packet, Frame, Label) if both else (Packet,)
        self.joins_clock = simulated
        if simulated:
            return self.open_simulated()
        if config.backend == "neuromorphic":
            self.wanted = (Packet, Frame)
            camera = self.config(NeuromorphicConfig)
            return LiveSource(lambda: open_neuromorphic(camera))
        self.health.solved("emulated")
        emulation = self.config(EmulationConfig)
        if config.backend == "uvc_emulated":
            self.wanted = (Packet, Frame) if config.publish_frames else (Packet,)
            webcam = self.config(UvcConfig)
            self._warn_of_emulation()
            return LiveSource(lambda: open_emulated(webcam, emulation))
        source = open_source(config.path)
        if source.event_size is None:
            self._warn_of_emulation()
            return EmulatedSource(source, emulation)
        return source

    def _warn_of_emulation(self) -> None:
        self.get_logger().warning(WARNING)
        self.health.problem("emulated", WARNING)


def main() -> None:
    run(EventCameraNode)
