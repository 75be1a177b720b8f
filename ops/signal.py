"""Fourier transforms and windows. The last axis of a complex tensor is (real, imaginary)."""

from __future__ import annotations

import numpy as np

from ._budget import reserve
from ._checks import axis_in, one_type, scalar_int
from ._registry import op
from ._typing import Array, dtype_of
from ._windows import windows


@op("DFT", since=20, rounds=True)
def dft(
    input: Array,
    dft_length: Array | None = None,
    axis: Array | None = None,
    /,
    *,
    inverse: int = 0,
    onesided: int = 0,
) -> Array:
    """The discrete Fourier transform along ``axis`` (by default the last but one), or its inverse.

    The input is (..., 1) if real and (..., 2) if complex, the result complex. The signal is
    truncated or zero-padded to ``dft_length``. ``onesided`` keeps the first half of the spectrum of
    a real signal, or with ``inverse`` makes a real signal (..., 1) of such a half. Computed in
    float64. Raises ValueError for a complex signal or a real spectrum with ``onesided``, an axis
    that does not exist or is the last one, and a length below 1.

    >>> dft(np.array([[1.0], [0.0], [0.0], [0.0]]), onesided=1)
    array([[1., 0.],
           [1., 0.],
           [1., 0.]])

    Spec: DFT-20.
    """
    along = axis_in(-2 if axis is None else scalar_int(axis), input.ndim)
    if input.ndim < 2 or input.shape[-1] not in (1, 2) or along == input.ndim - 1:
        raise ValueError(f"axis {along} of {input.shape}, whose last axis must hold 1 or 2 numbers")
    if onesided and input.shape[-1] != (2 if inverse else 1):
        raise ValueError("onesided goes from a real signal to a complex spectrum, or back")
    size = input.shape[along]
    default = 2 * (size - 1) if onesided and inverse else size
    length = default if dft_length is None else scalar_int(dft_length)
    if length < 1:
        raise ValueError(f"the length of the transform is {length}")
    reserve((input.size // max(size, 1), length), np.complex128)
    values = input.astype(np.float64)
    signal = values[..., 0] if values.shape[-1] == 1 else values[..., 0] + 1j * values[..., 1]
    if onesided and inverse:
        return np.fft.irfft(signal, length, along)[..., None].astype(input.dtype)
    transform = np.fft.rfft if onesided else np.fft.ifft if inverse else np.fft.fft
    result = transform(signal, length, along)
    return np.stack([result.real, result.imag], axis=-1).astype(input.dtype)


@op("DFT", since=17, rounds=True)
def dft_17(
    input: Array,
    dft_length: Array | None = None,
    /,
    *,
    axis: int = 1,
    inverse: int = 0,
    onesided: int = 0,
) -> Array:
    """The discrete Fourier transform along ``axis`` (an attribute, by default 1), or its inverse.

    Raises ValueError as DFT-20 does.

    >>> dft_17(np.array([[[1.0], [0.0]]]))
    array([[[1., 0.],
            [1., 0.]]])

    Spec: DFT-17.
    """
    return dft(input, dft_length, np.array(axis), inverse=inverse, onesided=onesided)


@op("STFT", since=17, rounds=True)
def stft(
    signal: Array,
    frame_step: Array,
    window: Array | None = None,
    frame_length: Array | None = None,
    /,
    *,
    onesided: int = 1,
) -> Array:
    """The Fourier transforms of the frames of a signal, each weighted by ``window``.

    ``signal`` is (batch, length, 1 or 2), the result (batch, frames, frequencies, 2). A frame
    begins every ``frame_step`` samples and is ``frame_length`` long, or as long as the window, or
    as the signal; samples behind the last whole frame are not used. Raises ValueError for a window
    of another length than the frames, and for a complex signal with ``onesided``.

    >>> stft(np.ones((1, 4, 1)), np.array(2), None, np.array(2))[0, :, :, 0]
    array([[2., 0.],
           [2., 0.]])

    Spec: STFT-17.
    """
    samples = signal.shape[1] if window is None else len(window)
    length = samples if frame_length is None else scalar_int(frame_length)
    reserve((length,), signal.dtype)
    weights = np.ones(length, signal.dtype) if window is None else window
    one_type(signal, weights)
    if weights.shape != (length,) or signal.ndim != 3:
        raise ValueError(f"signal {signal.shape}, window {weights.shape}, frames of {length}")
    places = windows(signal.shape[1:2], (length,), strides=(scalar_int(frame_step),))
    frames = places.over(signal.swapaxes(1, 2))
    reserve(frames.shape, np.complex128)
    return dft(np.moveaxis(frames * weights, 1, -1), onesided=onesided)


@op("HannWindow", since=17)
def hann_window(size: Array, /, *, output_datatype: int = 1, periodic: int = 1) -> Array:
    """The Hann window: ``0.5 - 0.5 cos(2 pi n / N)``.

    ``N`` is ``size``, or one less if the window is symmetric instead of ``periodic``. Raises
    ValueError for a negative size, TypeError for one that is not an integer.

    >>> hann_window(np.array(5), periodic=0).round(6)
    array([0. , 0.5, 1. , 0.5, 0. ], dtype=float32)

    Spec: HannWindow-17.
    """
    return _cosines(size, periodic, output_datatype, 0.5, 0.5, 0.0)


@op("HammingWindow", since=17)
def hamming_window(size: Array, /, *, output_datatype: int = 1, periodic: int = 1) -> Array:
    """The Hamming window: ``25/46 - 21/46 cos(2 pi n / N)``, with N as in HannWindow.

    Raises ValueError for a negative size, TypeError for one that is not an integer.

    >>> hamming_window(np.array(3), periodic=0).round(4)
    array([0.087, 1.   , 0.087], dtype=float32)

    Spec: HammingWindow-17.
    """
    return _cosines(size, periodic, output_datatype, 25 / 46, 21 / 46, 0.0)


@op("BlackmanWindow", since=17)
def blackman_window(size: Array, /, *, output_datatype: int = 1, periodic: int = 1) -> Array:
    """The Blackman window: ``0.42 - 0.5 cos(2 pi n / N) + 0.08 cos(4 pi n / N)``.

    N is that of HannWindow. Raises ValueError for a negative size, TypeError for one that is not an
    integer.

    >>> blackman_window(np.array(5), periodic=0).round(2)
    array([-0.  ,  0.34,  1.  ,  0.34, -0.  ], dtype=float32)

    Spec: BlackmanWindow-17.
    """
    return _cosines(size, periodic, output_datatype, 0.42, 0.5, 0.08)


def _cosines(
    size: Array, periodic: int, output_datatype: int, constant: float, first: float, second: float
) -> Array:
    count, dtype = scalar_int(size), dtype_of(output_datatype)
    reserve((count,), np.float64)
    angle = 2 * np.pi * np.arange(count) / max(count if periodic else count - 1, 1)
    if count == 1 and not periodic:
        angle += np.pi  # the only point of a symmetric window is its middle
    return (constant - first * np.cos(angle) + second * np.cos(2 * angle)).astype(dtype)


@op("MelWeightMatrix", since=17)
def mel_weight_matrix(
    num_mel_bins: Array,
    dft_length: Array,
    sample_rate: Array,
    lower_edge_hertz: Array,
    upper_edge_hertz: Array,
    /,
    *,
    output_datatype: int = 1,
) -> Array:
    """Triangular filters (frequencies, bands), evenly spaced on the mel scale.

    ``mel(f) = 2595 log10(1 + f / 700)``. There are ``dft_length // 2 + 1`` frequencies; each filter
    rises from one edge to the next, where it is 1, and falls to the one after that. As in the
    standard's implementation the edges are ``bands + 2`` points that stop one step before
    ``upper_edge_hertz``, rounded down to whole frequencies. Raises ValueError for inputs that are
    not scalars, TypeError for counts that are not integers.

    >>> mel_weight_matrix(*map(np.array, (2, 8, 8192, 0.0, 4096.0)))
    array([[1., 0.],
           [0., 1.],
           [0., 0.],
           [0., 0.],
           [0., 0.]], dtype=float32)

    Spec: MelWeightMatrix-17.
    """
    bands, length, rate = (scalar_int(n) for n in (num_mel_bins, dft_length, sample_rate))
    reserve((length // 2 + 1, bands), np.float64)
    # The mel scale of O'Shaughnessy 1987, as in the standard.
    low, high = (
        2595 * np.log10(1 + edge.item() / 700) for edge in (lower_edge_hertz, upper_edge_hertz)
    )
    mels = low + np.arange(bands + 2) * (high - low) / (bands + 2)
    edges = (length + 1) * 700 * (10 ** (mels / 2595) - 1) // rate
    left, centre, right = edges[:-2], edges[1:-1], edges[2:]
    place = np.arange(length // 2 + 1)[:, None]
    rising = 1 - (centre - place) / np.maximum(centre - left, 1)
    falling = 1 - (place - centre) / np.maximum(right - centre, 1)
    rises, falls = (left <= place) & (place <= centre), (centre < place) & (place < right)
    weights = np.where(rises, rising, np.where(falls, falling, 0))
    return weights.astype(dtype_of(output_datatype))
