"""An RGB camera: plugged in, simulated, or played from a file."""

from __future__ import annotations

from dataclasses import dataclass

from mx_capture.config import Config, setting
from mx_capture.devices.live import LiveSource
from mx_capture.devices.uvc import UvcConfig, open_uvc
from mx_capture.errors import MxError
from mx_capture.files import open_source
from mx_capture.nodes.camera_node import CameraNode
from mx_capture.nodes.executable import run
from mx_capture.player import PlayerConfig
from mx_capture.simulator.config import SimulationConfig
from mx_capture.stream import Frame, Source


@dataclass(frozen=True)
class RgbCameraConfig(Config):
    """Where the frames come from."""

    backend: str = setting("simulator", "Kind of camera", choices=("simulator", "file", "uvc"))
    path: str = setting("", "Video or recording to play (backend file)")


class RgbCameraNode(CameraNode):
    """Publishes `rgb/image_raw` and `rgb/camera_info`."""

    wanted = (Frame,)

    def __init__(self, name: str = "rgb_camera_node", *more: type[Config]) -> None:
        super().__init__(name, RgbCameraConfig, PlayerConfig, SimulationConfig, UvcConfig, *more)

    def open(self) -> Source:
        config = self.config(RgbCameraConfig)
        self.joins_clock = config.backend == "simulator"
        if self.joins_clock:
            return self.open_simulated()
        if config.backend == "uvc":
            camera = self.config(UvcConfig)
            return LiveSource(lambda: open_uvc(camera))
        source = open_source(config.path)
        if source.frame_size is None:
            raise MxError(f"{config.path} holds no frames; set path to a video")
        return source


def main() -> None:
    run(RgbCameraNode)
