"""Attention and rotary positions as loops, in float64."""

from __future__ import annotations

import cmath
import math

import numpy as np

from embedx.ops import Array


def heads_of(x: Array, heads: int) -> Array:
    """(batch, length, heads * size) as (batch, heads, length, size), by slices."""
    size = x.shape[-1] // heads
    parts = [x[..., n * size : (n + 1) * size] for n in range(heads)]
    return np.stack(parts, axis=1).astype(np.float64)


def in_a_row(x: Array) -> Array:
    """The heads of (batch, heads, length, size) side by side."""
    return np.concatenate(list(x.swapaxes(0, 1)), axis=-1)


def attend(q: Array, k: Array, v: Array, bias: Array, scale: float | None = None) -> Array:
    """One query after the other; ``bias`` is -inf where a query must not look."""
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    bias = np.broadcast_to(bias, (*q.shape[:3], k.shape[2]))
    y = np.zeros((*q.shape[:3], v.shape[-1]))
    for b, n, i in np.ndindex(*q.shape[:3]):
        scores = [float(q[b, n, i] @ key) * scale for key in k[b, n]]
        scores = [s + float(e) for s, e in zip(scores, bias[b, n, i], strict=True)]
        weights = [math.exp(s - max(scores)) for s in scores]
        for weight, value in zip(weights, v[b, n], strict=True):
            y[b, n, i] += weight / sum(weights) * value
    return y


def turned(x: Array, angles: Array, interleaved: bool = False) -> Array:
    """One vector with its pairs turned, as complex numbers; what has no angle stays."""
    y, pairs = x.astype(np.float64), len(angles)
    for p, angle in enumerate(angles):
        i, j = (2 * p, 2 * p + 1) if interleaved else (p, p + pairs)
        z = complex(x[i], x[j]) * cmath.exp(1j * float(angle))
        y[i], y[j] = z.real, z.imag
    return y
