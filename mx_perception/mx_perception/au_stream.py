"""Action Unit scores as a stream: one network step per hop, membranes kept for every face."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mx_capture.errors import MxError

from mx_perception.action_units import CLIP_CLASSES
from mx_perception.checkpoint import (
    AU_KIND,
    DEFAULT_AU,
    Checkpoint,
    check_shape,
    load_checkpoint,
    open_session,
)


class AuStream:
    """Runs `model.onnx` of an Action Unit checkpoint with ONNX Runtime.

    All faces of a hop go through the network together. A face's membranes start at rest when it is
    new or named in `reset`, and stay until `forget`.
    """

    def __init__(self, folder: str | Path = DEFAULT_AU, threads: int = 1) -> None:
        """Raises MxError when the checkpoint is unreadable or does not fit."""
        self.checkpoint: Checkpoint = load_checkpoint(folder, AU_KIND)
        modality = self.checkpoint.architecture.get("modality", "events")
        if modality != "events":
            raise MxError(
                f"{self.checkpoint.folder} reads {modality}, and streams are of events; give a "
                "checkpoint of --modality events"
            )
        self.action_units = self.checkpoint.action_units
        size = self.checkpoint.size
        self.input_shape = (size("polarities"), size("height"), size("width"))
        """(P, H, W) of one time bin."""
        self.hop_us = size("hop_us")
        self._open(threads)
        self._states: dict[str, Any] = {}
        self.evidence: dict[str, np.ndarray] = {}
        """Of the last step, per face: `(15,) float32`; its mean over a clip names the class
        (`clip_class`)."""

    def step(
        self, tensors: Mapping[str, np.ndarray], reset: Collection[str] = ()
    ) -> dict[str, np.ndarray]:
        """One hop. `tensors`: face id -> `(T, P, H, W) uint8`; T bins are stepped in order.

        `reset` names faces whose tensor does not continue the last one (a discontinuity).
        Returns face id -> `(n_au,) float32` scores in 0..1, in the order of `action_units`.
        Raises MxError for a tensor of another shape, dtype or number of bins than the others.
        """
        faces = list(tensors)
        if not faces:
            return {}
        for face in faces:
            self._check(face, tensors[face])
        bins = tensors[faces[0]].shape[0]
        if any(tensors[face].shape[0] != bins for face in faces):
            raise MxError("event tensors of one hop have different numbers of bins")
        for face in faces:
            if face in reset or face not in self._states:
                self._states[face] = self._rest()
        for index in range(bins):
            read = self._advance(faces, [tensors[face][index] for face in faces])
        self.evidence |= {face: evidence for face, (_, evidence) in zip(faces, read, strict=True)}
        return {face: scores for face, (scores, _) in zip(faces, read, strict=True)}

    def state(self, face_id: str) -> dict[str, np.ndarray]:
        """The membranes of a face after its last step, by name."""
        return dict(zip(self.state_shapes, self._states[face_id], strict=True))

    def forget(self, faces: Collection[str]) -> None:
        """Drop the membranes of faces that are gone; unknown names are ignored."""
        for face in faces:
            self._states.pop(face, None)
            self.evidence.pop(face, None)

    @property
    def faces(self) -> list[str]:
        """Faces with membranes."""
        return list(self._states)

    def _open(self, threads: int) -> None:
        self.session = open_session(self.checkpoint, threads)
        check_shape(self.checkpoint, self.session, "x", self.input_shape)
        check_shape(self.checkpoint, self.session, "scores", (len(self.action_units),))
        check_shape(self.checkpoint, self.session, "evidence", (len(CLIP_CLASSES),))
        self.state_shapes: dict[str, tuple[int, ...]] = {
            value.name: tuple(value.shape[1:])
            for value in self.session.get_inputs()
            if value.name != "x"
        }
        self._outputs = ["scores", "evidence", *(f"next_{name}" for name in self.state_shapes)]

    def _rest(self) -> Any:
        """The state of a new face."""
        return [np.zeros(shape, np.float32) for shape in self.state_shapes.values()]

    def _advance(
        self, faces: Sequence[str], hops: Sequence[np.ndarray]
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Step the states of `faces` by a hop `(P, H, W)` of each; their scores and evidence."""
        states = [self._states[face] for face in faces]
        batch = {
            name: _stacked([state[i] for state in states])
            for i, name in enumerate(self.state_shapes)
        }
        scores, evidence, *after = self.session.run(self._outputs, {"x": _stacked(hops), **batch})
        for row, face in enumerate(faces):
            self._states[face] = [state[row] for state in after]
        return list(zip(scores, evidence, strict=True))

    def _check(self, face: str, tensor: np.ndarray) -> None:
        if tensor.dtype != np.uint8 or tensor.ndim != 4 or tensor.shape[1:] != self.input_shape:
            raise MxError(
                f"event tensor of face {face} is {tensor.shape} {tensor.dtype}, but the checkpoint "
                f"{self.checkpoint.folder} takes (T, {', '.join(map(str, self.input_shape))}) uint8"
            )


def _stacked(arrays: Sequence[np.ndarray]) -> np.ndarray:
    """Along a new first axis; a single one is not copied."""
    return arrays[0][np.newaxis] if len(arrays) == 1 else np.stack(arrays)


def clip_class(evidence: np.ndarray) -> int:
    """The class of a clip from the evidence of its hops, `(T, 15)`: a FACS number, 0 for neutral.

    Raises MxError without a hop.
    """
    if evidence.shape[0] == 0:
        raise MxError("a clip without hops has no class")
    return CLIP_CLASSES[int(np.argmax(evidence.mean(axis=0)))]
