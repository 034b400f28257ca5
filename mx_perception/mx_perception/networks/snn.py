"""Spiking convolutional network: event histograms in, Action Unit scores out, one hop at a time.

Four spiking layers (three strided convolutions and one dense layer) of snnTorch `Leaky` neurons.
Every channel has its own learnable decay and threshold, and the decays start spread over time
constants from one hop to many, so that a channel can follow the onset and another the hold of an
expression. State is explicit: ``(scores, evidence), state = model.step(x, state)``.

Two read-outs look at the spikes of the dense layer:

- `scores`: a leaky integrator per Action Unit through a sigmoid: how active it is now, 0..1;
- `evidence`: 15 values per hop whose mean over a clip names the class of the clip.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any, NamedTuple

import snntorch
import torch
from mx_capture.config import Config, setting
from snntorch import surrogate
from torch import Tensor, nn

from mx_perception.action_units import AU_NUMBERS, CLIP_CLASSES
from mx_perception.networks.leaky_clip import SLOPE, leaky_clip

HIGHEST_RATE = 0.15
"""Training holds back layers that fire more often, spikes per neuron and hop."""
EXACT_BITS = 24
"""Integers up to 2**24 are exact in float32."""


@dataclass(frozen=True)
class AuNetworkConfig(Config):
    """Shape of the network; stored in model.json."""

    height: int = setting(128, "Height of the face crop in pixels", minimum=32)
    width: int = setting(128, "Width of the face crop in pixels", minimum=32)
    modality: str = setting("events", "What it reads", choices=("events", "rgb", "fused"))
    polarities: int = setting(2, "Channels of the input: 2, rgb 3, fused 5", minimum=1, maximum=8)
    pool: int = setting(2, "Side of the squares of pixels summed at the input", minimum=1)
    count_limit: int = setting(
        15, "Pooled counts above this are cut, so that flicker does not drown motion", minimum=1
    )
    channels_1: int = setting(24, "Channels of the first layer", minimum=1)
    channels_2: int = setting(48, "Channels of the second layer", minimum=1)
    channels_3: int = setting(96, "Channels of the third layer", minimum=1)
    hidden: int = setting(128, "Neurons of the dense layer", minimum=1)
    hop_us: int = setting(10_000, "Length of the hop it was trained for, us", minimum=1_000)


class AuState(NamedTuple):
    """Membranes after a hop, `(F, C, h, w)` or `(F, C)` float32; also the names in the ONNX."""

    mem_1: Tensor
    mem_2: Tensor
    mem_3: Tensor
    mem_hidden: Tensor
    mem_scores: Tensor


class AuOutput(NamedTuple):
    """`scores (F, 14)` in 0..1 and `evidence (F, 15)`, both float32."""

    scores: Tensor
    evidence: Tensor


class AuNetwork(nn.Module):
    """See the module's text. `x` is `(F, P, H, W)` counts, uint8 or float."""

    def __init__(self, config: AuNetworkConfig) -> None:
        super().__init__()
        self.config = config
        sizes = (config.polarities, config.channels_1, config.channels_2, config.channels_3)
        kernels = (5, 3, 3)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(sizes[i], sizes[i + 1], kernels[i], stride=2, padding=kernels[i] // 2)
            for i in range(3)
        )
        self.map_sizes = _map_sizes(config)
        features = config.channels_3 * math.prod(self.map_sizes[2])
        self.dense = nn.Linear(features, config.hidden)
        self.norms: nn.ModuleList | None = nn.ModuleList(
            [nn.BatchNorm2d(c) for c in sizes[1:]] + [nn.BatchNorm1d(config.hidden)]
        )
        self.neurons = nn.ModuleList(
            [_leaky((c, 1, 1)) for c in sizes[1:]] + [_leaky((config.hidden,))]
        )
        self.score_head = nn.Linear(config.hidden, len(AU_NUMBERS))
        self.evidence_head = nn.Linear(config.hidden, len(CLIP_CLASSES))
        self.score_decay = nn.Parameter(torch.full((len(AU_NUMBERS),), 0.8))
        self.score_shift: Tensor
        self.register_buffer("score_shift", torch.zeros(len(AU_NUMBERS)))
        neurons: Any = self.neurons
        for norm, neuron in zip(self.norms, neurons, strict=True):
            # Slow membranes add up more: this gives all of them about the same deviation, 2.
            norm.weight.data = 2.0 * torch.sqrt(1.0 - neuron.beta.detach().flatten() ** 2)
        nn.init.zeros_(self.evidence_head.bias)
        # Action Units are rare: start at a low score rather than at 0.5.
        nn.init.constant_(self.score_head.bias, -0.6)

    @property
    def map_size(self) -> tuple[int, int]:
        """(height, width) of the pooled input."""
        return self.config.height // self.config.pool, self.config.width // self.config.pool

    def initial_state(self, faces: int) -> AuState:
        """All membranes at rest."""
        config, device = self.config, self.score_decay.device
        channels = (config.channels_1, config.channels_2, config.channels_3)
        maps = [
            torch.zeros(faces, c, *size, device=device)
            for c, size in zip(channels, self.map_sizes, strict=True)
        ]
        vectors = [torch.zeros(faces, n, device=device) for n in (config.hidden, len(AU_NUMBERS))]
        return AuState._make([*maps, *vectors])

    def step(self, x: Tensor, state: AuState) -> tuple[AuOutput, AuState]:
        """One hop for F faces; `x (F, P, H, W)`."""
        spikes = self._front(x)
        membranes: list[Tensor] = []
        for layer in range(4):
            spikes, mem = self.neurons[layer](self._current(layer, spikes), state[layer])
            membranes.append(mem)
        mem_scores = self._decay() * state.mem_scores + self.score_head(spikes)
        output = AuOutput(torch.sigmoid(mem_scores + self.score_shift), self.evidence_head(spikes))
        return output, AuState._make([*membranes, mem_scores])

    def forward_clip(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """A whole clip from rest, layer by layer: the same as `step` over T, and much faster.

        `x (T, B, P, H, W)`, or pooled already -> score logits `(T, B, 14)`, evidence
        `(T, B, 15)` and the mean firing rate of each layer `(4,)`, with a gradient only where it
        is above HIGHEST_RATE.
        """
        bins, batch = x.shape[:2]
        spikes = self._front(x.flatten(0, 1)).contiguous(memory_format=torch.channels_last)
        rates = []
        for layer in range(4):
            current = self._current(layer, spikes).float()
            spikes = self._fire(layer, current, bins)
            rate = spikes.detach().mean()
            rates.append(spikes.mean() if rate > HIGHEST_RATE else rate)
        drive = self.score_head(spikes).unflatten(0, (bins, batch))
        evidence = self.evidence_head(spikes).unflatten(0, (bins, batch))
        decay, mem, logits = self._decay(), torch.zeros_like(drive[0]), []
        for bin_drive in drive.unbind(0):
            mem = decay * mem + bin_drive
            logits.append(mem + self.score_shift)
        return torch.stack(logits), evidence, torch.stack(rates)

    def deployed(self) -> AuNetwork:
        """A copy for streaming: normalisation folded in, weights on a binary grid.

        Inputs of the convolutions are small integers (counts, spikes). With weights that are
        multiples of 2**-k every sum is exact in float32 whatever its order, so that any runtime
        produces the very same spikes.
        """
        copy = AuNetwork(self.config)
        copy.load_state_dict({k: v.detach().clone() for k, v in self.state_dict().items()})
        input_limit = float(self.config.count_limit)
        with torch.no_grad():
            for layer, linear in enumerate([*copy.convolutions, copy.dense]):
                _fold(linear, copy.norms[layer])  # type: ignore[index]
                _snap(linear, input_limit if layer == 0 else 1.0)
            _snap(copy.score_head, 1.0)
            _snap(copy.evidence_head, 1.0)
            copy.score_decay.clamp_(0.0, 1.0)
            neurons: Any = copy.neurons
            for neuron in neurons:
                neuron.beta.clamp_(0.0, 1.0)
                neuron.spike_grad = neuron._surrogate_bypass
        copy.norms = None
        return copy.eval().requires_grad_(False)

    def _front(self, x: Tensor) -> Tensor:
        x = x.float()
        pool = self.config.pool
        if pool > 1 and x.shape[-1] == self.config.width:
            x = nn.functional.avg_pool2d(x, pool) * pool**2
        return x.clamp(max=self.config.count_limit)

    def _current(self, layer: int, spikes: Tensor) -> Tensor:
        current = self.convolutions[layer](spikes) if layer < 3 else self.dense(spikes.flatten(1))
        if self.norms is None:
            return current
        norm: Any = self.norms[layer]
        return norm(current)

    def _fire(self, layer: int, current: Tensor, bins: int) -> Tensor:
        neuron: Any = self.neurons[layer]
        if current.device.type == "cpu":
            return leaky_clip(current, bins, neuron.beta, neuron.threshold)
        steps = current.unflatten(0, (bins, -1))
        mem, outputs = torch.zeros_like(steps[0]), []
        for step in steps.unbind(0):
            spk, mem = neuron(step, mem)
            outputs.append(spk)
        return torch.cat(outputs)

    def _decay(self) -> Tensor:
        return self.score_decay.clamp(0.0, 1.0)


def architecture(config: AuNetworkConfig) -> dict[str, object]:
    """What model.json stores to build the network again."""
    return {"name": "au_snn", **dataclasses.asdict(config)}


def _map_sizes(config: AuNetworkConfig) -> list[tuple[int, int]]:
    size = (config.height // config.pool, config.width // config.pool)
    sizes = []
    for _ in range(3):
        size = ((size[0] + 1) // 2, (size[1] + 1) // 2)
        sizes.append(size)
    return sizes


def _leaky(shape: tuple[int, ...]) -> snntorch.Leaky:
    # Time constants from about 1.5 to 33 hops, evenly spread in their logarithm.
    taus = torch.logspace(math.log10(1.5), math.log10(33.0), shape[0])
    beta = torch.exp(-1.0 / taus).reshape(shape)
    return snntorch.Leaky(
        beta=beta,
        learn_beta=True,
        threshold=torch.ones(shape),
        learn_threshold=True,
        spike_grad=surrogate.fast_sigmoid(slope=float(SLOPE)),
    )


def _fold(linear: Any, norm: Any) -> None:
    scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
    linear.weight.mul_(scale.reshape(-1, *[1] * (linear.weight.dim() - 1)))
    linear.bias.copy_((linear.bias - norm.running_mean) * scale + norm.bias)


def _snap(linear: Any, input_limit: float) -> None:
    """Round weights to the finest grid on which no sum can exceed 2**24 units."""
    largest = (linear.weight.abs().flatten(1).sum(1) * input_limit + linear.bias.abs()).max()
    bits = min(EXACT_BITS - 1 - math.ceil(math.log2(max(float(largest), 1e-6))), 16)
    for values in (linear.weight, linear.bias):
        values.copy_(torch.round(values * 2.0**bits) / 2.0**bits)
