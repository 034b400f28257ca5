"""Scores that mean a probability: Platt's scaling (1999), one line per Action Unit."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

from mx_perception.clips import outputs
from mx_perception.metrics import calibration_error
from mx_perception.networks.snn import AuNetwork
from mx_perception.sequences import FaceSequence
from mx_perception.windows import Window


def calibrate(
    network: AuNetwork, sequences: Sequence[FaceSequence], windows: Sequence[Window], hops: int
) -> dict[str, float]:
    """Scale and shift the scores of `network` to be right on average over `windows`.

    Returns the expected calibration error before and after. Units that are never active in
    `windows` stay as they are.
    """
    rows = [
        (logits.flatten(0, 1), torch.from_numpy(batch.activity).flatten(0, 1))
        for batch, logits, _ in outputs(network.deployed(), sequences, windows, hops)
    ]
    logits, active = (torch.cat(parts) for parts in zip(*rows, strict=True))
    scale = torch.ones(logits.shape[1], requires_grad=True)
    shift = torch.zeros(logits.shape[1], requires_grad=True)
    optimizer = torch.optim.LBFGS([scale, shift], max_iter=100, line_search_fn="strong_wolfe")
    seen = active.any(0)

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = functional.binary_cross_entropy_with_logits(
            (logits * scale + shift)[:, seen], active[:, seen]
        )
        loss.backward()
        return loss

    optimizer.step(closure)  # type: ignore[arg-type]
    with torch.no_grad():
        before = calibration_error(torch.sigmoid(logits).numpy(), active.numpy())
        after = calibration_error(torch.sigmoid(logits * scale + shift).numpy(), active.numpy())
        network.score_head.weight.mul_(scale[:, None])
        network.score_head.bias.mul_(scale).add_(shift)
    return {"before": before, "after": after}
