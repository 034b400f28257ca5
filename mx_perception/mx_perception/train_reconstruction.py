"""Train the conditional VAE on key frames, events and the frames that follow."""

from __future__ import annotations

import argparse
import dataclasses
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mx_capture.config import Config, setting
from mx_capture.errors import MxError
from torch import Tensor

from mx_perception import metrics
from mx_perception.dataset import Track
from mx_perception.degrade import DegradeConfig, degrade
from mx_perception.folds import Fold, default_folds, make_folds
from mx_perception.frame_pairs import FramePairs, read_pairs
from mx_perception.networks.cvae import Cvae, CvaeConfig
from mx_perception.networks.export import load_reconstruction, save_reconstruction
from mx_perception.progress import TrainingState, load_best, restore, store, store_best
from mx_perception.train_au import Report


@dataclass(frozen=True)
class TrainReconstructionConfig(Config):
    """The training loop."""

    epochs: int = setting(20, "Passes over the pairs", minimum=1)
    patience: int = setting(6, "Epochs without a better PSNR before it stops", minimum=1)
    batch: int = setting(16, "Pairs in a batch", minimum=1)
    learning_rate: float = setting(2e-3, "Peak of the one-cycle schedule", minimum=1e-6)
    kl_weight: float = setting(1e-4, "Weight of the KL term per nat and image", minimum=0)
    motion_weight: float = setting(4.0, "Extra weight of pixels that changed", minimum=0)
    seed: int = setting(0, "Of weights, order and degradation", minimum=0)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `./mx train reconstruction` beside those of every training."""
    for config in (TrainReconstructionConfig, CvaeConfig, DegradeConfig):
        config.add_arguments(parser)


def run(arguments: argparse.Namespace, report: Report, track: Track) -> dict[str, Any]:
    """Train as the command line says; returns what report.json holds."""
    config = TrainReconstructionConfig.from_arguments(arguments)
    network_config = CvaeConfig.from_arguments(arguments)
    out: Path = arguments.out
    pairs = read_pairs(arguments.dataset, arguments.cache or out / "cache", network_config, track)
    names = pairs.subjects
    folds = make_folds(names, arguments.folds or default_folds(names), config.seed)
    folds = folds if arguments.folds else folds[:1]
    results = [
        train_fold(
            pairs,
            fold,
            out / f"fold_{number}" if arguments.folds else out,
            config,
            network_config,
            DegradeConfig.from_arguments(arguments),
            report,
            arguments.resume,
            arguments.start_from,
        )
        for number, fold in enumerate(folds)
    ]
    return {"folds": results}


def train_fold(
    pairs: FramePairs,
    fold: Fold,
    out: Path,
    config: TrainReconstructionConfig,
    network_config: CvaeConfig,
    degradation: DegradeConfig,
    report: Report,
    resume: bool = False,
    start_from: Path | None = None,
) -> dict[str, Any]:
    """Train on `fold.train`, test on `fold.test`; writes a checkpoint and returns metrics.

    Raises MxError when a loss is not finite.
    """
    torch.manual_seed(config.seed)
    train, test = (pairs.of(names) for names in (fold.train, fold.test))
    network = load_reconstruction(start_from) if start_from else Cvae(network_config)
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate)
    steps = config.epochs * -(-len(train) // config.batch) + 10
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=steps, pct_start=0.15
    )
    state = restore(out, network, optimizer, schedule) if resume else TrainingState()
    best = dict(state.best)
    for epoch in range(state.epoch, config.epochs):
        if epoch - best.get("epoch", epoch) > config.patience:
            break
        began = time.monotonic()
        loss = _epoch(network, optimizer, schedule, train, config, degradation, epoch)
        quality = _score(network, test, config.batch, degradation)
        report(
            f"epoch {epoch + 1}/{config.epochs}",
            {"loss": loss, "psnr_motion": quality, "seconds": time.monotonic() - began},
        )
        if quality > best.get("psnr_motion", -1.0):
            best = {"epoch": epoch, "psnr_motion": quality}
            store_best(out, network)
        store(out, network, optimizer, schedule, TrainingState(epoch + 1, best))
    load_best(out, network)
    result = evaluate_pairs(network.eval(), test, degradation)
    sections = {
        "preprocessing": {
            "input": "counts per bin, pixel and polarity since the key frame; key frame 0..255",
            "colours": network.config.colours,
        },
        "training": {
            "settings": dataclasses.asdict(config),
            "degradation": dataclasses.asdict(degradation),
            "train_subjects": list(fold.train),
            "test_subjects": list(fold.test),
            "pairs": len(train),
            "torch": torch.__version__,
        },
        "metrics": result,
    }
    save_reconstruction(network, out, sections)
    return result


def evaluate_pairs(
    network: Cvae, pairs: FramePairs, degradation: DegradeConfig, contrast: float = 0.2
) -> dict[str, Any]:
    """Mean PSNR and SSIM per condition of the key frame, for the network and for baselines.

    Baselines: the key frame itself (`copy`) and the key frame with the events integrated on it,
    key * exp(contrast * summed polarity) (`integration`). Figures are means over pairs; `motion`
    ones are inside the motion mask, over pairs that have one.
    """
    table: dict[str, Any] = {}
    for condition in ("clean", *degradation.kinds()):
        rng = np.random.default_rng(0)
        rows: dict[str, list[list[float]]] = {"network": [], "copy": [], "integration": []}
        for index in range(len(pairs)):
            clean, target, events = pairs[index]
            key = clean if condition == "clean" else degrade(clean, condition, rng)
            # Where something moved does not depend on what spoilt the key frame.
            mask = metrics.motion_mask(_picture(clean), _picture(target))
            for name, frame in {
                "network": reconstruct(network, key, events),
                "copy": key,
                "integration": integrate(key, events, contrast),
            }.items():
                rows[name].append(_quality(_picture(frame), _picture(target), mask))
        names = ("psnr", "ssim", "psnr_motion", "ssim_motion")
        with np.errstate(invalid="ignore"):
            table[condition] = {
                name: dict(zip(names, _finite_mean(values), strict=True))
                for name, values in rows.items()
            }
    return {"conditions": table, "pairs": len(pairs), "kl": _kl_of(network, pairs)}


def reconstruct(network: Cvae, key: np.ndarray, events: np.ndarray) -> np.ndarray:
    """`(C, H, W) uint8` from one key frame and its events."""
    with torch.inference_mode():
        output = network(torch.from_numpy(events)[None], torch.from_numpy(key)[None].float() / 255)
    return (output.mean[0] * 255).round().byte().numpy()


def integrate(key: np.ndarray, events: np.ndarray, contrast: float) -> np.ndarray:
    """Key frame `(C, H, W)` with every event's step of log intensity applied."""
    counts = events.astype(np.int32)
    steps = (counts[:, 1] - counts[:, 0]).sum(0)
    return np.clip(np.round(key * np.exp(contrast * steps)), 0, 255).astype(np.uint8)


