"""`./mx bench memory`: does the way from packets to tensors stay as large as it is?

Recorded time is played as fast as it goes: packets of 1 ms, a face that moves in each of 30 frames
a second, hop tensors, frame tensors, face crops, an event image each second. It tells the resident
set after every ten minutes of recorded time.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import track

from mx_capture.bench.command import bench_parser, write_json
from mx_capture.bench.streams import FACE, HEIGHT, PACKET_US, WIDTH, PreparedLoad
from mx_capture.errors import MxError
from mx_capture.event_tensor import TensorConfig
from mx_capture.registration import SameSensor
from mx_capture.roi import Roi
from mx_capture.stream import Frame
from mx_capture.tensorizer import Tensorizer, TensorizerConfig

_FRAME_PACKETS, _IMAGE_PACKETS, _TELL_PACKETS = 33, 1_000, 600_000
_WARM_UP_PACKETS = 5_000
_STATM_PAGES = 1


def main(argv: list[str]) -> int:
    """Measure, print, and write JSON where asked."""
    parser = bench_parser(
        "memory",
        "Play recorded time as fast as it goes, and see whether memory grows.",
        "--minutes 60 --json memory.json",
    )
    parser.add_argument("--minutes", type=float, default=60.0, help="recorded time (default: 60)")
    parser.add_argument("--rate", type=float, default=0.1, help="Mev/s (default: 0.1)")
    options = parser.parse_args(argv)
    if not 0.2 <= options.minutes <= 1440.0:
        raise MxError(f"--minutes {options.minutes:g} is outside 0.2 to 1440")
    if not 0.1 <= options.rate <= 200.0:
        raise MxError(f"--rate {options.rate:g} is outside 0.1 to 200 Mev/s")
    console = Console()
    figures = measure(options.minutes, options.rate, console)
    for minute, megabytes in figures["rss_mb"].items():
        console.print(f"{minute:>6} min: {megabytes:.1f} MB")
    console.print(f"{figures['packets']} packets, {figures['tensors']} tensors of hops and frames")
    write_json(figures, options.json)
    return 0


def measure(minutes: float, rate_mev: float, console: Console) -> dict[str, Any]:
    """Resident MB by minute of recorded time; the first is taken after five seconds of it."""
    load = PreparedLoad(rate_mev)
    target = Tensorizer(TensorConfig(), TensorizerConfig(), SameSensor())
    image = np.zeros((HEIGHT // 2, WIDTH // 2), np.uint8)
    target.observe_frame(0, image.shape)
    packets = round(minutes * 60e6 / PACKET_US)
    rss_mb, tensors = {}, 0
    for seq in track(range(packets), description="playing", console=console, transient=True):
        packet = load.packet(seq, 0)
        if seq % _FRAME_PACKETS == 0:
            shift = seq // _FRAME_PACKETS % 16
            roi = Roi(FACE.x + shift, FACE.y, FACE.width, FACE.height)
            faces = {"f00000": roi.scaled(0.5, 0.5)}
            target.add_faces(packet.stamp_ns, faces)
            target.add_frame(Frame(packet.stamp_ns, image), faces)
        tensors += len(target.add_packet(packet)) + len(list(target.frame_tensors()))
        if seq % _IMAGE_PACKETS == 0:
            target.event_image()
        if seq == _WARM_UP_PACKETS or (seq + 1) % _TELL_PACKETS == 0 or seq + 1 == packets:
            rss_mb[f"{(seq + 1) * PACKET_US / 60e6:.1f}"] = _rss_mb()
    return {"packets": packets, "tensors": tensors, "rss_mb": rss_mb}


def _rss_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[_STATM_PAGES])
    return round(pages * os.sysconf("SC_PAGE_SIZE") / 1e6, 1)
