"""Operators and weights of an ONNX file, read without the package of that name.

Only as much of protobuf's wire format and of onnx.proto as exported networks use.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mx_capture.errors import MxError

# Field numbers of onnx.proto's ModelProto, GraphProto, NodeProto, AttributeProto and TensorProto.
_GRAPH = 7
_NODE, _INITIALIZER = 1, 5
_INPUT, _OUTPUT, _OP_TYPE, _ATTRIBUTE = 1, 2, 4, 5
_NAME, _INTS = 1, 8
_DIMS, _DATA_TYPE, _TENSOR_NAME, _RAW_DATA = 1, 2, 8, 9
_FLOAT = 1
_FIXED_SIZES = {1: 8, 5: 4}


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
        graph = _message(_message(path.read_bytes())[_GRAPH][0])
        operators = [_operator(_message(node)) for node in graph.get(_NODE, [])]
        tensors = [_message(tensor) for tensor in graph.get(_INITIALIZER, [])]
        weights = {
            tensor[_TENSOR_NAME][0].decode(): np.frombuffer(
                tensor[_RAW_DATA][0], np.dtype("<f4")
            ).reshape(_integers(tensor, _DIMS))
            for tensor in tensors
            if tensor[_DATA_TYPE] == [_FLOAT]
        }
    except (OSError, KeyError, IndexError, ValueError, TypeError, AttributeError) as error:
        raise MxError(f"{path} is not readable as ONNX ({error!r}); train it again") from error
    return OnnxGraph(operators, weights)


def _operator(node: dict[int, list[Any]]) -> Operator:
    names = {field: [name.decode() for name in node.get(field, [])] for field in (_INPUT, _OUTPUT)}
    attributes = [_message(attribute) for attribute in node.get(_ATTRIBUTE, [])]
    integers = {a[_NAME][0].decode(): _integers(a, _INTS) for a in attributes if _INTS in a}
    return Operator(node[_OP_TYPE][0].decode(), names[_INPUT], names[_OUTPUT], integers)


def _message(data: bytes) -> dict[int, list[Any]]:
    """The values of each field: integers, or bytes of what has a length of its own."""
    fields: dict[int, list[Any]] = {}
    value: int | bytes
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        kind = key & 7
        if kind == 0:
            value, at = _varint(data, at)
        else:
            size, at = (_FIXED_SIZES[kind], at) if kind in _FIXED_SIZES else _varint(data, at)
            if kind not in (2, *_FIXED_SIZES) or at + size > len(data):
                raise ValueError(f"no field at byte {at}")
            value, at = data[at : at + size], at + size
        fields.setdefault(key >> 3, []).append(value)
    return fields


def _integers(fields: dict[int, list[Any]], field: int) -> list[int]:
    """Repeated integers, one by one or packed into bytes."""
    found: list[int] = []
    for value in fields.get(field, []):
        if isinstance(value, int):
            found.append(value)
            continue
        at = 0
        while at < len(value):
            number, at = _varint(value, at)
            found.append(number)
    return found


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value, shift, at = value | (byte & 0x7F) << shift, shift + 7, at + 1
        if byte < 0x80:
            return value, at
