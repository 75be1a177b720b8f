"""Noise of the size that rounding makes, and how far it carries a model's values.

A run in exact precision, in which each result of a node that rounds is moved a little, at random,
is what some honest runtime might have computed. How far such runs are apart is what rounding
explains, for this model and these inputs. The method is the one of stochastic arithmetic (Vignes
1993, A stochastic arithmetic for reliable scientific computation), with noise that has the size of
a machine's own errors.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from embedx.model.graph import Array, Graph, Node, reads
from embedx.ops import dtype_of, is_floating, resolve
from embedx.oracle.steps import SAME, Coarse, Steps, variances
from embedx.run.binding import bind
from embedx.run.execute import Compute, computed
from embedx.run.step import Step

SUMMED = 4
"""How much more than its own rounding the order of a sum of products may cost."""

FILL = 1e30
"""Above this stands what masks are filled with, and no result."""

_LEAST_SURE = 2.0**-8
"""No runtime is so far off, relatively, where it decides."""

_POOL = 1 << 18
"""Random numbers are drawn once, and read from a place that is drawn for each tensor."""

_BILINEAR = frozenset(
    "MatMul Gemm Einsum Conv ConvTranspose FusedMatMul TransposeMatMul FusedGemm FusedConv".split()
)
"""Sums of products, whose formula on squares gives the sum of the products' squares."""

_SUMS = frozenset(
    "Attention AveragePool CausalConvWithState CumSum DFT DecoderMaskedMultiHeadAttention "
    "DynamicQuantizeLSTM DynamicQuantizeMatMul GRU GlobalAveragePool GroupQueryAttention LSTM "
    "LinearAttention MatMulBnb4 MatMulIntegerToFloat MatMulNBits MultiHeadAttention "
    "PackedAttention QAttention RNN ReduceL1 ReduceL2 ReduceMean ReduceSum ReduceSumSquare STFT "
    "SparseToDenseMatMul".split()
)
"""Sums whose noise is that of moved inputs: it is as large, and needs no formula of its own."""

_DECIDING = frozenset(
    "ArgMax ArgMin Binarizer BitCast Ceil Compress DynamicQuantizeLinear "
    "DynamicQuantizeLSTM DynamicQuantizeMatMul Equal Floor Greater GreaterOrEqual Hardmax Less "
    "LessOrEqual Mod NonMaxSuppression NonZero QuantizeLinear Round Sign TopK "
    "TreeEnsemble TreeEnsembleClassifier TreeEnsembleRegressor Unique".split()
)
"""Operators that give integers or steps for floats, as a cast to integers does."""

_STEPS = frozenset("Binarizer Ceil Floor Hardmax Round Sign".split())
"""Those whose steps are floats."""

_REQUANTIZING = frozenset(
    "QEmbedLayerNormalization QGemm QLinearAdd QLinearAveragePool QLinearConcat QLinearConv "
    "QLinearGlobalAveragePool QLinearLeakyRelu QLinearMatMul QLinearMul QLinearReduceMean "
    "QLinearSigmoid QLinearSoftmax".split()
)
"""Operators that give integers for integers, and round in between."""

_READS_CODES = _REQUANTIZING | {"DequantizeLinear"}
"""Operators that take rows of a table of integers for data."""

_FROM_INTEGERS = frozenset(
    "DequantizeLinear DynamicQuantizeLSTM DynamicQuantizeMatMul GatherBlockQuantized "
    "LinearAttention MatMulIntegerToFloat QAttention QEmbedLayerNormalization TreeEnsemble".split()
)
"""Operators that round, of which the registry does not say so: their inputs are no floats."""

_SIZES = frozenset(("Shape", "Size"))


def unit_of(dtype: np.dtype[Any]) -> float:
    """The unit roundoff of a float type: half the distance from 1 to the next number.

    >>> unit_of(np.dtype(np.float32)) == 2.0**-24
    True
    """
    one = np.ones(1, dtype)
    return float(np.spacing(one.astype(np.float64) if dtype.itemsize == 1 else one)[0]) / 2


def rounds(node: Node) -> bool:
    """Whether the node computes floats that a machine rounds, be it in a subgraph."""
    if node.op_type in _FROM_INTEGERS or any(map(rounds, inner(node))):
        return True
    return bool(resolve(node.op_type, node.opset, node.domain).rounds)


def inner(node: Node) -> Iterator[Node]:
    """The nodes of a node's subgraphs."""
    for body in node.subgraphs.values():
        yield from body.walk()


def edges_of_data(graph: Graph) -> set[str]:
    """The edges whose values are made of a float input, or of a row of a table of weights.

    Sizes, and what is computed of token ids alone (masks, positions, their distances), are no
    data: noise in them would flip what no real machine flips.
    """
    found = {v.name for v in graph.inputs if _is_float(getattr(v.type, "dtype", None))}
    _spread(graph, found, set(), set())
    return found


def _is_float(dtype: np.dtype[Any] | None) -> bool:
    return dtype is not None and is_floating(dtype)


