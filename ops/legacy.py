"""Operators as of opset 1 to 6 or 7, where broadcasting was an attribute or missing.

With ``broadcast=1`` the shape of B (or Y) is a contiguous part of that of A (or X), beginning at
``axis``, or else ending where A's does; its dimensions are those of A, or 1. Otherwise both have
one shape.
"""

from __future__ import annotations

import numpy as np

from . import arithmetic, casting, comparison
from ._checks import axis_in
from ._registry import op
from ._typing import Array
from .matmul import gemm


def _aligned(a: Array, b: Array, axis: int | None, broadcast: int) -> Array:
    """``b`` reshaped so that NumPy broadcasts it to ``a``."""
    start = a.ndim - b.ndim if axis is None else axis_in(axis, a.ndim)
    placed = b.reshape((*b.shape, *[1] * (a.ndim - start - b.ndim))) if broadcast else b
    if placed.shape != a.shape and not (broadcast and _reaches(placed.shape, a.shape)):
        raise ValueError(
            f"shape {b.shape} does not lie within {a.shape} (broadcast={broadcast}, axis={axis})"
        )
    return placed


def _reaches(small: tuple[int, ...], large: tuple[int, ...]) -> bool:
    pairs = zip(reversed(small), reversed(large), strict=False)
    return len(small) <= len(large) and all(n in (1, m) for n, m in pairs)


@op("Add", since=1, rounds=True)
def add_1(a: Array, b: Array, /, *, axis: int | None = None, broadcast: int = 0) -> Array:
    """``A + B``; see the module for ``axis`` and ``broadcast``.

    The operands have one numeric dtype, which the result has, too. Raises ValueError for shapes
    that do not fit, TypeError for other dtypes.

    >>> add_1(np.array([[1], [2]]), np.array([10, 20]), axis=0, broadcast=1).ravel()
    array([11, 22])

    Spec: Add-6.
    """
    return arithmetic.add(a, _aligned(a, b, axis, broadcast))


@op("Sub", since=1, rounds=True)
def sub_1(a: Array, b: Array, /, *, axis: int | None = None, broadcast: int = 0) -> Array:
    """``A - B``; see the module for ``axis`` and ``broadcast``.

    The operands have one numeric dtype, which the result has, too. Raises ValueError for shapes
    that do not fit, TypeError for other dtypes.

    >>> sub_1(np.array([[1], [2]]), np.array([10, 20]), axis=0, broadcast=1).ravel()
    array([ -9, -18])

    Spec: Sub-6.
    """
    return arithmetic.sub(a, _aligned(a, b, axis, broadcast))


@op("Mul", since=1, rounds=True)
def mul_1(a: Array, b: Array, /, *, axis: int | None = None, broadcast: int = 0) -> Array:
    """``A * B``; see the module for ``axis`` and ``broadcast``.

    The operands have one numeric dtype, which the result has, too. Raises ValueError for shapes
    that do not fit, TypeError for other dtypes.

    >>> mul_1(np.array([[1], [2]]), np.array([10, 20]), axis=0, broadcast=1).ravel()
    array([10, 40])

    Spec: Mul-6.
    """
    return arithmetic.mul(a, _aligned(a, b, axis, broadcast))


@op("Div", since=1, rounds=True)
def div_1(a: Array, b: Array, /, *, axis: int | None = None, broadcast: int = 0) -> Array:
    """``A / B``; see the module for ``axis`` and ``broadcast``.

    The operands have one numeric dtype, which the result has, too. Raises ValueError for shapes
    that do not fit, TypeError for other dtypes. ZeroDivisionError for an integer divided by zero.

    >>> div_1(np.array([[1.0], [2.0]]), np.array([10.0, 2.0]), axis=0, broadcast=1).ravel()
    array([0.1, 1. ])

    Spec: Div-6.
    """
    return arithmetic.div(a, _aligned(a, b, axis, broadcast))


@op("Pow", since=1, rounds=True)
def pow_1(x: Array, y: Array, /, *, axis: int | None = None, broadcast: int = 0) -> Array:
    """``X`` to the power ``Y``; see the module for ``axis`` and ``broadcast``.

    The result has the dtype of X. Raises ValueError for shapes that do not fit, TypeError for bools
    and strings.

    >>> pow_1(np.array([[3.0], [2.0]]), np.array([2.0, 3.0]), axis=0, broadcast=1).ravel()
    array([9., 8.])

    Spec: Pow-1.
    """
    return arithmetic.pow_(x, _aligned(x, y, axis, broadcast))


@op("And", since=1)
def and_1(a: Array, b: Array, /, *, axis: int | None = None, broadcast: int = 0) -> Array:
    """Where both bool inputs are True; see the module for ``axis`` and ``broadcast``.

    Raises ValueError for shapes that do not fit, TypeError for other dtypes.

    >>> and_1(np.array([True, False]), np.array([True, True]))
    array([ True, False])

    Spec: And-1.
    """
    return comparison.and_(a, _aligned(a, b, axis, broadcast))


@op("Or", since=1)
def or_1(a: Array, b: Array, /, *, axis: int | None = None, broadcast: int = 0) -> Array:
    """Where at least one bool input is True; see the module for ``axis`` and ``broadcast``.

    Raises ValueError for shapes that do not fit, TypeError for other dtypes.

    >>> or_1(np.array([True, False]), np.array([False, False]))
    array([ True, False])

    Spec: Or-1.
    """
    return comparison.or_(a, _aligned(a, b, axis, broadcast))


