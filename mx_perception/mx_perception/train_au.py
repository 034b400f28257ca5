"""Train the Action Unit network on sequences of faces."""

from __future__ import annotations

import argparse
import dataclasses
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mx_capture.errors import MxError

from mx_perception import metrics
from mx_perception.action_units import CLIP_CLASSES, au_name
from mx_perception.au_loop import AuTrainer, TrainAuConfig
from mx_perception.checkpoint import AU_KIND, load_checkpoint
from mx_perception.clips import (
    check_classes,
    evaluate_clips,
    micro_windows,
)
from mx_perception.conditions import pooled as pooled_conditions
from mx_perception.count_baseline import baseline_guesses
from mx_perception.dataset import Track, read_dataset
from mx_perception.evaluation import plots
from mx_perception.folds import Fold, check_strangers, held_out_groups, hold_out, known_subjects
from mx_perception.kinds import is_of, kind, parse_kinds
from mx_perception.networks.export import load_au, save_au
from mx_perception.networks.snn import AuNetwork, AuNetworkConfig
from mx_perception.on_scores import store_on_scores
from mx_perception.progress import TrainingState, load_best, restore, store, store_best
from mx_perception.score_calibration import calibrate
from mx_perception.sequences import FaceSequence
from mx_perception.sketched import NEUTRAL_PERSON, neutral_people, sketched_people
from mx_perception.views import AugmentConfig
from mx_perception.windows import Window, channels, clip_windows

Report = Callable[[str, dict[str, float]], None]
"""Called with a line and figures after each epoch."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `./mx train au` beside those of every training."""
    for config in (TrainAuConfig, AugmentConfig, AuNetworkConfig):
        config.add_arguments(parser)


def run(arguments: argparse.Namespace, report: Report, track: Track) -> dict[str, Any]:
    """Train as the command line says; returns what report.json holds."""
    config = TrainAuConfig.from_arguments(arguments)
    out: Path = arguments.out
    cache = arguments.cache or out / "cache"
    sequences = read_dataset(arguments.dataset, cache, track)
    subjects = [sequence.subject for sequence in sequences]
    groups = held_out_groups(subjects, arguments.folds, config.people, config.seed)
    # Before hours are spent on what nothing can be tested with.
    _check_test(sequences, groups, config.hops)
    start = load_checkpoint(arguments.start_from, AU_KIND) if arguments.start_from else None
    if start:
        check_strangers(start, groups)
    parse_kinds(config.leave_out)
    sketched = list(sketched_people(config.people, cache, track))
    everybody = {sequence.subject for sequence in sequences + sketched}
    known = known_subjects(start) if start else set()
    folds = [
        hold_out(
            Fold(tuple(sorted(everybody - set(group))), group),
            config.validation,
            config.seed,
            known,
        )
        for group in groups
    ]
    for fold in folds:
        _material(sequences + sketched, fold, config)
    several = len(folds) > 1
    network_config = AuNetworkConfig.from_arguments(arguments)
    network_config = dataclasses.replace(
        network_config, polarities=channels(network_config.modality)
    )
    minutes = config.neutral_minutes if network_config.modality == "events" else 0
    neutral = list(neutral_people(minutes, NEUTRAL_PERSON, cache, track))
    results = []
    for number, fold in enumerate(folds):
        folder = out / f"fold_{number}" if several else out
        results.append(
            train_fold(
                sequences + sketched,
                fold,
                folder,
                config,
                network_config,
                AugmentConfig.from_arguments(arguments),
                report,
                arguments.resume,
                arguments.start_from,
            )
        )
        if minutes:
            store_on_scores(folder, neutral, track)
    classes = [au_name(number) for number in CLIP_CLASSES]
    pooled = _pooled(results, "confusion")
    baseline = _pooled(results, "baseline_confusion")
    figures = {name: pooled[name] for name in ("clips", "accuracy", "uf1", "uar", "majority")}
    figures["counts_and_regression"] = baseline["accuracy"]
    report("test:", {name: value for name, value in figures.items() if value is not None})
    conditions = pooled_conditions([result["conditions"] for result in results])
    (out / "confusion.png").write_bytes(plots.confusion(pooled["confusion"], classes))
    (out / "conditions.png").write_bytes(plots.condition_curves(conditions))
    (out / "losses.png").write_bytes(plots.losses([result["history"] for result in results]))
    return {
        "classes": classes,
        "pooled": pooled,
        "conditions": conditions,
        "baseline": baseline,
        "folds": results,
    }


