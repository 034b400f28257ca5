"""`./mx bench snn`: one streaming step against running a ten-step window again, in one run."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from mx_capture.bench.command import bench_parser, write_json
from mx_capture.errors import MxError

from mx_perception.au_stream import AuStream
from mx_perception.checkpoint import DEFAULT_AU

WINDOW_STEPS = 10
BLOCK = 50


def main(argv: list[str]) -> int:
    """Measure, print a line, and write JSON where asked."""
    parser = bench_parser(
        "snn",
        "Time one step of the spiking network, on one thread, and check its spikes.",
        "--json snn.json",
    )
    parser.add_argument("--checkpoint", type=Path, default=DEFAULT_AU, help="folder of the weights")
    parser.add_argument("--steps", type=int, default=1000, help="steps to time (default: 1000)")
    parser.add_argument("--faces", type=int, default=1, help="faces in a step (default: 1)")
    arguments = parser.parse_args(argv)
    if arguments.steps < BLOCK or arguments.faces < 1:
        raise MxError(f"--steps must be at least {BLOCK} and --faces at least 1")
    figures = measure(arguments.checkpoint, arguments.steps, arguments.faces)
    print(
        f"step {figures['step_ms']['p50']:.3f} ms (p99 {figures['step_ms']['p99']:.3f}), "
        f"window of {WINDOW_STEPS} steps in snnTorch {figures['window_ms']:.1f} ms "
        f"({figures['window_over_step']:.1f} times a step), "
        f"spikes {'equal' if figures['spikes_equal'] else 'DIFFERENT'}"
    )
    write_json(figures, arguments.json)
    return 0 if figures["spikes_equal"] else 1


def measure(checkpoint: Path, steps: int, faces: int) -> dict[str, Any]:
    """All figures of the verb. Blocks of steps and windows alternate: load strikes both alike."""
    import torch

    from mx_perception.networks.export import load_au

    torch.set_num_threads(1)
    stream, network = AuStream(checkpoint), load_au(checkpoint).deployed()
    shape = stream.input_shape
    x = _events(np.random.default_rng(0), (steps, faces, *shape))
    tensors = [{f"f{row}": hop[row, None] for row in range(faces)} for hop in x]
    step_s: list[float] = []
    window_s: list[float] = []
    with torch.inference_mode():
        equal = _same_spikes(stream, network, x, tensors)
        for begin in range(0, steps, BLOCK):
            step_s += [_time(stream.step, hop) for hop in tensors[begin : begin + BLOCK]]
            window = torch.from_numpy(x[:WINDOW_STEPS])
            window_s += [_time(_run_window, network, window) for _ in range(2)]
    p50, p99 = np.percentile(step_s, [50, 99]) * 1000
    window_ms = float(np.median(window_s) * 1000)
    return {
        "step_ms": {"p50": float(p50), "p99": float(p99)},
        "window_ms": window_ms,
        "window_steps": WINDOW_STEPS,
        "window_over_step": window_ms / float(p50),
        "spikes_equal": equal,
        "steps": steps,
        "faces": faces,
        "input": list(shape),
        "threads": 1,
        "load_1min": os.getloadavg()[0],
    }


def _events(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    return (rng.random(shape, np.float32) < 0.03).astype(np.uint8)


def _time(call: Callable[..., Any], *arguments: Any) -> float:
    begin = time.perf_counter()
    call(*arguments)
    return time.perf_counter() - begin


def _run_window(network: Any, window: Any) -> None:
    state = network.initial_state(window.shape[1])
    for x in window:
        _, state = network.step(x, state)


def _same_spikes(
    stream: AuStream, network: Any, x: np.ndarray, tensors: list[dict[str, np.ndarray]]
) -> bool:
    import torch

    state = network.initial_state(x.shape[1])
    thresholds = {
        name: network.neurons[layer].threshold.numpy()
        for layer, name in enumerate(("mem_1", "mem_2"))
    }
    for hop, faces in zip(x, tensors, strict=True):
        stream.step(faces)
        _, state = network.step(torch.from_numpy(hop), state)
        for row, face in enumerate(faces):
            streamed = stream.state(face)
            for name, threshold in thresholds.items():
                spikes = getattr(state, name)[row].numpy() > threshold
                if not np.array_equal(streamed[name] > threshold, spikes):
                    return False
    return True
