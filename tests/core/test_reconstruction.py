"""Reconstruction: pairs of frames, spoilt key frames, training, and what the network gains."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mx_capture.errors import MxError
from mx_perception.baselines import Integration, coarser, fit_integration, fit_linear
from mx_perception.checkpoint import load_checkpoint
from mx_perception.degrade import KINDS, DegradeConfig, degrade
from mx_perception.folds import Fold
from mx_perception.frame_pairs import FramePairs
from mx_perception.networks.cvae import Cvae, CvaeConfig
from mx_perception.reconstruction import Reconstructor
from mx_perception.reconstruction_table import (
    Compared,
    copy,
    evaluate_pairs,
    latent_report,
    network_method,
    score_network,
)
from mx_perception.train_reconstruction import TrainReconstructionConfig, train_fold
from mx_perception.train_reconstruction import _folds as folds_of

SIZE = 32
NETWORK = CvaeConfig(height=SIZE, width=SIZE, bins=2, channels=8, latent=8)
CLEAN = DegradeConfig(degradations="")


def moving_squares(count: int, seed: int = 0) -> FramePairs:
    """A bright square moves sideways; events are ON where it arrives and OFF where it leaves."""
    rng = np.random.default_rng(seed)
    keys = np.full((count, 1, SIZE, SIZE), 60, np.uint8)
    targets = keys.copy()
    events = np.zeros((count, 2, 2, SIZE, SIZE), np.uint8)
    for i in range(count):
        y, x = rng.integers(4, 18, 2)
        shift = int(rng.choice([-3, -2, 2, 3]))
        keys[i, 0, y : y + 8, x : x + 8] = 180
        targets[i, 0, y : y + 8, x + shift : x + shift + 8] = 180
        moved = targets[i, 0].astype(int) - keys[i, 0]
        events[i, :, 1] = np.where(moved > 0, 3, 0)
        events[i, :, 0] = np.where(moved < 0, 3, 0)
    names = tuple(f"s{i % 4}" for i in range(count))
    ages_ms = np.where(np.arange(count) % 3, 33, 333)
    shaken = np.zeros(count, bool)
    lights, sensors = ("office",) * count, ("64x64",) * count
    return FramePairs(keys, targets, events, ages_ms, shaken, names, lights, sensors)


def silent(line: str, figures: dict[str, float]) -> None:
    """A report that nobody reads."""


@pytest.mark.parametrize("kind", KINDS)
def test_spoilt_frames_are_spoilt_as_named(kind: str) -> None:
    image = np.random.default_rng(0).integers(40, 120, (3, 64, 64), dtype=np.uint8)
    before = image.copy()
    spoilt = degrade(image, kind, np.random.default_rng(0))
    np.testing.assert_array_equal(image, before)
    assert spoilt.shape == image.shape and spoilt.dtype == np.uint8
    if kind == "dark":
        assert spoilt.mean() < 0.2 * image.mean()
    elif kind == "bright":
        assert spoilt.mean() > 1.8 * image.mean()
    else:
        assert spoilt.std() < 0.8 * image.std()


def test_integration_of_exact_events_is_exact() -> None:
    key = np.full((1, 4, 4), 100, np.uint8)
    events = np.zeros((2, 2, 4, 4), np.uint8)
    events[0, 1, 0, 0], events[1, 0, 1, 1] = 3, 2
    frame = Integration(0.1)(key, events)
    assert frame[0, 0, 0] == round(100 * np.exp(0.3)) and frame[0, 1, 1] == round(
        100 * np.exp(-0.2)
    )
    assert (frame == 100).sum() == 14
    # A decay weakens what happened in earlier bins only.
    assert Integration(0.1, decay=0.5)(key, events)[0, 0, 0] == round(100 * np.exp(0.15))


def test_a_coarser_sensor_tells_the_mean_change_of_its_pixels() -> None:
    events = np.zeros((2, 2, 4, 4), np.uint8)
    events[:, 1, :2, :2] = 1  # one step a bin all over a block
    events[0, 1, 2, 2] = 4  # a single pixel is a quarter of its block
    events[1, 0, 2, 2] = 4
    found = coarser(events, 2)
    assert (found[:, 1, :2, :2] == 1).all() and (found[0, 1, 2:, 2:] == 1).all()
    assert (found[1, 0, 2:, 2:] == 1).all() and found[1, 1, 2:, 2:].sum() == 0
    np.testing.assert_array_equal(coarser(events, 1), events)


def test_baselines_are_fitted_to_how_the_sensor_counts() -> None:
    pairs = moving_squares(60)
    fitted, line = fit_integration(pairs), fit_linear(pairs)
    # 60 becomes 180 with three events.
    assert 0.1 <= fitted.contrast <= 0.3
    table = evaluate_pairs({"copy": copy, "fitted": fitted, "line": line}, pairs, CLEAN)
    fresh = {name: row["psnr_motion"] for name, row in table["fresh"]["methods"].items()}
    assert fresh["copy"] < fresh["fitted"] and fresh["copy"] < fresh["line"]


def test_coarser_networks_and_ablations_join_the_tables() -> None:
    pairs, network = moving_squares(8), Cvae(NETWORK).eval()
    others = Compared({"no_events": network}, {2: network})
    result = score_network(network, pairs, pairs, CLEAN, others)
    assert "no_events" in result["conditions"]["fresh"]["methods"]
    methods = {times: set(rows["fresh"]["methods"]) for times, rows in result["resolution"].items()}
    assert "network" in methods["1"] & methods["2"] and "network" not in methods["4"]
    assert "ceiling" not in result


def test_it_learns_to_move_squares(tmp_path: Path) -> None:
    pairs, fold = moving_squares(160), Fold(("s0", "s1", "s2"), ("s3",))
    config = TrainReconstructionConfig(epochs=8, batch=16, crop=0, learning_rate=4e-3)
    result = train_fold(pairs, fold, tmp_path, config, NETWORK, CLEAN, silent)
    fresh = result["conditions"]["fresh"]["methods"]
    assert fresh["network"]["psnr_motion"] > fresh["copy"]["psnr_motion"] + 3.0
    assert result["conditions"]["stale"]["pairs"] > 0 and result["latent"]["clean"]["kl"] >= 0
    assert load_checkpoint(tmp_path, "reconstruction").metrics == result
    key, target, events = pairs[0]
    frame, uncertainty = Reconstructor(tmp_path).reconstruct(events, key[0])
    moved = key[0] != target[0]
    # An absolute error as a share of full scale; squares that move are easy.
    assert 0 < uncertainty.mean() < 0.1
    assert np.abs(frame.astype(int) - target[0])[moved].mean() < 60


def test_who_is_tested_is_never_trained_on_with_more_people() -> None:
    rendered = moving_squares(8)

    def fold_of(people: int) -> Fold:
        names = [f"sketched{number:05d}" for number in range(people)]
        return folds_of(rendered, replace(rendered, subjects=names), "", 0)[0]

    few, many = fold_of(50), fold_of(200)
    assert len(few.train) == 46 and len(many.train) == 184
    assert not set(few.train) & set(many.test) and not set(many.train) & set(few.test)
    assert fold_of(2).train == ("sketched00001",)


def test_every_condition_is_in_the_table() -> None:
    pairs = moving_squares(8)
    methods = {"network": network_method(Cvae(NETWORK).eval()), "copy": copy}
    table = evaluate_pairs(methods, pairs, DegradeConfig())
    assert set(table) == {"fresh", "stale", *KINDS, "by_light", "by_sensor"}
    assert table["by_light"] == {"office": table["fresh"]}
    fresh = table["fresh"]["methods"]
    # Untrained it returns its key frame.
    assert fresh["network"] == fresh["copy"]
    latent = latent_report(Cvae(NETWORK).eval(), pairs, DegradeConfig())
    assert set(latent) == {"clean", *KINDS}


def test_shaken_key_frames_are_a_condition_of_their_own() -> None:
    pairs = moving_squares(8)
    shaken = replace(pairs, shaken=np.arange(8) < 3)
    table = evaluate_pairs({"copy": copy}, shaken, CLEAN)
    assert table["shaken"]["pairs"] == 3
    assert table["fresh"]["pairs"] + table["stale"]["pairs"] == 5


def test_baselines_without_events_or_key_do_not_look_at_them() -> None:
    torch.manual_seed(0)
    key, _, events = moving_squares(1)[0]
    blind = Cvae(replace(NETWORK, use_events=False)).eval()
    torch.nn.init.normal_(blind.maps.weight, std=0.1)
    seen = network_method(blind)
    np.testing.assert_array_equal(seen(key, events), seen(key, np.zeros_like(events)))
    keyless = Cvae(replace(NETWORK, use_key=False)).eval()
    torch.nn.init.normal_(keyless.maps.weight, std=0.1)
    seen = network_method(keyless)
    np.testing.assert_array_equal(seen(key, events), seen(np.zeros_like(key), events))


def test_the_latent_is_drawn_and_the_mean_is_repeatable() -> None:
    torch.manual_seed(0)
    network = Cvae(NETWORK).eval()
    torch.nn.init.normal_(network.maps.weight, std=0.1)
    key, target, events = (torch.from_numpy(array)[None] for array in moving_squares(1)[0])
    with torch.inference_mode():
        one, two = (network(events, key.float() / 255).mean for _ in range(2))
        drawn = network(events, key.float() / 255, sample=True).mean
        kl = network(events, key.float() / 255, target.float() / 255).kl
    assert torch.equal(one, two) and not torch.equal(one, drawn)
    assert kl.shape == (1,) and kl > 0


@pytest.mark.parametrize(
    ("config", "values", "named"),
    [
        (CvaeConfig, {"height": 100}, "128x100 is no multiple of 16"),
        (CvaeConfig, {"colours": 2}, "colours=2"),
        (DegradeConfig, {"degradations": "dark,foggy"}, "'foggy' is none of dark"),
        (TrainReconstructionConfig, {"crop": 40}, "crop=40"),
    ],
)
def test_settings_that_cannot_be_are_named(config: Any, values: Any, named: str) -> None:
    with pytest.raises(MxError, match=named):
        config(**values)
