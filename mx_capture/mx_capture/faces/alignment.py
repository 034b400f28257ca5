"""Crops with the face in the middle, as it is or turned until the eyes are level."""

from __future__ import annotations

import cv2
import numpy as np

from mx_capture.roi import Roi


def upright_crop(box: Roi, keypoints_px: np.ndarray, scale: float, size: int) -> np.ndarray:
    """Where the pixels of an upright square crop lie in the image: (2, 3) float64.

    The crop of `size` pixels shows `scale` times the face box around its middle, turned so that
    the line through the eyes is level. `keypoints_px` are those of a detection. Multiply with
    (column, row, 1) of the crop to get image pixels.
    """
    right_eye, left_eye = np.asarray(keypoints_px, np.float64)[:2]
    along = left_eye - right_eye
    length = float(np.hypot(*along))
    cos, sin = along / length if length > 0 else (1.0, 0.0)
    step = scale * max(box.width, box.height) / size
    turn = step * np.array([[cos, -sin], [sin, cos]])
    middle = (size - 1) / 2
    # Integer coordinates are pixel centres to OpenCV, corners to a Roi.
    shift = np.array(box.center) - 0.5 - turn @ (middle, middle)
    return np.column_stack([turn, shift])


def level_crop(box: Roi, size: int) -> np.ndarray:
    """The same for a crop that is not turned, with all of `box` in its middle: (2, 3) float64."""
    step = max(box.width, box.height) / size
    middle = np.array(box.center) - 0.5 - step * (size - 1) / 2
    return np.column_stack([step * np.eye(2), middle])


def cut(image: np.ndarray, crop_to_image: np.ndarray, size: int) -> np.ndarray:
    """`(size, size[, 3]) uint8`; black beyond the image.

    `crop_to_image`: of `upright_crop` or `level_crop`.
    """
    step = float(np.hypot(*crop_to_image[:, 0]))
    if step > 2.0:
        # Bilinear sampling would skip pixels of a large face: average them first.
        image = cv2.blur(image, (int(step), int(step)))
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, crop_to_image, (size, size), flags=flags)
