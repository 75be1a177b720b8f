"""Normalization of X (batch, channels, *size) over the batch, channels, groups or neighbours."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from ._checks import axes_in, one_type, per_channel
from ._registry import op
from ._typing import Array, dtype_of
from ._windows import windows


class BatchNormalization(NamedTuple):
    """What BatchNormalization returns: outside of training the statistics that went in."""

    y: Array
    running_mean: Array
    running_var: Array


@op("BatchNormalization", since=14, rounds=True, like=(0, 3, 4))
def batch_normalization(
    x: Array,
    scale: Array,
    b: Array,
    input_mean: Array,
    input_var: Array,
    /,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    training_mode: int = 0,
) -> BatchNormalization:
    """``X`` normalized by each channel's mean and variance, then scaled and shifted.

    With ``training_mode`` the statistics are those of this batch, and the running statistics become
    ``momentum * old + (1 - momentum) * new``. The other inputs have one number per channel; a 1-D X
    is one channel. Raises ValueError for other shapes.

    >>> one = np.ones(1)
    >>> batch_normalization(np.array([[3.0], [5.0]]), 2 * one, one, one, 4 * one, epsilon=0.0).y
    array([[3.],
           [5.]])

    Spec: BatchNormalization-15; Ioffe and Szegedy 2015.
    """
    image = x if x.ndim > 1 else x[:, None]
    statistics = (input_mean, input_var)
    if training_mode:
        axes = (0, *range(2, image.ndim))
        statistics = (image.mean(axis=axes), image.var(axis=axes))
    y = _normalized(image, *(_by_channel(s, image) for s in statistics), epsilon=epsilon)
    y = y * _by_channel(scale, image) + _by_channel(b, image)
    running = [
        (momentum * old + (1 - momentum) * new).astype(old.dtype) if training_mode else old
        for old, new in zip((input_mean, input_var), statistics, strict=True)
    ]
    return BatchNormalization(y.reshape(x.shape), *running)


def _by_channel(values: Array, image: Array) -> Array:
    # From opset 14 on the parameters may have another dtype than X.
    return per_channel(values.astype(image.dtype, copy=False), image)


def _normalized(x: Array, mean: Array, variance: Array, *, epsilon: float) -> Array:
    return np.asarray((x - mean) / np.sqrt(variance + epsilon))


@op("BatchNormalization", since=9, rounds=True)
def batch_normalization_9(
    x: Array,
    scale: Array,
    b: Array,
    mean: Array,
    var: Array,
    /,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
) -> Array:
    """``X`` normalized by the given statistics, per channel.

    A node with more outputs, for training, is refused. Raises ValueError for inputs without one
    number per channel.

    >>> one = np.ones(1)
    >>> batch_normalization_9(np.array([[3.0], [5.0]]), one, one, one, 4 * one, epsilon=0.0)
    array([[2.],
           [3.]])

    Spec: BatchNormalization-9.
    """
    return batch_normalization(x, scale, b, mean, var, epsilon=epsilon).y


@op("BatchNormalization", since=7, rounds=True)
def batch_normalization_7(
    x: Array,
    scale: Array,
    b: Array,
    mean: Array,
    var: Array,
    /,
    *,
    epsilon: float = 1e-5,
    momentum: float = 0.9,
    spatial: int = 1,
) -> Array:
    """``X`` normalized by the given statistics, per channel or (``spatial=0``) per element.

    Raises ValueError for statistics and parameters of another shape than (channels,) or that of an
    element of the batch; TypeError for different dtypes.

    >>> two = np.full((1, 2), 2.0)
    >>> batch_normalization_7(np.ones((3, 1, 2)), two, two, two, two / 2, epsilon=0.0, spatial=0)[0]
    array([[0., 0.]])

    Spec: BatchNormalization-7.
    """
    if spatial:
        return batch_normalization(x, scale, b, mean, var, epsilon=epsilon).y
    one_type(x, scale, b, mean, var)
    if any(values.shape != x.shape[1:] for values in (scale, b, mean, var)):
        raise ValueError(f"without spatial, scale, B, mean and var must have shape {x.shape[1:]}")
    return _normalized(x, mean, var, epsilon=epsilon) * scale + b


@op("BatchNormalization", since=1, rounds=True)
def batch_normalization_1(
    x: Array,
    scale: Array,
    b: Array,
    mean: Array,
    var: Array,
    /,
    *,
    epsilon: float = 1e-5,
    is_test: int = 0,
    momentum: float = 0.9,
    spatial: int = 1,
) -> Array:
    """``X`` normalized by the given statistics, or (unless ``is_test``) by those of this batch.

    Raises ValueError for inputs of another shape, TypeError for different dtypes.

    >>> one = np.ones(1)
    >>> batch_normalization_1(np.array([[3.0], [5.0]]), one, one, one, one, epsilon=0.0)
    array([[0.],
           [2.]])

    Spec: BatchNormalization-6.
    """
    if is_test:
        return batch_normalization_7(x, scale, b, mean, var, epsilon=epsilon, spatial=spatial)
    if spatial:
        return batch_normalization(x, scale, b, mean, var, epsilon=epsilon, training_mode=1).y
    return _normalized(x, x.mean(axis=0), x.var(axis=0), epsilon=epsilon) * scale + b


@op("InstanceNormalization", since=1, rounds=True)
def instance_normalization(
    input: Array, scale: Array, b: Array, /, *, epsilon: float = 1e-5
) -> Array:
    """Each channel of each image normalized by its own statistics, then scaled and shifted.

    ``scale`` and ``B`` have one number per channel. Raises ValueError for other shapes, TypeError
    for different dtypes.

    >>> instance_normalization(np.array([[[1.0, 3.0]]]), np.ones(1), np.ones(1), epsilon=0.0)
    array([[[0., 2.]]])

    Spec: InstanceNormalization-22; Ulyanov et al. 2016.
    """
    axes = tuple(range(2, input.ndim))
    mean, variance = input.mean(axis=axes, keepdims=True), input.var(axis=axes, keepdims=True)
    y = _normalized(input, mean, variance, epsilon=epsilon)
    return y * per_channel(scale, input) + per_channel(b, input)


@op("GroupNormalization", since=21, rounds=True)
def group_normalization(
    x: Array,
    scale: Array,
    bias: Array,
    /,
    *,
    epsilon: float = 1e-5,
    num_groups: int,
    stash_type: int = 1,
) -> Array:
    """Each group of ``channels / num_groups`` channels normalized, then scaled and shifted.

    ``scale`` and ``bias`` have one number per channel. The statistics are computed in
    ``stash_type`` at least. Raises ValueError for a number of groups that does not divide the
    channels and for other shapes, TypeError for different dtypes.

    >>> x = np.array([[[1.0], [3.0]]])
    >>> group_normalization(x, np.array([1.0, 2.0]), np.zeros(2), num_groups=1, epsilon=0.0)
    array([[[-1.],
            [ 2.]]])

    Spec: GroupNormalization-21; Wu and He 2018.
    """
    groups = _groups(x, num_groups).astype(np.promote_types(x.dtype, dtype_of(stash_type)))
    mean, variance = groups.mean(axis=2, keepdims=True), groups.var(axis=2, keepdims=True)
    y = _normalized(groups, mean, variance, epsilon=epsilon).reshape(x.shape)
    return y.astype(x.dtype, copy=False) * per_channel(scale, x) + per_channel(bias, x)


def _groups(x: Array, count: int) -> Array:
    if x.ndim < 2 or count < 1 or x.shape[1] % count:
        raise ValueError(f"the channels of {x.shape} cannot be split into {count} groups")
    return x.reshape(len(x), count, x[0].size // count if len(x) else 0)


@op("GroupNormalization", since=18, rounds=True)
def group_normalization_18(
    x: Array, scale: Array, bias: Array, /, *, epsilon: float = 1e-5, num_groups: int
) -> Array:
    """As GroupNormalization-21, but with one ``scale`` and ``bias`` per group.

    Raises ValueError for a number of groups that does not divide the channels and for other shapes,
    TypeError for different dtypes.

    >>> x = np.array([[[1.0], [3.0]]])
    >>> group_normalization_18(x, np.array([2.0]), np.zeros(1), num_groups=1, epsilon=0.0)
    array([[[-2.],
            [ 2.]]])

    Spec: GroupNormalization-18.
    """
    if scale.shape != (num_groups,) or bias.shape != (num_groups,):
        raise ValueError(f"scale {scale.shape} and bias {bias.shape} for {num_groups} groups")
    share = x.shape[1] // num_groups
    scale, bias = np.repeat(scale, share), np.repeat(bias, share)
    return group_normalization(x, scale, bias, epsilon=epsilon, num_groups=num_groups)


@op("LRN", since=1, rounds=True)
def lrn(
    x: Array, /, *, alpha: float = 1e-4, beta: float = 0.75, bias: float = 1.0, size: int
) -> Array:
    """``X / (bias + alpha * mean of squares) ** beta`` over ``size`` neighbouring channels.

    If ``size`` is even there is one neighbour more behind than in front; missing channels count as
    zero. Raises ValueError for a size below 1.

    >>> lrn(np.array([[[1.0], [2.0]]]), alpha=1.0, beta=1.0, bias=0.0, size=1)
    array([[[1. ],
            [0.5]]])

    Spec: LRN-13; Krizhevsky et al. 2012.
    """
    squares = np.moveaxis(np.square(x), 1, -1)
    neighbours = windows((x.shape[1],), (size,), pads=((size - 1) // 2, size // 2))
    mean = np.moveaxis(neighbours.over(squares).sum(axis=-1), -1, 1) / size
    return np.asarray(x / (bias + alpha * mean) ** beta)


@op("MeanVarianceNormalization", since=9, rounds=True)
def mean_variance_normalization(x: Array, /, *, axes: tuple[int, ...] = (0, 2, 3)) -> Array:
    """``X`` normalized over ``axes``; zero where the standard deviation is zero.

    Raises ValueError for axes that do not exist.

    >>> mean_variance_normalization(np.array([[1.0, 3.0], [5.0, 5.0]]), axes=(1,)).round(6)
    array([[-1.,  1.],
           [ 0.,  0.]])

    Spec: MeanVarianceNormalization-13.
    """
    along = axes_in(axes, x.ndim)
    deviation = x.std(axis=along, keepdims=True)
    # 1e-9 is the epsilon of the function body in the ONNX standard.
    return np.asarray((x - x.mean(axis=along, keepdims=True)) / (deviation + 1e-9))


@op("MeanVarianceNormalization", since=1, rounds=True)
def mean_variance_normalization_1(
    input: Array, /, *, across_channels: int = 0, normalize_variance: int = 1
) -> Array:
    """Images (rank 4) normalized per channel, or across channels; or only centred.

    Raises ValueError for another rank.

    >>> mean_variance_normalization_1(np.array([[[[1.0, 5.0]]]]), normalize_variance=0)
    array([[[[-2.,  2.]]]])

    Spec: onnxruntime, MeanVarianceNormalization-1.
    """
    axes = (0, 1, 2, 3) if across_channels else (0, 2, 3)
    if normalize_variance:
        return mean_variance_normalization(input, axes=axes)
    return input - input.mean(axis=axes_in(axes, input.ndim), keepdims=True)
