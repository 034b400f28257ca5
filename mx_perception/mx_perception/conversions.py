"""Messages of the results: the only place of this package that fills them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from builtin_interfaces.msg import Time
from hri_msgs.msg import Expression, FacialActionUnits
from mx_capture.conversions import message_to_rois, ns_to_time, time_to_ns
from mx_capture.stream import EVENT_FRAME

from mx_msgs import msg as mx
from mx_perception import expressions
from mx_perception.overlay import Boxes
from mx_perception.spotter import MicroExpression


def action_units_to_message(
    stamp: Time, face_id: str, au: Sequence[int], score: np.ndarray, frame_id: str
) -> mx.ActionUnits:
    """Scores (0..1) of the Action Units `au` (FACS numbers) of one face."""
    message = mx.ActionUnits(face_id=face_id, au=list(au), score=score.tolist())
    message.header.stamp = stamp
    message.header.frame_id = frame_id
    return message


def facs_to_message(
    stamp: Time, au: Sequence[int], score: np.ndarray, frame_id: str
) -> FacialActionUnits:
    """REP-155: index is the FACS number; what is not estimated has confidence 0."""
    message = FacialActionUnits()
    message.header.stamp = stamp
    message.header.frame_id = frame_id
    for number, value in zip(au, score, strict=True):
        message.intensity[number] = float(value)
        message.confidence[number] = 1.0
    return message


def expression_to_message(
    stamp: Time, expression: expressions.Expression, frame_id: str
) -> Expression:
    """REP-155: the name of an expression, with its valence and arousal (-1..1)."""
    message = Expression(
        expression=expression.expression,
        valence=expression.valence,
        arousal=expression.arousal,
        confidence=expression.confidence,
    )
    message.header.stamp = stamp
    message.header.frame_id = frame_id
    return message


def micro_expression_to_message(
    stamp: Time, expression: MicroExpression, frame_id: str
) -> mx.MicroExpression:
    """One phase of a micro-expression, revealed by the tensor of `stamp`."""
    message = mx.MicroExpression(
        face_id=expression.face_id,
        au=expression.au,
        phase=expression.phase,
        onset=ns_to_time(expression.onset_ns),
        apex=ns_to_time(expression.apex_ns),
        offset=ns_to_time(expression.offset_ns),
        score=expression.score,
    )
    message.header.stamp = stamp
    message.header.frame_id = frame_id
    return message


def message_to_micro_expression(message: mx.MicroExpression) -> MicroExpression:
    """One phase of a micro-expression; its times are ROS time."""
    return MicroExpression(
        face_id=message.face_id,
        au=message.au,
        phase=message.phase,
        onset_ns=time_to_ns(message.onset),
        apex_ns=time_to_ns(message.apex),
        offset_ns=time_to_ns(message.offset),
        score=message.score,
    )


def message_to_boxes(message: mx.Faces, event_frame: str = EVENT_FRAME) -> Boxes:
    """The faces of one image; `event_frame` is the frame id that event packets carry."""
    in_events = message.header.frame_id == event_frame
    return Boxes(time_to_ns(message.header.stamp), in_events, message_to_rois(message))
