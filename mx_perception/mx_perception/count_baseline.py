"""Event counts and logistic regression: what the spiking network has to beat."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from mx_perception.sequences import FaceSequence
from mx_perception.windows import NO_CLASS, Window, render

GRID, SLICES = 8, 4
_SIZE = 64


def baseline_guesses(
    train: tuple[Sequence[FaceSequence], Sequence[Window]],
    test: tuple[Sequence[FaceSequence], Sequence[Window]],
    hops: int,
    classes: int,
    seed: int = 0,
) -> np.ndarray:
    """Class indices `(N,)` of the test windows, by ridge-regularised multinomial regression."""
    torch.manual_seed(seed)
    kept = [window for window in train[1] if window.label != NO_CLASS]
    features = torch.from_numpy(clip_features(train[0], kept, hops))
    mean, deviation = features.mean(0), features.std(0) + 1e-3
    labels = torch.tensor([window.label for window in kept])
    model = nn.Linear(features.shape[1], classes)
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=200, line_search_fn="strong_wolfe")
    scaled = (features - mean) / deviation

    def closure() -> torch.Tensor:
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(scaled), labels) + 0.02 * model.weight.pow(2).sum()
        loss.backward()
        return loss

    optimizer.step(closure)  # type: ignore[arg-type]
    with torch.no_grad():
        tested = torch.from_numpy(clip_features(test[0], test[1], hops))
        return model((tested - mean) / deviation).argmax(1).numpy()


def clip_features(
    sequences: Sequence[FaceSequence], windows: Sequence[Window], hops: int
) -> np.ndarray:
    """`(N, SLICES * 2 * GRID * GRID) float32`: log counts per part of the clip and cell."""
    rows = []
    for window in windows:
        batch = render(sequences, [window], hops, (_SIZE, _SIZE))
        inside = np.nonzero(batch.weights[:, 0])[0]
        x = batch.x[:, 0].astype(np.float32)
        cells = x.reshape(hops, 2, GRID, _SIZE // GRID, GRID, _SIZE // GRID).sum((3, 5))
        rows.append(np.log1p([cells[part].sum(0) for part in np.array_split(inside, SLICES)]))
    return np.array(rows, np.float32).reshape(len(rows), -1)
