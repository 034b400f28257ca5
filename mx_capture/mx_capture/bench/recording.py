"""What the recorder sustains, and what is left of a recording when the recorder is killed.

`./mx bench recording --seconds 60 --out DIR` records VGA frames at 30 Hz and 10 Mev/s that come
through DDS, beside what dd writes to the same disk. `./mx bench recording --kills 20 --out DIR`
kills the recorder at random moments of such recordings and repairs them. Both print JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from mx_capture.bench.command import bench_parser, write_json
from mx_capture.errors import MxError
from mx_capture.recording.cdr import PACKET_TYPE, packet_from_cdr
from mx_capture.recording.recover import recover
from mx_capture.recording.replayer import RawSession

EVENTS_PER_S = 10_000_000
PACKET_S = 1e-3
BYTES_PER_EVENT = 4
"""EVT3 with an ADDR_Y for each event: more than most scenes need."""
PACKET_BYTES = round(EVENTS_PER_S * PACKET_S) * BYTES_PER_EVENT
FRAME_HZ = 30
FRAME_SIZE = (480, 640)
_DD_MB = 1_000
_LONGEST_LIFE_S = 6.0


def measure(seconds: float, folder: Path) -> dict[str, Any]:
    """Publish, record and count for some seconds; `folder` is made, and removed afterwards."""
    with _scratch(folder):
        dd = _dd_mb_per_s(folder)
        with _recorder(folder / "recording") as recorder:
            published = json.loads(_publisher(seconds).communicate()[0])
            cpu_s = _cpu_seconds(recorder.pid)
        session = RawSession(folder / "recording")
        recorded = {topic: session.topics[topic].messages for topic in session.topics}
        size = sum(path.stat().st_size for path in (folder / "recording").glob("*.mcap"))
    return {
        "seconds": seconds,
        "published": published,
        "recorded": recorded,
        "lost": {topic: count - recorded.get(topic, 0) for topic, count in published.items()},
        "recorded_mb_per_s": size / 1e6 / seconds,
        "recorder_cores": cpu_s / seconds,
        "dd_mb_per_s": dd,
    }


def measure_kills(kills: int, folder: Path, seed: int = 1) -> dict[str, Any]:
    """Kill the recorder so many times; what the repaired recordings hold of the time before.

    `folder` is made, and removed afterwards. Ages are seconds from the newest recorded message to
    the kill; `gaps` counts packets that are missing between the first and the newest.
    """
    moments = random.Random(seed)
    ages, gaps, messages = [], 0, 0
    with _scratch(folder):
        for _ in range(kills):
            bag = folder / "recording"
            with _recorder(bag) as recorder, _publisher(_LONGEST_LIFE_S + 10) as publisher:
                while not _bytes_in(bag) and recorder.poll() is None:
                    time.sleep(0.01)
                time.sleep(moments.uniform(0.0, _LONGEST_LIFE_S))
                recorder.kill()
                killed_ns = time.time_ns()
                publisher.kill()
            recover(bag)
            packets = [
                packet_from_cdr(message.cdr)
                for message in RawSession(bag)
                if message.type_name == PACKET_TYPE
            ]
            ages.append((killed_ns - packets[-1].stamp_ns) / 1e9)
            gaps += packets[-1].seq - packets[0].seq + 1 - len(packets)
            messages += len(packets)
            for left in folder.iterdir():
                shutil.rmtree(left)
    return {
        "kills": kills,
        "packets": messages,
        "gaps": gaps,
        "oldest_loss_s": max(ages),
        "ages_s": [round(age, 3) for age in sorted(ages)],
    }


def main(argv: list[str]) -> int:
    """Measure and print JSON."""
    parser = bench_parser(
        "recording",
        "Record synthetic packets and frames, and count what was lost; or kill the recorder.",
        "--seconds 600 --out /data/bench",
    )
    parser.add_argument("--seconds", type=float, default=60.0, help="default: %(default)s")
    parser.add_argument("--kills", type=int, metavar="N", help="kill the recorder N times instead")
    parser.add_argument("--out", type=Path, help="new folder on the disk to measure")
    parser.add_argument("--publish", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.publish:
        from mx_capture.nodes.load_node import publish_load

        counts = publish_load(options.seconds, 1 / PACKET_S, PACKET_BYTES, FRAME_HZ, FRAME_SIZE)
        print(json.dumps(counts))
        return 0
    if options.seconds <= 0 or (options.kills is not None and options.kills < 1):
        raise MxError("--seconds has to be above 0, and --kills at least 1")
    out = options.out or Path(tempfile.mkdtemp()) / "bench"
    figures = measure_kills(options.kills, out) if options.kills else measure(options.seconds, out)
    print(json.dumps(figures, indent=1))
    write_json(figures, options.json)
    return 0


@contextlib.contextmanager
def _scratch(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(parents=True)
    except FileExistsError as error:
        raise MxError(f"{folder} exists already; give another folder") from error
    try:
        yield
    finally:
        shutil.rmtree(folder)


def _publisher(seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "mx_capture.bench.recording", "--publish"]
    return subprocess.Popen(
        [*command, "--seconds", str(seconds)], stdout=subprocess.PIPE, text=True
    )


@contextlib.contextmanager
def _recorder(out: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The recorder node in a process of its own, until the end of the block."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump({"/**": {"ros__parameters": {"out": str(out)}}}, file)
        file.flush()
        code = "from mx_capture.nodes.recorder_node import main; main()"
        process = subprocess.Popen(
            [sys.executable, "-c", code, "--ros-args", "--params-file", file.name]
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


def _bytes_in(bag: Path) -> bool:
    """Whether the first chunk of a recording is on disk."""
    return any(path.stat().st_size > 10_000 for path in bag.glob("*.mcap"))


def _cpu_seconds(pid: int) -> float:
    """Processor time that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = int(fields[11]) + int(fields[12])
    return ticks / 100


def _dd_mb_per_s(folder: Path) -> float:
    """What dd writes to the same disk, until it is there."""
    target = folder / "dd"
    begin = time.monotonic()
    command = ["dd", "if=/dev/zero", f"of={target}", "bs=1M", f"count={_DD_MB}", "conv=fdatasync"]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    elapsed = time.monotonic() - begin
    target.unlink()
    return _DD_MB * 1.048576 / elapsed


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
