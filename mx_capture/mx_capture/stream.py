"""What flows through the suite: packets, frames and labels, and the sources that yield them.

These are the ROS-free twins of EventPacket, Image and mx_msgs/Label. Cameras, files, recordings
and the simulator are all a `Source`; nodes, offline evaluation and training all consume one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

EVENT_FRAME = "event_camera"
RGB_FRAME = "rgb_camera"
"""Frame ids of the two cameras, in messages and recordings."""

EVENT_DTYPE = np.dtype([("t", "<i8"), ("x", "<u2"), ("y", "<u2"), ("p", "u1")])
"""A decoded event: sensor time in microseconds, pixel, polarity (0 OFF, 1 ON)."""


@dataclass(slots=True)
class Packet:
    """Encoded events as a camera delivers them; mirrors event_camera_msgs/EventPacket.

    Nothing changes a packet. It is not frozen because making one would then take 2 us, of the 12
    that its way into the tensors takes.

    `stamp_ns` is the host time of arrival. `time_base` is what the encoding says it is; for the
    simulator and for files it is the ROS time in ns at which the sensor's clock read 0, which
    makes the mapping between the two exact (clock mode `shared`).
    """

    stamp_ns: int
    seq: int
    encoding: str
    height: int
    width: int
    time_base: int
    events: bytes | memoryview


@dataclass(frozen=True)
class Frame:
    """An RGB frame: `(H, W, 3) uint8` in RGB order, or `(H, W) uint8` grey.

    `stamp_ns` is the middle of the exposure.
    """

    stamp_ns: int
    image: np.ndarray


@dataclass(frozen=True)
class Label:
    """One expression with its Action Units (FACS numbers) and intensities (0..1)."""

    subject: str
    au: tuple[int, ...]
    intensity: tuple[float, ...]
    onset_ns: int
    apex_ns: int
    offset_ns: int
    source: str
    condition: str


class Source(Protocol):
    """Anything that can be played: iterating starts over and yields items by `stamp_ns`.

    A label is yielded at its offset, when all of it is known.
    """

    name: str
    event_size: tuple[int, int] | None
    """(height, width) of the event sensor; None without events."""
    frame_size: tuple[int, int] | None
    """(height, width) of the frames; None without frames."""
    start_ns: int
    duration_ns: int

    def __iter__(self) -> Iterator[Packet | Frame | Label]: ...
