"""`./mx demo`: the whole graph as separate processes, watched, recorded and summed up."""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path

from mx_capture.errors import MxError
from mx_capture.recording.verify import verify
from rich.console import Console

from mx_perception.demo import film, summary
from mx_perception.demo.graph import DemoGraph
from mx_perception.demo.table import show
from mx_perception.nodes.monitor_node import Monitor, MonitorNode

_EXAMPLE = """examples:
  ./mx demo --duration 20 --out demo
  ./mx demo --events face.raw --rgb face.mp4 --out demo"""


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(
        prog="./mx demo",
        description=__doc__.splitlines()[0],
        epilog=_EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--duration", type=float, default=20.0, help="seconds (default: 20)")
    parser.add_argument("--out", type=Path, help="folder to make (default: out/demo-<time>)")
    parser.add_argument("--events", help="event recording to play instead of the simulator")
    parser.add_argument("--rgb", help="video to play instead of the simulator")
    parser.add_argument("--no-film", action="store_true", help="do not make overlay.mp4")
    options = parser.parse_args(argv)
    if not 1.0 <= options.duration <= 3600.0:
        raise MxError(f"--duration {options.duration} is outside 1 to 3600 s")
    out = options.out or Path("out") / time.strftime("demo-%Y%m%d-%H%M%S")
    if out.exists() and any(out.iterdir()):
        raise MxError(f"{out} exists and is not empty; choose another folder with --out")

    console = Console(stderr=False)
    graph = DemoGraph(out, events=options.events, rgb=options.rgb, console=console)
    with Monitor(MonitorNode) as monitor:
        try:
            graph.start(monitor)
            began = time.monotonic()
            show(monitor, graph, until=began + options.duration, console=console)
            duration_s = time.monotonic() - began
            graph.drain(monitor)
        finally:
            graph.stop()
        quality = verify(out / "recording")
        recorded = {topic.topic: topic.messages for topic in quality.topics}
        counts = graph.counts(monitor, duration_s, recorded)
        heard = monitor.heard
    results = summary.as_json(graph.inputs, counts)
    (out / "summary.json").write_text(json.dumps(results, indent=2) + "\n")
    if not options.no_film:
        film.make(out / "overlay.mp4", out / "recording", heard, console)
    for name, result in results["stages"].items():
        console.print(f"  {name:16} {result}", style="red" if result.startswith("failed") else None)
    console.print(
        f"left in {out}: recording/, summary.json" + ("" if options.no_film else ", overlay.mp4")
    )
    wrong = summary.failed(results["stages"])
    if wrong:
        print(f"mx: demo failed in {', '.join(wrong)}; see {out}/summary.json", file=sys.stderr)
    return 1 if wrong else 0
