"""Write and read trained networks: weights, metadata and the ONNX step, all or nothing."""

from __future__ import annotations

import json
import logging
import shutil
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mx_capture.errors import MxError
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from mx_perception.action_units import AU_NUMBERS
from mx_perception.checkpoint import (
    AU_KIND,
    FORMAT,
    METADATA_FILE,
    ONNX_FILE,
    RECONSTRUCTION_KIND,
    WEIGHTS_FILE,
    load_checkpoint,
)
from mx_perception.networks import cvae, snn

OPSET = 18


class _AuStep(nn.Module):
    def __init__(self, network: snn.AuNetwork) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        output, new_state = self.network.step(x, snn.AuState(*state))
        return (*output, *new_state)


def save_au(network: snn.AuNetwork, folder: Path, sections: dict[str, Any]) -> None:
    """Write an Action Unit checkpoint; `sections` are preprocessing, training and metrics."""
    config = network.config
    deployed = network.deployed()
    state = deployed.initial_state(2)
    x = torch.zeros(2, config.polarities, config.height, config.width, dtype=torch.uint8)
    names = list(snn.AuState._fields)
    part = _start(folder, network)
    _export(
        _AuStep(deployed).eval(),
        (x, *state),
        part / ONNX_FILE,
        ["x", *names],
        ["scores", "evidence", *(f"next_{name}" for name in names)],
    )
    architecture = snn.architecture(config)
    metadata = {"action_units": list(AU_NUMBERS), "architecture": architecture, **sections}
    _finish(part, folder, AU_KIND, metadata)


def save_reconstruction(network: cvae.Cvae, folder: Path, sections: dict[str, Any]) -> None:
    """Write a reconstruction checkpoint; the ONNX decodes at the mean of the prior."""
    config = network.config
    events = torch.zeros(
        2, config.bins, config.polarities, config.height, config.width, dtype=torch.uint8
    )
    key = torch.zeros(2, config.colours, config.height, config.width, dtype=torch.uint8)
    part = _start(folder, network)
    step = cvae.Reconstruct(network).eval()
    _export(step, (events, key), part / ONNX_FILE, ["events", "key"], ["frame", "uncertainty"])
    _finish(
        part,
        folder,
        RECONSTRUCTION_KIND,
        {"architecture": cvae.architecture(config), **sections},
    )


def load_au(folder: str | Path) -> snn.AuNetwork:
    """The trained network of a checkpoint, to train on or to compare with."""
    checkpoint = load_checkpoint(folder, AU_KIND)
    if checkpoint.action_units != AU_NUMBERS:
        raise MxError(f"{folder}: action_units {checkpoint.action_units} differ from {AU_NUMBERS}")
    network = snn.AuNetwork(snn.AuNetworkConfig.from_mapping(_settings(checkpoint.architecture)))
    _load(network, Path(folder))
    return network


def load_reconstruction(folder: str | Path) -> cvae.Cvae:
    """The trained CVAE of a checkpoint."""
    checkpoint = load_checkpoint(folder, RECONSTRUCTION_KIND)
    network = cvae.Cvae(cvae.CvaeConfig.from_mapping(_settings(checkpoint.architecture)))
    _load(network, Path(folder))
    return network


def _settings(architecture: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in architecture.items() if name != "name"}


def _load(network: nn.Module, folder: Path) -> None:
    path = folder / WEIGHTS_FILE
    try:
        network.load_state_dict(load_file(path))
    except (SafetensorError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:160]
        raise MxError(f"{path} does not fit its {METADATA_FILE}: {reason}") from error


def _start(folder: Path, network: nn.Module) -> Path:
    part = folder.with_name(folder.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    weights = {
        name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()
    }
    save_file(weights, part / WEIGHTS_FILE)
    (part / WEIGHTS_FILE).chmod(0o644)
    return part


def _finish(part: Path, folder: Path, kind: str, metadata: dict[str, Any]) -> None:
    text = json.dumps({"format": FORMAT, "kind": kind, **metadata}, indent=2, allow_nan=False)
    (part / METADATA_FILE).write_text(text + "\n", encoding="utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    # model.json goes last: without it a folder is no checkpoint.
    (folder / METADATA_FILE).unlink(missing_ok=True)
    for name in (WEIGHTS_FILE, ONNX_FILE, METADATA_FILE):
        (part / name).replace(folder / name)
    part.rmdir()


def _export(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    path: Path,
    input_names: Sequence[str],
    output_names: Sequence[str],
) -> None:
    faces = torch.export.Dim("faces", min=1, max=64)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            module,
            inputs,
            input_names=list(input_names),
            output_names=list(output_names),
            opset_version=OPSET,
            dynamic_shapes=_dynamic(module, inputs, faces),
            dynamo=True,
            verbose=False,
            external_data=False,
        )
    assert program is not None  # only the old exporter returns nothing
    _forget_origin(program.model)
    program.save(str(path), external_data=False)


def _forget_origin(model: Any) -> None:
    """Remove where in which file of this machine each operator was made."""
    for graph in (model.graph, *(function.graph for function in model.functions.values())):
        graph.metadata_props.clear()
        for node in graph.all_nodes():
            node.metadata_props.clear()
            for value in node.outputs:
                value.metadata_props.clear()


def _dynamic(module: nn.Module, inputs: tuple[Tensor, ...], faces: Any) -> Any:
    if isinstance(module, _AuStep):
        return ({0: faces}, tuple({0: faces} for _ in inputs[1:]))
    return tuple({0: faces} for _ in inputs)
