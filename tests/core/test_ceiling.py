"""What can be made of blurred key frames by somebody who knows the blur."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from mx_capture.simulator.clip import Clip
from mx_capture.stream import EVENT_DTYPE
from mx_perception.ceiling import (
    integrated_twice,
    levels,
    linear,
    path_kernel,
    true_blur,
    true_path,
)
from mx_perception.networks.cvae import CvaeConfig

from mx_perception import sketched_pairs


def rough_picture(side: int = 96) -> np.ndarray:
    """`(H, W) float32` in 0.2..0.8, with edges."""
    noise = np.random.default_rng(0).normal(0, 1, (side, side)).astype(np.float32)
    return 0.2 + 0.6 * (cv2.GaussianBlur(noise, (0, 0), 3.0) > 0).astype(np.float32)


def test_who_knows_the_kernel_sharpens() -> None:
    clean = (rough_picture() * 255).astype(np.uint8)[np.newaxis]
    made = true_blur(clean, np.random.default_rng(0))
    errors = {name: np.abs(image.astype(int) - clean).mean() for name, image in made.items()}
    assert errors["sharpened"] < 0.5 * errors["kept"]


def test_a_kernel_of_a_path_moves_the_picture_along_it() -> None:
    picture = rough_picture()
    moved = cv2.filter2D(picture, -1, path_kernel(np.array([[5.0, -3.0]])))
    np.testing.assert_allclose(moved[20:60, 20:60], picture[23:63, 15:55], atol=1e-6)
    assert path_kernel(np.array([[0.5, 0.25], [-2.0, 1.0]])).sum() == pytest.approx(1)


def test_exact_events_take_the_key_frame_to_the_end() -> None:
    key = np.full((4, 4, 3), 100, np.uint8)
    events = np.zeros(3, EVENT_DTYPE)
    events["t"], events["p"] = [500, 1500, 1600], [1, 1, 0]
    events["x"], events["y"] = [0, 1, 2], [0, 0, 0]
    clip = Clip(key, key, events, 2000.0, 1000.0, np.zeros((1001, 2)))
    gained = integrated_twice(clip, (0.1, 0.2)) / linear(key)
    # The first happened in the middle of the exposure, so half of it is in the key frame.
    assert gained[0, 0, 0] == pytest.approx(np.exp(0.2) / (0.5 + 0.5 * np.exp(0.2)), rel=1e-3)
    assert gained[0, 1, 0] == pytest.approx(np.exp(0.2), rel=1e-4)
    assert gained[0, 2, 0] == pytest.approx(np.exp(-0.1), rel=1e-4)
    np.testing.assert_array_equal(levels(linear(key)), key)


def test_the_true_path_of_a_sketched_clip_brings_it_back() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sketched_pairs, "PAIRS", 3)
        patch.setattr(sketched_pairs, "SESSIONS", 1)
        found = list(true_path(1, CvaeConfig(), 1.0))
    assert len(found) == 3
    errors = {
        name: np.mean([np.abs(made[name].astype(int) - truth).mean() for truth, made in found])
        for name in ("kept", "sharpened")
    }
    assert errors["sharpened"] < 0.5 * errors["kept"]
