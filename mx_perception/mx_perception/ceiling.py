"""How much of a blurred key frame somebody could save who knows what no network is told.

The blur itself (the kernel, or the true path of the camera), or, for the events, the exact
thresholds of the sensor, the exact exposure and the time of every event.
"""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np
from mx_capture.simulator.clip import Clip

from mx_perception.degrade import blur_kernel, blurred_by
from mx_perception.frame_pairs import pair_crop
from mx_perception.networks.cvae import CvaeConfig
from mx_perception.sketched_pairs import FIRST_PERSON, sketch_clips

STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1)
"""How much smoothness is asked for: the best for each picture counts."""
_STEPS = 30
_REACH_PX = 32


def true_blur(clean: np.ndarray, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """A key frame `(C, H, W) uint8` blurred as `degrade` does, and sharpened by the true kernel."""
    kernel = blur_kernel(rng)
    blurred = blurred_by(clean, kernel)
    planes = [
        sharpened(plane / np.float32(255), kernel, wanted / np.float32(255))
        for plane, wanted in zip(blurred, clean, strict=True)
    ]
    better = np.clip(np.round(np.stack(planes) * 255), 0, 255).astype(np.uint8)
    return {"kept": blurred, "sharpened": better}


def true_path(
    person: int, config: CvaeConfig, shaken: float
) -> Iterator[tuple[np.ndarray, dict[str, np.ndarray]]]:
    """Truth and what can be made of the key frame, for each shaken pair of a sketched person."""
    for it in sketch_clips(FIRST_PERSON + person, config.width, shaken):
        clip, sensor, roi = it.clip, it.cameras.sensor, it.roi
        if not len(clip.path_px):
            continue
        kernel = path_kernel(clip.path_px * config.width / roi.width)
        key, truth = (pair_crop(image, roi, config) for image in (clip.key, clip.truth))
        planes = [
            sharpened(linear(plane), kernel, linear(wanted))
            for plane, wanted in zip(key, truth, strict=True)
        ]
        told = integrated_twice(clip, (sensor.threshold_off, sensor.threshold_on))
        yield (
            truth,
            {
                "kept": key,
                "integrated twice": pair_crop(levels(told), roi, config),
                "sharpened": levels(np.stack(planes)),
            },
        )


def sharpened(blurred: np.ndarray, kernel: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The least-squares picture `(H, W) float32` whose blur by the true kernel is `blurred`.

    With a penalty on its gradients (a Wiener filter that knows no border), of the strength that
    comes closest to `truth`. Both pictures are float, in any unit with a range of about 1.
    """
    found = [_solved(blurred.astype(np.float32), kernel, strength) for strength in STRENGTHS]
    errors = [float(((picture - truth) ** 2).mean()) for picture in found]
    return found[int(np.argmin(errors))]


def path_kernel(path_px: np.ndarray) -> np.ndarray:
    """Where light of a place went while the image moved along `path_px (n, 2)`, right and down."""
    side = 2 * _REACH_PX + 1
    kernel = np.zeros((side, side), np.float32)
    for right, down in np.clip(path_px, 1 - _REACH_PX, _REACH_PX - 2):
        x, y = int(np.floor(right)), int(np.floor(down))
        across, along = right - x, down - y
        for i, j, share in (
            (0, 0, (1 - across) * (1 - along)),
            (0, 1, across * (1 - along)),
            (1, 0, (1 - across) * along),
            (1, 1, across * along),
        ):
            # filter2D correlates: what moved to the right is fetched from the left.
            kernel[_REACH_PX - y - i, _REACH_PX - x - j] += share
    return kernel / kernel.sum()


def integrated_twice(clip: Clip, thresholds: tuple[float, float]) -> np.ndarray:
    """`(H, W, 3) float32` linear light at the end of a clip, from its key frame and its events.

    The key frame is the mean of the light of its exposure; events, with the exact OFF and ON
    thresholds, tell how it changed in and after it (Pan et al. 2019).
    """
    events = clip.events
    shape = clip.key.shape[:2]
    size = shape[0] * shape[1]
    place = events["y"].astype(np.int64) * shape[1] + events["x"]
    step = np.where(events["p"] > 0, thresholds[1], -thresholds[0])
    edges = np.linspace(0, clip.exposure_us, max(len(clip.path_px), 2))
    level, gathered, begin = np.zeros(size), np.zeros(size), 0
    for edge in edges:
        end = int(np.searchsorted(events["t"], edge))
        level += np.bincount(place[begin:end], step[begin:end], size)
        gathered += np.exp(level)
        begin = end
    level += np.bincount(place[begin:], step[begin:], size)
    gain = np.exp(level) * len(edges) / gathered
    light: np.ndarray = linear(clip.key) * gain.reshape(*shape, 1)
    return np.clip(light, 0, 1).astype(np.float32)


def linear(image: np.ndarray) -> np.ndarray:
    """Light 0..1 of sRGB levels 0..255."""
    value = image.astype(np.float32) / 255
    light: np.ndarray = np.where(value < 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
    return light


def levels(light: np.ndarray) -> np.ndarray:
    """sRGB levels `uint8` of light 0..1."""
    value = np.clip(light, 0, 1)
    curved = np.where(value < 0.0031308, 12.92 * value, 1.055 * value ** (1 / 2.4) - 0.055)
    return (curved * 255 + 0.5).astype(np.uint8)


def _solved(blurred: np.ndarray, kernel: np.ndarray, strength: float) -> np.ndarray:
    """Conjugate gradients on `A'A x + strength G'G x = A'y`; x reaches beyond what y shows."""
    rim = kernel.shape[0] // 2
    turned = np.ascontiguousarray(kernel[::-1, ::-1])

    def correlated(image: np.ndarray, weights: np.ndarray) -> np.ndarray:
        result: np.ndarray = cv2.filter2D(image, -1, weights, borderType=cv2.BORDER_CONSTANT)
        return result

    def adjoint(image: np.ndarray) -> np.ndarray:
        return correlated(np.pad(image, rim), turned)

    def normal(image: np.ndarray) -> np.ndarray:
        seen = correlated(image, kernel)[rim:-rim, rim:-rim]
        rough: np.ndarray = cv2.Laplacian(image, -1, borderType=cv2.BORDER_CONSTANT)
        return adjoint(seen) - np.float32(strength) * rough

    found = np.pad(blurred, rim, mode="reflect")
    left = adjoint(blurred) - normal(found)
    direction, size = left.copy(), float((left**2).sum())
    for _ in range(_STEPS):
        image = normal(direction)
        along = float((direction * image).sum())
        if along <= 0:
            break
        step = np.float32(size / along)
        found += step * direction
        left -= step * image
        before, size = size, float((left**2).sum())
        direction = left + np.float32(size / before) * direction
    return found[rim:-rim, rim:-rim]
