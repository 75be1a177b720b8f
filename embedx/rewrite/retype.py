"""Graphs in another float type: everything in float64, or half precision carried in float32."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from embedx.errors import ModelError
from embedx.model.graph import (
    Array,
    Graph,
    Node,
    OptionalType,
    SequenceType,
    SparseTensor,
    TensorType,
    Type,
    reads,
)
from embedx.ops import code_of, dtype_of, resolve
from embedx.rewrite.element_types import DType, element_types
from embedx.rewrite.normal import unused_suffix
from embedx.rewrite.rule import rule

_TYPE_ATTRIBUTES = frozenset(
    "to dtype output_dtype output_datatype precision softmax_precision stash_type".split()
)
_HALVES = frozenset({"float16", "bfloat16"})
_NARROW = _HALVES | {"float32"}
_SINGLE, _DOUBLE = np.dtype(np.float32), np.dtype(np.float64)


def to_float64(graph: Graph) -> Graph:
    """The graph with float64 instead of float32, float16 and bfloat16, in casts as well.

    Raises ModelError for a BitCast of such a float.
    """
    return _retyped(graph, element_types(graph))


def _retyped(graph: Graph, types: Mapping[str, DType]) -> Graph:
    def array(value: Array | SparseTensor) -> Array | SparseTensor:
        if isinstance(value, SparseTensor):
            return replace(value, values=array(value.values))  # type: ignore[arg-type]
        return value.astype(_DOUBLE) if value.dtype.name in _NARROW else value

    def kind(declared: Type) -> Type:
        if isinstance(declared, TensorType):
            return replace(declared, dtype=_DOUBLE) if declared.dtype.name in _NARROW else declared
        if isinstance(declared, SequenceType | OptionalType):
            return replace(declared, element=kind(declared.element))
        return declared

    def attribute(name: str, value: Any) -> Any:
        if isinstance(value, Graph):
            return _retyped(value, element_types(value, types))
        if isinstance(value, np.ndarray | SparseTensor):
            return array(value)
        if name in _TYPE_ATTRIBUTES and isinstance(value, int) and value:
            return code_of(_DOUBLE) if dtype_of(value).name in _NARROW else value
        return value

    for node in graph.nodes:
        source = types.get(node.inputs[0]) if node.op_type == "BitCast" else None
        if source is not None and source.name in _NARROW:
            raise ModelError(
                f"{node} reads the bits of a {source}, which precision='float64' does not have; "
                "take precision='exact'"
            )
    return replace(
        graph,
        inputs=tuple(replace(v, type=kind(v.type)) for v in graph.inputs),
        outputs=tuple(replace(v, type=kind(v.type)) for v in graph.outputs),
        values={name: kind(declared) for name, declared in graph.values.items()},
        initializers={name: array(v) for name, v in graph.initializers.items()},
        nodes=tuple(
            replace(node, attributes={k: attribute(k, v) for k, v in node.attributes.items()})
            for node in graph.nodes
        ),
    )


def _cast(source: str, target: str, dtype: DType) -> Node:
    return Node("Cast", (source,), (target,), {"to": code_of(dtype)}, opset=25)


_EXACT = frozenset(
    "Abs Clip Concat Dropout Expand Flatten Gather GatherElements GatherND Identity Max Min "
    "Neg Pad ReduceMax ReduceMin Relu Reshape Slice Split Squeeze Tile Transpose Trilu Unsqueeze "
    "Where".split()
)
"""Operators of the standard that do not round, and that nearly equal inputs give nearly equal
results of; not so Floor, Sign or comparisons, which must see what half precision holds."""


@rule(
    """g (float16[B, T, 4] x, float16[4] w) => (float16[B, T, 4] y, bool[B, T, 4] z) {
    a = Mul(x, w)  b = Tanh(a)  y = Add(b, x)  z = Greater(y, b) }""",
    """g (float[B, T, 4] x) => (float[B, T, 4] y) <float[4] w = {1, 2, 3, 0.5}> {
    h = Cast<to = 10>(x)  k = Cast<to = 10>(w)  a = Mul(h, k)
    b = Transpose<perm = [0, 2, 1]>(a)  c = Softmax(b)
    d = Transpose<perm = [0, 2, 1]>(c)  y = Cast<to = 1>(d) }""",
    bound=2.0**-8,
    graph_by_graph=False,
)
def carry_halves_wide(graph: Graph) -> Graph:
    """float16 and bfloat16 are carried in float32 between operators that round.

    It is what runtimes without half-precision arithmetic do: as precise as the weights allow, and
    faster than rounding after each node, which the standard asks for. Each edge keeps its name and
    type; the wide one lies beside it. An operator takes the wide edges if the types of all its
    inputs and outputs are known, and if it rounds or hands on what it gets. Every other one sees
    half precision, and a cast to half precision stays one that rounds.
    """
    return _widened(graph, {}, unused_suffix(graph, "wide"))


def _widened(graph: Graph, outer: Mapping[str, DType], suffix: str) -> Graph:
    types = element_types(graph, outer)
    halves = {name for name, dtype in types.items() if dtype.name in _HALVES}
    if not halves and not any(node.subgraphs for node in graph.nodes):
        return graph
    nodes: list[Node] = []
    wide, only_wide = set[str](), set[str]()
    """Those halves that there are in float32, and those that there are in nothing else."""

    def wide_of(name: str) -> str:
        return f"{name}{suffix}" if name in halves else name

    def widened(name: str) -> str:
        if name in halves and name not in wide:
            nodes.append(_cast(name, wide_of(name), _SINGLE))
            wide.add(name)
        return wide_of(name)

    def narrowed(name: str) -> None:
        if name in only_wide:
            nodes.append(_cast(wide_of(name), name, types[name]))
            only_wide.discard(name)

    for node in graph.nodes:
        if _is_smooth(node, types):
            inputs = tuple(map(widened, node.inputs))
            outputs = tuple(map(wide_of, node.outputs))
            wide.update(halves.intersection(node.outputs))
            only_wide.update(halves.intersection(node.outputs))
            nodes.append(replace(node, inputs=inputs, outputs=outputs))
            continue
        for name in dict.fromkeys(reads(node)):
            narrowed(name)
        bodies = {key: _widened(body, types, suffix) for key, body in node.subgraphs.items()}
        nodes.append(replace(node, attributes={**node.attributes, **bodies}))
    for value in graph.outputs:
        narrowed(value.name)
    return replace(graph, nodes=tuple(nodes))


def _is_smooth(node: Node, types: Mapping[str, DType]) -> bool:
    """Whether a node can take and give float32 instead of half precision, and gains by it."""
    edges = [name for name in (*node.inputs, *node.outputs) if name]
    halves = any(name in types and types[name].name in _HALVES for name in node.inputs)
    if not halves or not all(name in types for name in edges):
        return False
    if node.op_type == "Cast" and node.domain == "":
        return dtype_of(node.attributes["to"]) in (_SINGLE, _DOUBLE)
    operator = resolve(node.op_type, node.opset, node.domain)
    exact = node.op_type in _EXACT and node.domain == ""
    return bool(operator.rounds) or exact
