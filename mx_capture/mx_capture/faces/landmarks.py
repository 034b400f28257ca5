"""468 points on a face with FaceMesh (Kartynnik et al. 2019), and the 70 of REP-155 from them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from mx_capture.faces.alignment import cut, upright_crop
from mx_capture.faces.detector import check_image
from mx_capture.roi import Roi

MODEL = Path(__file__).parent.parent / "data" / "face_landmark.tflite"

_INPUT = 192
_CROP_SCALE = 1.5
"""The model was trained on crops of this many times the face box."""

_RIGHT_EYE = (33, 160, 158, 133, 153, 144)
_LEFT_EYE = (362, 385, 387, 263, 373, 380)

REP155_FROM_MESH: tuple[tuple[int, ...], ...] = (
    # 0..16: outline from the right ear over the chin to the left ear
    *((i,) for i in (127, 234, 93, 58, 172, 136, 149, 148, 152)),
    *((i,) for i in (377, 378, 365, 397, 288, 323, 454, 356)),
    # 17..21: right brow from outside; 22..26: left brow from inside
    *((i,) for i in (70, 63, 105, 66, 107)),
    *((i,) for i in (336, 296, 334, 293, 300)),
    # 27..30: bridge of the nose to its tip; 31..35: below the nostrils
    *((i,) for i in (168, 197, 5, 4)),
    *((i,) for i in (98, 97, 2, 326, 327)),
    # 36..41, 42..47: eyes, from the corner further left in the image, over the top
    *((i,) for i in _RIGHT_EYE),
    *((i,) for i in _LEFT_EYE),
    # 48..59: outer edge of the lips from the right corner over the top; 60..67: inner edge
    *((i,) for i in (61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181)),
    *((i,) for i in (78, 82, 13, 312, 308, 317, 14, 87)),
    # 68, 69: pupils; this mesh has none, the middle of the opening stands in
    _RIGHT_EYE,
    _LEFT_EYE,
)
"""For each of hri_msgs/FacialLandmarks' 70 points, the mesh vertices whose mean it is.

Right and left are the person's. The first 68 are the points of the iBUG 300-W scheme.
"""


@dataclass(frozen=True)
class Landmarks:
    """Points of one face.

    `points_px`: (468, 3) float32, x and y in image pixels, z in the same unit, smaller is nearer.
    `score`: 0..1, how sure it is that the crop shows a face.
    """

    points_px: np.ndarray
    score: float

    def rep155_px(self) -> np.ndarray:
        """(70, 2) float32: x and y in image pixels, in the order of hri_msgs/FacialLandmarks."""
        return np.array(
            [self.points_px[list(vertices), :2].mean(axis=0) for vertices in REP155_FROM_MESH],
            np.float32,
        )


class FaceLandmarks:
    """Finds the mesh in the neighbourhood of a detected face (2.2 ms on one core)."""

    def __init__(self) -> None:
        self._net = cv2.dnn.readNetFromTFLite(str(MODEL))

    def find(self, image: np.ndarray, box: Roi, keypoints_px: np.ndarray) -> Landmarks:
        """Points of the face in `box` of an `(H, W, 3)` RGB or `(H, W)` grey uint8 image.

        `box` and `keypoints_px` are those of a Detection or TrackedFace.
        """
        check_image(image)
        crop_to_image = upright_crop(box, keypoints_px, _CROP_SCALE, _INPUT)
        crop = cut(image, crop_to_image, _INPUT)
        if crop.ndim == 2:
            crop = cv2.cvtColor(crop, cv2.COLOR_GRAY2RGB)
        self._net.setInput(cv2.dnn.blobFromImage(crop, 1 / 255.0))
        points, presence = self._net.forward(("conv2d_21", "conv2d_31"))
        points = np.asarray(points, np.float64).reshape(468, 3)
        placed = np.empty((468, 3), np.float32)
        placed[:, :2] = points[:, :2] @ crop_to_image[:, :2].T + crop_to_image[:, 2]
        placed[:, 2] = points[:, 2] * np.hypot(*crop_to_image[:, 0])
        score = 1.0 / (1.0 + np.exp(-np.clip(float(presence.item()), -80.0, 80.0)))
        return Landmarks(placed, float(score))
