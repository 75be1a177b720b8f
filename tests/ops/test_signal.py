"""Transforms against the sums that define them, windows and filters point by point."""

from __future__ import annotations

import cmath
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.ops import (
    Array,
    Budget,
    OverBudgetError,
    blackman_window,
    dft,
    dft_17,
    hamming_window,
    hann_window,
    mel_weight_matrix,
    spending,
    stft,
)
from tests.assertions import assert_close, assert_equal
from tests.ops.windows import whole
from tests.strategies import FLOATS, HALVES, DType

F32 = np.dtype(np.float32)


def complex_of(x: Array) -> Array:
    wide = x.astype(np.float64)
    return wide[..., 0] + (1j * wide[..., 1] if x.shape[-1] == 2 else 0)


def transformed(signal: list[complex], length: int, sign: int) -> list[complex]:
    """The sum over a signal that is cut or filled up with zeros."""
    cut = signal[:length]
    return [
        sum(x * cmath.exp(sign * 2j * math.pi * k * n / length) for n, x in enumerate(cut))
        for k in range(length)
    ]


@st.composite
def signals(draw: st.DrawFn, parts: int | None = None) -> tuple[Array, int, Array | None, int]:
    """A signal, an axis, perhaps a length, and the length that counts."""
    size = draw(st.lists(st.integers(1, 5), min_size=1, max_size=3))
    x = whole(draw, *size, parts or draw(st.integers(1, 2)))
    axis = draw(st.integers(-x.ndim, x.ndim - 2).filter(lambda a: a != -1))
    wanted = draw(st.sampled_from([None, 1, 3, 6]))
    length = x.shape[axis] if wanted is None else wanted
    return x, axis, None if wanted is None else np.array(wanted), length


def checked(found: Array, x: Array, axis: int, length: int, sign: int, scale: float) -> None:
    lines = np.moveaxis(complex_of(x), axis % x.ndim, -1)
    exact = np.apply_along_axis(lambda v: transformed(v.tolist(), length, sign), -1, lines) * scale
    back = np.moveaxis(exact, -1, axis % x.ndim)
    kept = [slice(n) for n in found.shape[:-1]]
    expected = np.stack([back.real, back.imag], axis=-1)[tuple(kept)]
    assert_close(found, expected, x.dtype, ulps=1, floor=1)


@given(signals())
def test_dft_is_the_sum(drawn: tuple[Array, int, Array | None, int]) -> None:
    x, axis, wanted, length = drawn
    found = dft(x, wanted, np.array(axis))
    assert found.shape[axis] == length
    checked(found, x, axis, length, -1, 1)
    assert_equal(dft_17(x, wanted, axis=axis), found)


@given(signals())
def test_inverse_dft_is_the_mean(drawn: tuple[Array, int, Array | None, int]) -> None:
    x, axis, wanted, length = drawn
    checked(dft(x, wanted, np.array(axis), inverse=1), x, axis, length, 1, 1 / length)


@given(signals(parts=1))
def test_a_real_signal_needs_half_of_the_frequencies(
    drawn: tuple[Array, int, Array | None, int],
) -> None:
    x, axis, wanted, length = drawn
    half = dft(x, wanted, np.array(axis), onesided=1)
    assert half.shape[axis] == length // 2 + 1
    checked(half, x, axis, length, -1, 1)
    back = dft(half, np.array(length), np.array(axis), inverse=1, onesided=1)
    shown = np.zeros(back.shape)
    cut = tuple(slice(min(n, m)) for n, m in zip(x.shape, back.shape, strict=True))
    shown[cut] = x[cut]
    assert_close(back, shown, F32, floor=8)


def test_the_default_axes_and_lengths() -> None:
    x = np.arange(12.0).reshape(2, 3, 2, 1)
    assert_equal(dft(x), dft(x, None, np.array(2)))
    assert_equal(dft_17(x), dft(x, None, np.array(1)))
    spectrum = np.ones((1, 4, 2))
    assert dft(spectrum, inverse=1, onesided=1).shape == (1, 6, 1)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_the_type_stays(dtype: DType) -> None:
    x = np.ones((1, 4, 1), dtype)
    assert dft(x).dtype == stft(x, np.array(1), None, np.array(2)).dtype == dtype


@pytest.mark.parametrize("half", HALVES, ids=str)
def test_sums_of_halves_are_rounded_once(half: DType) -> None:
    x = np.ones((1, 5001, 1), half)
    assert dft(x)[0, 0, 0] == np.array(5001).astype(half)


