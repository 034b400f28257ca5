"""Splits that no person straddles."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from mx_capture.errors import MxError

from mx_perception.checkpoint import Checkpoint


@dataclass(frozen=True)
class Fold:
    """Subjects to train on, to test on, and to choose the best epoch by; they share nobody."""

    train: tuple[str, ...]
    test: tuple[str, ...]
    validation: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for one, two in combinations((self.train, self.test, self.validation), 2):
            both = set(one) & set(two)
            if both:
                raise MxError(f"subject {min(both)} is on two sides of a fold; they must differ")
        if not self.train or not self.test:
            raise MxError("a fold needs subjects to train on and to test on; record more subjects")


def hold_out(fold: Fold, share: float, seed: int, known: Iterable[str] = ()) -> Fold:
    """Move `share` of the training subjects (at least one) to validation, drawn by `seed`.

    With fewer than three subjects to train on, or a share of 0, none is spared. Whom the weights
    know already, `known`, comes last: on them they look better than they are.
    """
    if len(fold.train) < 3 or share == 0:
        return fold
    names = np.random.default_rng(seed).permutation(sorted(fold.train)).tolist()
    names.sort(key=set(known).__contains__)
    count = max(1, round(share * len(names)))
    return Fold(tuple(sorted(names[count:])), fold.test, tuple(sorted(names[:count])))


def check_strangers(checkpoint: Checkpoint, groups: Sequence[tuple[str, ...]]) -> None:
    """MxError when a checkpoint, or one that it started from, was trained with a test subject."""
    known = known_subjects(checkpoint) & {subject for group in groups for subject in group}
    if known:
        raise MxError(
            f"{checkpoint.folder} was trained with {min(known)}, who would be in the test; "
            "start from other weights, or leave the subject out"
        )


def known_subjects(checkpoint: Checkpoint) -> set[str]:
    """Whom a checkpoint, or one that it started from, was trained or chosen on."""
    known: set[str] = set()
    training: Any = checkpoint.training
    while training:
        for name in ("train_subjects", "validation_subjects"):
            known.update(training.get(name, ()))
        training = training.get("started_from")
    return known


def make_folds(subjects: Sequence[str], folds: str, seed: int) -> list[Fold]:
    """`loso` leaves each subject out once; a number k makes k groups, drawn by `seed`.

    Raises MxError with fewer than two subjects, or fewer subjects than folds.
    """
    names = sorted(set(subjects))
    if len(names) < 2:
        raise MxError(
            f"the data set has {len(names)} subject; at least 2 are needed to test on others"
        )
    if folds == "loso":
        groups = [[name] for name in names]
    else:
        count = int(folds) if folds.isdigit() else 0
        if not 2 <= count <= len(names):
            raise MxError(f"folds={folds!r} must be loso or a number from 2 to {len(names)}")
        shuffled = np.random.default_rng(seed).permutation(names).tolist()
        groups = [shuffled[index::count] for index in range(count)]
    return [
        Fold(tuple(n for n in names if n not in group), tuple(sorted(group))) for group in groups
    ]


def default_folds(subjects: Sequence[str]) -> str:
    """As many folds as leave out a fifth of the subjects, at least one of them."""
    return str(min(5, len(set(subjects))))


def held_out_groups(
    subjects: Sequence[str], folds: str, people: int, seed: int
) -> list[tuple[str, ...]]:
    """The subjects that each training is tested on.

    `folds` as `make_folds` takes it; `none` tests on all of them and trains on `people` sketched
    ones; empty leaves a fifth out, once. Raises MxError for `none` without anybody to train on.
    """
    if folds == "none":
        if not people:
            raise MxError("--folds none trains on sketched people alone; give --people, too")
        return [tuple(sorted(set(subjects)))]
    groups = [fold.test for fold in make_folds(subjects, folds or default_folds(subjects), seed)]
    return groups if folds else groups[:1]
