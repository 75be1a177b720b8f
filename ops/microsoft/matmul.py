"""Matrix products fused with transpositions, factors and activations."""

from __future__ import annotations

import numpy as np

from .. import matmul
from .._checks import one_type
from .._registry import op
from .._typing import Array
from .activation import activated


@op("FusedMatMul", since=1, domain="com.microsoft", rounds=True)
def fused_matmul(
    a: Array,
    b: Array,
    /,
    *,
    alpha: float = 1.0,
    transA: int = 0,  # noqa: N803 (the schema's spelling)
    transB: int = 0,  # noqa: N803
    transBatchA: int = 0,  # noqa: N803
    transBatchB: int = 0,  # noqa: N803
) -> Array:
    """``alpha * A' @ B'``, with the last two axes of A and B swapped if ``transA`` and ``transB``.

    ``transBatchA`` (or B) first moves the first axis behind the other batch axes. Raises ValueError
    for shapes that do not fit, TypeError for different dtypes.

    >>> fused_matmul(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]), transB=1, alpha=2.0)
    array([[22.]])

    Spec: com.microsoft.FusedMatMul-1.
    """
    product = matmul.matmul(
        _transposed(a, transA, transBatchA), _transposed(b, transB, transBatchB)
    )
    return np.asarray(product if alpha == 1 else alpha * product)


def _transposed(x: Array, swap: int, move_batch: int) -> Array:
    if move_batch:
        x = np.moveaxis(x, 0, -2)
    return x.swapaxes(-1, -2) if swap and x.ndim > 1 else x


@op("TransposeMatMul", since=1, domain="com.microsoft", rounds=True)
def transpose_matmul(
    a: Array,
    b: Array,
    /,
    *,
    alpha: float = 1.0,
    transA: int = 0,  # noqa: N803 (the schema's spelling)
    transB: int = 0,  # noqa: N803
) -> Array:
    """FusedMatMul under its former name.

    Raises ValueError for shapes that do not fit, TypeError for different dtypes.

    >>> transpose_matmul(np.array([[1.0, 2.0]]), np.array([[3.0, 4.0]]), transB=1)
    array([[11.]])

    Spec: com.microsoft.TransposeMatMul-1.
    """
    return fused_matmul(a, b, alpha=alpha, transA=transA, transB=transB)


@op("FusedGemm", since=1, domain="com.microsoft", rounds=True)
def fused_gemm(
    a: Array,
    b: Array,
    c: Array | None = None,
    /,
    *,
    activation: str | None = None,
    activation_alpha: float | None = None,
    activation_beta: float | None = None,
    activation_gamma: float | None = None,
    alpha: float = 1.0,
    beta: float = 1.0,
    transA: int = 0,  # noqa: N803 (the schema's spelling)
    transB: int = 0,  # noqa: N803
) -> Array:
    """Gemm followed by ``activation``: Relu, Tanh, Sigmoid, LeakyRelu, HardSigmoid or Clip.

    Raises ValueError for shapes that do not fit and an unknown activation, TypeError for different
    dtypes.

    >>> fused_gemm(np.array([[1.0]]), np.array([[-3.0]]), activation="Relu")
    array([[0.]])

    Spec: com.microsoft.FusedGemm-1.
    """
    y = matmul.gemm(a, b, c, alpha=alpha, beta=beta, transA=transA, transB=transB)
    return activated(y, activation, activation_alpha, activation_beta)


@op("SparseToDenseMatMul", since=1, domain="com.microsoft", rounds=True)
def sparse_to_dense_matmul(
    a: Array,
    b: Array,
    /,
    *,
    alpha: float = 1.0,
    transA: int = 0,  # noqa: N803 (the schema's spelling)
    transB: int = 0,  # noqa: N803
) -> Array:
    """``alpha * A' @ B'`` for a matrix A that files store as a sparse tensor.

    Here A is dense. Raises ValueError for what is not two matrices that fit, TypeError for
    different dtypes.

    >>> a = np.array([[0.0, 2.0], [0.0, 0.0]])
    >>> sparse_to_dense_matmul(a, np.array([[1.0], [3.0]]), alpha=0.5)
    array([[3.],
           [0.]])

    Spec: com.microsoft.SparseToDenseMatMul-1.
    """
    one_type(a, b)
    if a.ndim != 2 or b.ndim != 2:
        raise ValueError(f"expected two matrices, got shapes {a.shape} and {b.shape}")
    product = matmul.matmul(a.T if transA else a, b.T if transB else b)
    return np.asarray(product * a.dtype.type(alpha))
