"""What a training run needs to go on after an interruption, in safetensors and JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from mx_capture.errors import MxError
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

TENSORS, BEST = "resume.safetensors", "best.safetensors"


@dataclass
class TrainingState:
    """`epoch` is the next one to run; `best` holds the best epoch and its figure.

    `history` holds the figures of each epoch.
    """

    epoch: int = 0
    best: dict[str, Any] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)


def store(
    out: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    state: TrainingState,
    settings: Mapping[str, Any],
) -> None:
    """Write the state of a run beside its checkpoint; an interruption leaves the former one.

    `settings` are what the run was started with, as JSON can hold it.
    """
    out.mkdir(parents=True, exist_ok=True)
    tensors: dict[str, Tensor] = {
        f"network.{name}": value.contiguous() for name, value in network.state_dict().items()
    }
    for index, values in optimizer.state_dict()["state"].items():
        for name, value in values.items():
            tensors[f"optimizer.{index}.{name}"] = torch.as_tensor(value).contiguous()
    part = out / (TENSORS + ".part")
    save_file(
        tensors,
        part,
        metadata={
            "state": json.dumps(asdict(state)),
            "step": str(schedule.state_dict()["_step_count"]),
            "settings": json.dumps(settings),
        },
    )
    part.replace(out / TENSORS)


def restore(
    out: Path,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    settings: Mapping[str, Any],
) -> TrainingState:
    """Load what `store` wrote; a folder without it starts at epoch 0.

    Raises MxError when the file cannot be read, or comes from a run with other settings: other
    folds would test on subjects who were trained on.
    """
    path = out / TENSORS
    if not path.is_file():
        return TrainingState()
    try:
        tensors = load_file(path)
        with safe_open(path, "pt") as archive:
            metadata = archive.metadata() or {}
        _compare(json.loads(metadata.get("settings", "{}")), json.loads(json.dumps(settings)))
        network.load_state_dict(
            {k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")}
        )
    except (RuntimeError, OSError, ValueError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:160]
        raise MxError(
            f"{path} does not fit this run ({reason}); start it as before, or without --resume"
        ) from error
    saved = optimizer.state_dict()
    saved["state"] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".")
            saved["state"].setdefault(int(index), {})[name] = value
    optimizer.load_state_dict(saved)
    steps = int(metadata["step"]) - 1
    if steps > 0:
        # The one-cycle schedule computes each rate from the number of the step alone.
        schedule.last_epoch, schedule._step_count = steps - 1, steps
        schedule.step()
    return TrainingState(**json.loads(metadata["state"]))


def _compare(stored: Mapping[str, Any], settings: Mapping[str, Any]) -> None:
    names = {key for key in stored.keys() | settings if stored.get(key) != settings.get(key)}
    if names:
        raise ValueError(f"it was started with other settings: {', '.join(sorted(names))}")


def store_best(out: Path, network: nn.Module) -> None:
    """Keep the weights of the best epoch so far."""
    out.mkdir(parents=True, exist_ok=True)
    part = out / (BEST + ".part")
    save_file({k: v.contiguous() for k, v in network.state_dict().items()}, part)
    part.replace(out / BEST)


def load_best(out: Path, network: nn.Module) -> None:
    """Put the weights of the best epoch back; MxError when no epoch was finished."""
    if not (out / BEST).is_file():
        raise MxError(f"{out} holds no finished epoch; train again without --resume")
    network.load_state_dict(load_file(out / BEST))
