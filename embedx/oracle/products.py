"""The products of a graph as real numbers, however they are written; those of two graphs paired.

A product with weights may be a MatMul between floats, MatMulInteger with its scales behind it, a
MatMul with DequantizeLinear in front of it, QLinearMatMul, MatMulNBits and so on. Here each is two
factors and a result that can be read as the numbers they stand for. Looking up rows of a table of
weights is such a product, too: by rows that hold a single 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from embedx.model.graph import Array, Graph, Node, full
from embedx.rewrite.normal import constants_as_initializers, with_fed
from embedx.run.binding import bind
from embedx.run.fold import fold_constants


class _Layout(NamedTuple):
    """At which place an operator takes what; -1 for what it does not take."""

    a: int = 0
    b: int = 1
    a_scale: int = -1
    a_zero: int = -1
    b_scale: int = -1
    b_zero: int = -1
    y_scale: int = -1
    y_zero: int = -1
    bias: int = -1


_FLOATS = {
    "MatMul": _Layout(),
    "FusedMatMul": _Layout(),
    "Gemm": _Layout(bias=2),
    "Conv": _Layout(bias=2),
    "Gather": _Layout(1, 0),
}
_INTEGERS = {
    "MatMulInteger": _Layout(a_zero=2, b_zero=3),
    "ConvInteger": _Layout(a_zero=2, b_zero=3),
    "DynamicQuantizeMatMul": _Layout(b_scale=2, b_zero=3, bias=4),
    "MatMulIntegerToFloat": _Layout(0, 1, 2, 4, 3, 5, bias=6),
    "QLinearMatMul": _Layout(0, 3, 1, 2, 4, 5, 6, 7),
    "QLinearConv": _Layout(0, 3, 1, 2, 4, 5, 6, 7, 8),
    "QGemm": _Layout(0, 3, 1, 2, 4, 5, 7, 8, 6),
}
_PACKED = {
    "MatMulNBits": _Layout(bias=5),
    "MatMulBnb4": _Layout(),
    "GatherBlockQuantized": _Layout(1, 0),
}
_LAYOUTS = {**_FLOATS, **_INTEGERS, **_PACKED}
_LOOKUPS = ("Gather", "GatherBlockQuantized")
_WHOLE = frozenset("DynamicQuantizeLSTM QAttention QEmbedLayerNormalization QMoE".split())
"""Operators with quantized products inside, of which nobody sees the factors or the results."""
_SUMS = ("MatMulInteger", "ConvInteger")
"""Operators whose result are sums of integers; it is for nodes behind them to scale these."""
_MOVING = frozenset("Identity Reshape Transpose Flatten Squeeze Unsqueeze Slice Split".split())
_QUANTIZERS = ("DynamicQuantizeLinear", "QuantizeLinear")
_SAMPLE = 16
"""So many rows of a matrix tell which one it is."""
_ALIKE = 0.5
"""Rounded or pruned weights correlate more than this with what they were, others hardly."""


@dataclass(frozen=True)
class Place:
    """Where a run has a tensor: as floats, or as integers with a scale and a zero point."""

    edge: str = ""
    """The floats, in front of all rounding; none if there are only integers."""
    integers: str = ""
    """The integers that stand for it; none if it is not rounded."""
    scale: str = ""
    zero: str = ""

    @property
    def edges(self) -> set[str]:
        """All edges that tell what the tensor is."""
        return {self.edge, self.integers, self.scale, self.zero} - {""}

    def real(self, values: Mapping[str, Array]) -> Array:
        """The numbers that stand here in a run, as float64."""
        if self.edge:
            return values[self.edge].astype(np.float64)
        codes = values[self.integers].astype(np.float64)
        if self.zero:
            codes -= values[self.zero].astype(np.float64)
        return np.asarray(codes * values[self.scale].astype(np.float64))


@dataclass(frozen=True, eq=False)
class Product:
    """Two factors and what comes of them, without a bias that the same node may add."""

    node: Node
    a: Place
    b: Place
    result: Place
    """Floats, or the integers to which the product is rounded."""
    bias: Place
    """What is added in front of the result; if integers, in units of the sums."""
    unit: str
    """The edge that tells what 1 in the sums is worth, where a node behind multiplies by it."""
    sample: Array | None
    """Some rows of the constant factor, which has a column for each output feature."""
    shape: tuple[int, ...] | None
    """The constant factor's shape; None where both factors are data."""

    @property
    def edges(self) -> set[str]:
        """The edges that a run has to keep."""
        places = (self.a, self.b, self.result, self.bias)
        return set[str]().union({self.unit} - {""}, *(place.edges for place in places))

    @property
    def target(self) -> str:
        """The edge that carries the result."""
        return self.result.edge or self.result.integers

    @property
    def rounded(self) -> bool:
        """Whether a factor or the result is written in integers."""
        places = (self.a, self.b, self.result)
        return self.node.op_type not in _FLOATS or any(p.integers for p in places)

    @property
    def looks_up(self) -> bool:
        """Whether the product is a choice of rows of a table."""
        return self.node.op_type in _LOOKUPS

    def value(self, values: Mapping[str, Array]) -> Array:
        """The product that a run has computed, as float64, without the bias."""
        return np.asarray(self.result.real(values) - self._bias(values))

    def instead(self, product: Array, values: Mapping[str, Array]) -> Array:
        """What stands in place of the result if the product is ``product``, which is float64.

        It has the result's type, and is rounded to integers where the run goes on with such.
        """
        real = product + self._bias(values)
        was = values[self.target]
        if self.result.edge:
            return np.asarray(real.astype(was.dtype))
        zero = values[self.result.zero].astype(np.float64) if self.result.zero else 0.0
        codes = np.rint(real / values[self.result.scale].astype(np.float64)) + zero
        limits = np.iinfo(was.dtype)
        return np.asarray(np.clip(codes, limits.min, limits.max).astype(was.dtype))

    def _bias(self, values: Mapping[str, Array]) -> Array | float:
        if not self.bias.edges:
            return 0.0
        integers = values[self.bias.integers] * self.worth(values) if self.bias.integers else None
        bias = values[self.bias.edge].astype(np.float64) if integers is None else integers
        if "Conv" in self.node.op_type:
            bias = bias.reshape(-1, *[1] * (values[self.target].ndim - 2))
        return np.asarray(bias)

    def worth(self, values: Mapping[str, Array]) -> Array:
        """What 1 in the integer sums is worth: a scalar, or a number for each output feature."""
        if self.unit:
            return values[self.unit].astype(np.float64)
        a, b = (values[place.scale].astype(np.float64) for place in (self.a, self.b))
        return np.asarray(a * b)

    def multiply(self, a: Array, b: Array) -> Array:
        """What the operator, which is one on floats, makes of two factors, in float64."""
        first = (a, b) if self.node.op_type not in _LOOKUPS else (b, a.astype(np.int64))
        with np.errstate(all="ignore"):
            return np.asarray(bind(replace(self.node, inputs=("a", "b")), "float64")(*first))


