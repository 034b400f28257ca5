"""`./mx bench decode`: from the bytes of ROS messages to 128x128 face tensors, beside a peer.

Every chain gets the same messages of 1 ms and makes a histogram every 10 ms. The chains take
turns; the time of a hop is the best of all turns, which shuts out what else the machine does.
The peer is what can be installed instead: the package `evt3`, a crop and numpy's bincount. It
needs more memory in between, and the allocator is told to keep it: returning it to the system and
asking for it again at each hop made the peer up to three times slower, by chance.
"""

from __future__ import annotations

import array
import ctypes
import importlib.metadata
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

from mx_capture.bench.command import bench_parser, write_json
from mx_capture.bench.streams import (
    FACE,
    HEIGHT,
    PACKET_US,
    SECOND_FACE,
    STREAMS,
    WIDTH,
    make_packets,
)
from mx_capture.codecs.evt3 import Evt3Decoder
from mx_capture.errors import MxError
from mx_capture.event_tensor import TensorConfig, TensorStream
from mx_capture.roi import Roi
from mx_capture.stream import Packet

_CONFIG = TensorConfig(face_timeout_us=0)
_HOP_PACKETS = _CONFIG.hop_us // PACKET_US
_EVENTS = 8_000_000
_RATE = {"vector": 20_000_000, "single": 20_000_000, "low": 2_000_000}
_MISSING_PEER = "the package evt3 is not installed: pip install -r requirements/bench.txt"

Message = array.array
Chain = Callable[[Message], np.ndarray | None]


def main(argv: list[str]) -> int:
    """Measure, print a table, and write JSON where asked."""
    parser = bench_parser(
        "decode",
        "Measure the speed from event packets to face tensors, beside evt3 and numpy.",
        "--json decode.json",
    )
    parser.add_argument("--repeats", type=int, default=15, help="turns of each chain (default: 15)")
    arguments = parser.parse_args(argv)
    if arguments.repeats < 1:
        raise MxError(f"--repeats={arguments.repeats} must be at least 1")
    _keep_memory()
    console = Console()
    with console.status("measuring the compiler") as status:
        figures: dict[str, Any] = {"compile_s": _compile_seconds(), "peer": _peer_version()}
        figures["streams"] = {}
        for name in STREAMS:
            status.update(f"measuring the stream {name!r}: {STREAMS[name]}")
            figures["streams"][name] = measure(name, arguments.repeats)
    figures["ratios"] = {name: part["ratio"] for name, part in figures["streams"].items()}
    _print(console, figures)
    write_json(figures, arguments.json)
    return 0


def measure(name: str, repeats: int) -> dict[str, Any]:
    """Figures of one stream: million events a second of every chain, and how they compare."""
    duration_us = _EVENTS * 1_000_000 // _RATE[name]
    messages, events = make_packets(name, min(duration_us, 1_000_000))
    chains: dict[str, Callable[[], Chain]] = {
        "one pass, one face": lambda: _our_chain({"a": FACE}),
        "one pass, two faces": lambda: _our_chain({"a": FACE, "b": SECOND_FACE}),
        "two steps, one face": lambda: _our_chain({"a": FACE}, one_pass=False),
        "decoding to events": _our_decoder,
    }
    if _peer_version():
        chains["evt3 + crop + bincount"] = _peer_chain
        chains["evt3 decoding to events"] = _peer_decoder
        _check_equal(messages)
    hops = dict.fromkeys(chains, np.inf)
    for _ in range(repeats):
        for chain, make in chains.items():
            hops[chain] = np.minimum(hops[chain], _time_hops(make(), messages))
    seconds = {chain: float(np.sum(times)) for chain, times in hops.items()}
    ours, peer = seconds["one pass, one face"], seconds.get("evt3 + crop + bincount")
    return {
        "stream": STREAMS[name],
        "events": events,
        "bytes_per_event": sum(map(len, messages)) / events,
        "mev_per_s": {chain: events / taken / 1e6 for chain, taken in seconds.items()},
        "two_faces_over_one": seconds["one pass, two faces"] / ours,
        "ratio": peer / ours if peer else None,
    }


def _time_hops(chain: Chain, messages: Sequence[Message]) -> np.ndarray:
    """Seconds of each hop, `(hops,) float64`."""
    times = []
    for start in range(0, len(messages), _HOP_PACKETS):
        part = messages[start : start + _HOP_PACKETS]
        begun = time.perf_counter()
        for message in part:
            chain(message)
        times.append(time.perf_counter() - begun)
    return np.array(times)


def _our_chain(faces: dict[str, Roi], one_pass: bool = True) -> Chain:
    stream = TensorStream(_CONFIG, "evt3", HEIGHT, WIDTH, one_pass)
    stream.set_faces(-_CONFIG.roi_delay_us, faces)
    seq = 0

    def take(message: Message) -> np.ndarray | None:
        nonlocal seq
        packet = Packet(0, seq, "evt3", HEIGHT, WIDTH, 0, memoryview(message))
        seq += 1
        tensors = stream.push(packet)
        return tensors[0].data if tensors else None

    return take


