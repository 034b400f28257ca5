"""A folder of images in the order of their names, as frames at a constant rate."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np

from mx_capture.errors import MxError
from mx_capture.stream import Frame

_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff")


class ImageFolderSource:
    """Frames `1 / rate_hz` apart from 0 on, grey where the files are.

    Raises MxError for a folder without images, one that OpenCV cannot read, and mixed sizes.
    """

    event_size: tuple[int, int] | None = None
    start_ns = 0

    def __init__(self, folder: Path, rate_hz: float) -> None:
        self.name = folder.name
        self._rate_hz = rate_hz
        self.paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in _SUFFIXES)
        if not self.paths:
            raise MxError(f"{folder} holds no images; expected {', '.join(_SUFFIXES)}")
        first = _read(self.paths[0])
        self.frame_size: tuple[int, int] | None = (first.shape[0], first.shape[1])
        self.duration_ns = round(len(self.paths) / rate_hz * 1e9)

    def __iter__(self) -> Iterator[Frame]:
        for index, path in enumerate(self.paths):
            image = _read(path)
            if image.shape[:2] != self.frame_size:
                raise MxError(f"{path} is of another size than the images before it")
            yield Frame(round(index / self._rate_hz * 1e9), image)


def _read(path: Path) -> np.ndarray:
    image = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if image is None:
        raise MxError(f"{path} is no readable image; copy it again")
    if image.dtype == np.uint16:
        image = (image // 256).astype(np.uint8)
    if image.ndim == 2:
        return image
    code = cv2.COLOR_BGRA2RGB if image.shape[2] == 4 else cv2.COLOR_BGR2RGB
    return cv2.cvtColor(image, code)
