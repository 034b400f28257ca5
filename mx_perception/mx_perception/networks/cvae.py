"""Conditional VAE (U-Net): the face at the end of a window, from a key frame and the events since.

The network does not paint a face: it predicts a gain and a residual on the key frame, so that
before training it returns the key frame, and a scale of the error per pixel (`uncertainty`).
The latent `z` has a learned prior p(z | events, key) and, in training, a posterior
q(z | events, key, target) (Sohn et al. 2015). At run time z is the mean of the prior.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

import torch
from mx_capture.config import Config, setting
from torch import Tensor, nn
from torch.nn import functional

LOG_SCALE_LIMITS = (-6.0, 0.0)


@dataclass(frozen=True)
class CvaeConfig(Config):
    """Shape of the network; stored in model.json."""

    height: int = setting(128, "Height of the crop in pixels", minimum=32)
    width: int = setting(128, "Width of the crop in pixels", minimum=32)
    colours: int = setting(1, "1 for grey, 3 for RGB", minimum=1, maximum=3)
    bins: int = setting(5, "Time bins between the key frame and the frame", minimum=1)
    polarities: int = setting(2, "Polarity channels", minimum=2, maximum=2)
    channels: int = setting(16, "Channels of the first level; deeper ones have more", minimum=4)
    latent: int = setting(64, "Size of the latent vector", minimum=1)
    count_limit: int = setting(15, "Counts above this are cut", minimum=1)
    use_events: bool = setting(True, "False trains the baseline without events")
    use_key: bool = setting(True, "False trains the baseline without a key frame")


class CvaeOutput(NamedTuple):
    """`mean` (F, C, H, W) in 0..1, `log_scale` (F, 1, H, W), `kl` (F,) in nats."""

    mean: Tensor
    log_scale: Tensor
    kl: Tensor


class Cvae(nn.Module):
    """`events (F, T, P, H, W)` counts and `key (F, C, H, W)` in 0..1 -> CvaeOutput."""

    def __init__(self, config: CvaeConfig) -> None:
        super().__init__()
        self.config = config
        c = config.channels
        widths = (c, 2 * c, 3 * c, 4 * c)
        inputs = config.bins * config.polarities + 1 + config.colours
        # The first level works at half the resolution: four times less work.
        self.encoder = nn.ModuleList([_block(inputs, c, 2)])
        for i in range(3):
            self.encoder.append(_block(widths[i], widths[i + 1], 2))
        self.target_encoder = nn.Sequential(
            _block(config.colours, c, 2), _block(c, 2 * c, 2), _block(2 * c, 3 * c, 2)
        )
        self.prior = nn.Linear(widths[3], 2 * config.latent)
        self.posterior = nn.Linear(widths[3] + 3 * c, 2 * config.latent)
        self.latent = nn.Linear(config.latent, widths[3])
        self.decoder = nn.ModuleList(
            _block(widths[i + 1] + widths[i], widths[i], 1) for i in (2, 1, 0)
        )
        self.out = nn.Conv2d(c, 4 * (2 * config.colours + 1), 3, padding=1)
        for parameter in self.out.parameters():
            nn.init.zeros_(parameter)

    def forward(
        self, events: Tensor, key: Tensor, target: Tensor | None = None, sample: bool = False
    ) -> CvaeOutput:
        """With a target (0..1, like key) z is drawn from the posterior, else from the prior.

        Without a target and without `sample`, z is the mean of the prior and kl is 0.
        """
        skips = self._encode(events, key)
        pooled = skips[-1].mean((2, 3))
        prior_mean, prior_log_std = self.prior(pooled).chunk(2, 1)
        if target is not None:
            seen = self.target_encoder(target).mean((2, 3))
            mean, log_std = self.posterior(torch.cat([pooled, seen], 1)).chunk(2, 1)
            z = mean + torch.randn_like(mean) * log_std.exp()
            kl = _kl(mean, log_std, prior_mean, prior_log_std)
        else:
            z, kl = prior_mean, prior_mean.new_zeros(prior_mean.shape[0])
            if sample:
                z = z + torch.randn_like(z) * prior_log_std.exp()
        return self._decode(skips, z, key, kl)

    def _encode(self, events: Tensor, key: Tensor) -> list[Tensor]:
        counts = events.float().clamp(max=self.config.count_limit)
        signed = (counts[:, :, 1:2] - counts[:, :, 0:1]).sum(1)
        x = torch.cat([counts.flatten(1, 2), signed], 1) * 0.2
        if not self.config.use_events:
            x = x * 0.0
        picture = key if self.config.use_key else key * 0.0
        x = torch.cat([x, picture], 1)
        skips = []
        for block in self.encoder:
            x = block(x)
            skips.append(x)
        return skips

    def _decode(self, skips: list[Tensor], z: Tensor, key: Tensor, kl: Tensor) -> CvaeOutput:
        x = skips[-1] + self.latent(z)[:, :, None, None]
        for block, skip in zip(self.decoder, reversed(skips[:-1]), strict=True):
            x = functional.interpolate(x, scale_factor=2.0, mode="nearest")
            x = block(torch.cat([x, skip], 1))
        maps = functional.pixel_shuffle(self.out(x), 2)
        gain, residual, log_scale = maps.split([self.config.colours] * 2 + [1], 1)
        # Without a key frame there is nothing to start from but mid grey.
        start = key if self.config.use_key else torch.full_like(key, 0.5)
        mean = (start * torch.exp(gain.clamp(-3.0, 3.0)) + residual).clamp(0.0, 1.0)
        return CvaeOutput(mean, (log_scale - 3.0).clamp(*LOG_SCALE_LIMITS), kl)


class Reconstruct(nn.Module):
    """What is exported: uint8 in, `frame (F, C, H, W) uint8` and `uncertainty (F, 1, H, W)` out.

    The uncertainty is the expected absolute error, as a share of full scale (0..1).
    """

    def __init__(self, network: Cvae) -> None:
        super().__init__()
        self.network = network

    def forward(self, events: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        output = self.network(events, key.float() / 255.0)
        frame = torch.round(output.mean * 255.0).to(torch.uint8)
        return frame, output.log_scale.exp()


def architecture(config: CvaeConfig) -> dict[str, object]:
    """What model.json stores to build the network again."""
    return {"name": "cvae", **dataclasses.asdict(config)}


def _block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 2 + stride, stride=stride, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


def _kl(mean: Tensor, log_std: Tensor, prior_mean: Tensor, prior_log_std: Tensor) -> Tensor:
    ratio = (log_std - prior_log_std).exp()
    moved = ((mean - prior_mean) / prior_log_std.exp()) ** 2
    return (prior_log_std - log_std + 0.5 * (ratio**2 + moved - 1.0)).sum(1)