@op("Xor", since=1)
def xor_1(a: Array, b: Array, /, *, axis: int | None = None, broadcast: int = 0) -> Array:
    """Where exactly one bool input is True; see the module for ``axis`` and ``broadcast``.

    Raises ValueError for shapes that do not fit, TypeError for other dtypes.

    >>> xor_1(np.array([True, False]), np.array([True, True]))
    array([False,  True])

    Spec: Xor-1.
    """
    return comparison.xor(a, _aligned(a, b, axis, broadcast))


@op("Equal", since=1)
def equal_1(a: Array, b: Array, /, *, axis: int | None = None, broadcast: int = 0) -> Array:
    """Where ``A == B``; see the module for ``axis`` and ``broadcast``.

    Raises ValueError for shapes that do not fit, TypeError for other dtypes.

    >>> equal_1(np.array([1, 2]), np.array([2, 2]))
    array([False,  True])

    Spec: Equal-1.
    """
    return comparison.equal(a, _aligned(a, b, axis, broadcast))


@op("Greater", since=1)
def greater_1(a: Array, b: Array, /, *, axis: int | None = None, broadcast: int = 0) -> Array:
    """Where ``A > B``; see the module for ``axis`` and ``broadcast``.

    Raises ValueError for shapes that do not fit, TypeError for other dtypes.

    >>> greater_1(np.array([1, 3]), np.array([2, 2]))
    array([False,  True])

    Spec: Greater-1.
    """
    return comparison.greater(a, _aligned(a, b, axis, broadcast))


@op("Less", since=1)
def less_1(a: Array, b: Array, /, *, axis: int | None = None, broadcast: int = 0) -> Array:
    """Where ``A < B``; see the module for ``axis`` and ``broadcast``.

    Raises ValueError for shapes that do not fit, TypeError for other dtypes.

    >>> less_1(np.array([1, 3]), np.array([2, 2]))
    array([ True, False])

    Spec: Less-1.
    """
    return comparison.less(a, _aligned(a, b, axis, broadcast))


@op("Gemm", since=1, rounds=True)
def gemm_1(
    a: Array,
    b: Array,
    c: Array,
    /,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    broadcast: int = 0,
    transA: int = 0,  # noqa: N803 (the schema's spelling)
    transB: int = 0,  # noqa: N803
) -> Array:
    """``alpha * A' @ B' + beta * C``, where C broadcasts only with ``broadcast=1``.

    ``A'`` and ``B'`` are transposed with ``transA`` and ``transB``. Raises ValueError for shapes
    that do not fit, TypeError for different dtypes.

    >>> gemm_1(np.array([[1.0]]), np.array([[3.0]]), np.array([0.5]), broadcast=1)
    array([[3.5]])

    Spec: Gemm-6.
    """
    shape = (a.shape[-1 if transA else 0], b.shape[0 if transB else -1])
    if not broadcast and c.shape != shape:
        raise ValueError(f"C has shape {c.shape}, without broadcast it must be {shape}")
    return gemm(a, b, c, alpha=alpha, beta=beta, transA=transA, transB=transB)


def _of_one_shape(arrays: tuple[Array, ...]) -> tuple[Array, ...]:
    if len({array.shape for array in arrays}) != 1:
        raise ValueError(f"before opset 8 all inputs have one shape: {[a.shape for a in arrays]}")
    return arrays


@op("Max", since=1)
def max_1(*data_0: Array) -> Array:
    """The elementwise maximum of inputs of one shape.

    Raises ValueError for inputs of different shapes, TypeError for different or other dtypes.

    >>> max_1(np.array([1, 5]), np.array([3, 2]))
    array([3, 5])

    Spec: Max-6.
    """
    return arithmetic.max_(*_of_one_shape(data_0))


@op("Min", since=1)
def min_1(*data_0: Array) -> Array:
    """The elementwise minimum of inputs of one shape.

    Raises ValueError for inputs of different shapes, TypeError for different or other dtypes.

    >>> min_1(np.array([1, 5]), np.array([3, 2]))
    array([1, 2])

    Spec: Min-6.
    """
    return arithmetic.min_(*_of_one_shape(data_0))


@op("Sum", since=1, rounds=True)
def sum_1(*data_0: Array) -> Array:
    """The elementwise sum of inputs of one shape.

    Raises ValueError for inputs of different shapes, TypeError for different or other dtypes.

    >>> sum_1(np.array([1.0, 5.0]), np.array([3.0, 2.0]))
    array([4., 7.])

    Spec: Sum-6.
    """
    return arithmetic.sum_(*_of_one_shape(data_0))


@op("Mean", since=1, rounds=True)
def mean_1(*data_0: Array) -> Array:
    """The elementwise mean of inputs of one shape.

    Raises ValueError for inputs of different shapes, TypeError for different or other dtypes.

    >>> mean_1(np.array([1.0, 5.0]), np.array([3.0, 2.0]))
    array([2. , 3.5])

    Spec: Mean-6.
    """
    return arithmetic.mean(*_of_one_shape(data_0))


@op("Dropout", since=1, pure=False)
def dropout_1(data: Array, /, *, is_test: int = 0, ratio: float = 0.5) -> casting.Dropout:
    """``data`` itself if ``is_test``, else with the fraction ``ratio`` of it zeroed, and the mask.

    The mask has the dtype of the data. The elements that stay are divided by ``1 - ratio``.

    >>> dropout_1(np.array([2.0]), is_test=1)
    Dropout(output=array([2.]), mask=array([1.]))

    Spec: Dropout-6.
    """
    training = np.array(not is_test)
    output, mask = casting.dropout(data, np.array(ratio), training)
    return casting.Dropout(output, mask.astype(data.dtype))
