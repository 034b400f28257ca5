"""Spiking convolutional network: event histograms in, Action Unit scores out, one hop at a time.

- The input remembers: `event_memory` shows the last tenths of a second at once.
- Two strided convolutions into snnTorch `Leaky` neurons, whose decay and threshold are learned per
  channel, and a dense layer of leaky integrators that does not fire and is read.
- Phases take turns: membranes are kept `phases` times, and each hop steps the set that has rested
  longest. So a neuron steps every 40 ms, as it does in training, which takes a quarter of the
  steps; and scores come every hop, from the mean of all phases.

State is explicit: ``(scores, evidence), state = model.step(x, state)``. Two heads read the dense
layer: `scores`, how active each Action Unit is now (0..1), and `evidence`, 15 values per hop whose
mean over a clip names the class of the clip.
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
from torch.nn import functional

from mx_perception.action_units import AU_NUMBERS, CLIP_CLASSES
from mx_perception.networks import event_memory
from mx_perception.networks.leaky_clip import SLOPE, leaky_clip

HIGHEST_RATE = 0.15
"""Training holds back layers that fire more often, spikes per neuron and step."""
EXACT_BITS = 24
"""Integers up to 2**24 are exact in float32."""
_KERNELS, _STRIDES, _PADDINGS = (7, 3), (4, 2), (2, 1)


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
    taps: int = setting(5, "Taps of the input's memory", minimum=1, maximum=16)
    tap_decay: float = setting(0.8, "Decay of each tap in a hop", minimum=0.0, maximum=0.99)
    phases: int = setting(4, "Sets of membranes that take turns", minimum=1, maximum=16)
    channels_1: int = setting(48, "Channels of the first layer", minimum=1)
    channels_2: int = setting(96, "Channels of the second layer", minimum=1)
    hidden: int = setting(192, "Integrators of the dense layer", minimum=1)
    dropout: float = setting(
        0.15, "Share of the dense layer that is silent in training", minimum=0.0, maximum=0.9
    )
    hop_us: int = setting(10_000, "Length of the hop it was trained for, us", minimum=1_000)


class AuState(NamedTuple):
    """State after a hop, float32; also the names in the ONNX.

    `taps (F, K, P, h, w)` of the input; membranes `(F, phases, C, h, w)` and `(F, phases, C)`,
    those that rested longest first.
    """

    taps: Tensor
    mem_1: Tensor
    mem_2: Tensor
    mem_hidden: Tensor


class AuOutput(NamedTuple):
    """`scores (F, 14)` in 0..1 and `evidence (F, 15)`, both float32."""

    scores: Tensor
    evidence: Tensor


class AuNetwork(nn.Module):
    """See the module's text. `x` is `(F, P, H, W)` counts, uint8 or float."""

    def __init__(self, config: AuNetworkConfig) -> None:
        super().__init__()
        self.config = config
        sizes = (config.taps * config.polarities, config.channels_1, config.channels_2)
        self.convolutions = nn.ModuleList(
            nn.Conv2d(sizes[i], sizes[i + 1], _KERNELS[i], _STRIDES[i], _PADDINGS[i])
            for i in range(2)
        )
        self.map_sizes = _map_sizes(self.map_size)
        self.dense = nn.Linear(config.channels_2 * math.prod(self.map_sizes[1]), config.hidden)
        self.norms: nn.ModuleList | None = nn.ModuleList(
            [*(nn.BatchNorm2d(c) for c in sizes[1:]), nn.BatchNorm1d(config.hidden)]
        )
        self.neurons = nn.ModuleList(
            [
                *(_leaky((c, 1, 1), "subtract") for c in sizes[1:]),
                _leaky((config.hidden,), "none"),
            ]
        )
        self.dropout = nn.Dropout(config.dropout)
        self.score_head = nn.Linear(config.hidden, len(AU_NUMBERS))
        self.evidence_head = nn.Linear(config.hidden, len(CLIP_CLASSES))
        neurons: Any = self.neurons
        for norm, neuron in zip(self.norms, neurons, strict=True):
            # Slow membranes add up more: this gives all of them about the same deviation, 2.
            norm.weight.data = 2.0 * torch.sqrt(1.0 - neuron.beta.detach().flatten() ** 2)
        nn.init.zeros_(self.evidence_head.bias)
        # Action Units are rare: start at a low score rather than at 0.5.
        nn.init.constant_(self.score_head.bias, -2.0)

    @property
    def map_size(self) -> tuple[int, int]:
        """(height, width) of the pooled input."""
        return self.config.height // self.config.pool, self.config.width // self.config.pool

    def initial_state(self, faces: int) -> AuState:
        """An empty memory, and all membranes at rest."""
        config, device = self.config, self.score_head.bias.device
        shapes = [
            (config.taps, config.polarities, *self.map_size),
            (config.phases, config.channels_1, *self.map_sizes[0]),
            (config.phases, config.channels_2, *self.map_sizes[1]),
            (config.phases, config.hidden),
        ]
        return AuState._make(torch.zeros(faces, *shape, device=device) for shape in shapes)

    def step(self, x: Tensor, state: AuState) -> tuple[AuOutput, AuState]:
        """One hop for F faces; `x (F, P, H, W)`."""
        taps = event_memory.remember(self._pooled(x).float(), state.taps, self.config.tap_decay)
        signal, membranes = event_memory.seen(taps), []
        for layer, rested in enumerate(state[1:]):
            signal, mem = self.neurons[layer](self._current(layer, signal), rested[:, 0])
            membranes.append(torch.cat([rested[:, 1:], mem[:, None]], 1))
        read = torch.relu(membranes[-1]).mean(1)
        output = AuOutput(torch.sigmoid(self.score_head(read)), self.evidence_head(read))
        return output, AuState._make([taps, *membranes])

    def forward_clip(
        self, x: Tensor, phase: int | None = None, settle: int = 0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """A whole clip from rest, layer by layer: the same as `step` over T, and much faster.

        `x (T, B, P, H, W)`, or pooled already -> score logits `(T, B, 14)`, evidence
        `(T, B, 15)` and the mean firing rate of the two spiking layers. With a `phase` only its
        hops (phase, phase + phases, ...) are computed, and read alone: so the network trains. Its
        first `settle` steps then teach nothing: they have no gradient, and no part in the
        statistics of the normalisation.
        """
        config, hops, batch = self.config, *x.shape[:2]
        first, every = (0, 1) if phase is None else (phase, config.phases)
        pooled = self._pooled(x.flatten(0, 1)).unflatten(0, (hops, batch))
        half = x.device.type == "cpu" and torch.is_autocast_enabled("cpu")
        signal = event_memory.seen_over_clip(
            pooled,
            config.taps,
            config.tap_decay,
            first,
            every,
            torch.bfloat16 if half else torch.float32,
        )
        steps, sets = len(signal), 1
        if phase is None:  # hops side by side that belong to one turn of the phases
            signal = functional.pad(signal, (0, 0) * 4 + (0, -steps % config.phases))
            steps, sets = len(signal) // config.phases, config.phases
        signal = signal.flatten(0, 1).contiguous(memory_format=torch.channels_last)
        early, rates = settle * sets * batch, []
        for layer in range(2):
            signal, rate = self._fire(layer, self._currents(layer, signal, early), steps)
            rates.append(rate)
        current = self._currents(2, signal, early).float().unflatten(0, (steps, sets * batch))
        read = torch.relu(self._integrated(current)).unflatten(1, (sets, batch)).flatten(0, 1)
        if phase is None:
            read = _latest_mean(read, config.phases)[:hops]
        read = self.dropout(read)
        return self.score_head(read), self.evidence_head(read), torch.stack(rates)

    def deployed(self) -> AuNetwork:
        """A copy for streaming: normalisation folded in, weights on a binary grid.

        Inputs of the layers are small integers (roots of counts, spikes). With weights that are
        multiples of 2**-k every sum is exact in float32 whatever its order, so that any runtime
        produces the very same spikes.
        """
        copy = AuNetwork(self.config)
        copy.load_state_dict({k: v.detach().clone() for k, v in self.state_dict().items()})
        most = self.config.count_limit / (1.0 - self.config.tap_decay)
        limits = (math.ceil(event_memory.LEVELS * math.sqrt(most)), 1.0, 1.0)
        with torch.no_grad():
            for layer, linear in enumerate([*copy.convolutions, copy.dense]):
                _fold(linear, copy.norms[layer])  # type: ignore[index]
                _snap(linear, limits[layer])
            neurons: Any = copy.neurons
            for neuron in neurons:
                neuron.beta.clamp_(0.0, 1.0)
                neuron.spike_grad = neuron._surrogate_bypass
        copy.norms = None
        return copy.eval().requires_grad_(False)

    def _pooled(self, x: Tensor) -> Tensor:
        pool = self.config.pool
        if pool > 1 and x.shape[-1] == self.config.width:
            x = functional.avg_pool2d(x.float(), pool) * pool**2
        return x.clamp(max=self.config.count_limit)

    def _current(self, layer: int, signal: Tensor, learns: bool = True) -> Tensor:
        current = self.convolutions[layer](signal) if layer < 2 else self.dense(signal.flatten(1))
        if self.norms is None:
            return current
        norm: Any = self.norms[layer]
        if learns:
            return norm(current)
        # What settles is normalised as in the stream, and its statistics are not for the stream.
        statistics = norm.running_mean, norm.running_var
        return functional.batch_norm(current, *statistics, norm.weight, norm.bias, eps=norm.eps)

    def _currents(self, layer: int, signal: Tensor, early: int) -> Tensor:
        """Of all rows; the first `early` ones without a gradient."""
        if not early:
            return self._current(layer, signal)
        with torch.no_grad():
            settling = self._current(layer, signal[:early], learns=False)
        return torch.cat([settling, self._current(layer, signal[early:])])

    def _fire(self, layer: int, current: Tensor, steps: int) -> tuple[Tensor, Tensor]:
        neuron: Any = self.neurons[layer]
        if current.device.type == "cpu":
            return leaky_clip(current, steps, neuron.beta, neuron.threshold)
        current, outputs = current.float(), []
        mem = torch.zeros_like(current.unflatten(0, (steps, -1))[0])
        for step in current.unflatten(0, (steps, -1)).unbind(0):
            spk, mem = neuron(step, mem)
            outputs.append(spk)
        spikes = torch.cat(outputs)
        return spikes, spikes.mean()

    def _integrated(self, current: Tensor) -> Tensor:
        """Membranes of the dense layer, `(steps, B, C)` from currents of that shape."""
        neuron: Any = self.neurons[2]
        decay, mem, membranes = neuron.beta.clamp(0.0, 1.0), torch.zeros_like(current[0]), []
        for step in current.unbind(0):
            mem = decay * mem + step
            membranes.append(mem)
        return torch.stack(membranes)


def architecture(config: AuNetworkConfig) -> dict[str, object]:
    """What model.json stores to build the network again."""
    return {"name": "au_snn", **dataclasses.asdict(config)}


def _map_sizes(size: tuple[int, int]) -> list[tuple[int, int]]:
    sizes = []
    for kernel, stride, padding in zip(_KERNELS, _STRIDES, _PADDINGS, strict=True):
        height, width = ((side + 2 * padding - kernel) // stride + 1 for side in size)
        size = (height, width)
        sizes.append(size)
    return sizes


def _leaky(shape: tuple[int, ...], reset: str) -> snntorch.Leaky:
    # Time constants from half a step to eight, evenly spread in their logarithm.
    taus = torch.logspace(math.log10(0.5), math.log10(8.0), shape[0])
    beta = torch.exp(-1.0 / taus).reshape(shape)
    return snntorch.Leaky(
        beta=beta,
        learn_beta=True,
        threshold=torch.ones(shape),
        learn_threshold=reset != "none",
        reset_mechanism=reset,
        spike_grad=surrogate.fast_sigmoid(slope=float(SLOPE)),
    )


def _latest_mean(values: Tensor, count: int) -> Tensor:
    """Mean of each row of `values (T, ...)` and the `count` - 1 before it; zeros precede them."""
    padded = torch.cat([values.new_zeros(count - 1, *values.shape[1:]), values])
    return torch.stack([padded[k : k + len(values)] for k in range(count)], -1).mean(-1)


def _fold(linear: Any, norm: Any) -> None:
    """In float64: roots in float32 differ between processors, and so would weights on the grid."""
    scale = norm.weight.double() / torch.sqrt(norm.running_var.double() + norm.eps)
    weight = linear.weight.double() * scale.reshape(-1, *[1] * (linear.weight.dim() - 1))
    linear.weight.copy_(weight)
    shifted = (linear.bias.double() - norm.running_mean.double()) * scale
    linear.bias.copy_(shifted + norm.bias.double())


def _snap(linear: Any, input_limit: float) -> None:
    """Round weights to the finest grid on which no sum can exceed 2**24 units."""
    largest = (linear.weight.abs().flatten(1).sum(1) * input_limit + linear.bias.abs()).max()
    bits = min(EXACT_BITS - 1 - math.ceil(math.log2(max(float(largest), 1e-6))), 16)
    for values in (linear.weight, linear.bias):
        values.copy_(torch.round(values * 2.0**bits) / 2.0**bits)
