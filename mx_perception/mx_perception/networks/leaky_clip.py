"""A snnTorch `Leaky` layer over a whole clip in one pass: for training on a CPU.

snnTorch builds about twenty small tensor operations per step and neuron layer; on a CPU they cost
more than the convolutions. These kernels compute the same membranes, spikes and gradients
(`fast_sigmoid`, reset by subtraction, one step late) while going through memory once. A test
compares both.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numba import njit, prange
from torch import Tensor

SLOPE = np.float32(4.0)
"""Of snnTorch's fast_sigmoid surrogate."""
BLOCK = 64
"""Cells that one thread takes through time together: they stay in its cache."""


@njit(cache=True, parallel=True, error_model="numpy")
def _forward(current, beta, threshold, mem, spk):  # type: ignore[no-untyped-def]
    bins, cells, channels = current.shape
    blocks = (cells + BLOCK - 1) // BLOCK
    for block in prange(blocks):
        first, last = block * BLOCK, min((block + 1) * BLOCK, cells)
        for t in range(bins):
            for cell in range(first, last):
                for c in range(channels):
                    value = current[t, cell, c]
                    if t > 0:
                        before = mem[t - 1, cell, c]
                        value = beta[c] * before + value
                        value -= threshold[c] if before > threshold[c] else np.float32(0)
                    mem[t, cell, c] = value
                    spk[t, cell, c] = np.float32(1) if value > threshold[c] else np.float32(0)


@njit(cache=True, parallel=True, error_model="numpy")
def _backward(grad_spk, mem, beta, threshold, grad_current, grad_beta, grad_threshold):  # type: ignore[no-untyped-def]
    bins, cells, channels = mem.shape
    blocks = (cells + BLOCK - 1) // BLOCK
    for block in prange(blocks):
        first, last = block * BLOCK, min((block + 1) * BLOCK, cells)
        for t in range(bins - 1, -1, -1):
            for cell in range(first, last):
                for c in range(channels):
                    slope = SLOPE * abs(mem[t, cell, c] - threshold[c]) + np.float32(1)
                    through = grad_spk[t, cell, c] / (slope * slope)
                    after = grad_current[t + 1, cell, c] if t < bins - 1 else np.float32(0)
                    grad = after * beta[c] + through
                    grad_current[t, cell, c] = grad
                    before = mem[t - 1, cell, c] if t > 0 else np.float32(0)
                    grad_beta[block, c] += grad * before
                    reset = np.float32(1) if before > threshold[c] else np.float32(0)
                    grad_threshold[block, c] -= through + grad * reset


class LeakyClip(torch.autograd.Function):
    """`current (T, cells, C)`, `beta (C,)`, `threshold (C,)` -> spikes `(T, cells, C)`."""

    @staticmethod
    def forward(ctx: Any, current: Tensor, beta: Tensor, threshold: Tensor) -> Tensor:
        values = current.detach().contiguous()
        mem, spk = torch.empty_like(values), torch.empty_like(values)
        decay = beta.detach().clamp(0.0, 1.0).contiguous()
        limit = threshold.detach().contiguous()
        _forward(values.numpy(), decay.numpy(), limit.numpy(), mem.numpy(), spk.numpy())
        ctx.save_for_backward(mem, decay, limit, beta)
        return spk

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mem, decay, limit, beta = ctx.saved_tensors
        grad_current = torch.empty_like(mem)
        sums = torch.zeros((2, -(-mem.shape[1] // BLOCK), mem.shape[2]))
        _backward(
            grad_outputs[0].contiguous().numpy(),
            *(value.numpy() for value in (mem, decay, limit, grad_current, sums[0], sums[1])),
        )
        inside = (beta >= 0.0) & (beta <= 1.0)
        return grad_current, sums[0].sum(0) * inside, sums[1].sum(0)


def leaky_clip(current: Tensor, bins: int, beta: Tensor, threshold: Tensor) -> Tensor:
    """Spikes of `current (T * B, C, h, w)` or `(T * B, C)` float32, of the same shape, from rest.

    Fastest with `channels_last` memory, which it keeps.
    """
    last = current.permute(0, 2, 3, 1) if current.dim() == 4 else current
    shape = last.shape
    cells = last.reshape(bins, -1, shape[-1])
    spikes = LeakyClip.apply(cells, beta.reshape(-1), threshold.reshape(-1)).reshape(shape)
    return spikes.permute(0, 3, 1, 2) if current.dim() == 4 else spikes
