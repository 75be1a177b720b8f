"""Sums of two products that overflow 16 bits, on processors without VNNI.

There the fast instruction for unsigned times signed 8-bit numbers, vpmaddubsw (Intel's manual,
PMADDUBSW), multiplies pairs along the inner axis and adds them up in 16 bits; what is too large
becomes 32767 or -32768. It takes two large weights side by side of one sign, and large inputs.
Weights of 7 bits can never come there, which is why onnxruntime's quantizer has ``reduce_range``.

No runtime's saturation is imitated when a model runs; here it is counted, and its effect shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from embedx.model.graph import Array
from embedx.ops import dynamic_quantize_linear
from embedx.oracle.products import Product
from embedx.oracle.quantization import Pair, Side, Text, embeddings, mean_cosine

_LEAST, _MOST = -(2**15), 2**15 - 1
_INPUT = 255
"""The largest unsigned input."""
_MATRICES = frozenset(
    "DynamicQuantizeMatMul Gemm MatMul MatMulInteger MatMulIntegerToFloat QGemm "
    "QLinearMatMul".split()
)
_CHUNK = 2**22
"""So many sums are looked at together."""


@dataclass(frozen=True)
class Overflows:
    """How often sums of pairs overflow in one product."""

    pair: Pair
    sums: int
    """How many sums of pairs there are, over all texts."""
    overflows: int
    texts: tuple[int, ...]
    """How many overflow in each text, with inputs that come of exact sums."""


@dataclass(frozen=True)
class Saturation:
    """What a processor without VNNI does to a model with unsigned inputs and signed weights."""

    products: tuple[Overflows, ...]
    uncounted: tuple[str, ...]
    """Convolutions and stacks of matrices, whose pairs depend on how a runtime lays them out."""
    cosine: float
    """The mean cosine to the reference as it is, exact,"""
    saturated: float
    """with sums of pairs that saturate,"""
    seven_bits: float
    """and with weights of 7 bits instead."""


@dataclass(frozen=True, eq=False)
class Risks:
    """The pairs of weights whose sums can overflow, and the weights in them."""

    pairs: Array
    columns: Array
    first: Array
    second: Array


def risks(b: Array) -> Risks:
    """Which pairs of an int8 matrix (inner, columns) can overflow.

    Pairs are of neighbours along the inner axis, the first of which is even.
    """
    wide = np.pad(b, ((0, len(b) % 2), (0, 0))).astype(np.int32)
    first, second = wide[::2], wide[1::2]
    high = np.maximum(first, 0) + np.maximum(second, 0)
    low = np.minimum(first, 0) + np.minimum(second, 0)
    pairs, columns = np.nonzero((_INPUT * high > _MOST) | (_INPUT * low < _LEAST))
    return Risks(pairs, columns, first[pairs, columns], second[pairs, columns])


def saturating(a: Array, risky: Risks, columns: int) -> tuple[Array, Array]:
    """How many sums of pairs overflow for each row, and what saturation adds to the product.

    ``a`` is uint8 (rows, inner); the results are int64 (rows,) and (rows, columns).

    >>> a, b = np.uint8([[255, 255, 1]]), np.int8([[127], [127], [127]])
    >>> saturating(a, risks(b), 1)
    (array([1]), array([[-32003]]))
    """
    counts = np.zeros(len(a), np.int64)
    excess = np.zeros((columns, len(a)), np.int64)
    wide = np.pad(a, ((0, 0), (0, a.shape[1] % 2))).astype(np.int32)
    step = max(_CHUNK // max(len(a), 1), 1)
    for start in range(0, len(risky.pairs), step):
        some = slice(start, start + step)
        p = risky.pairs[some]
        sums = wide[:, 2 * p] * risky.first[some] + wide[:, 2 * p + 1] * risky.second[some]
        over = np.clip(sums, _LEAST, _MOST) - sums
        counts += np.count_nonzero(over, axis=1)
        np.add.at(excess, risky.columns[some], over.T)
    return counts, excess.T


class Overflow:
    """Counts the sums that overflow, from the values of runs of a model, text by text."""

    def __init__(self, side: Side, pairs: Sequence[Pair]) -> None:
        kind = [p for p in pairs if _is_signed(side, p.candidate)]
        self.pairs = [p for p in kind if _is_matrix(side, p.candidate)]
        self.uncounted = tuple(str(p.candidate.node) for p in kind if p not in self.pairs)
        weights = {p: _weights(p.candidate, side.products.constants) for p in self.pairs}
        self.shapes = {p: b.shape for p, b in weights.items()}
        self.risks = {p: risks(b) for p, b in weights.items()}
        self.counts: dict[Pair, list[int]] = {p: [] for p in self.pairs}
        self.sums = dict.fromkeys(self.pairs, 0)

    def look(self, values: Mapping[str, Array]) -> None:
        """Count what overflows in a run with these values."""
        for pair in self.pairs:
            inner, columns = self.shapes[pair]
            a = _inputs(pair.candidate, values)[0].reshape(-1, inner)
            rows, _ = saturating(a, self.risks[pair], columns)
            self.counts[pair].append(int(rows.sum()))
            self.sums[pair] += len(a) * -(-inner // 2) * columns


def saturation(
    sides: tuple[Side, Side],
    counted: Overflow,
    reference: Array,
    candidate: Array,
    texts: Sequence[Text],
) -> Saturation | None:
    """What saturates in the second side; None if nothing is of types that can.

    ``counted`` has looked at its run of each text; ``reference`` and ``candidate`` are the
    embeddings of both sides.
    """
    if not counted.pairs and not counted.uncounted:
        return None
    side, counts = sides[1], counted.counts
    hit = [i for i in range(len(texts)) if any(c[i] for c in counts.values())]

    def saturated(pair: Pair) -> Callable[[Mapping[str, Array]], Array]:
        inner, columns = counted.shapes[pair]

        def value(values: Mapping[str, Array]) -> Array:
            a, scale, zero = _inputs(pair.candidate, values)
            _, excess = saturating(a.reshape(-1, inner), counted.risks[pair], columns)
            if not excess.any():
                return values[pair.candidate.target]
            total = _sums(pair.candidate, values, a, zero) + excess.reshape(*a.shape[:-1], -1)
            worth = _worth(pair.candidate, values, scale)
            return pair.candidate.instead(total * worth, values)

        return value

    def seven_bits(pair: Pair) -> Callable[[Mapping[str, Array]], Array]:
        reduced: list[Array] = []

        def value(values: Mapping[str, Array]) -> Array:
            a, scale, zero = _inputs(pair.candidate, values)
            real = (a.astype(np.float64) - zero) * scale
            if not reduced:
                columns = _worth(pair.candidate, values, scale).size > 1
                weight = sides[0].products.constants[pair.reference.b.edge]
                reduced.append(_reduced(weight, pair.reference, columns))
            product = pair.reference.multiply(real, reduced[0].astype(np.float64))
            return pair.candidate.instead(product, values)

        return value

    rows = candidate.copy()
    if hit:
        instead = {p: saturated(p) for p in counted.pairs}
        rows[hit] = embeddings(side, instead, [texts[i] for i in hit])
    reduced = embeddings(side, {p: seven_bits(p) for p in counted.pairs}, texts)
    return Saturation(
        products=tuple(
            Overflows(p, counted.sums[p], sum(counts[p]), tuple(counts[p])) for p in counted.pairs
        ),
        uncounted=counted.uncounted,
        cosine=mean_cosine(reference, candidate),
        saturated=mean_cosine(reference, rows),
        seven_bits=mean_cosine(reference, reduced),
    )


def _is_signed(side: Side, product: Product) -> bool:
    """Whether unsigned inputs meet signed weights of 8 bits."""
    weight = side.products.constants.get(product.b.integers)
    if product.looks_up or weight is None or weight.dtype != np.int8:
        return False
    if product.node.op_type == "DynamicQuantizeMatMul":
        return True
    zero = product.a.zero
    maker = next((n for n in side.products.graph.nodes if product.a.integers in n.outputs), None)
    if maker is not None and maker.op_type == "DynamicQuantizeLinear":
        return True
    known = side.products.constants.get(zero)
    return known is None or known.dtype == np.uint8


def _is_matrix(side: Side, product: Product) -> bool:
    weight = side.products.constants[product.b.integers]
    return product.node.op_type in _MATRICES and weight.ndim == 2


def _inputs(product: Product, values: Mapping[str, Array]) -> tuple[Array, Array, Array]:
    """The integers that are multiplied by the weights, their scale and their zero point."""
    if not product.a.integers:
        made = dynamic_quantize_linear(values[product.a.edge])
        return made[0], made[1].astype(np.float64), made[2].astype(np.float64)
    zero = values[product.a.zero].astype(np.float64) if product.a.zero else np.zeros(())
    a = values[product.a.integers]
    turned = a.T if product.node.attributes.get("transA") else a
    return turned, values[product.a.scale].astype(np.float64), zero


def _weights(product: Product, constants: Mapping[str, Array]) -> Array:
    """The signed weights, (inner, columns)."""
    weight = constants[product.b.integers]
    return weight.T if product.node.attributes.get("transB") else weight


def _sums(product: Product, values: Mapping[str, Array], a: Array, zero: Array) -> Array:
    """The exact sums of integers, in float64."""
    weight = _weights(product, values).astype(np.float64)
    shift = values[product.b.zero].astype(np.float64) if product.b.zero else 0.0
    return np.asarray((a.astype(np.float64) - zero) @ (weight - shift))


def _worth(product: Product, values: Mapping[str, Array], scale: Array) -> Array:
    if product.unit:
        return product.worth(values)
    return np.asarray(scale * values[product.b.scale].astype(np.float64))


def _reduced(weight: Array, product: Product, columns: bool) -> Array:
    """Weights as 7 bits can have them, symmetrically, with a scale for all or for each column."""
    axis = (1 if product.node.attributes.get("transB") else 0) if columns else None
    wide = weight.astype(np.float64)
    step = np.abs(wide).max(axis=axis, keepdims=columns) / 64
    codes = np.divide(
        wide, step, out=np.zeros_like(wide), where=np.broadcast_to(step, wide.shape) != 0
    )
    return np.asarray((np.rint(codes) * step).astype(np.float32))