def _check_test(
    sequences: Sequence[FaceSequence], groups: Sequence[tuple[str, ...]], hops: int
) -> None:
    """Every fold must have a clip to be tested on, and all of them together every class."""
    everything = []
    for group in groups:
        windows = micro_windows([s for s in sequences if s.subject in group], hops)
        if not windows:
            raise MxError(
                f"{', '.join(group)} shows no micro-expression of one Action Unit; leave the "
                "sessions out, or choose fewer folds"
            )
        everything += windows
    check_classes(everything, "test")


def _pooled(results: Sequence[dict[str, Any]], key: str) -> dict[str, Any]:
    counts = np.sum([result[key] for result in results], axis=0)
    return {**metrics.classification(counts), "confusion": counts.tolist()}


def train_fold(
    sequences: Sequence[FaceSequence],
    fold: Fold,
    out: Path,
    config: TrainAuConfig,
    network_config: AuNetworkConfig,
    augment: AugmentConfig,
    report: Report,
    resume: bool = False,
    start_from: Path | None = None,
) -> dict[str, Any]:
    """Train on `fold.train`, choose the epoch on `fold.validation`, test on `fold.test` once.

    Writes a checkpoint to `out` and returns metrics. `start_from` is a checkpoint to fine-tune.
    With `resume` an interrupted run goes on where its last epoch ended. Raises MxError when a class
    is missing or a loss is not finite.
    """
    torch.manual_seed(config.seed)
    material = _material(sequences, fold, config)
    train, kept_aside = material.train, material.validation_windows
    network = load_au(start_from) if start_from else AuNetwork(network_config)
    _check_options(network.config, network_config, start_from)
    _check_shape(network.config, sequences)
    windows = len(material.train_windows)
    trainer = AuTrainer(network, config, augment, windows, settled=start_from is not None)
    settings = {
        **dataclasses.asdict(config),
        **dataclasses.asdict(augment),
        **dataclasses.asdict(network.config),
        "subjects": dataclasses.asdict(fold),
    }
    state = TrainingState()
    if resume:
        state = restore(out, network, trainer.optimizer, trainer.schedule, settings)
    best, history = dict(state.best), list(state.history)
    for epoch in range(state.epoch, config.epochs):
        if epoch - best.get("epoch", epoch) > config.patience:
            break
        began = time.monotonic()
        loss = trainer.train(train, epoch)
        checked = trainer.validate(material.validation, kept_aside, epoch) if kept_aside else loss
        figures = {"loss": loss, "validation_loss": checked}
        history.append(figures)
        seconds = time.monotonic() - began
        report(f"epoch {epoch + 1}/{config.epochs}", {**figures, "seconds": seconds})
        # A network that has only seen windows from rest is none to use.
        if epoch >= trainer.first_settled and checked < best.get("loss", float("inf")):
            best = {"epoch": epoch, "loss": checked}
            store_best(out, network)
        state = TrainingState(epoch + 1, best, history)
        store(out, network, trainer.optimizer, trainer.schedule, state, settings)
    load_best(out, network.cpu())
    if kept_aside:
        calibrate(network, material.validation, kept_aside, config.hops)
    result = evaluate_clips(network.deployed(), material.test, material.test_windows, config.hops)
    guesses = baseline_guesses(
        (train, material.train_windows),
        (material.test, material.test_windows),
        config.hops,
        len(CLIP_CLASSES),
    )
    truth = np.array([window.label for window in material.test_windows])
    result["baseline_confusion"] = metrics.confusion(truth, guesses, len(CLIP_CLASSES)).tolist()
    result["history"] = history
    contents = sections(config, augment, fold, result, train)
    if start_from:
        contents["training"]["started_from"] = load_checkpoint(start_from, AU_KIND).training
    save_au(network, out, contents)
    return result


