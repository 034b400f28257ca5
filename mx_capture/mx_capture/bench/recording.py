"""What the recorder sustains: VGA frames at 30 Hz and 10 Mev/s through DDS into mcap, beside dd.

Run it by `python -m mx_capture.bench.recording --seconds 60 --out DIR` in the environment of
`./mx`; it prints JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import yaml

from mx_capture.recording.verify import verify

EVENTS_PER_S = 10_000_000
PACKET_S = 1e-3
BYTES_PER_EVENT = 4
"""EVT3 with an ADDR_Y for each event: more than most scenes need."""
PACKET_BYTES = round(EVENTS_PER_S * PACKET_S) * BYTES_PER_EVENT
FRAME_HZ = 30
FRAME_SIZE = (480, 640)
_DD_MB = 1_000


def measure(seconds: float, folder: Path) -> dict[str, Any]:
    """Publish, record and count for some seconds; `folder` must not exist, and is removed."""
    folder.mkdir(parents=True)
    try:
        dd = _dd_mb_per_s(folder)
        with _node("recorder_node", out=str(folder / "recording")) as recorder:
            published = _publish_in_child(seconds)
            cpu_s = _cpu_seconds(recorder.pid)
        quality = verify(folder / "recording")
        recorded = {item.topic: item.messages for item in quality.topics}
        size = sum(path.stat().st_size for path in (folder / "recording").glob("*.mcap"))
    finally:
        shutil.rmtree(folder)
    return {
        "seconds": seconds,
        "published": published,
        "recorded": recorded,
        "lost": {topic: count - recorded.get(topic, 0) for topic, count in published.items()},
        "recorded_mb_per_s": size / 1e6 / seconds,
        "recorder_cores": cpu_s / seconds,
        "dd_mb_per_s": dd,
    }


def main(argv: list[str]) -> int:
    """Measure and print JSON."""
    parser = argparse.ArgumentParser(prog="mx_capture.bench.recording", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--out", type=Path, help="folder on the disk to measure")
    parser.add_argument("--publish", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.publish:
        from mx_capture.nodes.load_node import publish_load

        counts = publish_load(options.seconds, 1 / PACKET_S, PACKET_BYTES, FRAME_HZ, FRAME_SIZE)
        print(json.dumps(counts))
        return 0
    out = options.out or Path(tempfile.mkdtemp()) / "bench"
    print(json.dumps(measure(options.seconds, out), indent=1))
    return 0


def _publish_in_child(seconds: float) -> dict[str, int]:
    command = [sys.executable, "-m", "mx_capture.bench.recording", "--publish"]
    done = subprocess.run(
        [*command, "--seconds", str(seconds)], stdout=subprocess.PIPE, text=True, check=True
    )
    return dict(json.loads(done.stdout))


@contextlib.contextmanager
def _node(name: str, **parameters: Any) -> Any:
    """A node of this package in a process of its own."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
        yaml.safe_dump({"/**": {"ros__parameters": parameters}}, file)
        file.flush()
        code = f"from mx_capture.nodes.{name} import main; main()"
        process = subprocess.Popen(
            [sys.executable, "-c", code, "--ros-args", "--params-file", file.name]
        )
        try:
            yield process
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(60)


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
