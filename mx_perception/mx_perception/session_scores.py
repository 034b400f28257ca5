"""The scores of a whole session as rows, by the pipeline and the network that the nodes run."""

from __future__ import annotations

from collections.abc import Iterator

from mx_capture.event_tensor import TensorConfig
from mx_capture.pipeline import Pipeline, PipelineConfig
from mx_capture.registration import RegistrationConfig
from mx_capture.stream import Source
from mx_capture.tensorizer import StampedTensor, TensorizerConfig

from mx_perception.action_units import au_name
from mx_perception.au_stream import AuStream
from mx_perception.checkpoint import DEFAULT_AU
from mx_perception.event_driven import EventDrivenStream


def column_names(stream: AuStream) -> list[str]:
    """The header of a table of scores: `stamp_ns`, then `AU01`, ..."""
    return ["stamp_ns", *(au_name(number) for number in stream.action_units)]


def session_scores(
    source: Source,
    stream: AuStream | None = None,
    calibration: str = "",
    clock: str = TensorizerConfig.clock,
) -> Iterator[tuple[int, list[float]]]:
    """ROS time in ns of the end of each hop, and a score 0..1 for each Action Unit.

    `stream` is taken as it is, so give a fresh one; the default weights if None. Several faces
    give several rows of the same time. `calibration` is the file of a session with two cameras.
    """
    stream = stream or EventDrivenStream(DEFAULT_AU)
    _, height, width = stream.input_shape
    tensor = TensorConfig(height=height, width=width, hop_us=stream.hop_us)
    following: dict[str, int] = {}
    config = PipelineConfig(
        tensor=tensor,
        tensorizer=TensorizerConfig(clock=clock),
        registration=RegistrationConfig(calibration=calibration),
    )
    for item in Pipeline(config, crops=False).run(source):
        if not isinstance(item, StampedTensor):
            continue
        window = item.tensor
        face = window.face_id
        broken = window.discontinuity or window.seq != following.get(face, window.seq)
        following[face] = window.seq + 1
        scores = stream.step({face: window.data}, reset={face} if broken else ())[face]
        yield item.end_ns, scores.tolist()
