"""One step of an optimizer.

The inputs are the learning rate R, the step count T, then all tensors X, then all their gradients,
then all their states. The results are all new tensors, then all new states.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from ._checks import scalar_int
from ._registry import op
from ._typing import Array

_TRAINING = "ai.onnx.preview.training"


def _grouped(inputs: tuple[Array, ...], kinds: int) -> Iterator[tuple[Array, ...]]:
    """Each optimized tensor with its gradient and states."""
    count, rest = divmod(len(inputs), kinds)
    if rest or not count:
        raise ValueError(f"{len(inputs)} tensors do not make up groups of {kinds}")
    return zip(*(inputs[k * count : (k + 1) * count] for k in range(kinds)), strict=True)


def _listed(results: Sequence[tuple[Array, ...]], inputs: tuple[Array, ...]) -> tuple[Array, ...]:
    """All first results, then all second ones and so on, in the types of their tensors."""
    count = len(results)
    flat = (value for column in zip(*results, strict=True) for value in column)
    return tuple(np.asarray(v, inputs[i % count].dtype) for i, v in enumerate(flat))


@op("Adagrad", since=1, domain=_TRAINING)
def adagrad(
    r: Array,
    t: Array,
    /,
    *inputs: Array,
    decay_factor: float = 0.0,
    epsilon: float = 1e-6,
    norm_coefficient: float = 0.0,
) -> tuple[Array, ...]:
    """``X - r g / (sqrt(H) + epsilon)`` and ``H``, to which the square of ``g`` has been added.

    ``r`` is ``R / (1 + T decay_factor)``, and ``g`` the gradient plus ``norm_coefficient X``.
    Raises ValueError for tensors that do not make up whole groups.

    >>> one = np.ones(1)
    >>> adagrad(np.array(0.5), np.array(0), one, 2 * one, 0 * one, epsilon=0.0)
    (array([0.5]), array([4.]))

    Spec: ai.onnx.preview.training Adagrad-1; Duchi et al. 2011.
    """
    rate = r / (1 + scalar_int(t) * decay_factor)
    results = []
    for x, gradient, squares in _grouped(inputs, 3):
        g = norm_coefficient * x + gradient
        total = squares + g * g
        results.append((x - rate * g / (np.sqrt(total) + epsilon), total))
    return _listed(results, inputs)


@op("Adam", since=1, domain=_TRAINING)
def adam(
    r: Array,
    t: Array,
    /,
    *inputs: Array,
    alpha: float = 0.9,
    beta: float = 0.999,
    epsilon: float = 1e-6,
    norm_coefficient: float = 0.0,
    norm_coefficient_post: float = 0.0,
) -> tuple[Array, ...]:
    """``X - r V / (sqrt(H) + epsilon)``, and the moving averages V of g and H of ``g**2``.

    ``r`` is ``R sqrt(1 - beta ** T) / (1 - alpha ** T)``, or R if T is 0; ``g`` is the gradient
    plus ``norm_coefficient X``; the new X is multiplied by ``1 - norm_coefficient_post``. Raises
    ValueError for tensors that do not make up whole groups.

    >>> one = np.ones(1)
    >>> adam(np.array(0.5), np.array(0), one, one, 0 * one, 0 * one, alpha=0.0, beta=0.0)[0]
    array([0.5000005])

    Spec: ai.onnx.preview.training Adam-1; Kingma and Ba 2014.
    """
    step = scalar_int(t)
    rate = r * np.sqrt(1 - beta**step) / (1 - alpha**step) if step > 0 else r
    results = []
    for x, gradient, momentum, squares in _grouped(inputs, 4):
        g = norm_coefficient * x + gradient
        v = alpha * momentum + (1 - alpha) * g
        h = beta * squares + (1 - beta) * g * g
        new = x - rate * v / (np.sqrt(h) + epsilon)
        results.append(((1 - norm_coefficient_post) * new, v, h))
    return _listed(results, inputs)


@op("Momentum", since=1, domain=_TRAINING)
def momentum(
    r: Array,
    t: Array,
    /,
    *inputs: Array,
    alpha: float,
    beta: float,
    mode: str,
    norm_coefficient: float,
) -> tuple[Array, ...]:
    """``X - R V`` and ``V = alpha V + beta g``, where beta is 1 in the first step (T = 0).

    ``g`` is the gradient plus ``norm_coefficient X``. ``mode`` is "standard", or "nesterov" for ``X
    - R (g + alpha V)``. Raises ValueError for another mode and for tensors that do not make up
    whole groups.

    >>> one = np.ones(1)
    >>> momentum(np.array(0.5), np.array(1), one, one, one, alpha=0.5, beta=1.0,
    ...          mode="standard", norm_coefficient=0.0)
    (array([0.25]), array([1.5]))

    Spec: ai.onnx.preview.training Momentum-1.
    """
    if mode not in ("standard", "nesterov"):
        raise ValueError(f"mode is standard or nesterov, not {mode!r}")
    factor = beta if scalar_int(t) > 0 else 1
    results = []
    for x, gradient, velocity in _grouped(inputs, 3):
        g = norm_coefficient * x + gradient
        v = alpha * velocity + factor * g
        results.append((x - r * (v if mode == "standard" else g + alpha * v), v))
    return _listed(results, inputs)
