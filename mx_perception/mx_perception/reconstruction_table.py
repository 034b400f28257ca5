"""The table of a reconstruction: methods against conditions of the key frame."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mx_perception import metrics
from mx_perception.baselines import as_json, coarser, fit_integration, fit_linear, picture
from mx_perception.ceiling import true_blur, true_path
from mx_perception.degrade import DegradeConfig, degrade
from mx_perception.frame_pairs import FramePairs
from mx_perception.networks.cvae import Cvae
from mx_perception.sketched_pairs import SHAKEN

FRESH_MS = 200
"""Key frames up to this age are fresh, older ones stale."""
SAMPLES = 8
COARSER = (1, 2, 4)
SCORED = 320
"""Pairs of the table, and as many shaken ones."""
_CEILING = "ceiling"

Method = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""(key `(C, H, W) uint8`, events `(T, P, H, W) uint8`) -> frame `(C, H, W) uint8`."""


@dataclass(frozen=True)
class Compared:
    """What stands beside a network in its tables, trained as it was.

    `ablations` by name; `coarser` by how many times wider the pixels of their events are;
    `sketched`: numbers of the people whose shaken key frames, `shaken` of all, the ceiling is
    found for.
    """

    ablations: dict[str, Cvae] = field(default_factory=dict)
    coarser: dict[int, Cvae] = field(default_factory=dict)
    sketched: list[int] = field(default_factory=list)
    shaken: float = SHAKEN


def score_network(
    network: Cvae,
    train: FramePairs,
    test: FramePairs,
    degradation: DegradeConfig,
    compared: Compared,
) -> dict[str, Any]:
    """The table with all baselines, fitted on the training pairs, and what the latent does."""
    test = FramePairs.joined(
        [spread(test.chosen(kind), SCORED) for kind in (~test.shaken, test.shaken)]
    )
    integration = fit_integration(train, 100)
    methods: dict[str, Method] = {
        "network": network_method(network),
        "copy": copy,
        "integration": integration,
        "linear": fit_linear(train, 400),
        **{name: network_method(ablation) for name, ablation in compared.ablations.items()},
    }
    result = {
        "conditions": evaluate_pairs(methods, test, degradation),
        "latent": latent_report(network, test, degradation),
        "resolution": resolution_report(
            train, test.chosen(~test.shaken), {1: network, **compared.coarser}
        ),
        "integration": as_json(integration),
        "pairs": len(test),
    }
    if compared.sketched:
        result["ceiling"] = ceiling_report(network, test, compared)
    return result


def copy(key: np.ndarray, events: np.ndarray) -> np.ndarray:
    """The key frame as it is."""
    return key