class Products:
    """The products of a graph in order, and the constants that they need."""

    def __init__(self, graph: Graph) -> None:
        self.graph = constants_as_initializers(with_fed(graph, set()))
        folded = fold_constants(self.graph, "exact")
        self.constants: dict[str, Array] = {
            name: full(value)
            for name, value in (*folded.constants.items(), *self.graph.constants.items())
        }
        """The values of all edges that depend on no feed."""
        self._makers, self._readers = self.graph.producers(), self.graph.consumers()
        self._outputs = {v.name for v in self.graph.outputs}
        self.all: list[Product] = []
        self.unread: list[Node] = []
        """Nodes that multiply, of which it cannot be told what comes out as real numbers."""
        for node in self.graph.nodes:
            if node.op_type in _WHOLE:
                self.unread.append(node)
            elif node.op_type in _LAYOUTS and (node.op_type not in _LOOKUPS or self._table(node)):
                self._add(node)

    def _table(self, node: Node) -> bool:
        table = self.constants.get(node.inputs[0])
        floats = table is not None and table.dtype.kind not in "iu"
        rows = table is not None and table.ndim > 1 and node.inputs[1] not in self.constants
        return rows and (floats or bool(self.place(node.outputs[0]).integers))

    def _add(self, node: Node) -> None:
        names = {
            role: node.inputs[place] if 0 <= place < len(node.inputs) else ""
            for role, place in _LAYOUTS[node.op_type]._asdict().items()
        }
        if node.op_type in _INTEGERS:
            dynamic = node.op_type == "DynamicQuantizeMatMul"
            a = Place(names["a"]) if dynamic else self._codes(*_of("a", names))
            b = self._codes(*_of("b", names))
        else:
            a, b = self._floats(names["a"]), self._floats(names["b"])
        result: Place | None = Place(node.outputs[0])
        bias, unit = Place(names["bias"]), ""
        if node.op_type in _SUMS:
            result, bias, unit = self._scaled(node.outputs[0])
        elif names["y_scale"]:
            result = Place("", node.outputs[0], names["y_scale"], names["y_zero"])
        elif node.op_type == "Gather" and self.constants[names["b"]].dtype.kind in "iu":
            result = self._dequantized(node.outputs[0])
            b = replace(self.place(node.outputs[0]), integers=names["b"])
        if node.op_type in ("QGemm", "QLinearConv") and names["bias"]:
            bias = Place("", names["bias"])
        if result is None:
            self.unread.append(node)
            return
        sample, shape = self._weight(node, names, b.zero)
        self.all.append(Product(node, a, b, result, bias, unit, sample, shape))

    def _floats(self, edge: str) -> Place:
        """What is known of a factor of floats."""
        maker = self._makers.get(edge)
        if maker is None or maker.op_type != "DequantizeLinear":
            return Place(edge)
        zero = maker.inputs[2] if len(maker.inputs) > 2 else ""
        return self._codes(maker.inputs[0], maker.inputs[1], zero)

    def _codes(self, edge: str, scale: str, zero: str) -> Place:
        """What is known of a factor of integers; moved ones are those that they were."""
        origin = edge
        while (maker := self._makers.get(origin)) and maker.op_type in _MOVING:
            origin = maker.inputs[0]
        if maker is None or maker.op_type not in _QUANTIZERS:
            return Place("", edge, scale, zero)
        known = maker.outputs[1] if maker.op_type.startswith("Dynamic") else maker.inputs[1]
        return Place(maker.inputs[0] if origin == edge else "", edge, scale or known, zero)

    def _scaled(self, edge: str) -> tuple[Place | None, Place, str]:
        """Where sums of integers have become floats, a bias of integers, and the sums' unit."""
        bias, cast = Place(), False
        while edge not in self._outputs and len(self._readers.get(edge, ())) == 1:
            (reader,) = self._readers[edge]
            others = [name for name in reader.inputs if name != edge]
            if reader.op_type == "Mul" and cast and others:
                return Place(reader.outputs[0]), bias, others[0]
            if reader.op_type == "Add" and others and not cast and not bias.edges:
                bias = Place("", others[0])
            elif reader.op_type == "Cast" and not cast:
                cast = True
            else:
                break
            edge = reader.outputs[0]
        return None, bias, ""

    def _dequantized(self, edge: str) -> Place:
        """Where integers become floats, if they do at once, or else themselves."""
        (reader, *others) = self._readers[edge]
        alone = not others and edge not in self._outputs
        floats = alone and reader.op_type == "DequantizeLinear"
        return Place(reader.outputs[0]) if floats else self.place(edge)

    def place(self, edge: str) -> Place:
        """Where to read what an edge carries: floats, or integers as its readers take them."""
        for reader in self._readers.get(edge, ()):
            start = reader.inputs.index(edge) + 1
            if reader.op_type in _MOVING and start == 1:
                moved = self.place(reader.outputs[0])
                if moved.integers:
                    return replace(moved, integers=edge)
            if reader.op_type == "DequantizeLinear" or reader.op_type.startswith("QLinear"):
                return Place("", edge, *(*reader.inputs[start : start + 2], "", "")[:2])
        return Place(edge)

    def _weight(
        self, node: Node, names: Mapping[str, str], zero: str
    ) -> tuple[Array | None, tuple[int, ...] | None]:
        """Rows of the constant factor, and its shape, with the output features as columns."""
        weight = self.constants.get(names["b"])
        if weight is None:
            return None, None
        if node.op_type in _PACKED:
            return self._unpacked(node, names)
        if weight.dtype.kind in "iu" and zero in self.constants:
            shift = self.constants[zero].astype(np.float32)
            rows = "Conv" in node.op_type or node.attributes.get("transB")
            across = (-1, *[1] * (weight.ndim - 1)) if shift.size > 1 and rows else shift.shape
            weight = weight.astype(np.float32) - shift.reshape(across)
        if "Conv" in node.op_type:
            weight = weight.reshape(len(weight), -1).T
        elif node.attributes.get("transB"):
            weight = weight.T
        sample = weight.reshape(-1, weight.shape[-1])[:_SAMPLE] if weight.ndim else None
        return sample, weight.shape

    def _unpacked(
        self, node: Node, names: Mapping[str, str]
    ) -> tuple[Array | None, tuple[int, ...]]:
        inputs = [None if n == names["bias"] else self.constants.get(n) for n in node.inputs]
        if node.op_type in _LOOKUPS:
            shape = self.constants[names["b"]].shape
            inputs[1] = np.arange(min(shape[0], _SAMPLE))
        else:
            shape = node.attributes["K"], node.attributes["N"]
            inputs[0] = np.eye(min(shape[0], _SAMPLE), shape[0], dtype=np.float32)
        plain = {k: v for k, v in node.attributes.items() if k != "accuracy_level"}
        sample = np.asarray(bind(replace(node, attributes=plain))(*inputs))
        return sample, (shape[0], sample.shape[-1])


