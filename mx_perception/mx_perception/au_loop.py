"""The loop that trains the Action Unit network: its settings, one pass, and the loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from mx_capture.config import Config, setting
from mx_capture.errors import MxError
from torch import Tensor
from torch.nn import functional

from mx_perception.clips import clip_logits, settled_batch
from mx_perception.networks.snn import HIGHEST_RATE, AuNetwork
from mx_perception.sequences import FaceSequence
from mx_perception.views import AugmentConfig
from mx_perception.windows import NO_CLASS, WARM_UP, Batch, Window, clip_windows


@dataclass(frozen=True)
class TrainAuConfig(Config):
    """The training loop."""

    people: int = setting(
        0, "Sketched people to train on beside those of the data set", minimum=0, maximum=500_000
    )
    leave_out: str = setting(
        "", "Kinds of sessions never to train on, such as 'sensor=640x480 threshold=0.24:'"
    )
    epochs: int = setting(30, "Passes over the training windows", minimum=1)
    patience: int = setting(
        10, "Epochs without a lower loss on the validation subjects before it stops", minimum=1
    )
    neutral_minutes: int = setting(
        30, "Sketched minutes without expressions to choose the thresholds by; 0: none", minimum=0
    )
    validation: float = setting(
        0.06, "Share of the training subjects to choose the best epoch by", minimum=0, maximum=0.5
    )
    batch: int = setting(32, "Windows in a batch", minimum=1)
    hops: int = setting(64, "Hops in a window", minimum=4)
    warm_up: int = setting(WARM_UP, "Hops before a window that settle the membranes", minimum=0)
    at_rest: float = setting(
        0.7,
        "Share of the epochs, the first ones, whose windows begin at rest: as no stream does, but "
        "they train in 0.6 of the time; none with --start-from",
        minimum=0,
        maximum=1,
    )
    neutral: float = setting(0.15, "Neutral windows per expression", minimum=0.01)
    learning_rate: float = setting(3e-3, "Peak of the one-cycle schedule", minimum=1e-6)
    weight_decay: float = setting(1e-2, "Of AdamW", minimum=0)
    score_weight: float = setting(0.5, "Weight of the scores beside the clip's class", minimum=0)
    rate_weight: float = setting(0.1, "Weight of the penalty on firing above 15%", minimum=0)
    seed: int = setting(0, "Of weights, windows and augmentation", minimum=0)
    device: str = setting("cpu", "Device of torch that trains, such as cuda")

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            torch.empty(1, device=self.device)
        except (RuntimeError, AssertionError) as error:
            reason = str(error).splitlines()[0]
            raise MxError(f"--device {self.device} cannot be used here: {reason}") from error


class AuTrainer:
    """Trains `network`, epoch by epoch; the same seed and epoch give the same pass."""

    def __init__(
        self,
        network: AuNetwork,
        config: TrainAuConfig,
        augment: AugmentConfig,
        windows: int,
        settled: bool = False,
    ) -> None:
        """For about `windows` in an epoch. A `settled` network knows the stream already."""
        self.network, self.config, self.augment = network.to(config.device), config, augment
        self.first_settled = min(round(config.at_rest * config.epochs), config.epochs - 1)
        """The epoch from which on windows follow a warm-up."""
        if settled:
            self.first_settled = 0
        matrices = [p for p in network.parameters() if p.dim() > 1 and p.shape[-1] > 1]
        rest = [p for p in network.parameters() if not (p.dim() > 1 and p.shape[-1] > 1)]
        groups = [
            {"params": matrices, "weight_decay": config.weight_decay},
            {"params": rest, "weight_decay": 0.0},
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=config.learning_rate)
        self.schedule = torch.optim.lr_scheduler.OneCycleLR(
            self.optimizer,
            config.learning_rate,
            total_steps=config.epochs * -(-windows // config.batch) + 10,
            pct_start=0.2,
        )

    def train(self, sequences: Sequence[FaceSequence], epoch: int) -> float:
        """One pass. Returns the mean loss; raises MxError when one is not finite."""
        config = self.config
        rng = np.random.default_rng((config.seed, epoch))
        torch.manual_seed(int(rng.integers(2**31)))
        windows = clip_windows(sequences, config.hops, rng, config.neutral)
        order = rng.permutation(len(windows))
        warm_up = self._warm_up(epoch)
        self.network.train()
        losses = []
        for begin in range(0, len(windows), config.batch):
            part = [windows[i] for i in order[begin : begin + config.batch]]
            batch = settled_batch(
                self.network, sequences, part, config.hops, rng, self.augment, warm_up
            )
            phase = int(rng.integers(self.network.config.phases))
            loss = clip_loss(self.network, batch, config, warm_up, phase)
            if not torch.isfinite(loss):
                raise MxError(
                    f"the loss became {loss.item()} in epoch {epoch + 1}; lower --learning-rate "
                    f"({config.learning_rate}) or look for broken sessions"
                )
            self.optimizer.zero_grad(set_to_none=True)
            loss.backward()
            torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
            self.optimizer.step()
            self.schedule.step()
            losses.append(loss.item())
        self.network.eval()
        return float(np.mean(losses))

    def validate(
        self, sequences: Sequence[FaceSequence], windows: Sequence[Window], epoch: int
    ) -> float:
        """Mean loss over windows as they are stored, begun as in that epoch."""
        losses, warm_up = [], self._warm_up(epoch)
        for begin in range(0, len(windows), self.config.batch):
            part = windows[begin : begin + self.config.batch]
            batch = settled_batch(self.network, sequences, part, self.config.hops, warm_up=warm_up)
            with torch.no_grad():
                loss = clip_loss(self.network, batch, self.config, warm_up)
            losses.append(len(part) * loss.item())
        return sum(losses) / len(windows)

    def _warm_up(self, epoch: int) -> int:
        return self.config.warm_up if epoch >= self.first_settled else 0


def clip_loss(
    network: AuNetwork,
    batch: Batch,
    config: TrainAuConfig,
    warm_up: int,
    phase: int | None = None,
) -> Tensor:
    """Of a batch that begins with `warm_up` hops which do not count; of one phase, or of all."""
    device = network.score_head.weight.device
    # Roots of counts and spikes are exact in bfloat16, and its convolutions take a third of the
    # time; but on maps of 4x4 and less oneDNN's backward pass takes seconds.
    half = min(network.map_sizes[-1]) >= 8
    every = network.config.phases
    settled = warm_up if phase is None else len(range(phase, warm_up, every))
    with torch.autocast(device.type, dtype=torch.bfloat16, enabled=half):
        logits, evidence, rates = network.forward_clip(
            torch.from_numpy(batch.x).to(device), phase, 0 if phase is None else settled
        )
    batch = (batch if phase is None else batch.every(phase, every)).after(settled)
    logits, evidence = logits[settled:].float(), evidence[settled:].float()
    activity = torch.from_numpy(batch.activity).to(device)
    loss = (
        config.score_weight
        * functional.binary_cross_entropy_with_logits(logits, activity)
        * activity.shape[2]
    )
    loss = loss + config.rate_weight * functional.relu(rates - HIGHEST_RATE).sum()
    if (batch.classes != NO_CLASS).any():
        loss = loss + functional.cross_entropy(
            clip_logits(evidence, batch),
            torch.from_numpy(batch.classes).to(device),
            ignore_index=NO_CLASS,
            label_smoothing=0.05,
        )
    return loss
