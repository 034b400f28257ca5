"""Metrics against values worked out by hand."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from mx_capture.errors import MxError
from mx_perception.folds import Fold, check_strangers, make_folds

from mx_perception import metrics


def test_classification_by_hand() -> None:
    counts = metrics.confusion(np.array([0, 0, 0, 1, 1, 2]), np.array([0, 0, 1, 1, 1, 0]), 3)
    assert counts.tolist() == [[2, 1, 0], [0, 2, 0], [1, 0, 0]]
    result = metrics.classification(counts)
    assert result["accuracy"] == pytest.approx(4 / 6)
    assert result["uar"] == pytest.approx((2 / 3 + 1 + 0) / 3)
    assert result["uf1"] == pytest.approx((4 / 6 + 4 / 5 + 0) / 3)
    assert result["chance"] == pytest.approx(1 / 3) and result["majority"] == pytest.approx(0.5)


def test_a_missing_class_leaves_means_over_classes_open() -> None:
    result = metrics.classification(np.array([[3, 1, 1], [0, 0, 0]]))
    assert result["accuracy"] == 0.6 and result["absent"] == [1]
    assert result["uf1"] is None and result["uar"] is None
    with pytest.raises(MxError, match="no clip"):
        metrics.classification(np.zeros((2, 2), int))


def test_f1_per_unit() -> None:
    truth = np.array([[True, False], [True, False], [False, False], [False, False]])
    result = metrics.f1_per_unit(truth, np.array([[0.9, 0], [0.1, 0], [0.8, 0], [0, 0]]))
    assert result == {"f1": [0.5, None], "prevalence": [0.5, 0.0]}


def test_spotting() -> None:
    assert metrics.interval_iou((0, 10), (5, 15)) == pytest.approx(1 / 3)
    assert metrics.interval_iou((0, 1), (2, 3)) == metrics.interval_iou((1, 1), (1, 1)) == 0.0
    pairs = metrics.match_intervals([(0, 10), (20, 30)], [(1, 10), (0, 9.5), (26, 40)])
    assert pairs == [(0, 1)]
    assert metrics.spotting_f1(1, 2, 3) == pytest.approx(0.4)
    assert metrics.spotting_f1(0, 0, 0) == 0.0
    assert metrics.strs(0.5, 0.4) == pytest.approx(0.2)


def test_psnr_and_ssim() -> None:
    rng = np.random.default_rng(0)
    image = rng.integers(0, 200, (64, 64), dtype=np.uint8)
    assert metrics.psnr(image, image) == float("inf")
    assert metrics.ssim(image, image) == pytest.approx(1.0)
    assert metrics.psnr(image, image + 5) == pytest.approx(20 * np.log10(255 / 5))
    mask = np.zeros((64, 64), bool)
    assert np.isnan(metrics.psnr(image, image + 5, mask)) and np.isnan(
        metrics.ssim(image, image, mask)
    )
    mask[20:40, 20:40] = True
    changed = image.copy()
    changed[:10, :10] += 50
    assert metrics.psnr(image, changed, mask) == float("inf")
    assert metrics.ssim(image, changed, mask) == pytest.approx(1.0)
    colour = np.repeat(image[..., None], 3, 2)
    assert metrics.ssim(colour, colour + 5) == pytest.approx(metrics.ssim(image, image + 5))
    flat, other = np.full((32, 32), 100, np.uint8), np.full((32, 32), 120, np.uint8)
    a, b, c1 = 100 / 255, 120 / 255, 1e-4
    assert metrics.ssim(flat, other) == pytest.approx((2 * a * b + c1) / (a * a + b * b + c1))


def test_motion_mask_sees_motion_only() -> None:
    one = np.full((64, 64), 90, np.uint8)
    two = one.copy()
    two[30:34, 30:34] = 200
    mask = metrics.motion_mask(one, two)
    assert mask[31, 31] and not mask[5, 5] and not metrics.motion_mask(one, one + 4).any()


def test_folds_share_nobody_and_cover_everybody() -> None:
    names = [f"s{i}" for i in range(7)]
    for folds in (make_folds(names * 3, "loso", 0), make_folds(names, "3", 0)):
        assert sorted(n for fold in folds for n in fold.test) == names
        assert all(not set(fold.train) & set(fold.test) for fold in folds)
    assert len(make_folds(names, "loso", 0)) == 7
    assert make_folds(names, "3", 1) == make_folds(names, "3", 1) != make_folds(names, "3", 0)


@pytest.mark.parametrize(
    ("names", "folds"), [(["a"], "loso"), (["a", "b"], "3"), (["a", "b"], "x")]
)
def test_impossible_folds_are_named(names: list[str], folds: str) -> None:
    with pytest.raises(MxError):
        make_folds(names, folds, 0)


def test_a_subject_on_both_sides_is_an_error() -> None:
    with pytest.raises(MxError, match="s1"):
        Fold(("s0", "s1"), ("s1",))


def test_the_spread_of_accuracy_is_that_of_subjects() -> None:
    subjects = ["a"] * 50 + ["b"] * 50
    low, high = metrics.interval_over_subjects(np.arange(100) < 50, subjects)
    assert (low, high) == (0.0, 1.0)
    low, high = metrics.interval_over_subjects(np.arange(100) % 2 == 0, subjects)
    assert low == high == 0.5


def test_weights_to_start_from_know_nobody_of_the_test() -> None:
    first = {"train_subjects": ["a"], "validation_subjects": ["b"]}
    second = SimpleNamespace(folder="w", training={"train_subjects": ["c"], "started_from": first})
    check_strangers(second, [("d",), ("e",)])  # type: ignore[arg-type]
    for known in "abc":
        with pytest.raises(MxError, match=f"w was trained with {known}"):
            check_strangers(second, [("d",), ("e", known)])  # type: ignore[arg-type]
