"""Reconstructed face frames at run time: a key frame and the events since, through ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from mx_capture.errors import MxError

from mx_perception.checkpoint import (
    DEFAULT_RECONSTRUCTION,
    RECONSTRUCTION_KIND,
    Checkpoint,
    check_shape,
    load_checkpoint,
    open_session,
)


class Reconstructor:
    """Runs `model.onnx` of a reconstruction checkpoint."""

    def __init__(self, folder: str | Path = DEFAULT_RECONSTRUCTION, threads: int = 1) -> None:
        """Raises MxError when the checkpoint is unreadable or does not fit."""
        self.checkpoint: Checkpoint = load_checkpoint(folder, RECONSTRUCTION_KIND)
        self.session = open_session(self.checkpoint, threads)
        size = self.checkpoint.size
        self.colours = size("colours")
        self.bins = size("bins")
        self.event_shape = (self.bins, size("polarities"), size("height"), size("width"))
        """(T, P, H, W) that `reconstruct` takes."""
        check_shape(self.checkpoint, self.session, "events", self.event_shape)
        check_shape(self.checkpoint, self.session, "key", (self.colours, *self.event_shape[2:]))

    def reconstruct(
        self, event_bins: np.ndarray, key_frame: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """The frame at the end of the window that `event_bins` covers.

        `event_bins (T, P, H, W) uint8` since the key frame; `key_frame (H, W)` or `(H, W, 3) uint8`
        of the same crop. RGB is turned to grey for a grey network and grey to RGB for a colour one.
        Returns the frame, `(H, W)` or `(H, W, 3) uint8` as the network has it, and the uncertainty
        `(H, W) float32`: the expected absolute error as a share of full scale.
        Raises MxError for other shapes or types.
        """
        if event_bins.dtype != np.uint8 or event_bins.shape != self.event_shape:
            raise MxError(
                f"event bins are {event_bins.shape} {event_bins.dtype}, but the checkpoint "
                f"{self.checkpoint.folder} takes {self.event_shape} uint8"
            )
        key = self._key(key_frame)
        inputs = {"events": event_bins[np.newaxis], "key": key[np.newaxis]}
        frame, uncertainty = self.session.run(["frame", "uncertainty"], inputs)
        picture = frame[0, 0] if self.colours == 1 else frame[0].transpose(1, 2, 0)
        return np.ascontiguousarray(picture), uncertainty[0, 0]

    def _key(self, frame: np.ndarray) -> np.ndarray:
        size = self.event_shape[2:]
        grey = frame.ndim == 2
        if frame.dtype != np.uint8 or frame.shape != (size if grey else (*size, 3)):
            raise MxError(
                f"key frame is {frame.shape} {frame.dtype}, but {size} or {(*size, 3)} uint8 fits"
            )
        if self.colours == 1:
            return (frame if grey else cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY))[np.newaxis]
        colour = cv2.cvtColor(frame, cv2.COLOR_GRAY2RGB) if grey else frame
        return np.ascontiguousarray(colour.transpose(2, 0, 1))
