"""Event tensors in, Action Unit scores and micro-expressions out; membrane state kept per face."""

from __future__ import annotations

from typing import ClassVar
import time
from dataclasses import dataclass
from typing import Any

from hri_msgs.msg import FacialActionUnits
from mx_capture.config import Config, setting
from mx_capture.conversions import message_to_histogram, time_to_ns
from mx_capture.node_setup import ManagedNode, run

from mx_msgs import msg as mx
from mx_perception.au_stream import AuStream
from mx_perception.conversions import (
    action_units_to_message,
    facs_to_message,
    micro_expression_to_message,
)
from mx_perception.data import DEFAULT_AU_MODEL
from mx_perception.spotter import Spotter, SpotterConfig


@dataclass(frozen=True)
class AuClassifierConfig(Config):
    """Settings of the Action Unit classifier."""

    model: str = setting("", "Folder of a trained Action Unit model; empty: the default weights")
    threads: int = setting(1, "Threads of the network", minimum=1, maximum=64)


class AuClassifierNode(ManagedNode):
    """One step of the spiking network for every event tensor."""

    losses: ClassVar = {
        "missed_tensors": "the classifier cannot keep up; free a core or raise hop_us",
        "refused_tensors": "set the crop and hop of event_tensor_node to those of the model",
    }

    def __init__(self) -> None:
        super().__init__("au_classifier_node", AuClassifierConfig, SpotterConfig)

    def load(self) -> None:
        config = self.config(AuClassifierConfig)
        self.model = AuStream(config.model or DEFAULT_AU_MODEL, threads=config.threads)
        self.health.facts["model"] = self.model.name
        self.update()

    def update(self) -> None:
        self.spotter = Spotter(self.config(SpotterConfig), self.model.au)

    def start(self) -> None:
        self._next_seq: dict[str, int] = {}
        self._facs: dict[str, Any] = {}
        self.action_units = self.publish_to(mx.ActionUnits, "action_units")
        self.micro_expressions = self.publish_to(mx.MicroExpression, "micro_expressions")
        self.subscribe_to(mx.EventTensor, "event_tensors", self.on_tensor)

    def on_tensor(self, message: mx.EventTensor) -> None:
        began = time.perf_counter()
        face, header = message.face_id, message.header
        histogram = message_to_histogram(message)
        if histogram.shape != self.model.input_shape:
            self.health.count("refused_tensors")
            self.warn(
                f"tensor of shape {histogram.shape}; the model takes {self.model.input_shape}"
            )
            return
        missed = message.seq - self._next_seq.get(face, message.seq)
        self._next_seq[face] = message.seq + 1
        reset = message.discontinuity or missed != 0
        self.health.count("missed_tensors", max(missed, 0))
        if reset:
            self.model.forget(face)
            self.spotter.forget(face)
        score = self.model.step({face: histogram})[face]
        self.action_units.publish(
            action_units_to_message(header.stamp, face, self.model.au, score, header.frame_id)
        )
        self._publish_facs(message, score)
        for expression in self.spotter.update(face, time_to_ns(header.stamp), score):
            self.micro_expressions.publish(micro_expression_to_message(expression, header.frame_id))
            self.health.count("micro_expressions")
        self.health.count("action_units")
        self.health.latency("step", (time.perf_counter() - began) * 1e3)
        self.health.latency("event_to_au", (self.now_ns() - time_to_ns(header.stamp)) / 1e6)

    def _publish_facs(self, message: mx.EventTensor, score: Any) -> None:
        face, header = message.face_id, message.header
        if face not in self._facs:
            topic = f"/humans/faces/{face}/facs"
            self._facs[face] = self.publish_to(FacialActionUnits, topic)
        self._facs[face].publish(
            facs_to_message(header.stamp, self.model.au, score, header.frame_id)
        )


def main() -> None:
    run(AuClassifierNode)
