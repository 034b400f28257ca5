"""Checkpoints: a folder with `model.json`, `model.onnx` and `model.safetensors`. No pickle.

`model.json` names the architecture, the Action Units, the preprocessing, the training data and the
metrics. `model.onnx` is what runs: one step, states in and out. `model.safetensors` holds the
weights before deployment, to train on. This module needs no torch.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnxruntime
from mx_capture.errors import MxError

from mx_perception.action_units import ACTION_UNITS

FORMAT = 1
AU_KIND = "au"
RECONSTRUCTION_KIND = "reconstruction"
ARCHITECTURES = {AU_KIND: ("au_snn",), RECONSTRUCTION_KIND: ("cvae",)}
WEIGHTS_FILE, METADATA_FILE, ONNX_FILE = "model.safetensors", "model.json", "model.onnx"
CARD_FILE = "MODEL_CARD.md"
DEFAULT_AU = Path(__file__).parent / "data" / "au_default"
DEFAULT_RECONSTRUCTION = Path(__file__).parent / "data" / "reconstruction_default"


@dataclass(frozen=True)
class Checkpoint:
    """The metadata of a checked checkpoint folder."""

    folder: Path
    kind: str
    architecture: dict[str, Any]
    action_units: tuple[int, ...]
    on_scores: tuple[float, ...]
    """The score at which each of `action_units` begins; empty if not stated."""
    preprocessing: dict[str, Any]
    training: dict[str, Any]
    metrics: dict[str, Any]

    def size(self, name: str) -> int:
        """An integer of the architecture; MxError when it is missing or not an integer."""
        value = self.architecture.get(name)
        if type(value) is not int:
            raise MxError(
                f"{self.folder / METADATA_FILE}: architecture.{name} is {value!r}, "
                "not an integer; train the checkpoint again"
            )
        return value

    def facts(self) -> dict[str, str]:
        """Where the model lies, and its card if it has one; for people."""
        card = self.folder / CARD_FILE
        return {"model": str(self.folder), "model_card": str(card) if card.is_file() else "none"}


def load_checkpoint(folder: str | Path, kind: str) -> Checkpoint:
    """Read and check a checkpoint of `kind` (`au`, `reconstruction`).

    Raises MxError in one line that names the file and what is wrong with it.
    """
    folder = Path(folder)
    for name in (METADATA_FILE, ONNX_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise MxError(f"checkpoint {folder} has no {name}; train one with ./mx train")
    path = folder / METADATA_FILE
    try:
        metadata = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise MxError(f"{path} is not JSON ({error}); train the checkpoint again") from error
    if not isinstance(metadata, dict) or metadata.get("format") != FORMAT:
        raise MxError(f"{path} is not of checkpoint format {FORMAT}; train the checkpoint again")
    if metadata.get("kind") != kind:
        raise MxError(f"{path} is of kind {metadata.get('kind')!r}, but {kind!r} is wanted here")
    for section in ("architecture", "preprocessing", "training", "metrics"):
        if not isinstance(metadata.get(section), dict):
            raise MxError(f"{path} has no section {section!r}; train the checkpoint again")
    name = metadata["architecture"].get("name")
    if name not in ARCHITECTURES[kind]:
        raise MxError(
            f"{path}: architecture {name!r} is unknown; known are {', '.join(ARCHITECTURES[kind])}"
        )
    action_units = _action_units(path, metadata.get("action_units"), kind)
    return Checkpoint(
        folder=folder,
        kind=kind,
        architecture=metadata["architecture"],
        action_units=action_units,
        on_scores=_on_scores(path, metadata.get("on_scores", []), len(action_units)),
        preprocessing=metadata["preprocessing"],
        training=metadata["training"],
        metrics=metadata["metrics"],
    )


def open_session(checkpoint: Checkpoint, threads: int) -> onnxruntime.InferenceSession:
    """Open `model.onnx` on the CPU with `threads` threads (1 is best beside other nodes)."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    # Idle threads must not spin: they would take the cores of the other nodes.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    path = checkpoint.folder / ONNX_FILE
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # ONNX Runtime has no public base class for its errors
        line = str(error).splitlines()[0]
        raise MxError(f"{path} cannot be run ({line}); train the checkpoint again") from error


def check_shape(
    checkpoint: Checkpoint, session: onnxruntime.InferenceSession, name: str, shape: tuple[int, ...]
) -> None:
    """The input or output `name` must be `(any, *shape)`, as model.json says."""
    found = {value.name: value.shape for value in (*session.get_inputs(), *session.get_outputs())}
    if name not in found or tuple(found[name][1:]) != shape:
        raise MxError(
            f"{checkpoint.folder / ONNX_FILE}: {name} has shape {found.get(name)}, but "
            f"{METADATA_FILE} says {('faces', *shape)}; the files are of different checkpoints"
        )


def _action_units(path: Path, numbers: Any, kind: str) -> tuple[int, ...]:
    if kind != AU_KIND:
        return ()
    valid = isinstance(numbers, list) and numbers and all(type(n) is int for n in numbers)
    if not valid or len(set(numbers)) != len(numbers):
        raise MxError(f"{path}: action_units must be a list of different FACS numbers")
    unknown = [n for n in numbers if n not in ACTION_UNITS]
    if unknown:
        raise MxError(
            f"{path}: Action Unit {unknown[0]} is unknown; known are "
            + ", ".join(str(n) for n in ACTION_UNITS)
        )
    return tuple(numbers)


def _on_scores(path: Path, scores: Any, count: int) -> tuple[float, ...]:
    numbers = isinstance(scores, list) and all(type(x) in (int, float) for x in scores)
    if not numbers or len(scores) not in (0, count) or not all(0 < x <= 1 for x in scores):
        raise MxError(f"{path}: on_scores must be {count} numbers above 0 and at most 1")
    return tuple(scores)
