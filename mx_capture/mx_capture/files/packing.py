"""Decoded events, from whatever file, become EVT3 packets as a camera would send them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from mx_capture.codecs import Evt3Encoder
from mx_capture.errors import MxError
from mx_capture.stream import Packet

PACKET_US = 2_000
"""Sensor time that one packet covers, on a grid of this step."""


def pack_events(
    blocks: Iterable[np.ndarray], size: tuple[int, int], base_us: int, path: Path
) -> Iterator[Packet]:
    """Encode blocks of events as packets on a grid of `PACKET_US`; empty windows give none.

    `blocks`: consecutive `(n,) EVENT_DTYPE`, n >= 0, in time order from block to block (within
    one they are sorted); their `t` counts from `base_us`, the ROS time in microseconds at which
    the sensor's clock read 0. `size` is (height, width) of the sensor. A packet is stamped with
    the end of its window.

    Raises MxError, naming `path`, for events outside the sensor or blocks that go back in time.
    """
    encoder = Evt3Encoder(*size)
    seq = 0
    waiting: list[np.ndarray] = []
    for events in _whole_windows(blocks, waiting, path):
        windows = events["t"] // PACKET_US
        cuts = np.flatnonzero(np.diff(windows)) + 1
        for part in np.split(events, cuts):
            end_us = base_us + (int(part["t"][0]) // PACKET_US + 1) * PACKET_US
            yield Packet(
                stamp_ns=end_us * 1_000,
                seq=seq,
                encoding="evt3",
                height=size[0],
                width=size[1],
                time_base=base_us * 1_000,
                events=_encode(encoder, part, path),
            )
            seq += 1


def _whole_windows(
    blocks: Iterable[np.ndarray], waiting: list[np.ndarray], path: Path
) -> Iterator[np.ndarray]:
    """Move block bounds to window bounds, so that no window is split over two packets."""
    last_us = -1
    for block in blocks:
        if not len(block):
            continue
        if np.any(np.diff(block["t"]) < 0):
            block = block[np.argsort(block["t"], kind="stable")]
        if block["t"][0] < last_us:
            raise MxError(
                f"{path}: event times go back from {last_us} to {block['t'][0]} us; "
                "export the file again with its events in time order"
            )
        last_us = int(block["t"][-1])
        kept = np.searchsorted(block["t"], last_us // PACKET_US * PACKET_US)
        whole = [*waiting, block[:kept]]
        if kept or sum(map(len, waiting)) == 0:
            waiting[:] = [block[kept:]]
            if sum(map(len, whole)):
                yield np.concatenate(whole)
        else:
            waiting.append(block)
    if sum(map(len, waiting)):
        yield np.concatenate(waiting)


def _encode(encoder: Evt3Encoder, events: np.ndarray, path: Path) -> bytes:
    try:
        return encoder.encode(events)
    except MxError as error:
        raise MxError(f"{path}: {error}; the file is damaged, copy it again") from error
