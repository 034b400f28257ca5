"""RGB crops as input channels of the spiking network, to compare with events and to join them.

Three channels, held from one frame to the next: the normalised grey picture, and how much every
pixel became brighter or darker since the frame before. Values are small integers, as counts are.
"""

from __future__ import annotations

import cv2
import numpy as np

from mx_perception.sequences import FaceSequence
from mx_perception.views import View

PICTURE_CHANNELS = 3
LEVELS = 15
"""Largest value of a channel."""
_STEPS_PER_DEVIATION = 3.0
_CHANGE_GAIN = 12.0
"""A change by a deviation of the picture's contrast saturates."""


def pictures(sequence: FaceSequence, view: View, hops: int, size: tuple[int, int]) -> np.ndarray:
    """`(hops, 3, *size) uint8`; zeros where there is no frame yet, or none at all."""
    channels = np.zeros((hops, PICTURE_CHANNELS, *size), np.uint8)
    if not sequence.frames.size:
        return channels
    # A hop shows the last frame taken before its end, in the middle of a hop; backwards, the next.
    sources = view.source_of(np.arange(hops) + 1.0) - 0.5
    if view.speed > 0:
        index = np.searchsorted(sequence.frame_hops, np.floor(sources), side="right") - 1
        step = 1
    else:
        index = np.searchsorted(sequence.frame_hops, np.ceil(sources), side="left")
        step = -1
    cache: dict[int, np.ndarray] = {}
    for hop, frame in enumerate(index):
        before = int(frame) - step
        if not (0 <= frame < len(sequence.frames) and 0 <= before < len(sequence.frames)):
            continue
        for number in (int(frame), before):
            if number not in cache:
                cache[number] = _normal(sequence, number, view, size)
        picture, change = cache[int(frame)], cache[int(frame)] - cache[before]
        channels[hop, 0] = np.clip(np.round(LEVELS / 2 + _STEPS_PER_DEVIATION * picture), 0, LEVELS)
        channels[hop, 1] = np.clip(np.round(_CHANGE_GAIN * change), 0, LEVELS)
        channels[hop, 2] = np.clip(np.round(-_CHANGE_GAIN * change), 0, LEVELS)
    return channels


def _normal(sequence: FaceSequence, number: int, view: View, size: tuple[int, int]) -> np.ndarray:
    """The frame as the view shows it, with mean 0 and deviation 1, `size` float32."""
    frame = sequence.frames[number].astype(np.float32)
    frame = (frame - frame.mean()) / (frame.std() + 4.0)
    height, width = frame.shape
    # The view maps (y, x) of the crop; OpenCV wants (x, y) of the stored, smaller frame.
    linear = view.matrix[::-1, 1::-1]
    ratio = width / sequence.size[1]
    shift = view.matrix[::-1, 2] * ratio + (linear @ [0.5, 0.5] - 0.5)
    matrix = np.column_stack([linear, shift])
    moved = cv2.warpAffine(
        frame, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return moved if (height, width) == size else cv2.resize(moved, size[::-1])
