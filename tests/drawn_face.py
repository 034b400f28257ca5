"""A picture of a face that belongs to nobody."""

from __future__ import annotations

import cv2
import numpy as np


def drawn_face(
    height: int = 480, width: int = 640, center: tuple[int, int] = (320, 240), face_px: int = 180
) -> np.ndarray:
    """A plain drawing of a face that BlazeFace takes for one: (H, W, 3) uint8 RGB."""
    size = 400
    face = np.full((size, size, 3), (120, 130, 140), np.uint8)

    def ellipse(at, axes, color):
        cv2.ellipse(face, at, axes, 0, 0, 360, color, -1, cv2.LINE_AA)

    ellipse((200, 190), (122, 165), (60, 42, 32))
    cv2.rectangle(face, (150, 300), (250, 400), (190, 140, 115), -1)
    ellipse((200, 215), (105, 140), (220, 172, 145))
    for x in (158, 242):
        ellipse((x, 172), (30, 7), (70, 45, 35))
        ellipse((x, 198), (23, 11), (245, 240, 235))
        ellipse((x, 198), (10, 10), (50, 35, 25))
    ellipse((200, 232), (13, 32), (205, 152, 126))
    ellipse((200, 254), (22, 9), (180, 122, 100))
    ellipse((200, 292), (38, 11), (165, 80, 78))
    face = cv2.GaussianBlur(face, (0, 0), 3)
    scale = face_px / 210
    to_image = np.array(
        [[scale, 0, center[0] - 200 * scale], [0, scale, center[1] - 232 * scale]], np.float64
    )
    return cv2.warpAffine(
        face, to_image, (width, height), flags=cv2.INTER_AREA, borderValue=(120, 130, 140)
    )
