"""Event tensors in, Action Unit scores and micro-expressions out; membrane state kept per face."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from hri_msgs.msg import Expression, FacialActionUnits
from mx_capture.config import Config, setting
from mx_capture.conversions import message_to_histogram, time_to_ns
from mx_capture.errors import MxError
from mx_capture.node_setup import HUMANS_QOS, RESULT_QOS, ManagedNode
from mx_capture.nodes.executable import run
from rclpy.exceptions import InvalidTopicNameException

from mx_msgs import msg as mx
from mx_perception.au_stream import AuStream
from mx_perception.checkpoint import DEFAULT_AU
from mx_perception.conversions import (
    action_units_to_message,
    expression_to_message,
    facs_to_message,
    micro_expression_to_message,
)
from mx_perception.expressions import expression_of
from mx_perception.spotter import MicroExpression, Spotter, SpotterConfig

_LOST_S = 2.0
"""A face without tensors for this long is gone, and its topics are withdrawn."""


@dataclass(frozen=True)
class AuClassifierConfig(Config):
    """Settings of the Action Unit classifier."""

    model: str = setting("", "Folder of a trained Action Unit model; empty: the default weights")
    threads: int = setting(1, "Threads of the network", minimum=1, maximum=64)


@dataclass
class Face:
    """What the node keeps of one face."""

    facs: Any
    expression: Any
    frame_id: str
    next_seq: int
    stamp: Any
    """Of its last tensor."""
    heard_s: float = 0.0


class AuClassifierNode(ManagedNode):
    """One step of the spiking network for every event tensor."""

    losses: ClassVar = {
        "missed_tensors": "the classifier cannot keep up; free a core or raise hop_us",
        "refused_faces": "ids of faces must be parts of topic names; see who publishes faces",
        "refused_tensors": "set the crop and hop of event_tensor_node to those of the model",
    }

    limits: ClassVar = {
        "event_to_au": (50.0, "scores are late; see event_tensor_node, or free a core")
    }

    def __init__(self) -> None:
        # Tensors come in a thread of their own; faces are forgotten in the executor.
        self._lock = threading.Lock()
        self._faces: dict[str, Face] = {}
        super().__init__("au_classifier_node", AuClassifierConfig, SpotterConfig)

    def load(self) -> None:
        config = self.config(AuClassifierConfig)
        self.model = AuStream(config.model or DEFAULT_AU, threads=config.threads)
        self.health.facts.update(self.model.checkpoint.facts())
        self.update()

    def update(self) -> None:
        config, checkpoint = self.config(SpotterConfig), self.model.checkpoint
        with self._lock:
            for name in self._faces:
                self.withdraw_expressions(name)
            self.spotter = Spotter(config, checkpoint.action_units, checkpoint.on_scores)
        on = self.spotter.on_scores
        self.health.facts["thresholds"] = f"on {min(on):g} to {max(on):g}, off {config.off_score:g}"

    def start(self) -> None:
        self.action_units = self.publish_to(mx.ActionUnits, "action_units")
        self.micro_expressions = self.publish_to(mx.MicroExpression, "micro_expressions")
        self._tensors = self.listen_to(mx.EventTensor, "event_tensors", self.on_tensor, RESULT_QOS)
        self.every(1.0, self.forget_lost_faces)

    def stop(self) -> None:
        # Before the publishers of faces, which came later and would go first.
        self.withdraw(self._tensors)
        for name in self._faces:
            self.withdraw_expressions(name)
        self.model.forget(list(self._faces))
        self._faces.clear()

    def on_tensor(self, message: mx.EventTensor) -> None:
        with self._lock:
            self.read(message)

    def read(self, message: mx.EventTensor) -> None:
        began = time.perf_counter()
        name, stamp, frame_id = message.face_id, message.header.stamp, message.header.frame_id
        try:
            face = self._faces.get(name) or self._add_face(message)
        except InvalidTopicNameException:
            self.health.count("refused_faces")
            self.warn(f"face id {name!r} is no part of a topic name; use letters and digits")
            return
        missed = message.seq - face.next_seq
        face.next_seq, face.stamp, face.heard_s = message.seq + 1, stamp, began
        self.health.count("missed_tensors", max(missed, 0))
        reset = message.discontinuity or missed != 0
        if reset:
            self.withdraw_expressions(name)
        try:
            histogram = message_to_histogram(message)
            score = self.model.step({name: histogram}, reset={name} if reset else ())[name]
        except MxError as error:
            self.health.count("refused_tensors")
            self.warn(str(error))
            return
        au = self.model.action_units
        self.action_units.publish(action_units_to_message(stamp, name, au, score, frame_id))
        if face.facs.get_subscription_count():
            face.facs.publish(facs_to_message(stamp, au, score, frame_id))
        if face.expression.get_subscription_count():
            scores = dict(zip(au, score.tolist(), strict=True))
            read = expression_of(scores)
            face.expression.publish(expression_to_message(stamp, read, frame_id))
        self.tell(self.spotter.update(name, time_to_ns(stamp), score), stamp, frame_id)
        self.health.count("action_units")
        self.health.latency("step", (time.perf_counter() - began) * 1e3)
        self.health.latency("event_to_au", (self.now_ns() - time_to_ns(stamp)) / 1e6)

    def forget_lost_faces(self) -> None:
        with self._lock:
            now = time.perf_counter()
            lost = [name for name, face in self._faces.items() if now - face.heard_s > _LOST_S]
            for name in lost:
                self.withdraw_expressions(name)
                face = self._faces.pop(name)
                self.withdraw(face.facs)
                self.withdraw(face.expression)
                self.model.forget([name])

    def withdraw_expressions(self, name: str) -> None:
        face = self._faces[name]
        self.tell(self.spotter.reset(name), face.stamp, face.frame_id)

    def tell(self, expressions: Iterable[MicroExpression], stamp: Any, frame_id: str) -> None:
        for expression in expressions:
            self.micro_expressions.publish(micro_expression_to_message(stamp, expression, frame_id))
            self.health.count("micro_expressions")

    def _add_face(self, message: mx.EventTensor) -> Face:
        humans = f"/humans/faces/{message.face_id}"
        face = Face(
            self.publish_to(FacialActionUnits, f"{humans}/facs", RESULT_QOS, passing=True),
            self.publish_to(Expression, f"{humans}/expression", HUMANS_QOS, passing=True),
            message.header.frame_id,
            message.seq,
            message.header.stamp,
        )
        self._faces[message.face_id] = face
        return face


def main() -> None:
    run(AuClassifierNode)