def _of(role: str, names: Mapping[str, str]) -> tuple[str, str, str]:
    return names[role], names[f"{role}_scale"], names[f"{role}_zero"]


def paired(
    reference: Sequence[Product], candidate: Sequence[Product]
) -> list[tuple[Product, Product]]:
    """The products of a model and those of its rounded copy that compute the same, in order.

    Products with weights are told by these: they have one shape and correlate. A name decides
    between several, and the order between tied weights. Products of data with data are told by
    their names, or else by their order if there are as many.
    """
    names = {name: i for i, p in enumerate(reference) for name in _names(p)}
    found: dict[int, int] = {}
    for j, other in enumerate(candidate):
        place = next((names[n] for n in _names(other) if n in names), None)
        if place is not None and place not in found and _likeness(reference[place], other) > _ALIKE:
            found[place] = j
    for j, other in enumerate(candidate):
        left = [i for i in range(len(reference)) if i not in found]
        if j in found.values() or other.sample is None or not left:
            continue
        likeness = [_likeness(reference[i], other) for i in left]
        best = int(np.argmax(likeness))
        if likeness[best] > _ALIKE:
            found[left[best]] = j
    rest = [
        [i for i, p in enumerate(products) if i not in taken and p.shape is None]
        for products, taken in ((reference, found), (candidate, set(found.values())))
    ]
    if len(rest[0]) == len(rest[1]):
        found.update(zip(*rest, strict=True))
    return [(reference[i], candidate[found[i]]) for i in sorted(found)]


def _names(product: Product) -> list[str]:
    """What a product is called in this file, and what it may have been called before."""
    name = product.node.name
    for ending in _ENDINGS:
        name = name.removesuffix(ending)
    return [n for n in (product.node.name, name, name.removesuffix("_MatMul"), product.target) if n]


_ENDINGS = ("_quant", "_Q2", "_Q4", "_Q8", "_Bnb4", "_DequantizeLinear")
"""What onnxruntime's quantizers put behind a node's name; a Gemm is a MatMul to them."""


def _likeness(a: Product, b: Product) -> float:
    """How well the weights correlate; 1 for products without any, -1 for what cannot be paired."""
    if a.shape != b.shape or a.looks_up != b.looks_up:
        return -1
    if a.sample is None or b.sample is None:
        return 1
    u, v = (x.sample.astype(np.float64).ravel() for x in (a, b) if x.sample is not None)
    norm = np.linalg.norm(u) * np.linalg.norm(v)
    return float(u @ v / norm) if norm else 1
