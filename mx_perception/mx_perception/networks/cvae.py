"""Conditional VAE (U-Net): the face at the end of a window, from a key frame and the events since.

The network does not paint a face. It moves the key frame along a flow, changes its brightness by
the events (log intensity, as the sensor counts it, with a step that it estimates) and by a gain,
and adds a residual: before training it returns the key frame. It also gives the scale of its
error per pixel (`uncertainty`). The latent `z` has a learned prior p(z | events, key) and, in
training, a posterior q(z | events, key, target) (Sohn et al. 2015). At run time z is the mean of
the prior.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import NamedTuple

import torch
from mx_capture.config import Config, setting
from mx_capture.errors import MxError
from torch import Tensor, nn
from torch.nn import functional

LOG_SCALE_LIMITS = (-6.0, 0.0)
FARTHEST_PX = 12.0
"""That the flow reaches."""
_COUNT_SCALE = 0.2
_LOCAL = 16
"""Channels of what pixels and their neighbours tell, kept for the end."""


@dataclass(frozen=True)
class CvaeConfig(Config):
    """Shape of the network; stored in model.json."""

    height: int = setting(128, "Height of the crop in pixels", minimum=32)
    width: int = setting(128, "Width of the crop in pixels", minimum=32)
    colours: int = setting(1, "1 for grey, 3 for RGB", minimum=1, maximum=3)
    bins: int = setting(5, "Time bins between the key frame and the frame", minimum=1)
    polarities: int = setting(2, "Polarity channels", minimum=2, maximum=2)
    channels: int = setting(16, "Channels of the first level; deeper ones have more", minimum=4)
    latent: int = setting(32, "Size of the latent vector", minimum=1)
    count_limit: int = setting(15, "Counts above this are cut", minimum=1)
    use_events: bool = setting(True, "False trains the baseline without events")
    use_key: bool = setting(True, "False trains the baseline without a key frame")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.height % 16 or self.width % 16:
            raise MxError(f"crop {self.width}x{self.height} is no multiple of 16; take 64 or 128")
        if self.colours == 2:
            raise MxError("colours=2 is neither grey (1) nor RGB (3)")

    @property
    def name(self) -> str:
        """What tells pairs of frames made for it from others."""
        return f"{self.height}x{self.width}x{self.colours}x{self.bins}"


class CvaeOutput(NamedTuple):
    """`mean` (F, C, H, W) in 0..1, `log_scale` (F, 1, H, W), `kl` (F,) in nats."""

    mean: Tensor
    log_scale: Tensor
    kl: Tensor


class Cvae(nn.Module):
    """`events (F, T, P, H, W)` counts and `key (F, C, H, W)` in 0..1 -> CvaeOutput.

    H and W may be any multiple of 16: training looks at parts of the crop.
    """

    def __init__(self, config: CvaeConfig) -> None:
        super().__init__()
        self.config = config
        c, colours = config.channels, config.colours
        widths = (c, 2 * c, 4 * c, 6 * c)
        inputs = config.bins * config.polarities + 2 * colours
        # Everything works at half the resolution or less, also what is about single pixels: four
        # of them make a place (pixel_shuffle). Few channels at full resolution cost as much as 16.
        self.first = nn.Conv2d(inputs, c + _LOCAL, 4, stride=2, padding=1)
        self.encoder = nn.ModuleList([_after(c)])
        for i in range(3):
            self.encoder.append(_block(widths[i], widths[i + 1], 2))
        self.target_encoder = nn.Sequential(
            _block(2 * colours, c, 2), _block(c, 2 * c, 2), _block(2 * c, 3 * c, 2)
        )
        self.prior = nn.Linear(widths[3], 2 * config.latent)
        self.posterior = nn.Linear(widths[3] + 3 * c, 2 * config.latent)
        self.latent = nn.Linear(config.latent, widths[3])
        self.step = nn.Linear(widths[3], config.bins * config.polarities)
        nn.init.constant_(self.step.bias, -2.0)
        self.weight = nn.Linear(widths[3], _LOCAL)
        # What comes from below is added to what was seen on the way down: concatenated, the
        # convolutions would cost twice as much.
        self.rise = nn.ModuleList(nn.Conv2d(widths[i + 1], widths[i], 1) for i in (2, 1, 0))
        self.decoder = nn.ModuleList(_block(widths[i], widths[i], 1) for i in (2, 1, 0))
        self.flow = nn.Conv2d(2 * c, 2, 3, padding=1)
        self.maps = nn.Conv2d(c + _LOCAL, 4 * (2 * colours + 2), 1)
        self.refine = nn.Sequential(
            nn.Conv2d(4 * (2 * colours + 1) + _LOCAL, 16, 3, padding=1), nn.ReLU()
        )
        self.correction = nn.Conv2d(16, 4 * colours, 3, padding=1)
        for layer in (self.flow, self.maps, self.correction):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)  # type: ignore[arg-type]

    def forward(
        self, events: Tensor, key: Tensor, target: Tensor | None = None, sample: bool = False
    ) -> CvaeOutput:
        """With a target (0..1, like key) z is drawn from the posterior, else from the prior.

        Without a target and without `sample`, z is the mean of the prior and kl is 0.
        """
        counts = events.float().clamp(max=self.config.count_limit) * float(self.config.use_events)
        # Without a key frame there is nothing to start from but mid grey.
        start = key if self.config.use_key else torch.full_like(key, 0.5)
        skips, local = self._encode(counts, start)
        pooled = skips[-1].mean((2, 3))
        prior_mean, prior_log_std = self.prior(pooled).chunk(2, 1)
        if target is not None:
            seen = self.target_encoder(_both_scales(target)).mean((2, 3))
            mean, log_std = self.posterior(torch.cat([pooled, seen], 1)).chunk(2, 1)
            z = mean + torch.randn_like(mean) * log_std.exp()
            kl = _kl(mean.float(), log_std.float(), prior_mean.float(), prior_log_std.float())
        else:
            z, kl = prior_mean, prior_mean.new_zeros(prior_mean.shape[0])
            if sample:
                z = z + torch.randn_like(z) * prior_log_std.exp()
        return self._decode(skips, local, self.latent(z), counts, start, kl)

    def _encode(self, counts: Tensor, start: Tensor) -> tuple[list[Tensor], Tensor]:
        x = torch.cat([counts.flatten(1, 2) * _COUNT_SCALE, _both_scales(start)], 1)
        x, local = self.first(x).split([self.config.channels, _LOCAL], 1)
        skips = []
        for block in self.encoder:
            x = block(x)
            skips.append(x)
        return skips, local

    def _decode(
        self,
        skips: list[Tensor],
        local: Tensor,
        told: Tensor,
        counts: Tensor,
        start: Tensor,
        kl: Tensor,
    ) -> CvaeOutput:
        x = skips[-1] + told[:, :, None, None]
        seen = x.mean((2, 3))
        change = functional.pixel_unshuffle(self._integrated(counts, seen), 2)
        local = local * (1 + self.weight(seen)[:, :, None, None])
        levels = [x]
        for rise, block, skip in zip(self.rise, self.decoder, reversed(skips[:-1]), strict=True):
            x = functional.interpolate(rise(x), scale_factor=2.0, mode="nearest")
            levels.append(x := block(x + skip))
        moved = functional.pixel_unshuffle(_moved(start, self.flow(levels[-2]).float()), 2)
        four = 4 * self.config.colours
        maps = self.maps(torch.cat([x, local], 1)).float()
        gain, residual, share, log_scale = maps.split([four, four, 4, 4], 1)
        log_change = (share * change).repeat(1, self.config.colours, 1, 1) + gain
        mean = moved * torch.exp(log_change.clamp(-3.0, 4.0)) + residual
        mean = mean + self.correction(self.refine(torch.cat([moved, mean, change, local], 1)))
        mean = functional.pixel_shuffle(mean.float(), 2).clamp(0.0, 1.0)
        log_scale = functional.pixel_shuffle(log_scale, 2) - 3.0
        return CvaeOutput(mean, log_scale.clamp(*LOG_SCALE_LIMITS), kl)

    def _integrated(self, counts: Tensor, seen: Tensor) -> Tensor:
        """Change of log intensity that the events stand for, `(F, 1, H, W)`."""
        steps = functional.softplus(self.step(seen)).float()
        off, on = steps.reshape(-1, self.config.bins, self.config.polarities).unbind(2)
        signed = torch.stack([-off, on], 2).flatten(1)[:, None]
        # A product of matrices: five times faster than products and sums of planes.
        return (signed @ counts.flatten(1, 2).flatten(2)).unflatten(2, counts.shape[-2:])


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


def _both_scales(picture: Tensor) -> Tensor:
    """A picture 0..1 as it is, and logarithmic, where dark ones show something."""
    return torch.cat([picture, torch.log(picture + 0.01) * 0.25 + 0.5], 1)


def _moved(picture: Tensor, flow: Tensor) -> Tensor:
    """The picture along a flow of a quarter of its resolution; 1 stands for FARTHEST_PX."""
    height, width = picture.shape[2:]
    reach = flow.new_tensor([2 * FARTHEST_PX / width, 2 * FARTHEST_PX / height])
    flow = functional.interpolate(torch.tanh(flow), scale_factor=4.0, mode="bilinear")
    y = (torch.arange(height, device=flow.device) * 2 + 1) / height - 1
    x = (torch.arange(width, device=flow.device) * 2 + 1) / width - 1
    places = torch.stack([x.expand(height, width), y[:, None].expand(height, width)], 2)
    grid = places[None] + flow.permute(0, 2, 3, 1) * reach
    return functional.grid_sample(picture, grid, padding_mode="border", align_corners=False)


def _after(channels: int) -> nn.Sequential:
    """What follows the first convolution of a block."""
    return nn.Sequential(
        nn.BatchNorm2d(channels),
        nn.ReLU(),
        nn.Conv2d(channels, channels, 3, padding=1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    )


def _block(inputs: int, outputs: int, stride: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 2 + stride, stride=stride, padding=1, bias=False),
        *_after(outputs),
    )


def _kl(mean: Tensor, log_std: Tensor, prior_mean: Tensor, prior_log_std: Tensor) -> Tensor:
    ratio = (log_std - prior_log_std).exp()
    moved = ((mean - prior_mean) / prior_log_std.exp()) ** 2
    return (prior_log_std - log_std + 0.5 * (ratio**2 + moved - 1.0)).sum(1)
