"""Operators and weights of an ONNX file, as plain lists and arrays."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from mx_capture.errors import MxError
from onnx import numpy_helper


@dataclass(frozen=True)
class Operator:
    """A node of the graph; of its attributes those that are lists of integers."""

    kind: str
    inputs: list[str]
    outputs: list[str]
    integers: dict[str, list[int]]


@dataclass(frozen=True)
class OnnxGraph:
    """Operators in the order in which they run, and float32 weights by name."""

    operators: list[Operator]
    weights: dict[str, np.ndarray]


def read_onnx(path: Path) -> OnnxGraph:
    """Raises MxError for a file that cannot be read or is not ONNX."""
    try:
        graph = onnx.load(path).graph
        tensors = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    except (OSError, DecodeError, ValueError, TypeError) as error:
        raise MxError(f"{path} is not readable as ONNX ({error!r}); train it again") from error
    weights = {name: array for name, array in tensors.items() if array.dtype == np.float32}
    return OnnxGraph([_operator(node) for node in graph.node], weights)


def _operator(node: onnx.NodeProto) -> Operator:
    integers = {a.name: list(a.ints) for a in node.attribute if a.type == onnx.AttributeProto.INTS}
    return Operator(node.op_type, list(node.input), list(node.output), integers)