def _our_decoder() -> Chain:
    decoder = Evt3Decoder(HEIGHT, WIDTH)

    def take(message: Message) -> None:
        decoder.decode(memoryview(message))

    return take


def _peer_decoder() -> Chain:
    import evt3

    decoder = evt3.Decoder(sensor_width=WIDTH, sensor_height=HEIGHT)

    def take(message: Message) -> None:
        decoder.feed(message.tobytes())

    return take


def _peer_chain() -> Chain:
    """As fast as we could make it: crop each packet, count once in a hop."""
    import evt3

    decoder = evt3.Decoder(sensor_width=WIDTH, sensor_height=HEIGHT)
    height, width = _CONFIG.height, _CONFIG.width
    left, top = int(FACE.x), int(FACE.y)
    right, bottom = left + int(FACE.width), top + int(FACE.height)
    column_of = np.floor((np.arange(WIDTH) + 0.5 - FACE.x) * width / FACE.width).astype(np.int32)
    row_of = np.floor((np.arange(HEIGHT) + 0.5 - FACE.y) * height / FACE.height).astype(np.int32)
    row_of *= width
    cells: list[np.ndarray] = []

    def take(message: Message) -> np.ndarray | None:
        events = decoder.feed(message.tobytes())
        x, y = events.x, events.y
        inside = np.flatnonzero((x >= left) & (x < right) & (y >= top) & (y < bottom))
        sign = events.p[inside].astype(np.int32) * (height * width)
        cells.append(column_of[x[inside]] + row_of[y[inside]] + sign)
        if len(cells) < _HOP_PACKETS:
            return None
        counts = np.bincount(np.concatenate(cells), minlength=2 * height * width)
        cells.clear()
        return np.minimum(counts, 255).astype(np.uint8).reshape(1, 2, height, width)

    return take


def _keep_memory() -> None:
    """Have the C library keep freed memory, where it can be told."""
    trim_threshold, top_pad, mmap_threshold = -1, -2, -3
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(mmap_threshold, 1 << 30)
        mallopt(trim_threshold, 1 << 30)
        mallopt(top_pad, 1 << 26)


def _check_equal(messages: Sequence[Message]) -> None:
    """Raises MxError when the chains do not count alike."""
    ours, theirs = _our_chain({"a": FACE}), _peer_chain()
    ours_found = [data for data in map(ours, messages) if data is not None]
    theirs_found = [data for data in map(theirs, messages) if data is not None]
    # The last hop is closed by what comes after it.
    for data, expected in zip(ours_found, theirs_found, strict=False):
        if not np.array_equal(data, expected):
            raise MxError(f"our tensors differ from those of evt3 {_peer_version()}")


def _peer_version() -> str | None:
    try:
        return importlib.metadata.version("evt3")
    except importlib.metadata.PackageNotFoundError:
        return None


def _compile_seconds() -> float:
    """Seconds that the compiler takes before the first tensor, once on a machine."""
    code = (
        "import time; begun = time.perf_counter()\n"
        "from mx_capture.event_tensor import Roi, TensorConfig, TensorStream\n"
        "from mx_capture.stream import Packet\n"
        "stream = TensorStream(TensorConfig(), 'evt3', 8, 8)\n"
        "stream.set_faces(-10**6, {'a': Roi(0, 0, 8, 8)})\n"
        "words = bytes.fromhex('00800060000001200a800060')\n"
        "assert len(stream.push(Packet(0, 0, 'evt3', 8, 8, 0, words))) == 4\n"
        "print(time.perf_counter() - begun)"
    )
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {
            "NUMBA_CACHE_DIR": cache,
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        }
        command = [sys.executable, "-c", code]
        result = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True
        )
    return float(result.stdout)


def _print(console: Console, figures: dict[str, Any]) -> None:
    table = Table(title="million events a second, one core")
    table.add_column("chain")
    streams = figures["streams"]
    for part in streams.values():
        table.add_column(part["stream"], justify="right")
    for chain in next(iter(streams.values()))["mev_per_s"]:
        table.add_row(chain, *(f"{part['mev_per_s'][chain]:.0f}" for part in streams.values()))
    two = (f"{part['two_faces_over_one']:.2f}" for part in streams.values())
    table.add_row("time of two faces over one", *two)
    if figures["peer"]:
        ratios = (f"{part['ratio']:.2f}" for part in streams.values())
        table.add_row(f"one pass over evt3 {figures['peer']} + crop + bincount", *ratios)
    console.print(table)
    console.print(f"compiling before the first tensor ever: {figures['compile_s']:.1f} s")
    if not figures["peer"]:
        console.print(f"{_MISSING_PEER}; the comparison is left out")
