"""`./mx bench evaluate`: how much faster than real time sessions are evaluated, on one core."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from mx_capture.bench.command import bench_parser, write_json
from mx_capture.errors import MxError
from mx_capture.files import open_source
from mx_capture.pipeline import Pipeline
from mx_capture.simulator.config import SimulationConfig
from mx_capture.simulator.sessions import record
from mx_capture.simulator.source import SimulatedSource
from mx_capture.stream import Frame
from mx_capture.tensorizer import StampedTensor

from mx_perception.au_stream import AuStream
from mx_perception.evaluation.session import EvaluationConfig, Evaluator, evaluator_pipeline
from mx_perception.reconstruction import Reconstructor


def main(argv: list[str]) -> int:
    """Measure, print a table, and write JSON where asked."""
    parser = bench_parser(
        "evaluate",
        "Time the evaluation of a session, and the parts that it consists of.",
        "--json evaluate.json",
    )
    parser.add_argument(
        "--session", type=Path, help="measure this one (default: 10 s are simulated at 240x180)"
    )
    parser.add_argument("--repeats", type=int, default=3, help="the fastest counts (default: 3)")
    arguments = parser.parse_args(argv)
    if arguments.repeats < 1:
        raise MxError(f"--repeats is {arguments.repeats}; give at least 1")
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        session = arguments.session
        if session is None:
            session = Path(folder, "session")
            config = SimulationConfig(duration_s=10.0, protocol="study", render_fps=50)
            record(SimulatedSource(config), session)
        figures = measure(session, arguments.repeats)
    print(f"{figures['times_real_time']:.1f} times real time on a core; for a second of session:")
    for name, value in figures["ms_per_second"].items():
        print(f"  {name:<24}{value:7.1f} ms")
    hop = figures["hop_ms"]
    if hop:
        print(
            f"a hop of Action Units: p50 {hop['here']:.2f} ms, and {hop['live']:.2f} ms of "
            "model.onnx, as nodes run it"
        )
    frame = figures["frame_ms"]
    print(f"a reconstructed frame: p50 {frame['p50']:.2f} ms, p95 {frame['p95']:.2f} ms")
    write_json(figures, arguments.json)
    return 0


def measure(session: Path, repeats: int) -> dict[str, Any]:
    """All figures of the verb: CPU time, which other processes stretch less than wall time."""
    evaluator = Evaluator(EvaluationConfig())
    evaluator.evaluate(session, "to have everything compiled")
    runs = [evaluator.evaluate(session, "session") for _ in range(repeats)]
    best = min(runs, key=lambda run: float(run.timing["cpu_s"]))
    if best.figures["status"] == "skipped":
        raise MxError(f"{session} cannot be evaluated: {best.figures['reason']}")
    seconds = float(best.figures["seconds"])
    parts = {
        "reading": _reading(session),
        "looking for faces": _faces(session, evaluator),
        "Action Units": sum(best.timing["step_ms"]) / 1e3,
        "reconstruction": sum(best.timing["frame_ms"]) / 1e3,
    }
    total = float(best.timing["cpu_s"])
    parts["tensors, metrics, rest"] = max(total - sum(parts.values()), 0.0)
    return {
        "times_real_time": seconds / total,
        "seconds": seconds,
        "cpu_s": total,
        "wall_s": best.timing["wall_s"],
        "ms_per_second": {name: 1e3 * value / seconds for name, value in parts.items()},
        "hop_ms": _hop_times(session, evaluator),
        "frames_reconstructed": len(best.timing["frame_ms"]),
        "frame_ms": _frame_times(evaluator.reconstructor),
        "event_size": best.figures["event_size"],
        "load_1min": os.getloadavg()[0],
    }


def _reading(session: Path) -> float:
    began = time.process_time()
    for _ in open_source(session):
        pass
    return time.process_time() - began


def _faces(session: Path, evaluator: Evaluator) -> float:
    pipeline = Pipeline(evaluator_pipeline(evaluator, session))
    frames = [item for item in open_source(session) if isinstance(item, Frame)]
    began = time.process_time()
    for frame in frames:
        pipeline.finder.in_frame(frame)
    return time.process_time() - began


def _hop_times(session: Path, evaluator: Evaluator, count: int = 500) -> dict[str, float]:
    """Medians of CPU time, ms, of the same hops here and as a node reads them, taking turns."""
    streams = {"here": evaluator.au, "live": AuStream(evaluator.au.checkpoint.folder)}
    evaluator.au.forget(evaluator.au.faces)
    times: dict[str, list[float]] = {name: [] for name in streams}
    pipeline = Pipeline(evaluator_pipeline(evaluator, session), crops=False)
    for item in pipeline.run(open_source(session)):
        if not isinstance(item, StampedTensor):
            continue
        tensor = item.tensor
        for name, stream in streams.items():
            began = time.thread_time()
            stream.step({tensor.face_id: tensor.data})
            times[name].append((time.thread_time() - began) * 1e3)
        if len(times["live"]) == count:
            break
    return {name: float(np.median(values)) for name, values in times.items() if values}


def _frame_times(reconstructor: Reconstructor, count: int = 300) -> dict[str, float]:
    """Wall time of one frame after another, ms; other processes stretch it."""
    rng = np.random.default_rng(0)
    events = rng.poisson(0.1, reconstructor.event_shape).astype(np.uint8)
    key = rng.integers(0, 256, reconstructor.event_shape[2:], dtype=np.uint8)
    times = []
    for _ in range(count):
        began = time.perf_counter()
        reconstructor.reconstruct(events, key)
        times.append((time.perf_counter() - began) * 1e3)
    p50, p95 = np.percentile(times, [50, 95])
    return {"p50": float(p50), "p95": float(p95)}
