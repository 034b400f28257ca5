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
def _forward(current, beta, threshold, mem, spk, fired):  # type: ignore[no-untyped-def]
    bins, cells, channels = current.shape
    blocks = (cells + BLOCK - 1) // BLOCK
    one = 0x3F80 if spk.itemsize == 2 else 1
    for block in prange(blocks):
        row = np.empty(channels, np.float32)
        for t in range(bins):
            for cell in range(block * BLOCK, min((block + 1) * BLOCK, cells)):
                _read(current[t, cell], row)
                for c in range(channels):
                    value = row[c]
                    if t > 0:
                        before = mem[t - 1, cell, c]
                        value = beta[c] * before + value
                        value -= threshold[c] if before > threshold[c] else np.float32(0)
                    mem[t, cell, c] = value
                    spk[t, cell, c] = one if value > threshold[c] else 0
                    fired[block, c] += np.float32(1) if value > threshold[c] else np.float32(0)


@njit(cache=True, parallel=True, error_model="numpy")
def _backward(grad_spk, grad_each, mem, beta, threshold, grad_current, grad_beta, grad_threshold):  # type: ignore[no-untyped-def]
    bins, cells, channels = mem.shape
    blocks = (cells + BLOCK - 1) // BLOCK
    for block in prange(blocks):
        first, last = block * BLOCK, min((block + 1) * BLOCK, cells)
        row = np.empty(channels, np.float32)
        later = np.zeros((BLOCK, channels), np.float32)
        for t in range(bins - 1, -1, -1):
            for cell in range(first, last):
                _read(grad_spk[t, cell], row)
                after = later[cell - first]
                for c in range(channels):
                    slope = SLOPE * abs(mem[t, cell, c] - threshold[c]) + np.float32(1)
                    through = (row[c] + grad_each) / (slope * slope)
                    grad = after[c] * beta[c] + through
                    after[c] = grad
                    before = mem[t - 1, cell, c] if t > 0 else np.float32(0)
                    grad_beta[block, c] += grad * before
                    reset = np.float32(1) if before > threshold[c] else np.float32(0)
                    grad_threshold[block, c] -= through + grad * reset
                _write(after, grad_current[t, cell])


@njit(cache=True, error_model="numpy")
def _read(stored, row):  # type: ignore[no-untyped-def]
    """float32 values of `stored`: float32, or the bits of bfloat16, the upper half of a float."""
    bits = row.view(np.uint32)
    for c in range(len(row)):
        if stored.itemsize == 2:
            bits[c] = np.uint32(stored[c]) << np.uint32(16)
        else:
            row[c] = stored[c]


@njit(cache=True, error_model="numpy")
def _write(row, stored):  # type: ignore[no-untyped-def]
    """The reverse of `_read`; bfloat16 is rounded to the nearest, ties to even."""
    bits = row.view(np.uint32)
    for c in range(len(row)):
        if stored.itemsize == 2:
            odd = (bits[c] >> np.uint32(16)) & np.uint32(1)
            stored[c] = (bits[c] + np.uint32(0x7FFF) + odd) >> np.uint32(16)
        else:
            stored[c] = row[c]


def _memory(values: Tensor) -> np.ndarray:
    """The array behind a tensor, bfloat16 as its bits."""
    half = values.dtype == torch.bfloat16
    array: np.ndarray = values.view(torch.uint16).numpy() if half else values.numpy()
    return array


class LeakyClip(torch.autograd.Function):
    """`current (T, cells, C)`, `beta (C,)`, `threshold (C,)` -> spikes alike, and their mean."""

    @staticmethod
    def forward(
        ctx: Any, current: Tensor, beta: Tensor, threshold: Tensor
    ) -> tuple[Tensor, Tensor]:
        values = current.detach().contiguous()
        mem, spk = torch.empty(values.shape), torch.empty_like(values)
        decay = beta.detach().clamp(0.0, 1.0).contiguous()
        limit = threshold.detach().contiguous()
        fired = torch.zeros(_blocks(values), values.shape[2])
        _forward(*(_memory(v) for v in (values, decay, limit, mem, spk, fired)))
        ctx.save_for_backward(mem, decay, limit, beta)
        return spk, fired.sum() / spk.numel()

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        mem, decay, limit, beta = ctx.saved_tensors
        grad_spk = grad_outputs[0].contiguous()
        grad_each = np.float32(grad_outputs[1].item() / mem.numel())
        grad_current = torch.empty_like(grad_spk)
        sums = torch.zeros(2, _blocks(mem), mem.shape[2])
        rest = (_memory(v) for v in (mem, decay, limit, grad_current, sums[0], sums[1]))
        _backward(_memory(grad_spk), grad_each, *rest)
        inside = (beta >= 0.0) & (beta <= 1.0)
        return grad_current, sums[0].sum(0) * inside, sums[1].sum(0)


def leaky_clip(
    current: Tensor, bins: int, beta: Tensor, threshold: Tensor
) -> tuple[Tensor, Tensor]:
    """Spikes of `current (T * B, C, h, w)` or `(T * B, C)`, from rest, and their mean.

    `current` is float32 or bfloat16, and spikes are like it. Fastest with `channels_last` memory,
    which it keeps.
    """
    last = current.permute(0, 2, 3, 1) if current.dim() == 4 else current
    cells = last.reshape(bins, -1, last.shape[-1])
    spikes, rate = LeakyClip.apply(cells, beta.reshape(-1), threshold.reshape(-1))
    spikes = spikes.reshape(last.shape)
    return (spikes.permute(0, 3, 1, 2) if current.dim() == 4 else spikes), rate


def _blocks(values: Tensor) -> int:
    return -(-values.shape[1] // BLOCK)
