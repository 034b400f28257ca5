"""Any video that OpenCV reads, as RGB frames."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2

from mx_capture.errors import MxError
from mx_capture.stream import Frame

_NS_PER_S = 1_000_000_000


class VideoSource:
    """Frames of a video; the first is stamped 0 and the others by the container's clock.

    Raises MxError when OpenCV cannot open the file or it holds no frame; while iterating, when
    it ends well before the number of frames that its header promises.
    """

    event_size: tuple[int, int] | None = None
    start_ns = 0

    def __init__(self, path: Path) -> None:
        self.name = path.name
        self._path = path
        capture = self._open()
        opened, image = capture.read()
        if not opened:
            raise MxError(f"{path} holds no readable video frame; it may be cut off, copy it again")
        self.frame_size: tuple[int, int] | None = (image.shape[0], image.shape[1])
        rate = capture.get(cv2.CAP_PROP_FPS)
        self.rate_hz = rate if 0 < rate <= 10_000 else 30.0
        self._promised = max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 1)
        self.duration_ns = round(self._promised / self.rate_hz * _NS_PER_S)
        capture.release()

    def __iter__(self) -> Iterator[Frame]:
        capture = self._open()
        previous_ns = -1
        index = 0
        try:
            while True:
                position_ms = capture.get(cv2.CAP_PROP_POS_MSEC)
                opened, image = capture.read()
                if not opened:
                    break
                stamp_ns = round(position_ms * 1e6)
                if stamp_ns <= previous_ns:
                    # Some containers tell no times.
                    stamp_ns = max(round(index / self.rate_hz * _NS_PER_S), previous_ns + 1)
                yield Frame(stamp_ns, cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
                previous_ns = stamp_ns
                index += 1
        finally:
            capture.release()
        # Headers of healthy files are known to be a few frames wrong.
        if index < 0.9 * self._promised - 2:
            raise MxError(
                f"{self._path} ends after {index} of {self._promised} frames; "
                "it was cut off, copy it again"
            )

    def _open(self) -> cv2.VideoCapture:
        capture = cv2.VideoCapture(str(self._path))
        if not capture.isOpened():
            raise MxError(f"OpenCV cannot read {self._path} as a video; convert it to mp4 (H.264)")
        return capture
