"""What rounding to integers must add to a model's products, so that its absence or excess shows.

A factor that is rounded to steps of width s is off by s / sqrt(12), root mean square, if the errors
are spread evenly; a sum of products of such factors is off by as much as independent errors add.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from embedx.model.graph import Array, Graph
from embedx.ops import is_floating
from embedx.oracle.products import Place, Product, Products, paired


@dataclass(frozen=True, eq=False)
class Steps:
    """The steps to which a candidate rounds what a node of the reference takes and gives."""

    a: float = 0.0
    """Of the first factor; 0 if it is not rounded, negative for so much of its values' range."""
    b: Array | float = 0.0
    """Of the second one, as it can be broadcast to it; negative as above."""
    result: float = 0.0
    looks_up: bool = False
    """Whether rows of ``b`` are taken, and nothing is multiplied."""


@dataclass(frozen=True, eq=False)
class Coarse:
    """How a candidate's file computes more coarsely than the reference's."""

    unit: float = 0.0
    """The unit roundoff of its floats, if that is greater than that of the reference's."""
    steps: Mapping[str, Steps] = field(default_factory=dict)
    """By the reference's edges."""


SAME = Coarse()
"""Of the same file, or of one that is no coarser."""


def steps_between(reference: Graph, candidate: Graph) -> dict[str, Steps]:
    """The steps of the candidate's rounded products, by the reference's edges for the same."""
    ours, theirs = Products(reference), Products(candidate)
    found = {}
    for product, other in paired(ours.all, theirs.all):
        steps = _steps(product, other, ours, theirs) if other.rounded else Steps()
        if np.any(steps.a) or np.any(steps.b) or (steps.result and product.result.edge):
            found[product.target] = steps
    return found


def products_between(reference: Graph, candidate: Graph) -> dict[str, str]:
    """The edges of products in two graphs that compute the same, where both are floats."""
    return {
        p.result.edge: q.result.edge
        for p, q in paired(Products(reference).all, Products(candidate).all)
        if p.result.edge and q.result.edge and bool(p.bias.edges) == bool(q.bias.edges)
    }


def _steps(product: Product, other: Product, ours: Products, theirs: Products) -> Steps:
    """The steps of what the reference does not round itself."""
    a, b = 0.0, np.zeros(())
    in_integers, its = (p.node.attributes.get("accuracy_level") == 4 for p in (product, other))
    if its and not in_integers:
        a = -1 / 127  # onnxruntime then multiplies 8-bit integers
    elif other.node.op_type == "DynamicQuantizeMatMul" and not product.a.integers:
        a = -1 / 255
    elif not other.looks_up and not product.a.integers:
        a = _of_data(other.a, theirs.constants)
    weight = ours.constants.get(product.b.edge)
    if weight is not None and is_floating(weight.dtype):
        b = np.asarray(_of_weights(weight, other, theirs))
    elif weight is None and not product.b.integers:
        b = np.asarray(_of_data(other.b, theirs.constants))
    return Steps(a, b, _scale(other.result, theirs.constants), other.looks_up)


def _of_data(place: Place, constants: Mapping[str, Array]) -> float:
    """The step of data: a known scale, or part of its range."""
    if not place.integers:
        return 0.0
    return _scale(place, constants) or -1 / 255


def _scale(place: Place, constants: Mapping[str, Array]) -> float:
    scale = constants.get(place.scale) if place.integers else None
    return 0.0 if scale is None else float(np.max(scale))


def _of_weights(weight: Array, other: Product, theirs: Products) -> Array | float:
    """The step of weights: their largest value over the largest integer that stands for one."""
    wide = np.abs(weight.astype(np.float64))
    if other.node.op_type in ("MatMulNBits", "MatMulBnb4", "GatherBlockQuantized"):
        bits, block = other.node.attributes.get("bits", 4), other.node.attributes["block_size"]
        return _by_blocks(wide, block, other.looks_up) / (2 ** (bits - 1) - 0.5)
    codes = theirs.constants.get(other.b.integers)
    if codes is None or not codes.size:
        return 0.0
    zero = theirs.constants.get(other.b.zero)
    shift = 0.0 if zero is None else zero.astype(np.float64)
    by_column = np.size(shift) > 1 and codes.ndim == 2 and np.shape(shift)[-1] == codes.shape[-1]
    levels = np.abs(codes.astype(np.float64) - (shift if by_column or np.size(shift) == 1 else 0.0))
    if by_column and weight.shape == codes.shape:
        return np.asarray(wide.max(axis=0) / np.maximum(levels.max(axis=0), 1))
    return float(wide.max() / max(levels.max(), 1))


def _by_blocks(wide: Array, block: int, rows: bool) -> Array:
    """For each element of a matrix the largest of its block along the summed axis."""
    columns = wide.T if rows else wide
    count = -(-len(columns) // block)
    padded = np.pad(columns, ((0, count * block - len(columns)), (0, 0)))
    most = padded.reshape(count, block, -1).max(axis=1)
    spread = np.repeat(most, block, axis=0)[: len(columns)]
    return spread.T if rows else spread


def variances(steps: Steps, a: Any, b: Any) -> tuple[Array | None, Array]:
    """The mean squares of what the steps put both factors off by, of their shapes; (a, b)."""
    return (
        None if steps.looks_up else _variance(steps.a, a),
        _variance(steps.b, b),
    )


def _variance(step: Array | float, x: Array) -> Array:
    width = np.asarray(step, np.float64)
    if width.ndim == 0 and width < 0:
        low, high = min(float(x.min(initial=0)), 0.0), max(float(x.max(initial=0)), 0.0)
        width = -width * (high - low)
    return np.broadcast_to(np.square(width) / 12, x.shape)
