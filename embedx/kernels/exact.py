"""The operators in exact precision, to the bit, in pieces that stay in a processor's cache.

What exact precision means is ``ops.widened``: an operator's formula in float64, its result rounded
once. Here the same formula meets float32 inputs piece by piece. A piece is so chosen that no sum
is cut: an element, a row, or the matrices of one example, whose product is the same call of BLAS
whatever stands beside it in the batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakValueDictionary

import numpy as np

from embedx import ops
from embedx.kernels._blocks import CACHED, over_products, over_rows, result_for, rows_of
from embedx.kernels._buffers import unbuffered
from embedx.kernels._registry import Constants, Kernel, Prepared
from embedx.kernels.memory import fresh
from embedx.kernels.storage import Storage
from embedx.model.graph import Array, Node, SparseTensor
from embedx.ops import reserve


def _formula(operator: Callable[..., Any]) -> Callable[..., Any]:
    return getattr(operator, "__wrapped__", operator)


def _narrow(*values: Array | None) -> bool:
    return all(v is None or v.dtype == np.float32 for v in values)


def _arithmetic(ufunc: np.ufunc) -> Kernel:
    """A kernel in float32, where one operation is what it is in float64, rounded.

    A float64 has more than twice the digits of a float32, so the first rounding never changes what
    the second one does. Source: Figueroa 1995, When is double rounding innocuous?
    """

    def kernel(a: Array, b: Array, /, *, out: Array | None = None) -> Array:
        if not _narrow(a, b):
            return NotImplemented
        shape = np.broadcast_shapes(a.shape, b.shape)
        y = result_for(np.broadcast_to(a, shape), out)
        if y.size <= CACHED:
            return np.asarray(ufunc(a, b, out=y))
        left, right = np.broadcast_to(a, shape), np.broadcast_to(b, shape)
        axis = next(i for i, n in enumerate(shape) if n != 1)

        def work(block: slice) -> None:
            place: Any = (*[0] * axis, block)
            with unbuffered():
                ufunc(left[place], right[place], out=y[place])

        over_rows(work, shape[axis], y.size // shape[axis])
        return y

    return Kernel(kernel, overwrites=(0, 1), rows=(0, 1))


def _by_rows(formula: Callable[..., Any], axis: int | None = None) -> Kernel:
    """A kernel of an elementwise operator, or of one along the last axis.

    ``axis`` is the default of the operator's attribute. Inputs behind the first are vectors.
    """

    def kernel(x: Array, *others: Array | None, out: Array | None = None, **attributes: Any) -> Any:
        vectors = all(v is None or v.shape in ((), (1,), x.shape[-1:]) for v in others)
        if not _narrow(x, *others) or not vectors or x.ndim == 0 or x.size == 0:
            return NotImplemented
        if axis is not None:
            if attributes.pop("axis", axis) not in (-1, x.ndim - 1):
                return NotImplemented
            attributes["axis"] = -1
        if attributes.get("stash_type", 1) != 1:
            return NotImplemented
        wide = [None if v is None else v.astype(np.float64) for v in others]
        rows = rows_of(x)

        def part(block: slice) -> tuple[Array, ...]:
            with unbuffered():
                result = formula(rows[block].astype(np.float64), *wide, **attributes)
            return result if isinstance(result, tuple) else (result,)

        first = part(slice(0, max(1, CACHED // rows.shape[1])))
        whole = [result_for(x, out)]
        whole += [fresh((*x.shape[:-1], p.shape[1]), np.float32) for p in first[1:]]
        targets = [rows_of(y) for y in whole]

        def put(block: slice, parts: tuple[Array, ...]) -> None:
            for target, p in zip(targets, parts, strict=True):
                np.copyto(target[block], p, casting="same_kind")

        done = len(first[0])
        if done < len(rows):
            over_rows(
                lambda block: put(_behind(block, done), part(_behind(block, done))),
                len(rows) - done, rows.shape[1],
            )  # fmt: skip
        put(slice(done), first)
        return tuple(whole) if len(whole) > 1 else whole[0]

    return Kernel(kernel, overwrites=(0,), rows=(0,))


def _behind(block: slice, start: int) -> slice:
    return slice(block.start + start, block.stop + start)


@dataclass(frozen=True, eq=False)
class _Constant:
    """A constant in float64, and what it was made of."""

    source: Array
    wide: Array


_constants: WeakValueDictionary[int, _Constant] = WeakValueDictionary()
"""By the identities of their sources: layers that share a weight share this, too."""


def _converted(constant: Array | SparseTensor | None) -> _Constant | None:
    if not isinstance(constant, np.ndarray) or constant.dtype != np.float32:
        return None
    found = _constants.get(id(constant))
    if found is None:
        found = _Constant(constant, constant.astype(np.float64))
        _constants[id(constant)] = found
    return found


def _around_constants(formula: Callable[..., Any]) -> Kernel:
    """A kernel that does all at once, but for its constants, which are converted in the plan."""

    def prepare(node: Node, constants: Constants, storage: Storage) -> Prepared | None:
        ready = [_converted(c) for c in constants]

        def call(*inputs: Array | None, **attributes: Any) -> Array:
            if not _narrow(*inputs):
                return NotImplemented
            wide = [
                x.astype(np.float64) if x is not None and c is None else c and c.wide
                for x, c in zip(inputs, ready, strict=True)
            ]
            return np.asarray(formula(*wide, **attributes).astype(np.float32))

        return Prepared(call) if any(ready) else None

    return Kernel(lambda *inputs, **attributes: NotImplemented, prepare=prepare)


def _prepared_matmul(node: Node, constants: Constants, storage: Storage) -> Prepared | None:
    matrix = _converted(constants[1])
    if matrix is None or matrix.wide.ndim != 2:
        return None
    return Prepared(lambda a, b, /: _product(a, matrix.wide))


def _matmul(a: Array, b: Array, /) -> Array:
    stacks = b.ndim > 2 and a.shape[:-2] == b.shape[:-2]
    return _product(a, b) if stacks and _narrow(b) else NotImplemented


def _product(a: Array, b: Array) -> Array:
    """``a @ b`` example by example, for one float64 matrix or a float32 stack of a's shape.

    One tall matrix of all examples would be faster. But in some of OpenBLAS's kernels the order of
    a row's sums depends on how many rows there are and where it stands.
    """
    if not _narrow(a) or a.ndim < 3 or a.size == 0 or a.shape[-1] != b.shape[-2]:
        return NotImplemented
    shape = (*a.shape[:-1], b.shape[-1])
    reserve(shape, np.float32)
    y = fresh(shape, np.float32)
    first = next((i for i, n in enumerate(shape[:-3]) if n != 1), len(shape) - 3)
    left, target = (v.reshape(v.shape[first:]) for v in (a, y))
    right = b.reshape(b.shape[first:]) if b.ndim > 2 else b

    def work(start: int, stop: int) -> None:
        wide = fresh(target.shape[1:], np.float64)
        for i in range(start, stop):
            other = right[i].astype(np.float64) if b.ndim > 2 else right
            np.matmul(left[i].astype(np.float64), other, out=wide)
            np.copyto(target[i], wide, casting="same_kind")

    over_products(work, len(left), (*left.shape[1:], shape[-1]))
    return y


_ARITHMETIC: dict[Callable[..., Any], np.ufunc] = {
    ops.add: np.add, ops.sub: np.subtract, ops.mul: np.multiply, ops.div: np.divide,
}  # fmt: skip
_ELEMENTWISE: tuple[Callable[..., Any], ...] = (
    ops.erf, ops.exp, ops.log, ops.sqrt, ops.tanh, ops.sigmoid, ops.softplus, ops.gelu, ops.swish,
    ops.mish, ops.microsoft.gelu, ops.microsoft.bias_gelu, ops.microsoft.fast_gelu,
    ops.microsoft.quick_gelu,
)  # fmt: skip
# Not LogSoftmax: where it is near 0, it shows the last bit of NumPy's logarithm, which in some
# versions depends on where a number stands.
_ALONG_AN_AXIS: dict[Callable[..., Any], int] = {
    ops.softmax: -1, ops.softmax_1: 1,
    ops.layer_normalization: -1, ops.rms_normalization: -1,
}  # fmt: skip
_WITH_WEIGHTS: tuple[Callable[..., Any], ...] = (
    ops.gemm, ops.conv, ops.conv_transpose, ops.microsoft.fused_matmul, ops.microsoft.fused_conv,
)  # fmt: skip

EXACT: dict[Callable[..., Any], Kernel] = {
    **{_formula(f): _arithmetic(ufunc) for f, ufunc in _ARITHMETIC.items()},
    **{_formula(f): _by_rows(_formula(f)) for f in _ELEMENTWISE},
    **{_formula(f): _by_rows(_formula(f), axis) for f, axis in _ALONG_AN_AXIS.items()},
    **{_formula(f): _around_constants(_formula(f)) for f in _WITH_WEIGHTS},
    _formula(ops.matmul): Kernel(_matmul, prepare=_prepared_matmul),
}
"""By the formula of the operator that each replaces in exact precision."""