def _spread(graph: Graph, found: set[str], tables: set[str], codes: set[str]) -> None:
    """Add to ``found`` what is made of it, of floats in ``tables``, and of integer ``codes``."""
    constants = graph.constants
    for name, value in constants.items():
        if len(value.shape) > 1:
            (tables if _is_float(value.dtype) else codes).add(name)
    for node in graph.nodes:
        names = list(reads(node))
        made = {name for name in node.outputs if name}
        if node.op_type in _SIZES:
            continue
        first = node.inputs[0] if node.inputs else ""
        if node.op_type == "Gather" and first in codes:
            codes.update(made)
        elif node.op_type == "DequantizeLinear" and first in constants:
            tables.update(made)
        elif node.op_type in _READS_CODES and first in codes and first not in constants:
            found.update(made)
        elif node.subgraphs:
            given = not found.isdisjoint(node.inputs)
            for body in node.subgraphs.values():
                found.update(v.name for v in body.inputs if given)
                _spread(body, found, tables, codes)
                found.update(made if any(v.name in found for v in body.outputs) else ())
        elif _reads_table(node, tables, codes) or not found.isdisjoint(names):
            found.update(made)


def _reads_table(node: Node, tables: set[str], codes: set[str]) -> bool:
    """Whether a node takes rows of a table, or multiplies something by one."""
    if node.op_type in ("EmbedLayerNormalization", "QEmbedLayerNormalization"):
        return True
    if node.op_type == "GatherBlockQuantized":
        return node.inputs[0] in codes
    if node.op_type in ("Gather", "GatherND"):
        return node.inputs[0] in tables
    return node.op_type in ("MatMul", "Gemm", "Conv") and not tables.isdisjoint(node.inputs)


class Noise:
    """Random noise of a machine's size, the same for the same ``seed``.

    ``coarse`` is how a candidate's file computes more coarsely. ``flipping`` is how many times more
    noise meets the inputs of decisions, so that some are taken otherwise; half precision then is
    noisy everywhere, as some runtimes keep chains of it in float32, positions included. With
    ``everywhere`` what is made of token ids alone is noisy in any precision.
    """

    def __init__(
        self, graph: Graph, *, seed: int = 0, coarse: Coarse = SAME, flipping: float = 0.0,
        everywhere: bool = False,
    ) -> None:  # fmt: skip
        self.data = set(graph.producers()) if everywhere else edges_of_data(graph)
        self._random = np.random.default_rng(seed)
        self._normals = _normals(seed)
        self._unit, self._steps, self._flipping = coarse.unit, coarse.steps, flipping
        self._tables = {n for n, v in graph.constants.items() if is_floating(v.dtype)}

    def around(self, step: Step, inputs: Sequence[Any], compute: Compute) -> Sequence[Any]:
        """Stand around a step of a run, as ``Engine.walk`` takes it, and move what it gives."""
        node = step.node
        data = not self.data.isdisjoint(node.outputs)
        if node.subgraphs or not (data or self._flipping):
            return compute()
        if self._flipping and may_decide(node):
            return self._decided(step, inputs)
        steps = self._steps.get(node.outputs[0])
        if steps is not None:
            return self._stepwise(steps, step, inputs, compute)
        if self._unit and data and node.inputs[:1] and node.inputs[0] in self._tables:
            return [self._rounded(y, None) for y in compute()]  # rows of a rounded table
        if not rounds(node):
            return compute()
        if node.op_type in _SUMS and data:
            given: Sequence[Any] = [self.moved(x, SUMMED * self._summing(x)) for x in inputs]
            outputs = computed(step, given)
        else:
            given, outputs = inputs, compute()
        sizes = [summed(node, given)] if data and node.op_type in _BILINEAR else []
        return [
            self._rounded(y, sizes[i] if i < len(sizes) else None) if data or _is_half(y) else y
            for i, y in enumerate(outputs)
        ]

    def _decided(self, step: Step, inputs: Sequence[Any]) -> Sequence[Any]:
        if self.data.isdisjoint(step.node.outputs) and not any(map(_is_half, inputs)):
            return computed(step, inputs)
        units = [max(unit_of(x.dtype), self._unit) if _is_floats(x) else 0.0 for x in inputs]
        share = [min(self._flipping * u, _LEAST_SURE) for u in units]
        moved = [self.moved(x, r) for x, r in zip(inputs, share, strict=True)]
        outputs = computed(step, moved)
        if step.node.op_type in _REQUANTIZING:
            return [self._stepped(y) for y in outputs]
        return outputs

    def _stepwise(
        self, steps: Steps, step: Step, inputs: Sequence[Any], compute: Compute
    ) -> Sequence[Any]:
        """A product whose factors are rounded to steps."""
        node, places = step.node, (1, 0) if steps.looks_up else (0, 1)
        of_a, of_b = variances(steps, *(inputs[place] for place in places))
        if of_a is not None and node.op_type not in _BILINEAR:  # its weights are rounded already
            return computed(step, [self._added(inputs[0], np.sqrt(of_a)), *inputs[1:]])
        (y,) = compute()
        if of_a is None:
            variance = np.broadcast_to(np.max(of_b, initial=0.0), y.shape)
        else:
            variance = of_products(node, [np.square(inputs[0]), of_b], _same)
            variance = variance + of_products(node, [of_a, np.square(inputs[1])], _same)
        return [self._added(y, np.sqrt(variance + steps.result**2 / 12))]

    def _stepped(self, y: Any) -> Any:
        """Integers, of which a few are one step off."""
        if not isinstance(y, np.ndarray) or y.dtype.kind not in "iu" or not y.size:
            return y
        share = min(self._flipping * unit_of(np.dtype(np.float32)), 1.0)
        steps = self._random.choice([-1, 0, 1], y.shape, p=[share / 2, 1 - share, share / 2])
        bounds = np.iinfo(y.dtype)
        return np.clip(y.astype(np.int64) + steps, bounds.min, bounds.max).astype(y.dtype)

    def moved_feeds(self, feeds: Mapping[str, Any]) -> dict[str, Any]:
        """The feeds with the noise of their own rounding."""
        return {
            name: self.moved(x, max(unit_of(x.dtype), self._unit) if _is_floats(x) else 0.0)
            for name, x in feeds.items()
        }

    def moved(self, x: Any, relative: float) -> Any:
        """``x`` with relative noise, if it is an array of floats.

        Whole numbers, such as those of a mask, stay: they are exact. So does what fills a mask.
        """
        if not _is_floats(x):
            return x
        size = np.abs(_working(x))
        return self._added(x, np.where(size == np.rint(size), 0, relative * size))

    def _summing(self, x: Any) -> float:
        """The roundoff in which sums are made: that of float32, for halves as well."""
        wide = isinstance(x, np.ndarray) and x.dtype.itemsize >= 8
        return max(unit_of(np.dtype(np.float64 if wide else np.float32)), self._unit / SUMMED)

    def _rounded(self, y: Any, sums: Array | None) -> Any:
        if not _is_floats(y):
            return y
        size = np.abs(_working(y))
        size *= max(unit_of(y.dtype), self._unit)
        if sums is not None:
            size += np.where(np.isfinite(sums), SUMMED * self._summing(y) * sums, 0)
        return self._added(y, size)

    def _added(self, x: Array, size: Array) -> Array:
        work = _working(x)
        noise = np.asarray(self._drawn(x.size).reshape(x.shape) * size)
        noise[~(np.abs(work) < FILL)] = 0
        return np.asarray((work + noise).astype(x.dtype, copy=False))

    def _drawn(self, count: int) -> Array:
        """Standard normal numbers, from a random place of the pool on."""
        normals = self._normals[int(self._random.integers(_POOL)) :]
        if count > len(normals):
            normals = np.concatenate([normals, np.resize(self._normals, count - len(normals))])
        return normals[:count]


