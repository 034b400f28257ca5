"""The Action Unit network for recordings: a hop costs what changes in it, not what is there.

A live node runs `model.onnx`, which takes the same time for every hop, however much moves. Here
time is spent on pixels whose memory shows another level than a hop ago, and on neurons that fire.
The weights are those of the same file. They lie on a binary grid, so that every sum is exact
whatever its order: membranes and spikes are equal bit for bit, scores to the last digits.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from mx_capture.errors import MxError

from mx_perception import event_kernels
from mx_perception.action_units import CLIP_CLASSES
from mx_perception.au_stream import AuStream
from mx_perception.checkpoint import METADATA_FILE, ONNX_FILE, Checkpoint
from mx_perception.onnx_file import OnnxGraph, Operator, read_onnx


@dataclass(frozen=True)
class Layer:
    """A convolution into neurons that fire, float32; it gives `(h, w, C)`."""

    weight: np.ndarray
    """`(C_in, K, K, C)`"""
    bias: np.ndarray
    beta: np.ndarray
    threshold: np.ndarray
    stride: int
    padding: int
    reach: tuple[np.ndarray, np.ndarray]
    """For each row of the input, and for each column: which of the output it reaches, from, to."""
    shape: tuple[int, int, int]


@dataclass
class FaceState:
    """What a face leaves behind."""

    memory: np.ndarray
    """`(K, h * w * P) float32` taps of the input's memory."""
    levels: np.ndarray
    """`(K * h * w * P,) uint8` of them."""
    current: np.ndarray
    """`(h, w, C) float32` that the levels cause in the first layer."""
    membranes: list[np.ndarray]
    """`(phases, h, w, C) float32` of each layer and `(phases, C)` of the dense one."""
    turn: int = 0
    """The set of membranes that has rested longest."""


