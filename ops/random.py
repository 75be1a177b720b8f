"""Random tensors. The standard fixes no generator: equal seeds agree within embedx only."""

from __future__ import annotations

import numpy as np

from ._budget import reserve, timed
from ._registry import op
from ._typing import Array, dtype_of
from .softmax import softmax


@op("RandomNormal", since=1, pure=False)
def random_normal(
    *,
    dtype: int = 1,
    mean: float = 0.0,
    scale: float = 1.0,
    seed: float | None = None,
    shape: tuple[int, ...],
) -> Array:
    """Random numbers of a normal distribution; the same ones for the same ``seed``.

    >>> random_normal(shape=(2, 3), seed=1.0).shape
    (2, 3)

    Spec: RandomNormal-22 (which fixes no generator).
    """
    reserve(shape, np.float64)
    return _generator(seed).normal(mean, scale, shape).astype(dtype_of(dtype))


@op("RandomNormalLike", since=1, pure=False)
def random_normal_like(
    input: Array,
    /,
    *,
    dtype: int | None = None,
    mean: float = 0.0,
    scale: float = 1.0,
    seed: float | None = None,
) -> Array:
    """Random numbers of a normal distribution in the input's shape, and its dtype or ``dtype``.

    >>> random_normal_like(np.zeros((2, 3)), seed=1.0).shape
    (2, 3)

    Spec: RandomNormalLike-22.
    """
    kind = input.dtype if dtype is None else dtype_of(dtype)
    return _generator(seed).normal(mean, scale, input.shape).astype(kind)


@op("RandomUniform", since=1, pure=False)
def random_uniform(
    *,
    dtype: int = 1,
    high: float = 1.0,
    low: float = 0.0,
    seed: float | None = None,
    shape: tuple[int, ...],
) -> Array:
    """Random numbers, uniform in [low, high); the same ones for the same ``seed``.

    >>> random_uniform(shape=(2, 3), seed=1.0).shape
    (2, 3)

    Spec: RandomUniform-22 (which fixes no generator).
    """
    reserve(shape, np.float64)
    return _generator(seed).uniform(low, high, shape).astype(dtype_of(dtype))


@op("RandomUniformLike", since=1, pure=False)
def random_uniform_like(
    input: Array,
    /,
    *,
    dtype: int | None = None,
    high: float = 1.0,
    low: float = 0.0,
    seed: float | None = None,
) -> Array:
    """Random numbers, uniform in [low, high), in the input's shape, and its dtype or ``dtype``.

    >>> random_uniform_like(np.zeros((2, 3)), seed=1.0).shape
    (2, 3)

    Spec: RandomUniformLike-22.
    """
    kind = input.dtype if dtype is None else dtype_of(dtype)
    return _generator(seed).uniform(low, high, input.shape).astype(kind)


@op("Bernoulli", since=15, pure=False)
def bernoulli(input: Array, /, *, dtype: int | None = None, seed: float | None = None) -> Array:
    """1 with the probability in the input, else 0, in the input's dtype or ``dtype``.

    Raises ValueError for an element outside [0, 1].

    >>> bernoulli(np.array([0.0, 1.0]))
    array([0., 1.])

    Spec: Bernoulli-22.
    """
    if not np.all((input >= 0) & (input <= 1)):
        raise ValueError("the input must hold probabilities, between 0 and 1")
    kind = input.dtype if dtype is None else dtype_of(dtype)
    return (_generator(seed).random(input.shape) < input.astype(np.float64)).astype(kind)


@op("Multinomial", since=7, pure=False)
def multinomial(
    input: Array, /, *, dtype: int = 6, sample_size: int = 1, seed: float | None = None
) -> Array:
    """``sample_size`` classes drawn for each row of unnormalized log-probabilities.

    The input is (batch, classes), the result (batch, sample_size), int32 or int64 by ``dtype``.
    Raises ValueError for another rank and a sample size below 1.

    >>> multinomial(np.array([[0.0, -np.inf]]), sample_size=3)
    array([[0, 0, 0]], dtype=int32)

    Spec: Multinomial-22.
    """
    if input.ndim != 2 or sample_size < 1:
        raise ValueError(f"{sample_size} samples of an input of shape {input.shape}")
    reserve((len(input), sample_size), np.float64)
    total = softmax(input.astype(np.float64)).cumsum(axis=1)
    thrown = _generator(seed).random((len(input), sample_size)) * total[:, -1:]
    rows = timed(zip(total, thrown, strict=True))
    found = [np.searchsorted(edges[:-1], points, side="right") for edges, points in rows]
    return np.array(found, dtype_of(dtype)).reshape(len(input), sample_size)


def _generator(seed: float | None) -> np.random.Generator:
    return np.random.default_rng(None if seed is None else np.float32(seed).view(np.uint32))
