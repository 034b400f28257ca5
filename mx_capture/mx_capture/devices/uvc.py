"""RGB cameras through OpenCV: whatever the kernel offers as a video device."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2

from mx_capture.config import Config, setting
from mx_capture.devices.listing import rgb_cameras, video_problem
from mx_capture.errors import MxError
from mx_capture.stream import Frame

_NEWEST_S = 1.0
"""A driver's stamp that is older than this is not of the clock that it should be of."""


@dataclass(frozen=True)
class UvcConfig(Config):
    """Which video device to open, and how."""

    video_device: str = setting(
        "/dev/video0",
        "Video device: its file, number, serial number or network address (backend uvc)",
    )
    image_width: int = setting(640, "Width of the images in pixels", minimum=16, maximum=16384)
    image_height: int = setting(480, "Height of the images in pixels", minimum=16, maximum=16384)
    framerate: float = setting(30.0, "Images a second", minimum=1.0, maximum=1000.0)
    pixel_format: str = setting(
        "", "Four letters such as MJPG or YUYV; empty: the driver chooses. MJPG for large images"
    )
    exposure_us: int = setting(
        0, "Exposure time; images are stamped in its middle. 0: unknown", minimum=0
    )


def open_uvc(config: UvcConfig) -> UvcStream:
    """Open the video device that `config` names. Raises MxError with the reason and the remedy."""
    path = video_path(config.video_device)
    # A camera in the network has an address, and only OpenCV can tell whether it is there.
    problem, remedy = ("", "") if "://" in path else video_problem(Path(path))
    if problem:
        raise MxError(f"video_device={path}: {problem}; {remedy}")
    return UvcStream(path, config)


def video_path(text: str) -> str:
    """The file of a video device given as its file, number or serial number."""
    if text.isdigit() and not Path(text).exists() and len(text) < 3:
        return f"/dev/video{text}"
    if "/" in text or not text:
        return text or "/dev/video0"
    found = rgb_cameras()
    for camera in found:
        if camera.serial == text:
            return camera.device
    listed = ", ".join(f"{camera.device} ({camera.serial or 'no serial'})" for camera in found)
    raise MxError(f"video_device={text!r}: no camera has this serial; found {listed or 'none'}")


class UvcStream:
    """An open video device; a `Stream`.

    Frames are stamped with the kernel's time of capture where the driver gives it, which OpenCV
    hands over in ms of the monotonic clock; else with the time at which they arrived.
    """

    event_size: tuple[int, int] | None = None

    def __init__(self, path: str, config: UvcConfig) -> None:
        self._path, self._config = path, config
        self._capture = cv2.VideoCapture(path)
        if not self._capture.isOpened():
            raise MxError(
                f"video_device={path}: OpenCV cannot open it; end other programs that use it, "
                "and check that it is a camera with `./mx devices`"
            )
        if config.pixel_format:
            code = config.pixel_format.upper()
            if len(code) != 4:
                raise MxError(f"pixel_format={code!r} is not four letters, such as MJPG")
            self._capture.set(cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*code))
        self._capture.set(cv2.CAP_PROP_FRAME_WIDTH, config.image_width)
        self._capture.set(cv2.CAP_PROP_FRAME_HEIGHT, config.image_height)
        self._capture.set(cv2.CAP_PROP_FPS, config.framerate)
        self.name = f"camera {path}"
        self.counters: Counter[str] = Counter(arrival_stamps=0)
        # Only an image tells the size that the driver has settled on.
        first = self._grab()
        self.frame_size: tuple[int, int] | None = first.image.shape[:2]
        self._first: Frame | None = first
        self._last_ns = 0

    def read(self) -> list[Frame]:
        """The next frame, as soon as it is there. Raises MxError when the camera is gone."""
        frame, self._first = self._first or self._grab(), None
        if frame.image.shape[:2] != self.frame_size:
            raise MxError(f"{self.name} changed its resolution")
        # Two stamps of one time would be one image to those who pair images by their stamps.
        self._last_ns = max(frame.stamp_ns, self._last_ns + 1)
        return [Frame(self._last_ns, frame.image)]

    def facts(self) -> Mapping[str, str]:
        """The size and rate that the driver has settled on."""
        assert self.frame_size is not None
        height, width = self.frame_size
        rate = self._capture.get(cv2.CAP_PROP_FPS)
        facts = {"images": f"{width}x{height} at {rate:.0f} Hz", "video_device": self._path}
        if (height, width) != (self._config.image_height, self._config.image_width):
            facts["asked_for"] = f"{self._config.image_width}x{self._config.image_height}"
        return facts

    def close(self) -> None:
        self._capture.release()

    def _grab(self) -> Frame:
        taken, image = self._capture.read()
        if not taken or image is None:
            self._capture.release()
            raise MxError(f"{self.name} gives no images; check its cable")
        stamp_ns = self._stamp_ns() + 500 * self._config.exposure_us
        return Frame(stamp_ns, image if image.ndim == 2 else cv2.cvtColor(image, cv2.COLOR_BGR2RGB))

    def _stamp_ns(self) -> int:
        now_ns, monotonic_ns = time.time_ns(), time.monotonic_ns()
        age_ns = monotonic_ns - round(self._capture.get(cv2.CAP_PROP_POS_MSEC) * 1e6)
        if 0 <= age_ns < _NEWEST_S * 1e9:
            return now_ns - age_ns
        self.counters["arrival_stamps"] += 1
        return now_ns