def _epoch(
    network: Cvae,
    optimizer: torch.optim.AdamW,
    schedule: torch.optim.lr_scheduler.OneCycleLR,
    pairs: FramePairs,
    config: TrainReconstructionConfig,
    degradation: DegradeConfig,
    epoch: int,
) -> float:
    rng = np.random.default_rng((config.seed, epoch))
    order = rng.permutation(len(pairs))
    network.train()
    losses = []
    for begin in range(0, len(order), config.batch):
        keys, targets, events = _batch(pairs, order[begin : begin + config.batch], rng, degradation)
        loss = _loss(network, keys, targets, events, config)
        if not torch.isfinite(loss):
            raise MxError(
                f"the loss became {loss.item()} in epoch {epoch + 1}; lower --learning-rate "
                f"({config.learning_rate}) or look for broken sessions"
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    network.eval()
    return float(np.mean(losses))


def _batch(
    pairs: FramePairs, rows: np.ndarray, rng: np.random.Generator, degradation: DegradeConfig
) -> tuple[Tensor, Tensor, Tensor]:
    keys, targets, events = [], [], []
    for row in rows:
        key, target, bins = pairs[int(row)]
        if rng.random() < 0.5:
            key, target, bins = (array[..., ::-1] for array in (key, target, bins))
        kinds = degradation.kinds()
        if kinds and rng.random() < degradation.share:
            key = degrade(key, str(rng.choice(kinds)), rng)
        keys.append(key)
        targets.append(target)
        events.append(bins)
    stacked = (torch.from_numpy(np.stack(a)) for a in (keys, targets, events))
    key_batch, target_batch, event_batch = stacked
    return key_batch.float() / 255, target_batch.float() / 255, event_batch


def _loss(
    network: Cvae, key: Tensor, target: Tensor, events: Tensor, config: TrainReconstructionConfig
) -> Tensor:
    """Laplace negative log likelihood, heavier where the picture changed, and the KL term."""
    output = network(events, key, target)
    error = (output.mean - target).abs().mean(1, keepdim=True)
    changed = ((target - key).abs().mean(1, keepdim=True) > 0.03).float()
    weight = 1.0 + config.motion_weight * changed
    likelihood = (error / output.log_scale.exp() + output.log_scale) * weight
    # The likelihood alone lets large scales hide errors early in training.
    return (likelihood + 10.0 * error * weight).mean() + config.kl_weight * output.kl.mean()


def _score(
    network: Cvae, pairs: FramePairs, batch: int, degradation: DegradeConfig, most: int = 300
) -> float:
    """Mean PSNR in dB inside changed regions, half of the keys degraded; for early stopping."""
    rng = np.random.default_rng(0)
    rows = rng.permutation(len(pairs))[:most]
    values = []
    for begin in range(0, len(rows), batch):
        chosen = rows[begin : begin + batch]
        keys, targets, events = _batch(pairs, chosen, rng, degradation)
        with torch.inference_mode():
            mean = network(events, keys).mean
        changed = (targets - keys).abs().mean(1, keepdim=True) > 0.03
        for one, two, mask in zip(mean, targets, changed, strict=True):
            if mask.any():
                squared = ((one - two) ** 2).mean(0)[mask[0]].mean().clamp(min=1e-8)
                values.append(float(-10 * torch.log10(squared)))
    return float(np.mean(values)) if values else 0.0


def _quality(one: np.ndarray, two: np.ndarray, mask: np.ndarray) -> list[float]:
    # Equal pictures have infinite PSNR; 60 dB keeps means finite.
    values = [metrics.psnr(one, two), metrics.ssim(one, two)]
    values += [metrics.psnr(one, two, mask), metrics.ssim(one, two, mask)]
    return [min(value, 60.0) if not np.isnan(value) else value for value in values]


def _finite_mean(rows: list[list[float]]) -> list[float | None]:
    columns = np.array(rows, np.float64).T
    return [float(np.nanmean(column)) if np.isfinite(column).any() else None for column in columns]


def _kl_of(network: Cvae, pairs: FramePairs) -> float:
    """Mean KL of posterior and prior in nats: how much the latent says beyond the condition."""
    values = []
    for index in range(min(len(pairs), 100)):
        key, target, events = pairs[index]
        with torch.inference_mode():
            key_image, target_image = (
                torch.from_numpy(a)[None].float() / 255 for a in (key, target)
            )
            values.append(
                float(network(torch.from_numpy(events)[None], key_image, target_image).kl)
            )
    return float(np.mean(values))


def _picture(image: np.ndarray) -> np.ndarray:
    """`(C, H, W)` as `(H, W)` or `(H, W, 3)`."""
    return image[0] if image.shape[0] == 1 else np.ascontiguousarray(image.transpose(1, 2, 0))