class EventDrivenNetwork:
    """Steps one face after another."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """Raises MxError for a `model.onnx` that cannot be read or does not fit model.json."""
        size = checkpoint.size
        self.pool, self.limit, self.taps = size("pool"), size("count_limit"), size("taps")
        self.phases, self.polarities = size("phases"), size("polarities")
        self.map_size = size("height") // self.pool, size("width") // self.pool
        decay = float(checkpoint.architecture["tap_decay"])
        self._arguments = self.pool, self.limit, np.float32(decay), np.float32(1.0 - decay)
        path = checkpoint.folder / ONNX_FILE
        graph = read_onnx(path)
        try:
            self.layers = _layers(graph, self.map_size)
            height, width, channels = self.layers[-1].shape
            dense, *heads = (o for o in graph.operators if o.kind == "Gemm")
            weight, self.bias = _linear(graph, dense)
            # From (hidden, C * h * w) to (h * w * C, hidden): a spike adds one row.
            rows = weight.reshape(len(weight), channels, height * width).transpose(2, 1, 0)
            self.weight = np.ascontiguousarray(rows).reshape(-1, len(weight))
            self.beta = _neurons(graph, "mem_hidden")[0]
            # Scores come out of a sigmoid, evidence as it is.
            scores, evidence = sorted(heads, key=lambda head: "evidence" in head.outputs)
            read = [_linear(graph, head) for head in (scores, evidence)]
        except (KeyError, IndexError, ValueError, StopIteration) as error:
            raise MxError(f"{path} does not fit its {METADATA_FILE}: {error!r}") from error
        self.heads = np.concatenate([weight for weight, _ in read]).T.copy()
        self.head_bias = np.concatenate([bias for _, bias in read])
        self.units = len(read[0][1])
        cells = self.taps * self.polarities * math.prod(self.map_size)
        # Where each of (K, h * w, P) levels is in the input of the first layer, (h * w, K * P).
        inputs = np.arange(cells, dtype=np.int32).reshape(-1, self.taps, self.polarities)
        self._inputs = inputs.transpose(1, 0, 2).ravel()
        self._levels = np.zeros(cells, np.uint8)
        most = 1 + max(cells, *(math.prod(layer.shape) for layer in self.layers))
        self._places = np.empty(most, np.int32), np.empty(most, np.int32)
        self._values = np.empty(most, np.float32), np.ones(most, np.float32)
        self._currents = [np.empty(layer.shape, np.float32) for layer in self.layers]

    def rest(self) -> FaceState:
        """Nothing was seen, and all membranes are at rest."""
        pixels = self.polarities * math.prod(self.map_size)
        shapes = [*(layer.shape for layer in self.layers), self.bias.shape]
        first = self.layers[0]
        return FaceState(
            np.zeros((self.taps, pixels), np.float32),
            np.zeros(self.taps * pixels, np.uint8),
            np.tile(first.bias, (*first.shape[:2], 1)),
            [np.zeros((self.phases, *shape), np.float32) for shape in shapes],
        )

    def step(self, state: FaceState, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """One hop `(P, H, W) uint8`, which changes `state`: scores `(n_au,)`, evidence `(15,)`."""
        (places, spare), (values, ones) = self._places, self._values
        seen = state.memory, self._levels, state.levels, self._inputs
        count = event_kernels.look(x, *self._arguments, *seen, places, values)
        current = state.current
        for index, layer in enumerate(self.layers):
            if index > 0:
                current = self._currents[index]
                current[:] = layer.bias
            geometry = layer.stride, layer.padding, *layer.reach
            event_kernels.add(places[:count], values, layer.weight, *geometry, current)
            rested = state.membranes[index][state.turn]
            count = event_kernels.fire(current, layer.beta, layer.threshold, rested, spare)
            places, spare, values = spare, places, ones
        hidden = state.membranes[-1]
        rested = hidden[state.turn]
        event_kernels.integrate(places[:count], self.weight, self.bias, self.beta, rested)
        state.turn = (state.turn + 1) % self.phases
        read = event_kernels.read(hidden, state.turn, self.heads, self.head_bias)
        return 1 / (1 + np.exp(-read[: self.units])), read[self.units :]

    def named(self, state: FaceState) -> dict[str, np.ndarray]:
        """A state as `model.onnx` has it: its inputs by name, without the axis of faces."""
        taps = state.memory.reshape(self.taps, *self.map_size, self.polarities)
        turned = [np.roll(membranes, -state.turn, 0) for membranes in state.membranes]
        named = {f"mem_{i + 1}": m.transpose(0, 3, 1, 2) for i, m in enumerate(turned[:-1])}
        return {"taps": taps.transpose(0, 3, 1, 2), **named, "mem_hidden": turned[-1]}


class EventDrivenStream(AuStream):
    """An AuStream for recordings."""

    def _open(self, threads: int) -> None:
        self._network = EventDrivenNetwork(self.checkpoint)
        found = self._network.units, len(self._network.head_bias) - self._network.units
        wanted = len(self.action_units), len(CLIP_CLASSES)
        if found != wanted:
            raise MxError(
                f"{self.checkpoint.folder / ONNX_FILE} gives {found} scores and evidences, but "
                f"{METADATA_FILE} says {wanted}; the files are of different checkpoints"
            )

    def _rest(self) -> FaceState:
        return self._network.rest()

    def _advance(
        self, faces: Sequence[str], hops: Sequence[np.ndarray]
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        return [
            self._network.step(self._states[face], hop)
            for face, hop in zip(faces, hops, strict=True)
        ]

    def state(self, face_id: str) -> dict[str, np.ndarray]:
        return self._network.named(self._states[face_id])


def _layers(graph: OnnxGraph, size: tuple[int, int]) -> list[Layer]:
    layers = []
    convolutions = [operator for operator in graph.operators if operator.kind == "Conv"]
    for index, operator in enumerate(convolutions):
        weight, bias = _linear(graph, operator)
        stride, padding = operator.integers["strides"][0], operator.integers["pads"][0]
        sides = [(side + 2 * padding - weight.shape[2]) // stride + 1 for side in size]
        reach = [
            _reach(*two, weight.shape[2], stride, padding) for two in zip(size, sides, strict=True)
        ]
        layers.append(
            Layer(
                np.ascontiguousarray(weight.transpose(1, 2, 3, 0)),
                bias,
                *_neurons(graph, f"mem_{index + 1}"),
                stride,
                padding,
                (reach[0], reach[1]),
                (sides[0], sides[1], len(bias)),
            )
        )
        size = (sides[0], sides[1])
    return layers


def _reach(inputs: int, outputs: int, side: int, stride: int, padding: int) -> np.ndarray:
    """`(2, inputs) int32`: the outputs, from and to, in whose window of `side` an input lies."""
    at = np.arange(inputs) + padding
    first, last = (at - side) // stride + 1, at // stride + 1
    return np.array([np.maximum(first, 0), np.minimum(last, outputs)], np.int32)


def _linear(graph: OnnxGraph, operator: Operator) -> tuple[np.ndarray, np.ndarray]:
    """Weight and bias; one of zeros is left out of the file."""
    weight, *bias = (graph.weights[name] for name in operator.inputs[1:])
    return weight, bias[0] if bias else np.zeros(len(weight), np.float32)


def _neurons(graph: OnnxGraph, state: str) -> tuple[np.ndarray, np.ndarray]:
    """Decay and threshold `(C,)`: by what membranes are multiplied, and what is taken off them."""
    operators = graph.operators
    (rested,) = next(o.outputs for o in operators if o.kind == "Gather" and o.inputs[0] == state)
    found = []
    for kind in ("Mul", "Sub"):
        pairs = [o.inputs for o in operators if o.kind == kind and rested in o.inputs]
        named = [name for pair in pairs for name in pair if name in graph.weights]
        found.append(graph.weights[named[0]].ravel() if named else np.zeros(0, np.float32))
    return found[0], found[1]
