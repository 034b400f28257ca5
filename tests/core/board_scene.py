"""A calibration board moved or blinking before two cameras, as a source of frames and events."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from mx_capture.codecs import Evt3Encoder
from mx_capture.registration import Camera, Stereo
from mx_capture.stream import EVENT_DTYPE, Frame, Packet

STEP_US = 5_000
STEPS_PER_FRAME = 6
THRESHOLD = 0.25


@dataclass(frozen=True)
class Pose:
    """Rotation vector and translation (m) of the board in the RGB camera's frame; its light."""

    turn: np.ndarray
    shift_m: np.ndarray
    light: float = 1.0


class BoardScene:
    """A Source of a board's picture under a rig of two cameras. `pose_at` takes microseconds."""

    name = "board"

    def __init__(
        self,
        picture: np.ndarray,
        metres_per_px: float,
        origin_px: float,
        rig: Stereo,
        pose_at: Callable[[int], Pose],
        duration_us: int,
    ) -> None:
        self.picture = cv2.GaussianBlur(picture, (0, 0), 1.5)
        self.metres_per_px, self.origin_px = metres_per_px, origin_px
        self.rig, self.pose_at = rig, pose_at
        self.frame_size = rig.rgb.height, rig.rgb.width
        self.event_size = rig.events.height, rig.events.width
        self.start_ns, self.duration_ns = 0, duration_us * 1_000
        self._rays = {id(camera): rays(camera) for camera in (rig.rgb, rig.events)}

    def view(self, camera: Camera, pose: Pose) -> np.ndarray:
        """Light of the scene on a camera: (H, W) float32, 0..255."""
        turn, shift = cv2.Rodrigues(pose.turn)[0], pose.shift_m
        if camera is self.rig.events:
            turn = self.rig.rotation @ turn
            shift = self.rig.rotation @ shift + self.rig.translation_m
        # Where the ray of each pixel meets the plane of the board, in the board's coordinates.
        plane = np.linalg.inv(np.column_stack([turn[:, 0], turn[:, 1], shift]))
        on_board = self._rays[id(camera)] @ plane.T
        on_board = on_board[..., :2] / on_board[..., 2:] / self.metres_per_px + self.origin_px
        maps = on_board.astype(np.float32)
        image = cv2.remap(self.picture, maps, None, cv2.INTER_LINEAR, borderValue=90)
        image = cv2.GaussianBlur(image.astype(np.float32), (0, 0), 0.7)
        return 8.0 + pose.light * image * 0.9

    def __iter__(self) -> Iterator[Packet | Frame]:
        encoder = Evt3Encoder(*self.event_size)
        rgb, events = self.rig.rgb, self.rig.events
        reference = np.log(self.view(events, self.pose_at(0)))
        for step in range(1, self.duration_ns // 1_000 // STEP_US):
            t_us = step * STEP_US
            found, reference = emitted(
                np.log(self.view(events, self.pose_at(t_us))), reference, t_us
            )
            yield Packet(t_us * 1_000, step, "evt3", *self.event_size, 0, encoder.encode(found))
            if step % STEPS_PER_FRAME == 0:
                grey = self.view(rgb, self.pose_at(t_us)).clip(0, 255).astype(np.uint8)
                yield Frame(t_us * 1_000, cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB))


def rays(camera: Camera) -> np.ndarray:
    """Directions of all pixels: (H, W, 3) with z 1."""
    y, x = np.mgrid[: camera.height, : camera.width].astype(np.float64)
    pixels = np.stack([x, y], axis=-1).reshape(-1, 1, 2)
    flat = cv2.undistortPoints(pixels, camera.matrix, camera.distortion)[:, 0]
    return np.column_stack([flat, np.ones(len(flat))]).reshape(camera.height, camera.width, 3)


def emitted(log: np.ndarray, reference: np.ndarray, t_us: int) -> tuple[np.ndarray, np.ndarray]:
    """Events of a step (all at its end), and the new reference of each pixel."""
    count = np.trunc((log - reference) / THRESHOLD).astype(int)
    y, x = np.nonzero(count)
    repeats = np.abs(count[y, x])
    events = np.empty(repeats.sum(), EVENT_DTYPE)
    events["t"] = t_us - 1
    events["x"], events["y"] = np.repeat(x, repeats), np.repeat(y, repeats)
    events["p"] = np.repeat(count[y, x] > 0, repeats)
    return events, reference + count * THRESHOLD
