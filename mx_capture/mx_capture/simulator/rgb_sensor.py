"""An RGB camera: rendered images in, noisy 8-bit frames with motion blur out."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from mx_capture.config import Config, setting


@dataclass(frozen=True)
class RgbSensorConfig(Config):
    """Parameters of one camera."""

    longest_exposure_us: float = setting(16_000.0, "Exposure in the dark", minimum=100.0)
    shortest_exposure_us: float = setting(2_000.0, "Exposure in bright light", minimum=100.0)
    electrons: float = setting(
        9_000.0, "Photoelectrons of a white pixel at 300 lux in 10 ms", minimum=1.0
    )
    read_noise: float = setting(6.0, "Read noise in electrons", minimum=0.0)
    largest_gain: float = setting(24.0, "Amplification that the camera may choose", minimum=1.0)
    target: float = setting(0.2, "Mean brightness that automatic exposure aims at", minimum=0.01)


class RgbSensor:
    """Gathers light over an exposure and develops it.

    Exposure and gain are set once from the first image, as a camera does that has settled.
    """

    def __init__(self, config: RgbSensorConfig, seed: int, lux: float) -> None:
        self.config, self.lux = config, lux
        self._seed = seed
        rng = np.random.default_rng(np.random.SeedSequence([seed, 0xC6]))
        self._tint = (1 + rng.normal(0, 0.03, 3)).astype(np.float32)
        self.exposure_us = config.longest_exposure_us
        self._gain = 1.0
        self._sum: np.ndarray | None = None
        self._weight = 0.0

    def settle(self, image: np.ndarray) -> None:
        """Choose exposure and gain from a linear (H, W, 3) image."""
        config = self.config
        brightness = max(float(image.mean()), 1e-3) * self.lux / 300.0
        wanted = config.target / brightness * 10_000.0
        self.exposure_us = float(
            np.clip(wanted, config.shortest_exposure_us, config.longest_exposure_us)
        )
        self._gain = float(np.clip(wanted / self.exposure_us, 0.02, config.largest_gain))

    def gather(self, image: np.ndarray, weight: float) -> None:
        """Add a linear image that is seen for `weight` microseconds of the exposure."""
        if self._sum is None:
            self._sum = np.zeros_like(image)
        self._sum += image * np.float32(weight)
        self._weight += weight

    def develop(self, number: int) -> np.ndarray:
        """(H, W, 3) uint8: the frame of the light gathered; begins the next exposure."""
        assert self._sum is not None and self._weight > 0
        linear = self._sum * np.float32(1 / self._weight)
        self._sum, self._weight = None, 0.0
        rng = np.random.default_rng(np.random.SeedSequence([self._seed, 0xF0, number]))
        light = self.lux / 300.0 * self.exposure_us / 10_000.0
        electrons = np.maximum(linear, 0) * np.float32(light * self.config.electrons)
        noise = rng.standard_normal(linear.shape, np.float32)
        electrons += noise * np.sqrt(electrons + np.float32(self.config.read_noise**2))
        value = electrons * np.float32(self._gain / self.config.electrons) * self._tint
        value = np.clip(value, 0, 1)
        # The sRGB curve (IEC 61966-2-1).
        curved = np.where(value < 0.0031308, 12.92 * value, 1.055 * value ** (1 / 2.4) - 0.055)
        return (curved * 255 + 0.5).astype(np.uint8)