def network_method(network: Cvae) -> Method:
    """A trained network at the mean of its prior."""

    def reconstruct(key: np.ndarray, events: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            output = network(torch.from_numpy(events)[None], _tensor(key))
        return (output.mean[0] * 255).round().byte().numpy()

    return reconstruct


def evaluate_pairs(
    methods: Mapping[str, Method], pairs: FramePairs, degradation: DegradeConfig
) -> dict[str, Any]:
    """Mean PSNR (dB) and SSIM per condition of the key frame and method.

    Conditions: `fresh` (up to FRESH_MS), `stale` (older), fresh key frames spoilt in every way of
    `degradation`, and `shaken` where some pairs are; `by_light` and `by_sensor` have the fresh
    ones apart. `_motion` figures are inside the motion mask, over the pairs that have one.
    `ceiling_psnr` is the PSNR of a perfect picture against the target, whose own noise it cannot
    know: the noise is that of key and target where neither motion nor events are.
    """
    fresh = _fresh(pairs)
    stale = pairs.chosen((pairs.ages_ms > FRESH_MS) & ~pairs.shaken)
    clean = _qualities(methods, fresh)
    table = {"fresh": _means(clean), "stale": _means(_qualities(methods, stale))}
    for kind in degradation.kinds():
        table[kind] = _means(_qualities(methods, fresh, kind))
    if pairs.shaken.any():
        table["shaken"] = _means(_qualities(methods, pairs.chosen(pairs.shaken)))
    for what, names in (("by_light", fresh.lights), ("by_sensor", fresh.sensors)):
        groups = {name: np.flatnonzero(np.array(names) == name) for name in sorted(set(names))}
        table[what] = {
            name: _means({method: values[rows] for method, values in clean.items()})
            for name, rows in groups.items()
        }
    return table


def _fresh(pairs: FramePairs) -> FramePairs:
    return pairs.chosen((pairs.ages_ms <= FRESH_MS) & ~pairs.shaken)


def _qualities(
    methods: Mapping[str, Method], pairs: FramePairs, spoilt: str = ""
) -> dict[str, np.ndarray]:
    """FRAME_QUALITIES of each method `(n, 4)`, and under _CEILING the highest PSNR `(n, 1)`."""
    rng = np.random.default_rng(0)
    values: dict[str, list[list[float]]] = {name: [] for name in (*methods, _CEILING)}
    for row in range(len(pairs)):
        clean, target, events = pairs[row]
        key = degrade(clean, spoilt, rng) if spoilt else clean
        # Where something moved does not depend on what spoilt the key frame.
        mask = metrics.motion_mask(picture(clean), picture(target))
        values[_CEILING].append([_noise_ceiling(clean, target, events, mask)])
        for name, method in methods.items():
            frame = picture(method(key, events))
            values[name].append(metrics.frame_quality(frame, picture(target), mask))
    return {name: np.array(found, np.float64) for name, found in values.items()}


def _means(values: dict[str, np.ndarray]) -> dict[str, Any]:
    ceiling = values[_CEILING]
    return {
        "pairs": len(ceiling),
        "ceiling_psnr": _finite_mean(ceiling)[0] if len(ceiling) else None,
        "methods": {
            name: dict(zip(metrics.FRAME_QUALITIES, _finite_mean(found), strict=True))
            for name, found in values.items()
            if name != _CEILING and len(found)
        },
    }


def resolution_report(
    train: FramePairs, test: FramePairs, networks: Mapping[int, Cvae]
) -> dict[str, Any]:
    """What coarser event sensors would give: integration and linear fit, fitted anew for each.

    By how many times wider the pixels are: the event sensor alone, not the camera, is coarser.
    `networks` were trained with such events.
    """
    report = {}
    for times in COARSER:
        fitted_on, tested_on = (
            with_coarser(part, times) for part in (spread(train, 160), spread(test, SCORED))
        )
        methods: dict[str, Method] = {
            "copy": copy,
            "integration": fit_integration(fitted_on, 60),
            "linear": fit_linear(fitted_on),
        }
        if times in networks:
            methods["network"] = network_method(networks[times])
        report[str(times)] = evaluate_pairs(methods, tested_on, DegradeConfig(0.0, ""))
    return report


def with_coarser(pairs: FramePairs, times: int) -> FramePairs:
    """The pairs as seen by an event sensor with pixels `times` as wide."""
    return replace(pairs, events=np.stack([coarser(events, times) for events in pairs.events]))


def ceiling_report(network: Cvae, pairs: FramePairs, compared: Compared) -> dict[str, Any]:
    """What somebody could make of blurred key frames who knows what the network is not told.

    FRAME_QUALITIES of `blurred`: the key frame kept, sharpened by the true kernel, and that before
    the network; of `shaken`: kept, with the light integrated twice, along the true path.
    """
    fresh, reconstruct = _fresh(pairs), network_method(network)
    rng = np.random.default_rng(0)
    rows: dict[str, dict[str, list[list[float]]]] = {"blurred": {}, "shaken": {}}

    def note(
        condition: str, made: dict[str, np.ndarray], clean: np.ndarray, target: np.ndarray
    ) -> None:
        mask = metrics.motion_mask(picture(clean), picture(target))
        for name, frame in made.items():
            quality = metrics.frame_quality(picture(frame), picture(target), mask)
            rows[condition].setdefault(name, []).append(quality)

    for row in range(len(fresh)):
        clean, target, events = fresh[row]
        made = true_blur(clean, rng)
        made["sharpened, then network"] = reconstruct(made["sharpened"], events)
        note("blurred", made, clean, target)
    for number in compared.sketched:
        for target, made in true_path(number, network.config, compared.shaken):
            note("shaken", made, made["kept"], target)
    return {
        condition: {
            name: dict(zip(metrics.FRAME_QUALITIES, _finite_mean(found), strict=True))
            for name, found in methods.items()
        }
        for condition, methods in rows.items()
    }


def latent_report(
    network: Cvae, pairs: FramePairs, degradation: DegradeConfig, most: int = 16
) -> dict[str, Any]:
    """What the latent does, per condition: KL in nats, and what happens when it is sampled.

    `spread` is the deviation of SAMPLES drawn pictures in grey levels; the PSNR (dB, whole) of the
    mean of the prior, of single draws, of the best draw, and of a z that has seen the target.
    """
    report = {}
    for condition in ("clean", *degradation.kinds()):
        rng = np.random.default_rng(0)
        torch.manual_seed(0)
        rows = []
        for row in np.random.default_rng(1).permutation(len(pairs))[:most]:
            key, target, events = pairs[int(row)]
            if condition != "clean":
                key = degrade(key, condition, rng)
            rows.append(_latent_of(network, key, target, events))
        names = ("kl", "spread", "psnr_mean", "psnr_draw", "psnr_best_draw", "psnr_posterior")
        report[condition] = dict(zip(names, _finite_mean(rows), strict=True))
    return report


def _latent_of(
    network: Cvae, key: np.ndarray, target: np.ndarray, events: np.ndarray
) -> list[float]:
    wanted = _tensor(target)

    def psnr(mean: Tensor) -> float:
        return float(-10 * torch.log10(((mean - wanted) ** 2).mean().clamp(min=1e-6)))

    with torch.inference_mode():
        one, many = torch.from_numpy(events)[None], SAMPLES
        seen = network(one, _tensor(key), wanted)
        mean = network(one, _tensor(key)).mean
        drawn = network(
            one.expand(many, -1, -1, -1, -1), _tensor(key).expand(many, -1, -1, -1), sample=True
        ).mean
    draws = [psnr(drawn[i : i + 1]) for i in range(many)]
    spread = float(drawn.std(0).mean() * 255)
    return [float(seen.kl), spread, psnr(mean), float(np.mean(draws)), max(draws), psnr(seen.mean)]


def _noise_ceiling(
    key: np.ndarray, target: np.ndarray, events: np.ndarray, mask: np.ndarray
) -> float:
    still = ~mask & (events.sum((0, 1)) == 0)
    if still.sum() < 100:
        return float("nan")
    change = (target[:, still].astype(np.float64) - key[:, still]) / 255
    # Two pictures with the same noise differ by twice its variance.
    return min(float(-10 * np.log10(max(change.var() / 2, 1e-9))), metrics.HIGHEST_DB)


def _finite_mean(rows: list[list[float]] | np.ndarray) -> list[float | None]:
    columns = np.array(rows, np.float64).T
    return [float(np.nanmean(column)) if np.isfinite(column).any() else None for column in columns]


def spread(pairs: FramePairs, most: int) -> FramePairs:
    """At most so many of the pairs, evenly taken."""
    rows = np.linspace(0, len(pairs) - 1, min(most, len(pairs))).astype(int).tolist()
    return pairs.rows(rows)


def _tensor(image: np.ndarray) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(image))[None].float() / 255
