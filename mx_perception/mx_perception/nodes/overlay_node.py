"""What the system sees as one picture: RGB, events, crop, scores and phases of a face."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import ClassVar

from mx_capture.config import Config, setting
from mx_capture.conversions import image_to_message
from mx_capture.node_setup import ManagedNode
from mx_capture.nodes.executable import run
from mx_capture.stream import RGB_FRAME
from sensor_msgs.msg import Image

from mx_perception.live_view import LiveView
from mx_perception.nodes.live_topics import LiveTopics
from mx_perception.overlay import draw


@dataclass(frozen=True)
class OverlayConfig(Config):
    """Settings of the overlay."""

    rate: float = setting(10.0, "Pictures a second, at most", minimum=0.1, maximum=60.0)
    face: str = setting(
        "", "Id of the face to show, such as f00000; empty: the first", read_only=False
    )


class OverlayNode(ManagedNode):
    """Draws `overlay`; listens to nothing and draws nothing while nobody subscribes to it."""

    niceness: ClassVar = 10

    def __init__(self) -> None:
        super().__init__("overlay_node", OverlayConfig)

    def load(self) -> None:
        self.update()

    def update(self) -> None:
        self.settings = self.config(OverlayConfig)

    def start(self) -> None:
        self.live = LiveView()
        self.topics = LiveTopics(self, self.live)
        self.overlay = self.publish_to(Image, "overlay")
        self._drawn_ns = 0
        self.every(1.0 / self.settings.rate, self.publish)

    def stop(self) -> None:
        self.topics.close()

    def publish(self) -> None:
        """Draw what is new."""
        if self.overlay.get_subscription_count() == 0:
            self.topics.close()
            return
        self.topics.open()
        if self.live.now_ns == self._drawn_ns:
            return
        began = time.perf_counter()
        view = self.live.view(self.settings.face or None)
        self._drawn_ns = view.stamp_ns
        self.overlay.publish(image_to_message(draw(view), view.stamp_ns, RGB_FRAME))
        self.health.count("overlays")
        self.health.latency("draw", (time.perf_counter() - began) * 1e3)

    def observe(self) -> None:
        if hasattr(self, "live"):
            self.health.set_counts(self.live.counters)


def main() -> None:
    run(OverlayNode)
