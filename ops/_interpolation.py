"""Interpolation between the elements of a tensor: kernels, their taps, and weighted sums."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeAlias

import numpy as np

from ._budget import reserve, turn
from ._typing import Array

Kernel: TypeAlias = Callable[[Array], Array]
"""From the distance between a point and an element to the weight of the element."""


def linear_kernel(distance: Array) -> Array:
    """A tent of radius 1.

    >>> linear_kernel(np.array([0.0, -0.25, 2.0]))
    array([1.  , 0.75, 0.  ])
    """
    return np.maximum(1 - np.abs(distance), 0)


def cubic_kernel(a: float) -> Kernel:
    """Keys' cubic convolution kernel of radius 2; ``a`` is its slope at 1.

    >>> cubic_kernel(-0.5)(np.array([0.0, 0.5, -1.0, 1.5]))
    array([ 1.    ,  0.5625,  0.    , -0.0625])
    """

    def kernel(distance: Array) -> Array:
        x = np.abs(distance)
        near = ((a + 2) * x - (a + 3)) * x * x + 1
        far = ((a * x - 5 * a) * x + 8 * a) * x - 4 * a
        return np.where(x <= 1, near, np.where(x < 2, far, 0))

    return kernel


class Taps(NamedTuple):
    """The elements around points along one axis, and their weights: (..., count)."""

    places: Array
    weights: Array


def nearest(points: Array) -> Taps:
    """The element nearest to each point, ties to even.

    >>> nearest(np.array([0.5, 1.6])).places.tolist()
    [[0], [2]]
    """
    places = np.rint(points).astype(np.int64)[..., None]
    return Taps(places, np.ones(places.shape))


def taps(points: Array, kernel: Kernel, radius: int, stretch: float = 1.0) -> Taps:
    """The elements within ``radius * stretch`` of each point; some may lie outside of the axis.

    >>> taps(np.array([1.25]), linear_kernel, 1)
    Taps(places=array([[1, 2]]), weights=array([[0.75, 0.25]]))
    """
    first = math.floor(-radius * stretch) + 1
    reserve((*points.shape, 2 - 2 * first), np.float64)
    places = np.floor(points)[..., None] + np.arange(first, 2 - first)
    weights = kernel((places - points[..., None]) / stretch)
    return Taps(places.astype(np.int64), weights)


def inside(place: Array, size: int) -> tuple[Array, Array]:
    """Each position clamped to the axis, and whether it was inside before.

    >>> inside(np.array([-1, 1]), 2)
    (array([0, 1]), array([False,  True]))
    """
    return np.clip(place, 0, size - 1), (place >= 0) & (place < size)


def sample(x: Array, axes: Sequence[Taps]) -> Array:
    """The weighted sum of the tapped elements; those outside of ``x`` count as zero.

    ``x`` is (batch, channels, *size), ``axes`` holds for each axis of ``size`` taps (batch, points,
    count); the result is (batch, channels, points).

    >>> sample(np.array([[[10.0, 20.0]]]), [taps(np.array([[0.5, 1.5]]), linear_kernel, 1)])
    array([[[15., 10.]]])
    """
    batch, points = axes[0].places.shape[:2]
    y = np.zeros((batch, x.shape[1], points), np.result_type(x, np.float32))
    for choice in itertools.product(*(range(axis.places.shape[-1]) for axis in axes)):
        turn()
        weight = np.ones((batch, points))
        places = []
        for (place, weights), size, tap in zip(axes, x.shape[2:], choice, strict=True):
            moved, known = inside(place[..., tap], size)
            weight = weight * np.where(known, weights[..., tap], 0)
            places.append(moved)
        y += weight[:, None].astype(y.real.dtype) * pick(x, places)
    return y


def pick(x: Array, places: Sequence[Array]) -> Array:
    """The elements of each channel at given places, one array (batch, points) for each axis.

    >>> pick(np.array([[[1, 2], [3, 4]]]), [np.array([[1]])])
    array([[[2],
            [4]]])
    """
    flat = np.ravel_multi_index(tuple(places), x.shape[2:])
    return np.take_along_axis(x.reshape(*x.shape[:2], math.prod(x.shape[2:])), flat[:, None], 2)