@dataclass(frozen=True)
class _Material:
    """The sequences of a fold, and the windows of them that are looked at."""

    train: list[FaceSequence]
    validation: list[FaceSequence]
    test: list[FaceSequence]
    train_windows: list[Window]
    validation_windows: list[Window]
    test_windows: list[Window]


def _material(sequences: Sequence[FaceSequence], fold: Fold, config: TrainAuConfig) -> _Material:
    """Without what is left out. Raises MxError when a class is missing, or nothing is left out."""
    train, validation, test = (
        [s for s in sequences if s.subject in subjects]
        for subjects in (set(fold.train), set(fold.validation), set(fold.test))
    )
    left_out = parse_kinds(config.leave_out)
    everything = len(train)
    train, validation = (
        [s for s in part if not is_of(kind(s), left_out)] for part in (train, validation)
    )
    if left_out and len(train) == everything:
        raise MxError(
            f"--leave-out {config.leave_out!r} fits no session; look at their session.yaml"
        )
    train_windows, validation_windows = (
        clip_windows(part, config.hops, np.random.default_rng(0), config.neutral)
        for part in (train, validation)
    )
    check_classes(train_windows, "training")
    test_windows = micro_windows(test, config.hops)
    return _Material(train, validation, test, train_windows, validation_windows, test_windows)


def _check_options(
    network: AuNetworkConfig, asked: AuNetworkConfig, start_from: Path | None
) -> None:
    """A checkpoint brings its own network: options that ask for another one are an error."""
    for field in dataclasses.fields(network):
        has, wanted = getattr(network, field.name), getattr(asked, field.name)
        if field.name != "polarities" and wanted not in (has, field.default):
            option = "--" + field.name.replace("_", "-")
            raise MxError(f"{start_from} has {field.name} {has}, not {wanted}; leave {option} out")
    if network.modality != asked.modality:
        raise MxError(f"{start_from} reads {network.modality}; give --modality {network.modality}")


def _check_shape(config: AuNetworkConfig, sequences: Sequence[FaceSequence]) -> None:
    wanted = (config.height, config.width, config.hop_us)
    for sequence in sequences:
        if (found := (*sequence.size, sequence.hop_us)) != wanted:
            raise MxError(
                f"{sequence.subject}/{sequence.session} has crops and hops of {found} (height, "
                f"width, us), and the network reads {wanted}; give --height, --width and --hop-us "
                "that fit, or another checkpoint"
            )
        if config.modality != "events" and not sequence.frames.size:
            raise MxError(
                f"{sequence.subject}/{sequence.session} has no RGB frames, and --modality "
                f"{config.modality} reads them; leave it out, or train on events"
            )


def sections(
    config: TrainAuConfig,
    augment: AugmentConfig,
    fold: Fold,
    result: dict[str, Any],
    train: Sequence[FaceSequence],
) -> dict[str, Any]:
    """Everything that model.json says beside the architecture."""
    return {
        "preprocessing": {
            "input": "counts per pixel and polarity, uint8, (F, P, H, W), one bin per hop",
            "hop_us": train[0].hop_us,
        },
        "training": {
            "settings": dataclasses.asdict(config),
            "augmentation": dataclasses.asdict(augment),
            "train_subjects": list(fold.train),
            "validation_subjects": list(fold.validation),
            "test_subjects": list(fold.test),
            "spans": sum(len(s.spans) for s in train),
            "torch": torch.__version__,
        },
        "metrics": result,
    }
