"""Making an accumulated event image look like a picture of a face, for where RGB is dark."""

from __future__ import annotations

import cv2
import numpy as np

FACE_IN_EVENTS = 0.6
"""Detection threshold on prepared event images (a real recording scores 0.67 to 0.90)."""

_BLUR_SHARE = 0.013
"""Width of the blur as a share of the shorter image side: edges become shades."""


def prepare_event_image(image: np.ndarray) -> np.ndarray:
    """`(H, W)` uint8, brighter with more events, to the same size for `FaceDetector`.

    Eyes, brows and mouth give the most events of a moving face and are its darkest parts, so the
    blurred image is inverted; the busiest hundredth of the pixels becomes black. Without any
    event the result is white.
    """
    sigma = max(1.0, _BLUR_SHARE * min(image.shape[:2]))
    blurred: np.ndarray = cv2.GaussianBlur(image.astype(np.float32), (0, 0), sigma)
    brightest = float(np.percentile(blurred, 99))
    if brightest <= 0.0:
        brightest = 1.0
    return (255.0 - np.minimum(blurred / brightest, 1.0) * 255.0).astype(np.uint8)
