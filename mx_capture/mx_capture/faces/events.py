"""Making an accumulated event image look like a picture of a face, for where RGB is dark."""

from __future__ import annotations

import cv2
import numpy as np

FACE_IN_EVENTS = 0.55
"""Detection threshold on prepared event images."""

_BLUR_SHARE = 0.02
"""Width of the blur as a share of the shorter image side: edges become shades."""

_POOLED_PX = 150
"""Shorter image side that is enough for a face."""


def prepare_event_image(image: np.ndarray) -> np.ndarray:
    """`(H, W)` uint8, brighter with more events, to the same size for `FaceDetector`.

    Eyes, brows and mouth give the most events of a moving face and are its darkest parts, so the
    blurred image is inverted. The busiest twentieth of the touched pixels counts alike, what
    most pixels have is taken for noise, and an image without events is white.

    A face that hardly moves needs events of 0.5 to 1 s. Measured on 50 moments of 10 simulated
    people: found in 12 % after 50 ms, 40 % after 0.2 s, 72 % after 0.5 s and 84 % after 1 s; a
    box elsewhere in 0, 8, 4 and 2 %.
    """
    # Nothing finer than the blur is needed; a large sensor is pooled first.
    height, width = image.shape[:2]
    pool = max(1, min(height, width) // _POOLED_PX)
    size = width // pool, height // pool
    counts = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    if not counts.any():
        return np.full(image.shape[:2], 255, np.uint8)
    counts = np.minimum(counts, np.percentile(counts[counts > 0], 95))
    blurred: np.ndarray = cv2.GaussianBlur(counts, (0, 0), max(1.0, _BLUR_SHARE * min(size)))
    signal = np.maximum(blurred - float(np.percentile(blurred, 60)), 0.0)
    brightest = float(np.percentile(signal, 99)) or float(signal.max()) or 1.0
    picture = (255.0 - np.minimum(signal / brightest, 1.0) * 255.0).astype(np.uint8)
    return cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR)
