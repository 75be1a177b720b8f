"""The operators in exact precision, to the bit, in pieces that stay in a processor's cache.

What exact precision means is ``ops.widened``: an operator's formula in float64, its result rounded
once. Here the same formula meets float32 inputs piece by piece. A piece is so chosen that no sum
is cut: an element, or a row. Sums of products, whose float64 value depends on the order of
additions, are rounded correctly: see ``exact_products``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar
from weakref import WeakValueDictionary

import numpy as np

from embedx import ops
from embedx.kernels._blocks import CACHED, over_rows, result_for, rows_of
from embedx.kernels._buffers import unbuffered
from embedx.kernels._registry import Constants, Kernel, Preparation, Prepared
from embedx.kernels.exact_products import Factor, multiplied, multiplied_stacks
from embedx.kernels.memory import fresh
from embedx.kernels.storage import Storage
from embedx.model.graph import Array, Node, SparseTensor

T = TypeVar("T")


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
class _Made(Generic[T]):
    """What was made of a constant, and the constant, so that no other has its identity."""

    source: Array
    made: T


_made: WeakValueDictionary[tuple[Callable[[Array], Any], int], _Made[Any]] = WeakValueDictionary()
"""By what makes it, and the identities of the sources: layers that share a weight share this."""


def _shared(make: Callable[[Array], T], constant: Array) -> _Made[T]:
    key = make, id(constant)
    found = _made.get(key)
    if found is None:
        found = _made[key] = _Made(constant, make(constant))
    return found


def _converted(constant: Array | SparseTensor | None) -> _Made[Array] | None:
    if not isinstance(constant, np.ndarray) or constant.dtype != np.float32:
        return None
    return _shared(_wide, constant)


def _wide(x: Array) -> Array:
    return x.astype(np.float64)


def _around_constants(formula: Callable[..., Any], better: Preparation | None = None) -> Kernel:
    """A kernel that does all at once, but for its constants, which are converted in the plan.

    Only for nodes that ``better`` does not take on.
    """

    def prepare(node: Node, constants: Constants, storage: Storage) -> Prepared | None:
        if better and (made := better(node, constants, storage)):
            return made
        ready = [_converted(c) for c in constants]

        def call(*inputs: Array | None, **attributes: Any) -> Array:
            if not _narrow(*inputs):
                return NotImplemented
            wide = [
                x.astype(np.float64) if x is not None and c is None else c and c.made
                for x, c in zip(inputs, ready, strict=True)
            ]
            return np.asarray(formula(*wide, **attributes).astype(np.float32))

        return Prepared(call) if any(ready) else None

    return Kernel(lambda *inputs, **attributes: NotImplemented, prepare=prepare)


def _prepared_matmul(node: Node, constants: Constants, storage: Storage) -> Prepared | None:
    matrix = constants[1]
    if not isinstance(matrix, np.ndarray) or matrix.dtype != np.float32 or matrix.ndim != 2:
        return None
    factor = _shared(Factor.lasting, matrix)

    def call(a: Array, b: Array, /, *, out: Array | None = None) -> Array:
        return multiplied(a, factor.made, out) if _fit(a, b) else NotImplemented

    return Prepared(call, rows=(0,))


def _prepared_gemm(node: Node, constants: Constants, storage: Storage) -> Prepared | None:
    """A bias is one more term of each sum."""
    matrix, *more = constants[1:]
    get = node.attributes.get
    plain = get("alpha", 1) == get("beta", 1) == 1 and not get("transA", 0)
    if not plain or not isinstance(matrix, np.ndarray) or matrix.ndim != 2:
        return None
    turned = matrix.T if get("transB", 0) else matrix
    width = turned.shape[1]
    biases = [c for c in more if isinstance(c, np.ndarray) and c.shape in ((width,), (1, width))]
    if len(biases) < sum(map(bool, node.inputs[2:])) or not _narrow(matrix, *biases):
        return None
    factor = Factor.lasting(np.vstack([turned, *biases]))
    ones = len(biases)

    def call(a: Array, b: Array, c: Array | None = None, /, **attributes: Any) -> Array:
        if not _narrow(a) or a.ndim != 2 or a.size == 0 or a.shape[1] != len(turned):
            return NotImplemented
        return multiplied(np.hstack([a, np.ones((len(a), ones), np.float32)]), factor)

    return Prepared(call)


def _matmul(a: Array, b: Array, /) -> Array:
    if not _fit(a, b) or not _narrow(b):
        return NotImplemented
    return multiplied(a, Factor.of(b)) if b.ndim == 2 else multiplied_stacks(a, b)


def _fit(a: Array, b: Array) -> bool:
    """Whether ``a`` meets one matrix, or as many matrices as it is itself."""
    stacks = min(a.ndim, b.ndim) >= 2 and b.shape[:-2] in ((), a.shape[:-2])
    return stacks and _narrow(a) and a.size > 0 and a.shape[-1] == b.shape[-2]


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
    ops.conv, ops.conv_transpose, ops.microsoft.fused_matmul, ops.microsoft.fused_conv,
)  # fmt: skip

EXACT: dict[Callable[..., Any], Kernel] = {
    **{_formula(f): _arithmetic(ufunc) for f, ufunc in _ARITHMETIC.items()},
    **{_formula(f): _by_rows(_formula(f)) for f in _ELEMENTWISE},
    **{_formula(f): _by_rows(_formula(f), axis) for f, axis in _ALONG_AN_AXIS.items()},
    **{_formula(f): _around_constants(_formula(f)) for f in _WITH_WEIGHTS},
    _formula(ops.matmul): Kernel(_matmul, prepare=_prepared_matmul),
    _formula(ops.gemm): _around_constants(_formula(ops.gemm), _prepared_gemm),
}
"""By the formula of the operator that each replaces in exact precision."""
