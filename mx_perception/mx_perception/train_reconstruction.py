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
from mx_perception.baselines import picture
from mx_perception.checkpoint import RECONSTRUCTION_KIND, load_checkpoint
from mx_perception.dataset import Track
from mx_perception.degrade import DegradeConfig, degrade
from mx_perception.folds import Fold, check_strangers, default_folds, make_folds
from mx_perception.frame_pairs import FramePairs, read_pairs
from mx_perception.kinds import SKETCHED
from mx_perception.networks.cvae import Cvae, CvaeConfig, CvaeOutput
from mx_perception.networks.export import load_reconstruction, save_reconstruction
from mx_perception.progress import TrainingState, restore, store
from mx_perception.reconstruction_table import (
    COARSER,
    Compared,
    evaluate_pairs,
    network_method,
    score_network,
    with_coarser,
)
from mx_perception.sketched_pairs import SHAKEN, sketched_pairs
from mx_perception.train_au import Report

FLOOR = 1e-5
"""Of a mean squared error: nothing better than 50 dB is asked for."""
TESTED = 48
"""Pairs that show the progress of a training."""
HELD_OUT, HELD_OUT_OF = 4, 50
"""So many sketched people of so many: their shaken key frames are for the test."""


@dataclass(frozen=True)
class TrainReconstructionConfig(Config):
    """The training loop."""

    people: int = setting(
        0, "Sketched people to train on; the data set is then for the test alone", minimum=0
    )
    shaken: float = setting(
        SHAKEN, "Share of their key frames exposed while the camera shook", minimum=0, maximum=1
    )
    epochs: int = setting(30, "Passes over the pairs", minimum=1)
    batch: int = setting(16, "Pairs in a batch", minimum=1)
    crop: int = setting(
        64, "Side of the part of a pair to look at, a multiple of 16; 0: all of it", minimum=0
    )
    learning_rate: float = setting(2e-3, "Peak of the one-cycle schedule", minimum=1e-6)
    kl_weight: float = setting(0.005, "What a nat of KL costs, in dB of PSNR", minimum=0)
    motion_weight: float = setting(1.0, "PSNR inside the motion mask, against the whole", minimum=0)
    seed: int = setting(0, "Of weights, order and degradation", minimum=0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.crop % 16:
            raise MxError(f"crop={self.crop} is no multiple of 16; take 64, or 0 for all of a pair")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `./mx train reconstruction` beside those of every training."""
    for config in (TrainReconstructionConfig, CvaeConfig, DegradeConfig):
        config.add_arguments(parser)
    parser.add_argument(
        "--ablations",
        type=int,
        default=0,
        metavar="EPOCHS",
        help="train what the tables compare with for as long: without events, without key frame, "
        "with coarser events; and find out what could be saved of blurred key frames",
    )


def run(arguments: argparse.Namespace, report: Report, track: Track) -> dict[str, Any]:
    """Train as the command line says; returns what report.json holds."""
    config = TrainReconstructionConfig.from_arguments(arguments)
    network_config = CvaeConfig.from_arguments(arguments)
    start = None
    if arguments.start_from:
        start = load_checkpoint(arguments.start_from, RECONSTRUCTION_KIND)
        # Pairs are cut as that network reads them.
        network_config = load_reconstruction(arguments.start_from).config
    degradation = DegradeConfig.from_arguments(arguments)
    out: Path = arguments.out
    cache = arguments.cache or out / "cache"
    pairs = read_pairs(arguments.dataset, cache, network_config, track)
    sketched = sketched_pairs(config.people, cache, network_config, track, config.shaken)
    folds = _folds(pairs, sketched, arguments.folds, config.seed)
    if start is not None:
        check_strangers(start, [fold.test for fold in folds])
    if sketched is not None:
        pairs = FramePairs.joined([pairs, sketched])
        del sketched
    results = []
    for number, fold in enumerate(folds):
        place = out / f"fold_{number}" if arguments.folds else out
        compared = Compared()
        if arguments.ablations:
            shorter = dataclasses.replace(config, epochs=arguments.ablations)
            compared = _train_compared(
                pairs,
                fold,
                place,
                shorter,
                network_config,
                degradation,
                report,
                arguments.resume,
                arguments.start_from,
            )
        results.append(
            train_fold(
                pairs,
                fold,
                place,
                config,
                network_config,
                degradation,
                report,
                arguments.resume,
                arguments.start_from,
                compared,
            )
        )
    return {"folds": results}


def _folds(pairs: FramePairs, sketched: FramePairs | None, asked: str, seed: int) -> list[Fold]:
    """Sketched people join every training side, a few of them the test."""
    names = sorted(set(sketched.subjects)) if sketched is not None else []
    # The same ones however many there are, or weights that are trained on would know them.
    held = min(HELD_OUT, max(1, HELD_OUT * len(names) // HELD_OUT_OF))
    test = tuple(name for name in names if int(name[len(SKETCHED) :]) % HELD_OUT_OF < held)
    train = tuple(name for name in names if name not in test)
    if names and not asked:
        return [Fold(train, test + tuple(sorted(set(pairs.subjects))))]
    folds = make_folds(pairs.subjects, asked or default_folds(pairs.subjects), seed)
    return [Fold(f.train + train, f.test + test) for f in (folds if asked else folds[:1])]


def _train_compared(
    pairs: FramePairs,
    fold: Fold,
    out: Path,
    config: TrainReconstructionConfig,
    network_config: CvaeConfig,
    degradation: DegradeConfig,
    report: Report,
    resume: bool,
    start_from: Path | None,
) -> Compared:
    """The same training without events, without key frame, and with coarser events."""
    train, test = (pairs.of(names) for names in (fold.train, fold.test))

    def trained(name: str, coarseness: int = 1, **changes: bool) -> Cvae:
        network = _started(network_config, config.seed, start_from)
        network.config = dataclasses.replace(network.config, **changes)
        seen, tested = (with_coarser(part, coarseness) for part in (train, test))
        return train_network(network, seen, tested, out / name, config, degradation, report, resume)

    ablations = {
        "no_events": trained("no_events", use_events=False),
        "no_key": trained("no_key", use_key=False),
    }
    wider = {times: trained(f"coarser_{times}", times) for times in COARSER if times > 1}
    numbers = [name.removeprefix(SKETCHED) for name in fold.test if name.startswith(SKETCHED)]
    people = [int(number) for number in numbers if number.isdigit()]
    return Compared(ablations, wider, people, config.shaken)


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
    compared: Compared | None = None,
) -> dict[str, Any]:
    """Train on `fold.train`, test on `fold.test`; writes a checkpoint and returns metrics."""
    train, test = (pairs.of(names) for names in (fold.train, fold.test))
    # Of sketched people only what rendered sessions do not show is tested.
    test = test.chosen(test.shaken | np.array([bool(light) for light in test.lights]))
    network = _started(network_config, config.seed, start_from)
    network = train_network(network, train, test, out, config, degradation, report, resume)
    result = score_network(network, train, test, degradation, compared or Compared())
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
    if start_from:
        started = load_checkpoint(start_from, RECONSTRUCTION_KIND).training
        sections["training"]["started_from"] = started
    save_reconstruction(network, out, sections)
    return result


def _started(config: CvaeConfig, seed: int, start_from: Path | None) -> Cvae:
    torch.manual_seed(seed)
    return load_reconstruction(start_from) if start_from else Cvae(config)


def train_network(
    network: Cvae,
    train: FramePairs,
    test: FramePairs,
    out: Path,
    config: TrainReconstructionConfig,
    degradation: DegradeConfig,
    report: Report,
    resume: bool = False,
) -> Cvae:
    """All epochs; the last one counts, so that nothing is chosen on the test pairs.

    Raises MxError when a loss is not finite.
    """
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, fused=True)
    steps = config.epochs * -(-len(train) // config.batch) + 10
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.learning_rate, total_steps=steps, pct_start=0.15
    )
    settings = {
        **dataclasses.asdict(config),
        **dataclasses.asdict(degradation),
        **dataclasses.asdict(network.config),
        "pairs": [len(train), len(test)],
        "subjects": [sorted(set(pairs.subjects)) for pairs in (train, test)],
    }
    state = TrainingState()
    if resume:
        state = restore(out, network, optimizer, schedule, settings)
    shown = test.rows(np.random.default_rng(0).permutation(len(test))[:TESTED].tolist())
    for epoch in range(state.epoch, config.epochs):
        began = time.monotonic()
        loss = _epoch(network, optimizer, schedule, train, config, degradation, epoch)
        found = evaluate_pairs({"it": network_method(network)}, shown, DegradeConfig(0.0, ""))
        quality = found["fresh"]["methods"].get("it", {})
        figures = {name: value for name, value in quality.items() if value is not None}
        report(
            f"epoch {epoch + 1}/{config.epochs}",
            {"loss": loss, **figures, "seconds": time.monotonic() - began},
        )
        store(out, network, optimizer, schedule, TrainingState(epoch + 1), settings)
    return network.eval()


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
    torch.manual_seed(int(rng.integers(2**31)))
    order = rng.permutation(len(pairs))
    network.train()
    losses = []
    for begin in range(0, len(order), config.batch):
        batch = _batch(pairs, order[begin : begin + config.batch], rng, config.crop, degradation)
        # Half of the batches are decoded as at run time, or the decoder would only know z that
        # have seen the target.
        with torch.autocast("cpu", torch.bfloat16, enabled=config.crop > 0):
            output = network(
                batch.events, batch.keys, batch.targets if rng.random() < 0.5 else None
            )
        loss = _loss(output, batch, config)
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


@dataclass(frozen=True)
class Batch:
    """Pictures `(N, C, H, W)` 0..1, events `(N, T, P, H, W) uint8`, `moved (N, 1, H, W)` 0 or 1."""

    keys: Tensor
    targets: Tensor
    events: Tensor
    moved: Tensor


def _batch(
    pairs: FramePairs,
    rows: np.ndarray,
    rng: np.random.Generator,
    crop: int,
    degradation: DegradeConfig,
) -> Batch:
    kinds = degradation.kinds()
    parts = []
    for row in rows:
        key, target, bins = pairs[int(row)]
        moved = metrics.motion_mask(picture(key), picture(target))[np.newaxis]
        if kinds and not pairs.shaken[row] and rng.random() < degradation.share:
            key = degrade(key, str(rng.choice(kinds)), rng)
        arrays = [key, target, bins, moved]
        if crop:
            top, left = (int(rng.integers(0, size - crop + 1)) for size in key.shape[1:])
            arrays = [a[..., top : top + crop, left : left + crop] for a in arrays]
        if rng.random() < 0.5:
            arrays = [array[..., ::-1] for array in arrays]
        parts.append(arrays)
    keys, targets, events, masks = (
        torch.from_numpy(np.stack(group)) for group in zip(*parts, strict=True)
    )
    return Batch(keys.float() / 255, targets.float() / 255, events, masks.float())


def _loss(output: CvaeOutput, batch: Batch, config: TrainReconstructionConfig) -> Tensor:
    """What is reported, PSNR in dB, whole and where something moved; the KL term; the uncertainty.

    The scale of the error has a Laplace likelihood of its own, which does not reach the picture.
    """
    squares = ((output.mean - batch.targets) ** 2).mean(1, keepdim=True)
    whole = 10 * torch.log10(squares.mean((1, 2, 3)) + FLOOR)
    count = batch.moved.sum((1, 2, 3))
    inside = (squares * batch.moved).sum((1, 2, 3)) / count.clamp(min=1)
    inside = 10 * torch.log10(inside + FLOOR) * (count > 20)
    error = (output.mean - batch.targets).detach().abs().mean(1, keepdim=True)
    likelihood = (error / output.log_scale.exp() + output.log_scale).mean()
    decibels = (whole + config.motion_weight * inside).mean()
    return decibels + config.kl_weight * output.kl.mean() + likelihood
