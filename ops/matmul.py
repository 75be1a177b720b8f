"""Matrix products, sums of products, and determinants."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ._budget import reserve
from ._checks import same_numbers, same_type
from ._registry import op
from ._typing import Array


@op("MatMul", since=1, rounds=True)
def matmul(a: Array, b: Array, /) -> Array:
    """The matrix product over the last two axes; the axes before them broadcast.

    A 1-D operand is a row (A) or a column (B), whose axis is dropped from the result. The operands
    have one numeric dtype; integers wrap around. Raises ValueError for scalars and for shapes that
    do not fit, TypeError for different or other dtypes.

    >>> matmul(np.array([[1, 2]]), np.array([[3], [4]]))
    array([[11]])

    Spec: MatMul-13.
    """
    check_product(a, b)
    return np.asarray(np.matmul(a, b))


def check_product(a: Array, b: Array) -> None:
    """Raise unless ``a @ b`` is defined, has one dtype, and fits the run's budget."""
    if a.dtype != b.dtype or a.dtype.kind in "bO":
        same_numbers(a, b.reshape(-1)[:1])
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError(f"a matrix product needs matrices, got shapes {a.shape} and {b.shape}")
    stack = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    columns = b.shape[-1:] if b.ndim > 1 else ()
    reserve((*stack, *a.shape[-2:-1], *columns), a.dtype)


@op("Gemm", since=7, rounds=True)
def gemm(
    a: Array,
    b: Array,
    c: Array | None = None,
    /,
    *,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,  # noqa: N803 (the schema's spelling)
    transB: int = 0,  # noqa: N803
) -> Array:
    """``alpha * A' @ B' + beta * C``, with A' and B' transposed if ``transA`` and ``transB``.

    A and B are matrices; C broadcasts to the result; all have one dtype. Raises ValueError for
    shapes that do not fit, TypeError for different dtypes.

    >>> gemm(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]), np.array([0.5]), transB=1)
    array([[11.5]])

    Spec: Gemm-13.
    """
    if a.ndim != 2 or b.ndim != 2:
        raise ValueError(f"A and B must be matrices, got shapes {a.shape} and {b.shape}")
    a, b = (a.T if transA else a), (b.T if transB else b)
    check_product(a, b)
    y = a @ b
    y = y if alpha == 1 else (alpha * y).astype(a.dtype, copy=False)
    if c is None:
        return np.asarray(y)
    same_type(y, c)
    scaled = c if beta == 1 else (beta * c).astype(a.dtype, copy=False)
    return np.asarray(y + np.broadcast_to(scaled, y.shape))


@op("Einsum", since=12, rounds=True)
def einsum(*inputs: Array, equation: str) -> Array:
    """The sum of products described by ``equation``, such as ``"bij,bjk->bik"``.

    Spaces are ignored, ``...`` stands for any number of axes, and a missing right side for the
    letters that occur once, in alphabetical order. The inputs have one numeric dtype. Raises
    ValueError for an equation that does not fit the shapes, TypeError for different dtypes.

    >>> einsum(np.array([[1, 2], [3, 4]]), equation="ii")
    array(5)

    Spec: Einsum-28.
    """
    same_numbers(*(i.reshape(-1)[:1] for i in inputs))
    letters = equation.replace(" ", "")
    reserve(_einsum_shape(letters, [i.shape for i in inputs]), inputs[0].dtype)
    return np.asarray(np.einsum(letters, *inputs, optimize="greedy"))


def _einsum_shape(equation: str, shapes: Sequence[tuple[int, ...]]) -> tuple[int, ...]:
    """The result's dimensions, but for their order."""
    left, arrow, right = equation.partition("->")
    sizes: dict[str, int] = {}
    free: list[tuple[int, ...]] = []
    for term, shape in zip(left.split(","), shapes, strict=True):
        head, dots, tail = term.partition("...")
        cut = len(shape) - len(tail)
        if cut < len(head) or (not dots and len(shape) != len(term)):
            raise ValueError(f"the term {term[:60]!r} does not fit the shape {shape}")
        named = zip(head + tail, shape[: len(head)] + shape[cut:], strict=True)
        sizes.update((letter, n) for letter, n in named if n != 1 or letter not in sizes)
        free.append(shape[len(head) : cut])
    kept = right if arrow else "..." + "".join(c for c in sizes if left.count(c) == 1)
    unknown = set(kept.replace("...", "")) - sizes.keys()
    if unknown:
        raise ValueError(f"the result has {min(unknown)!r}, which no term has")
    stack = np.broadcast_shapes(*free) if "..." in kept else ()
    return (*stack, *(sizes[letter] for letter in kept.replace("...", "")))


@op("Det", since=11, rounds=True)
def det(x: Array, /) -> Array:
    """The determinant of each square matrix in the last two axes.

    Raises ValueError for matrices that are not square.

    >>> float(det(np.array([[2.0, 1.0], [0.0, 3.0]])))
    6.0

    Spec: Det-22.
    """
    if x.ndim < 2 or x.shape[-1] != x.shape[-2]:
        raise ValueError(f"a determinant needs square matrices, the shape is {x.shape}")
    return np.asarray(np.linalg.det(x))
