"""Clips to test on, and how well a network names them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from mx_capture.errors import MxError
from torch import Tensor

from mx_perception import metrics
from mx_perception.action_units import AU_NUMBERS, CLIP_CLASSES, au_name
from mx_perception.conditions import by_condition, conditions_of
from mx_perception.networks.snn import AuNetwork
from mx_perception.sequences import FaceSequence
from mx_perception.views import AugmentConfig
from mx_perception.windows import MICRO_HOPS, NO_CLASS, WARM_UP, Batch, Window, clip_windows, render

_BATCH = 32


def micro_windows(sequences: Sequence[FaceSequence], hops: int) -> list[Window]:
    """Micro-expressions of one Action Unit, and neutral clips, as many as of one unit."""
    windows = clip_windows(sequences, hops, np.random.default_rng(1), 1 / len(AU_NUMBERS))
    return [
        window
        for window in windows
        if window.label != NO_CLASS
        and (window.span is None or window.span.offset - window.span.onset <= MICRO_HOPS)
    ]


def check_classes(windows: Sequence[Window], whose: str) -> None:
    """Every class must have a clip; MxError names the first that has none."""
    seen = {window.label for window in windows}
    for index, number in enumerate(CLIP_CLASSES):
        if index not in seen:
            raise MxError(
                f"the {whose} subjects show no {au_name(number)} alone; record or simulate more"
            )


def clip_logits(evidence: Tensor, batch: Batch) -> Tensor:
    """`(B, 15)`: the mean of `evidence (T, B, 15)` over the clips of a batch."""
    weights = torch.from_numpy(batch.weights).to(evidence.device)
    return (evidence * weights[:, :, None]).sum(0)


def settled_batch(
    network: AuNetwork,
    sequences: Sequence[FaceSequence],
    windows: Sequence[Window],
    hops: int,
    rng: np.random.Generator | None = None,
    augment: AugmentConfig | None = None,
    warm_up: int = WARM_UP,
) -> Batch:
    """What `network` reads of `windows`, each after the hops that settle it."""
    size, modality = network.map_size, network.config.modality
    return render(sequences, windows, hops, size, modality, rng, augment, warm_up)


def outputs(
    network: AuNetwork, sequences: Sequence[FaceSequence], windows: Sequence[Window], hops: int
) -> Iterator[tuple[Batch, Tensor, Tensor]]:
    """Batches of `windows` as stored, after their WARM_UP, with score logits `(T, B, 14)` and
    evidence `(T, B, 15)`."""
    for begin in range(0, len(windows), _BATCH):
        part = windows[begin : begin + _BATCH]
        batch = settled_batch(network, sequences, part, hops)
        with torch.no_grad():
            logits, evidence, _ = network.forward_clip(torch.from_numpy(batch.x))
        yield batch.after(WARM_UP), logits[WARM_UP:], evidence[WARM_UP:]


def evaluate_clips(
    network: AuNetwork,
    sequences: Sequence[FaceSequence],
    windows: Sequence[Window],
    hops: int,
    kinds: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Clips and hops of a deployed network, per condition, and of `kinds` against the rest."""
    truth, guess, active, scores = [], [], [], []
    for batch, logits, evidence in outputs(network, sequences, windows, hops):
        truth.append(batch.classes)
        guess.append(clip_logits(evidence, batch).argmax(1).numpy())
        active.append(batch.activity.reshape(-1, batch.activity.shape[2]) > 0.5)
        scores.append(torch.sigmoid(logits).flatten(0, 1).numpy())
    scored, every_hop = np.concatenate(scores), np.concatenate(active)
    named, shown = np.concatenate(guess), np.concatenate(truth)
    counts = metrics.confusion(shown, named, len(CLIP_CLASSES))
    values = [conditions_of(window, sequences[window.sequence]) for window in windows]
    subjects = [sequences[window.sequence].subject for window in windows]
    return {
        "classification": metrics.classification(counts),
        "accuracy_interval": metrics.interval_over_subjects(named == shown, subjects),
        "confusion": counts.tolist(),
        "conditions": by_condition(values, named == shown, kinds),
        "hops": metrics.f1_per_unit(every_hop, scored),
        "calibration_error": metrics.calibration_error(scored, every_hop),
    }
