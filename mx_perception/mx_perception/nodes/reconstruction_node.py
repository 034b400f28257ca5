"""Face frames reconstructed from the events since the last RGB frame.

`frame_tensors` (events between two frames) and `face_crops` (the face in the later frame) are
paired per face by message_filters; the crop of the earlier frame is the key frame.
"""

from __future__ import annotations

import time
from collections import deque
from dataclasses import dataclass
from typing import ClassVar

from message_filters import SimpleFilter, TimeSynchronizer
from mx_capture.config import Config, setting
from mx_capture.conversions import (
    image_to_message,
    message_to_frame,
    message_to_histogram,
    time_to_ns,
)
from mx_capture.errors import MxError
from mx_capture.node_setup import ManagedNode
from mx_capture.nodes.executable import run
from sensor_msgs.msg import Image

from mx_msgs import msg as mx
from mx_perception.checkpoint import DEFAULT_RECONSTRUCTION
from mx_perception.reconstruction import Reconstructor

_KEPT = 30
"""Crops a face: tensors wait for events, and come up to a second later."""


@dataclass(frozen=True)
class ReconstructionConfig(Config):
    """Settings of the reconstruction."""

    model: str = setting("", "Folder of a trained reconstruction model; empty: the default weights")
    threads: int = setting(1, "Threads of the network", minimum=1, maximum=64)


_LOST_S = 2.0
"""A face without tensors and crops for this long is gone."""


class FaceStreams:
    """Tensors and crops of one face, paired by equal stamps."""

    def __init__(self) -> None:
        self.heard_s = 0.0
        self.tensors, self.crops = SimpleFilter(), SimpleFilter()
        self.recent: deque[Image] = deque(maxlen=_KEPT)
        self.pairs: deque[tuple[mx.EventTensor, Image]] = deque()
        self._synchronizer = TimeSynchronizer([self.tensors, self.crops], 30)
        # Only enqueue: this runs inside the filter's lock.
        self._synchronizer.registerCallback(lambda *pair: self.pairs.append(pair))


class ReconstructionNode(ManagedNode):
    """The frame at the end of every frame tensor, from its key frame and its events."""

    losses: ClassVar = {"refused_tensors": "the model takes another crop; see the log"}
    niceness: ClassVar = 10

    def __init__(self) -> None:
        super().__init__("reconstruction_node", ReconstructionConfig)

    def load(self) -> None:
        config = self.config(ReconstructionConfig)
        self.model = Reconstructor(config.model or DEFAULT_RECONSTRUCTION, config.threads)
        self.health.facts.update(self.model.checkpoint.facts())

    def start(self) -> None:
        self._faces: dict[str, FaceStreams] = {}
        self.reconstruction = self.publish_to(Image, "reconstruction")
        self.subscribe_to(mx.EventTensor, "frame_tensors", self.on_tensor)
        self.subscribe_to(Image, "face_crops", self.on_crop)
        self.every(1.0, self.forget_lost_faces)

    def on_tensor(self, message: mx.EventTensor) -> None:
        face = self._face(message.face_id)
        face.tensors.signalMessage(message)
        self.reconstruct(face)

    def on_crop(self, message: Image) -> None:
        face = self._face(message.header.frame_id.removeprefix("face_"))
        face.recent.append(message)
        face.crops.signalMessage(message)
        self.reconstruct(face)

    def reconstruct(self, face: FaceStreams) -> None:
        while face.pairs:
            tensor, _ = face.pairs.popleft()
            start = tensor.window_start
            key = next((crop for crop in face.recent if crop.header.stamp == start), None)
            if key is None:
                self.health.count("without_key_frame")
                continue
            self.health.count("paired")
            self.publish(tensor, key)

    def publish(self, tensor: mx.EventTensor, key: Image) -> None:
        began = time.perf_counter()
        try:
            histogram = message_to_histogram(tensor)
            frame, _ = self.model.reconstruct(histogram, message_to_frame(key).image)
        except MxError as error:
            self.health.count("refused_tensors")
            self.warn(str(error))
            return
        stamp_ns = time_to_ns(tensor.header.stamp)
        self.reconstruction.publish(image_to_message(frame, stamp_ns, key.header.frame_id))
        self.health.count("reconstructions")
        self.health.latency("step", (time.perf_counter() - began) * 1e3)

    def forget_lost_faces(self) -> None:
        since_s = time.monotonic() - _LOST_S
        self._faces = {k: face for k, face in self._faces.items() if face.heard_s >= since_s}

    def _face(self, name: str) -> FaceStreams:
        face = self._faces.get(name)
        if face is None:
            face = self._faces[name] = FaceStreams()
        face.heard_s = time.monotonic()
        return face


def main() -> None:
    run(ReconstructionNode)
