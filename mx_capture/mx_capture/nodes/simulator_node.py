"""A simulated person before both cameras, with ground-truth labels."""

from __future__ import annotations

from mx_capture.nodes.camera_node import CameraNode
from mx_capture.nodes.executable import run
from mx_capture.player import PlayerConfig
from mx_capture.simulator.config import SimulationConfig
from mx_capture.stream import Source


class SimulatorNode(CameraNode):
    """Publishes both cameras' topics and `labels`."""

    joins_clock = True

    def __init__(self) -> None:
        super().__init__("simulator_node", PlayerConfig, SimulationConfig)

    def open(self) -> Source:
        return self.open_simulated()


def main() -> None:
    run(SimulatorNode)