def _working(x: Array) -> Array:
    """``x`` in a type in which noise can be added to it."""
    return x if x.dtype.itemsize >= 4 else x.astype(np.float32)


def _same(x: Any) -> Any:
    return x


@functools.lru_cache(maxsize=8)
def _normals(seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal(_POOL, np.float32)


def may_decide(node: Node) -> bool:
    """Whether a node may make integers, or steps, of floats: small noise can flip what it gives."""
    if node.op_type == "Cast":
        return not is_floating(dtype_of(node.attributes["to"]))
    return (
        node.op_type in _DECIDING
        or node.op_type in _REQUANTIZING
        or any(map(may_decide, inner(node)))
    )


def flips(node: Node, a: Array, b: Array) -> int | None:
    """How many decisions differ between two results of a node; None where they hold none."""
    if not may_decide(node) or (is_floating(a.dtype) and node.op_type not in _STEPS):
        return None
    return int(np.count_nonzero(np.asarray(a != b)))


def _is_floats(x: Any) -> bool:
    return isinstance(x, np.ndarray) and is_floating(x.dtype) and x.size > 0


def _is_half(x: Any) -> bool:
    return _is_floats(x) and bool(x.dtype.itemsize == 2)


def is_product(node: Node) -> bool:
    """Whether a node's results are sums of products of its inputs."""
    return node.op_type in _BILINEAR


def summed(node: Node, inputs: Sequence[Any]) -> Array:
    """For each sum of products the root of the sum of their squares, as float32."""
    found = of_products(node, inputs, np.square)
    return np.asarray(np.sqrt(found, out=found))


def of_products(node: Node, inputs: Sequence[Any], function: Callable[[Any], Any]) -> Array:
    """The sums of a ``function`` of the products that ``is_product`` means, as float32.

    The function must be one that gives for a product the product of what it gives for the factors,
    such as a square or the absolute value.
    """
    plain = {k: v for k, v in node.attributes.items() if not k.startswith("activation")}
    for factor in ("alpha", "beta"):
        if factor in plain:
            plain[factor] = float(function(plain[factor]))
    given = [None if x is None else function(np.asarray(x, np.float32)) for x in inputs]
    return np.asarray(bind(replace(node, attributes=plain))(*given), np.float32)