@given(st.data(), st.booleans())
def test_stft_transforms_weighted_frames(data: st.DataObject, given_window: bool) -> None:
    x = whole(data.draw, 2, data.draw(st.integers(3, 9)), 1)
    step, length = data.draw(st.integers(1, 3)), data.draw(st.integers(1, 3))
    window = whole(data.draw, length) if given_window else None
    found = stft(x, np.array(step), window, np.array(length))
    begins = range(0, x.shape[1] - length + 1, step)
    weights = np.ones(length, np.float32) if window is None else window
    frames = np.stack([x[:, b : b + length] * weights[:, None] for b in begins], axis=1)
    assert_equal(found, dft(frames, onesided=1))
    if window is not None:
        assert_equal(stft(x, np.array(step), window), found)
    both = stft(x, np.array(step), window, np.array(length), onesided=0)
    assert_equal(both, dft(frames))


WINDOWS: list[tuple[Any, list[float]]] = [
    (hann_window, [0.5, -0.5]),
    (hamming_window, [25 / 46, -21 / 46]),
    (blackman_window, [0.42, -0.5, 0.08]),
]


@pytest.mark.parametrize(("window", "terms"), WINDOWS)
@given(size=st.integers(2, 40), periodic=st.integers(0, 1))
def test_windows_are_sums_of_cosines(
    window: Any, terms: list[float], size: int, periodic: int
) -> None:
    turn = 2 * math.pi / (size if periodic else size - 1)
    exact = [sum(a * math.cos(k * turn * n) for k, a in enumerate(terms)) for n in range(size)]
    assert_close(window(np.array(size), periodic=periodic), exact, F32, floor=1)
    double = window(np.array(size), periodic=periodic, output_datatype=11)
    assert_close(double, exact, np.dtype(np.float64), floor=16)


@pytest.mark.parametrize(("window", "terms"), WINDOWS)
def test_shortest_windows(window: Any, terms: list[float]) -> None:
    assert window(np.array(0)).shape == (0,)
    assert_close(window(np.array(1)), [sum(terms)], F32, floor=1)
    # The middle of a symmetric window, as SciPy has it.
    assert window(np.array(1), periodic=0).tolist() == pytest.approx([1])
    assert window(np.array(3), output_datatype=7).dtype == np.int64


@given(
    st.integers(1, 8), st.integers(4, 64), st.sampled_from([8000, 16000]),
    st.integers(0, 500), st.integers(1000, 4000),
)  # fmt: skip
def test_mel_weights_are_triangles(bands: int, length: int, rate: int, low: int, high: int) -> None:
    numbers = (bands, length, rate, float(low), float(high))
    found = mel_weight_matrix(*map(np.array, numbers))
    mels = [2595 * math.log10(1 + f / 700) for f in (low, high)]
    step = (mels[1] - mels[0]) / (bands + 2)
    hertz = [700 * (10 ** ((mels[0] + i * step) / 2595) - 1) for i in range(bands + 2)]
    edges = [math.floor((length + 1) * f / rate) for f in hertz]
    exact = np.zeros((length // 2 + 1, bands))
    for band in range(bands):
        left, centre, right = edges[band : band + 3]
        for f in range(left, centre):
            exact[f, band] = (f - left) / (centre - left)
        for f in range(centre, right):
            exact[f, band] = (right - f) / (right - centre)
        exact[centre, band] = 1
    assert_close(found, exact, F32)


REAL, COMPLEX = np.ones((1, 4, 1)), np.ones((1, 4, 2))


@pytest.mark.parametrize(
    ("inputs", "attributes", "message"),
    [
        ((COMPLEX,), {"onesided": 1}, "onesided goes from"),
        ((REAL,), {"onesided": 1, "inverse": 1}, "onesided goes from"),
        ((REAL, None, np.array(-1)), {}, "last axis must hold 1 or 2"),
        ((REAL, None, np.array(3)), {}, "does not exist"),
        ((np.ones((1, 4, 3)),), {}, "last axis must hold 1 or 2"),
        ((REAL, np.array(0)), {}, "the length of the transform is 0"),
    ],
)
def test_dft_refusals(inputs: tuple[Any, ...], attributes: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        dft(*inputs, **attributes)


def test_stft_refusals() -> None:
    with pytest.raises(ValueError, match="onesided goes from"):
        stft(COMPLEX, np.array(1), None, np.array(2))
    with pytest.raises(ValueError, match="frames of 3"):
        stft(REAL, np.array(1), np.ones(2), np.array(3))
    with pytest.raises(ValueError, match="does not fit"):
        stft(REAL, np.array(1), None, np.array(5))
    with pytest.raises(ValueError, match="at least 1"):
        stft(REAL, np.array(0), None, np.array(2))


def test_sizes_are_held_to_the_budget() -> None:
    with spending(Budget(max_bytes=10**6)):
        with pytest.raises(OverBudgetError):
            hann_window(np.array(2**40))
        with pytest.raises(OverBudgetError):
            dft(REAL, np.array(2**40))
        with pytest.raises(OverBudgetError):
            stft(REAL, np.array(1), None, np.array(2**40))
        with pytest.raises(OverBudgetError):
            mel_weight_matrix(*map(np.array, (2**30, 2**30, 1, 0.0, 1.0)))
