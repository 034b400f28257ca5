"""Following a face from image to image without the detector, which costs fifty times as much."""

from __future__ import annotations

import cv2
import numpy as np

from mx_capture.roi import Roi

_SIDE = 32
"""Of the pictures that are compared."""
_VIEW_PER_FACE = 1.4
_ALIKE = 0.6
"""Response (0..1) from which on the same face is seen, moved; talking gives 0.9 and more."""
_FARTHEST = 0.1
"""In face widths; a face that moved further shows other sides of itself."""
_WINDOW = cv2.createHanningWindow((_SIDE, _SIDE), cv2.CV_32F)


class Follower:
    """Remembers a face as it was seen, and tells where it has moved since.

    By phase correlation (Kuglin and Hines 1975) of small pictures. The shift is measured from the
    remembered picture, so that errors do not add up.
    """

    def __init__(self, image: np.ndarray, box: Roi) -> None:
        """`image` as for `FaceDetector`; `box` where the face is in it."""
        side = _VIEW_PER_FACE * box.width
        x, y = box.center
        view = Roi(x - side / 2, y - side / 2, side, side).clipped(*image.shape[:2])
        self._left, self._top = int(view.x), int(view.y)
        self._width, self._height = max(int(view.width), 1), max(int(view.height), 1)
        self._farthest = _FARTHEST * box.width
        self._size = image.shape[:2]
        self._seen = self._picture(image)

    def shift(self, image: np.ndarray) -> np.ndarray | None:
        """(2,) float32: how far the face has moved in px, right and down; None where it is lost."""
        if image.shape[:2] != self._size:
            return None
        # phaseCorrelate multiplies what it is given by the window, in place.
        moved, response = cv2.phaseCorrelate(self._seen.copy(), self._picture(image), _WINDOW)
        shift = np.array(moved, np.float32) * (self._width / _SIDE, self._height / _SIDE)
        near = float(np.hypot(*shift)) <= self._farthest
        return shift.astype(np.float32) if near and response >= _ALIKE else None

    def _picture(self, image: np.ndarray) -> np.ndarray:
        part = image[self._top : self._top + self._height, self._left : self._left + self._width]
        # Grey first: to average three colours takes five times as long.
        grey = part if part.ndim == 2 else cv2.cvtColor(part, cv2.COLOR_RGB2GRAY)
        small = cv2.resize(grey, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
        return small.astype(np.float32)
