"""Formulas of Fourier transforms and window functions; conventions as in formulas.py."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from formulas import Array, Formula
from mpmath import mp, mpc, mpf


def dft(
    x: Array, length: Array | None = None, axis_input: Array | None = None, *,
    axis: int | None = None, inverse: int, onesided: int,
) -> Any:  # fmt: skip
    if axis is None:
        axis = -2 if axis_input is None else int(axis_input.item())
    signal = np.moveaxis(as_complex(x), axis % x.ndim, -1)
    count = signal.shape[-1] if length is None else int(length.item())
    bins = range(count // 2 + 1 if onesided and not inverse else count)
    spectrum = transformed(resized(signal, count), bins, inverse)
    return as_pairs(np.moveaxis(spectrum, -1, axis % x.ndim))


def stft(
    x: Array, step: Array, window: Array | None = None, length: Array | None = None, *,
    onesided: int,
) -> Any:  # fmt: skip
    signal = as_complex(x)
    size = len(window) if window is not None else int(length.item()) if length is not None else 0
    begins = range(0, signal.shape[1] - size + 1, int(step.item()))
    frames = np.stack([signal[:, begin : begin + size] for begin in begins], axis=1)
    frames = frames if window is None else frames * window
    return as_pairs(transformed(frames, range(size // 2 + 1 if onesided else size), 0))


def as_complex(x: Array) -> Array:
    """The last axis holds real numbers, or their real and imaginary parts."""
    return x[..., 0] + (x[..., 1] * mpc(0, 1) if x.shape[-1] == 2 else 0)


def as_pairs(x: Array) -> Array:
    part = np.frompyfunc(lambda v: mpc(v).real, 1, 1), np.frompyfunc(lambda v: mpc(v).imag, 1, 1)
    return np.stack([part[0](x), part[1](x)], axis=-1)


def resized(x: Array, count: int) -> Array:
    missing = max(count - x.shape[-1], 0)
    padded = np.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, missing)], constant_values=0)
    return padded[..., :count]


def transformed(x: Array, bins: range, inverse: int) -> Array:
    count, sign = x.shape[-1], 1 if inverse else -1
    # In multiples of pi the sines and cosines of quarter turns are exact.
    turns = [mp.expjpi(mpf(2 * sign * n) / count) for n in range(count)]
    table = np.array([[turns[k * n % count] for k in bins] for n in range(count)], object)
    return x @ table / (count if inverse else 1)


def window(*weights: Any) -> Formula:
    """A sum of cosines with these weights."""

    def formula(size: Array, *, output_datatype: int, periodic: int) -> Any:
        count = int(size.item())
        turn = 2 * mp.pi / (count if periodic else count - 1)
        return np.array([cosines(weights, turn * n) for n in range(count)], object)

    return formula


def cosines(weights: Sequence[Any], angle: Any) -> Any:
    return sum(weight * mp.cos(i * angle) for i, weight in enumerate(weights))


SIGNAL_FORMULAS: dict[str, Formula] = {
    "BlackmanWindow": window(mpf("0.42"), mpf("-0.5"), mpf("0.08")),
    "DFT": dft,
    "HammingWindow": window(mpf(25) / 46, mpf(-21) / 46),
    "HannWindow": window(mpf("0.5"), mpf("-0.5")),
    "STFT": stft,
}

SIGNAL_TYPES: dict[str, tuple[str | None, ...]] = dict.fromkeys(
    ("BlackmanWindow", "HammingWindow", "HannWindow"), ("float32",)
)
"""What comes out, at the default of ``output_datatype``."""
