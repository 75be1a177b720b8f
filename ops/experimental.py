"""Experimental operators that ONNX removed at opset 10; converters from Core ML wrote them.

Their schemas exist only in onnxruntime, which still runs them. Images are (batch, channels, height,
width).
"""

from __future__ import annotations

import numpy as np

from ._registry import op
from ._typing import Array
from .slicing import slice_


@op("Affine", since=1, until=10, rounds=True)
def affine(x: Array, /, *, alpha: float = 1.0, beta: float = 0.0) -> Array:
    """``alpha * X + beta``.

    >>> affine(np.array([1.0, 2.0]), alpha=3.0, beta=0.5)
    array([3.5, 6.5])

    Spec: onnxruntime, Affine-1.
    """
    return np.asarray(alpha * x + beta)


@op("Scale", since=1, until=10, rounds=True)
def scale(input: Array, /, *, scale: float = 1.0) -> Array:
    """``scale * input``.

    >>> scale(np.array([1.0, 2.0]), scale=3.0)
    array([3., 6.])

    Spec: onnxruntime, Scale-1.
    """
    return np.asarray(scale * input)


@op("ScaledTanh", since=1, until=10, rounds=True)
def scaled_tanh(input: Array, /, *, alpha: float | None = None, beta: float | None = None) -> Array:
    """``alpha * tanh(beta * input)``.

    Raises ValueError if a factor is missing.

    >>> scaled_tanh(np.array([0.0, 99.0]), alpha=2.0, beta=0.5)
    array([0., 2.])

    Spec: onnxruntime, ScaledTanh-1.
    """
    alpha, beta = _both(alpha, beta)
    return np.asarray(alpha * np.tanh(beta * input))


@op("ParametricSoftplus", since=1, until=10, rounds=True)
def parametric_softplus(
    x: Array, /, *, alpha: float | None = None, beta: float | None = None
) -> Array:
    """``alpha * log(1 + exp(beta * X))``.

    Raises ValueError if a factor is missing.

    >>> parametric_softplus(np.array([-999.0, 999.0]), alpha=2.0, beta=1.0)
    array([   0., 1998.])

    Spec: onnxruntime, ParametricSoftplus-1.
    """
    alpha, beta = _both(alpha, beta)
    return np.asarray(alpha * np.logaddexp(0, beta * x))


def _both(alpha: float | None, beta: float | None) -> tuple[float, float]:
    if alpha is None or beta is None:
        raise ValueError("alpha and beta must be given")
    return alpha, beta


@op("ImageScaler", since=1, until=10, rounds=True)
def image_scaler(
    input: Array, /, *, bias: tuple[float, ...] | None = None, scale: float = 1.0
) -> Array:
    """``scale * input + bias``, with one ``bias`` per channel.

    Raises ValueError for another number of biases, and for what is not images of rank 4.

    >>> image_scaler(np.ones((1, 2, 1, 1)), bias=(0.5, 5.0), scale=2.0).ravel()
    array([2.5, 7. ])

    Spec: onnxruntime, ImageScaler-1.
    """
    if input.ndim != 4 or len(bias or ()) != input.shape[1]:
        raise ValueError(f"{len(bias or ())} biases for images of shape {input.shape}")
    return scale * input + np.array(bias, input.dtype)[:, None, None]


@op("Crop", since=1, until=10)
def crop(
    input: Array, /, *, border: tuple[int, ...] | None = None, scale: tuple[int, ...] | None = None
) -> Array:
    """The images without their ``border`` (left, top, right, bottom), or a crop of a given size.

    With ``scale`` (height, width) the crop begins at left and top, and right and bottom are
    ignored. Raises ValueError for lists of other lengths, a crop beyond the image, or an empty one.

    >>> crop(np.arange(9).reshape(1, 1, 3, 3), border=(1, 0, 0, 2))
    array([[[[1, 2]]]])

    Spec: onnxruntime, Crop-1.
    """
    if input.ndim != 4 or len(border or ()) != 4 or len(scale or (1, 1)) != 2:
        raise ValueError(f"border {border} and scale {scale} for images of shape {input.shape}")
    left, top, right, bottom = border or ()
    height, width = input.shape[2:]
    ends = (height - bottom, width - right) if scale is None else (top + scale[0], left + scale[1])
    for begin, end, size in ((top, ends[0], height), (left, ends[1], width)):
        if not 0 <= begin < end <= size:
            raise ValueError(f"nothing lies from {begin} to {end} on an axis of size {size}")
    return input[:, :, top : ends[0], left : ends[1]]


@op("DynamicSlice", since=1, until=10)
def dynamic_slice(data: Array, starts: Array, ends: Array, axes: Array | None = None, /) -> Array:
    """From ``starts`` to before ``ends`` along ``axes`` (or the first ones), as in Slice.

    Raises ValueError for lists of different lengths and axes that do not exist.

    >>> dynamic_slice(np.arange(5), np.array([1]), np.array([-1]))
    array([1, 2, 3])

    Spec: onnxruntime, DynamicSlice-1.
    """
    return slice_(data, starts, ends, axes)
