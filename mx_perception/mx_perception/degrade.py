"""Spoilt key frames: what makes events worth having."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from mx_capture.config import Config, setting
from mx_capture.errors import MxError

KINDS = ("dark", "blurred", "bright")


@dataclass(frozen=True)
class DegradeConfig(Config):
    """How key frames are spoilt in training and in tests."""

    share: float = setting(0.5, "Share of spoilt key frames in training", minimum=0, maximum=1)
    degradations: str = setting(",".join(KINDS), "Kinds, separated by commas; empty for none")

    def __post_init__(self) -> None:
        super().__post_init__()
        for kind in filter(None, self.degradations.split(",")):
            if kind not in KINDS:
                raise MxError(f"degradations: {kind!r} is none of {', '.join(KINDS)}")

    def kinds(self) -> tuple[str, ...]:
        """The kinds asked for."""
        return tuple(kind for kind in KINDS if kind in self.degradations.split(","))


def degrade(image: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """A spoilt copy of `(C, H, W) uint8`.

    `dark`: 3 to 12% of the light with read and shot noise; `blurred`: motion over 4 to 12 px in
    some direction; `bright`: 2 to 4 times the light, clipped.
    """
    picture = image.astype(np.float32)
    if kind == "dark":
        light = picture * rng.uniform(0.03, 0.12)
        noise = rng.normal(0, 1, image.shape) * np.sqrt(light * 0.5 + 2.0)
        picture = light + noise
    elif kind == "blurred":
        return blurred_by(image, blur_kernel(rng))
    else:
        picture = picture * rng.uniform(2.0, 4.0)
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)


def blur_kernel(rng: np.random.Generator) -> np.ndarray:
    """`(15, 15) float32` that blurs along 4 to 12 px in some direction."""
    length, angle = rng.uniform(4, 12), rng.uniform(0, np.pi)
    kernel = np.zeros((15, 15), np.float32)
    right, down = round(np.cos(angle) * length / 2), round(np.sin(angle) * length / 2)
    cv2.line(kernel, (7 - right, 7 - down), (7 + right, 7 + down), (1.0,), 1)
    return kernel / kernel.sum()


def blurred_by(image: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """`(C, H, W) uint8` filtered with a kernel."""
    planes: list[np.ndarray] = list(image.astype(np.float32))
    picture = np.stack([cv2.filter2D(plane, -1, kernel) for plane in planes])
    return np.clip(np.round(picture), 0, 255).astype(np.uint8)
