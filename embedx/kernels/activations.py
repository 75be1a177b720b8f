"""GELU and its kin in float32, block by block.

GELU is x / 2 * (1 + tanh(L(x) / 2)) with L(x) = log(Phi(x) / Phi(-x)), the log-odds of the normal
distribution. L is odd and smooth, and where it is large its error does not matter, so a polynomial
of degree 13 is enough: fitted to the smallest maximal error of GELU, it is off by at most 6.8e-8.
Erf(z) is tanh(L(z * sqrt(2)) / 2).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from embedx import ops
from embedx.kernels._blocks import over_rows, result_for, rows_of
from embedx.kernels._registry import replaces
from embedx.model.graph import Array

# The coefficients of x, x**3, ..., x**13.
_LOG_ODDS = (
    1.595768432234402, 0.07266856701356761, -6.625997438515397e-05, -0.00011048032120680345,
    7.938219525245813e-06, -2.668928568156962e-07, 3.6112336609341825e-09,
)  # fmt: skip
_HALF_LOG_ODDS = tuple(np.float32(c / 2) for c in _LOG_ODDS)
_HALF_LOG_ODDS_OF_ROOT = tuple(np.float32(c / 2 * 2 ** (i + 0.5)) for i, c in enumerate(_LOG_ODDS))
_TANH = tuple(np.float32(c * math.sqrt(2 / math.pi)) for c in (1.0, 0.044715))
_InPlace = Callable[[Array, Array, Array], None]
"""Works on a block, given two scratch blocks like it."""


def _odd_polynomial(
    y: Array, square: Array, out: Array, coefficients: tuple[np.float32, ...]
) -> None:
    np.multiply(y, y, out=square)
    np.multiply(square, coefficients[-1], out=out)
    for c in coefficients[-2:0:-1]:
        np.add(out, c, out=out)
        np.multiply(out, square, out=out)
    np.add(out, coefficients[0], out=out)
    np.multiply(out, y, out=out)


def _gated(y: Array, gate: Array) -> None:
    """``y / 2 * (1 + tanh(gate))``, in place."""
    np.tanh(gate, out=gate)
    np.add(gate, np.float32(1), out=gate)
    np.multiply(y, gate, out=y)
    np.multiply(y, np.float32(0.5), out=y)


def _gelu(y: Array, a: Array, b: Array) -> None:
    _odd_polynomial(y, a, b, _HALF_LOG_ODDS)
    _gated(y, b)


def _tanh_gelu(y: Array, a: Array, b: Array) -> None:
    _odd_polynomial(y, a, b, _TANH)
    _gated(y, b)


def _erf(y: Array, a: Array, b: Array) -> None:
    _odd_polynomial(y, a, b, _HALF_LOG_ODDS_OF_ROOT)
    np.tanh(b, out=y)


def _mapped(step: _InPlace, x: Array, out: Array | None, bias: Array | None = None) -> Array:
    y = result_for(x, out)
    source, target = rows_of(x), rows_of(y)

    def work(block: slice, a: Array, b: Array) -> None:
        part = target[block]
        if bias is not None:
            np.add(source[block], bias, out=part)
        elif y is not x:
            np.copyto(part, source[block])
        step(part, a, b)

    over_rows(work, *target.shape, scratch=2)
    return y


def _is_single(x: Array, bias: Array | None = None) -> bool:
    """Whether the fast formulas apply: float32, and a bias that is a row of it."""
    row = bias is None or (bias.dtype == np.float32 and bias.shape == x.shape[-1:])
    return x.dtype == np.float32 and x.ndim > 0 and row


@replaces(ops.gelu, overwrites=(0,), rows=(0,))
def gelu(x: Array, /, *, approximate: str = "none", out: Array | None = None) -> Array:
    """Gelu-20; within 3e-7 of the exact value, and within 2**-22 of it relatively above 1."""
    if not _is_single(x) or approximate not in ("none", "tanh"):
        return NotImplemented
    return _mapped(_tanh_gelu if approximate == "tanh" else _gelu, x, out)


@replaces(ops.microsoft.gelu, overwrites=(0,), rows=(0,))
def microsoft_gelu(x: Array, /, *, out: Array | None = None) -> Array:
    """com.microsoft.Gelu; as good as :func:`gelu`."""
    return gelu(x, out=out)


@replaces(ops.microsoft.bias_gelu, overwrites=(0,), rows=(0,))
def bias_gelu(a: Array, b: Array, /, *, out: Array | None = None) -> Array:
    """com.microsoft.BiasGelu; as good as :func:`gelu`."""
    return _mapped(_gelu, a, out, b) if _is_single(a, b) else NotImplemented


@replaces(ops.microsoft.fast_gelu, overwrites=(0,), rows=(0,))
def fast_gelu(x: Array, bias: Array | None = None, /, *, out: Array | None = None) -> Array:
    """com.microsoft.FastGelu; as good as :func:`gelu`."""
    if not _is_single(x, bias):
        return NotImplemented
    return _mapped(_tanh_gelu, x, out, bias)


@replaces(ops.erf, overwrites=(0,), rows=(0,))
def erf(input: Array, /, *, out: Array | None = None) -> Array:
    """Erf-13; within 3e-7 of the exact value, relatively so near 0."""
    return _mapped(_erf, input, out) if _is_single(input) else NotImplemented


@replaces(ops.swish, overwrites=(0,), rows=(0,))
def swish(x: Array, /, *, alpha: float = 1.0, out: Array | None = None) -> Array:
    """Swish-24; within 4 ulp."""
    if not _is_single(x):
        return NotImplemented

    def step(y: Array, a: Array, b: Array) -> None:
        np.multiply(y, np.float32(-alpha), out=b)
        np.exp(b, out=b)
        np.add(b, np.float32(1), out=b)
        np.divide(y, b, out=y)

    return _mapped(step, x, out)


@replaces(ops.microsoft.quick_gelu, overwrites=(0,), rows=(0,))
def quick_gelu(x: Array, /, *, alpha: float = 1.702, out: Array | None = None) -> Array:
    """com.microsoft.QuickGelu; within 4 ulp."""
    return swish(x, alpha=alpha, out=out)
