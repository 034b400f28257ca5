"""An event sensor: images with times in, events out.

Each pixel low-passes the logarithm of its light with a bandwidth that grows with the light, and
fires when the result has left its memory by a threshold; then it rests for the refractory period
and remembers the level it finds. Thresholds differ from pixel to pixel, memory leaks towards ON
events, and shot noise adds events, more in the dark. Times are interpolated between images. After
ESIM (Rebecq, Gehrig and Scaramuzza 2018) and v2e (Hu, Liu and Delbruck 2021); written anew.

All randomness comes from counters per pixel, so that events depend on the seed alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numba import njit

from mx_capture.config import Config, setting
from mx_capture.errors import MxError
from mx_capture.stream import EVENT_DTYPE

REFERENCE_LUX = 300.0
_MOST_PER_PIXEL = 8  # events between two images, on the average of all pixels


@dataclass(frozen=True)
class EventSensorConfig(Config):
    """Parameters of one sensor."""

    threshold_on: float = setting(0.2, "Rise of log intensity per ON event", minimum=0.01)
    threshold_off: float = setting(0.2, "Fall of log intensity per OFF event", minimum=0.01)
    mismatch: float = setting(
        0.03,
        "Standard deviation of thresholds between pixels, as a share",
        minimum=0.0,
        maximum=0.5,
    )
    cutoff_hz: float = setting(
        300.0, "Bandwidth of a white pixel at 300 lux; 0 for no limit", minimum=0.0
    )
    dark_lux: float = setting(0.4, "Light that equals the pixel's dark current", minimum=0.0)
    leak_hz: float = setting(0.1, "ON events a second that leak in each pixel", minimum=0.0)
    shot_hz: float = setting(
        0.03, "Noise events a second of a white pixel at 300 lux; more in the dark", minimum=0.0
    )
    hot_share: float = setting(0.0003, "Share of pixels that fire on their own", minimum=0.0)
    refractory_us: float = setting(300.0, "Rest after an event", minimum=0.0)
    jitter_us: float = setting(60.0, "Mean delay of an event's time stamp", minimum=0.0)


PRESETS = {
    "240x180": EventSensorConfig(
        threshold_on=0.22, threshold_off=0.22, refractory_us=500.0, shot_hz=0.03, cutoff_hz=250.0
    ),
    "346x260": EventSensorConfig(
        threshold_on=0.2, threshold_off=0.2, refractory_us=400.0, shot_hz=0.03, cutoff_hz=300.0
    ),
    "640x480": EventSensorConfig(
        threshold_on=0.2, threshold_off=0.2, refractory_us=200.0, shot_hz=0.02, cutoff_hz=400.0
    ),
    "1280x720": EventSensorConfig(
        threshold_on=0.18, threshold_off=0.18, refractory_us=150.0, shot_hz=0.015, cutoff_hz=500.0
    ),
}
PRESETS["160x160"] = PRESETS["240x180"]
"""Round figures for sensors of these sizes (DAVIS240C, DAVIS346, VGA and HD generations)."""


def draw_sensor(preset: str, seed: int, noise: float = 1.0) -> EventSensorConfig:
    """A sensor of this kind as biases and manufacture may leave it."""
    rng = np.random.default_rng(np.random.SeedSequence([seed, 0x5B]))
    base = PRESETS[preset]
    common = float(np.exp(rng.uniform(np.log(0.65), np.log(1.6))))
    return replace(
        base,
        threshold_on=base.threshold_on * common * float(np.exp(rng.normal(0, 0.1))),
        threshold_off=base.threshold_off * common * float(np.exp(rng.normal(0, 0.1))),
        mismatch=float(rng.uniform(0.01, 0.08)),
        cutoff_hz=base.cutoff_hz * float(np.exp(rng.uniform(np.log(0.35), np.log(3.0)))),
        dark_lux=float(np.exp(rng.uniform(np.log(0.1), np.log(1.5)))),
        leak_hz=noise * float(rng.uniform(0.02, 0.25)),
        shot_hz=noise * base.shot_hz * float(np.exp(rng.uniform(np.log(0.2), np.log(5.0)))),
        hot_share=noise * float(rng.uniform(0.0, 0.0008)),
        refractory_us=base.refractory_us * float(np.exp(rng.uniform(np.log(0.4), np.log(2.5)))),
        jitter_us=float(rng.uniform(5.0, 150.0)),
    )


class EventSensor:
    """A sensor of (height, width) pixels that sees one image after another."""

    def __init__(
        self, config: EventSensorConfig, height: int, width: int, seed: int, lux: float = 300.0
    ) -> None:
        """`lux` is the illuminance at which an image value of 1 is a white surface."""
        self.config, self.height, self.width, self.lux = config, height, width, lux
        count = height * width
        rng = np.random.default_rng(np.random.SeedSequence([seed, 0xE5]))
        spread = np.maximum(rng.normal(1.0, config.mismatch, (2, count)), 0.2).astype(np.float32)
        self._on = (config.threshold_on * spread[0]).astype(np.float32)
        self._off = (config.threshold_off * spread[1]).astype(np.float32)
        leak = config.leak_hz * rng.lognormal(0, 0.3, count) * self._on
        self._leak = leak.astype(np.float32)
        rates = config.shot_hz * rng.lognormal(0, 0.4, count)
        hot = rng.random(count) < config.hot_share
        rates[hot] += rng.uniform(5, 60, int(hot.sum()))
        self._noise_rate = rates.astype(np.float32)
        self._hot = hot
        self._seed = np.uint64(rng.integers(2**63))
        self._image = np.zeros(count, np.float32)
        self._input = np.zeros(count, np.float32)
        self._level = np.zeros(count, np.float32)
        self._memory = np.zeros(count, np.float32)
        self._ready = np.full(count, -1e18)
        self._hazard = np.full(count, -1.0, np.float32)
        self._draws = np.zeros(count, np.uint32)
        self._late: np.ndarray = np.zeros(0, EVENT_DTYPE)
        self._out = np.empty(_MOST_PER_PIXEL * count + 64, EVENT_DTYPE)
        self._time_us: float | None = None
        self._gain = 0.0
        self.saturated = 0
        """Events beyond what the readout passes on between two images."""

    def see(self, image: np.ndarray, time_us: float, gain: np.ndarray | None = None) -> np.ndarray:
        """Events up to `time_us`, `(n,) EVENT_DTYPE` sorted by time.

        `image` (H, W) float32 linear light at that time. `gain` (K + 1,) is a factor on all light
        at K + 1 even times since the last image, the last one at `time_us` (flicker is faster than
        images are). The first image gives none. Raises MxError for a time that does not rise.
        """
        flat = image.reshape(-1)
        dark = np.float32(self.config.dark_lux / self.lux)
        if self._time_us is None:
            self._image[:] = flat
            self._gain = 0.0 if gain is None else float(np.log(gain[-1]))
            self._input[:] = np.log(np.maximum(flat, 0) + dark)
            self._level[:] = self._input + self._gain
            phase = _phases(self._seed, len(flat))
            # Memories lie anywhere between the thresholds when the camera has run for a while.
            span = self._on + self._off
            self._memory[:] = self._level + (phase * span - self._on) * (self.config.mismatch > 0)
            self._time_us = time_us
            return np.zeros(0, EVENT_DTYPE)
        if not time_us > self._time_us:
            raise MxError(f"image at {time_us} us does not follow the one at {self._time_us} us")
        logs = np.zeros(2) if gain is None else np.log(np.asarray(gain, np.float64))
        if gain is None:
            logs += self._gain
        scale = self.lux / REFERENCE_LUX
        count, lost = _advance(
            flat, self._image, self._input, self._level, self._memory, self._ready, self._hazard,
            self._draws, self._on, self._off, self._leak, self._noise_rate, self._hot,
            self._time_us, time_us, logs, dark, np.float32(self.config.cutoff_hz * scale),
            np.float32(scale), np.float64(self.config.refractory_us),
            np.float32(self.config.jitter_us), self._seed, self.width, self._out,
        )  # fmt: skip
        self.saturated += lost
        self._time_us = time_us
        self._gain = float(logs[-1])
        events = np.concatenate([self._late, self._out[:count]])
        events = events[np.argsort(events["t"], kind="stable")]
        ripe = int(np.searchsorted(events["t"], int(time_us)))
        self._late = events[ripe:].copy()
        return events[:ripe]


@njit(cache=True)
def _hash(seed, pixel, draw):
    """Uniform in (0, 1) from three counters (the finalizer of SplitMix64)."""
    z = (
        seed
        + np.uint64(pixel) * np.uint64(0x9E3779B97F4A7C15)
        + np.uint64(draw) * np.uint64(0xD1B54A32D192ED03)
    )
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return (np.float64(z >> np.uint64(11)) + 0.5) * (1.0 / 9007199254740992.0)


@njit(cache=True)
def _phases(seed, count):
    out = np.empty(count, np.float32)
    for i in range(count):
        out[i] = _hash(seed, i, 0xFFFFFFFF)
    return out


@njit(cache=True, error_model="numpy")
def _advance(
    image, last_image, inputs, levels, memory, ready, hazard, draws, on, off, leak, noise_rate,
    hot, start_us, end_us, gain_logs, dark, cutoff_hz, light_scale, refractory_us, jitter_us,
    seed, width, out,
):  # fmt: skip
    steps = len(gain_logs) - 1
    step_us = (end_us - start_us) / steps
    step_s = np.float32(step_us * 1e-6)
    capacity = len(out)
    count = 0
    lost = 0
    still = True
    for k in range(steps):
        if gain_logs[k] != gain_logs[k + 1]:
            still = False
    for i in range(len(image)):
        before = inputs[i]
        after = before
        light = image[i]
        if light != last_image[i]:
            last_image[i] = light
            after = np.float32(np.log(max(light, np.float32(0.0)) + dark))
            inputs[i] = after
        # Noise grows as light fades, about with its square root.
        if hazard[i] < 0:
            draws[i] += np.uint32(1)
            hazard[i] = np.float32(-np.log(_hash(seed, i, draws[i])))
        rate = noise_rate[i]
        if not hot[i]:
            rate = rate / np.sqrt(max(light * light_scale, np.float32(0.002)))
        level = levels[i]
        quiet = still and after == before and abs(level - after - gain_logs[0]) < 1e-5
        if quiet and hazard[i] > rate * step_s * steps:
            drift = leak[i] * step_s * steps
            if level - memory[i] + drift < on[i]:
                hazard[i] -= rate * step_s * steps
                memory[i] -= drift
                continue
        x = i % width
        y = i // width
        rise = (after - before) / np.float32(steps)
        omega = np.float32(2 * np.pi) * cutoff_hz * max(light, np.float32(0.01))
        keep = 0.0
        if cutoff_hz > 0:
            keep = np.exp(-omega * step_s)
        for k in range(steps):
            t0 = start_us + k * step_us
            first = before + rise * k + np.float32(gain_logs[k])
            second = before + rise * (k + 1) + np.float32(gain_logs[k + 1])
            if cutoff_hz > 0:
                # The exact answer of a first-order filter to a ramp.
                lag = (second - first) / (omega * step_s)
                target = second - lag + (level - first + lag) * keep
            else:
                target = second
            # Distance from memory, and how fast it changes, in log intensity per microsecond.
            slope = (target - level) / step_us + leak[i] * 1e-6
            now = t0
            stop = t0 + step_us
            gap = float(level - memory[i])
            if ready[i] > now:
                if ready[i] >= stop:
                    # Resting for all of this step: the memory follows the level.
                    memory[i] = target
                    level = target
                    continue
                now = ready[i]
                gap = 0.0
            while True:
                end_gap = gap + slope * (stop - now)
                if end_gap >= on[i] and slope > 0:
                    cross = now + max(on[i] - gap, 0.0) / slope
                    polarity = 1
                elif end_gap <= -off[i] and slope < 0:
                    cross = now + min(-off[i] - gap, 0.0) / slope
                    polarity = 0
                else:
                    memory[i] = target - np.float32(end_gap)
                    break
                draws[i] += np.uint32(1)
                delay = 0.0
                if jitter_us > 0:
                    delay = -np.log(_hash(seed, i, draws[i])) * jitter_us
                if count < capacity:
                    out[count].t = np.int64(cross + delay)
                    out[count].x = x
                    out[count].y = y
                    out[count].p = polarity
                    count += 1
                else:
                    lost += 1
                ready[i] = cross + refractory_us
                if refractory_us > 0:
                    if ready[i] >= stop:
                        memory[i] = target
                        break
                    now = ready[i]
                    gap = 0.0
                else:
                    now = cross
                    gap = 0.0
            level = target
        levels[i] = level
        left = rate * step_s * steps
        now = start_us
        while hazard[i] <= left:
            now += float(hazard[i] / rate) * 1e6
            left -= hazard[i]
            draws[i] += np.uint32(2)
            if count < capacity:
                out[count].t = np.int64(now)
                out[count].x = x
                out[count].y = y
                out[count].p = 1 if hot[i] or _hash(seed, i, draws[i] - np.uint32(1)) < 0.5 else 0
                count += 1
            else:
                lost += 1
            hazard[i] = np.float32(-np.log(_hash(seed, i, draws[i])))
        hazard[i] -= left
    return count, lost
