"""Graphs in another float type: everything in float64, or half precision carried in float32."""

from __future__ import annotations

from collections.abc import Iterator, Set
from dataclasses import replace
from typing import Any

import numpy as np

from embedx.graph import Array, Graph, Node, SparseTensor, TensorType, Type
from embedx.ops import code_of, dtype_of
from embedx.rewrite import renamed

_TYPE_ATTRIBUTES = frozenset(
    "to dtype output_dtype output_datatype precision softmax_precision stash_type".split()
)
_HALVES = frozenset({"float16", "bfloat16"})


def to_float64(graph: Graph) -> Graph:
    """The graph with float64 instead of float32, float16 and bfloat16, in casts as well."""
    return _retyped(graph, _HALVES | {"float32"}, np.dtype(np.float64))


def carry_halves_wide(graph: Graph) -> Graph:
    """The graph with float32 on its inner float16 and bfloat16 edges; inputs and outputs stay.

    It is what runtimes without half-precision arithmetic do: as precise as the weights allow, and
    faster than rounding after each node, which the standard asks for.
    """
    if not any(_is_half(kind) for kind in _types(graph)):
        return graph
    single = np.dtype(np.float32)
    names: dict[str, str] = {}
    heads, tails = [], []
    for value in graph.inputs:
        if _is_half(value.type):
            names[value.name] = f"{value.name}~wide"
            heads.append(_cast(value.name, names[value.name], single))
    for value in graph.outputs:
        if isinstance(value.type, TensorType) and _is_half(value.type):
            inner = names.setdefault(value.name, f"{value.name}~wide")
            tails.append(_cast(inner, value.name, value.type.dtype))
    wide = _retyped(graph, _HALVES, single)
    body = [renamed(node, lambda name: names.get(name, name), {}) for node in wide.nodes]
    return replace(wide, inputs=graph.inputs, outputs=graph.outputs, nodes=(*heads, *body, *tails))


def _cast(source: str, target: str, dtype: np.dtype[Any]) -> Node:
    return Node("Cast", (source,), (target,), {"to": code_of(dtype)}, opset=25)


def _types(graph: Graph) -> Iterator[Type]:
    for value in (*graph.inputs, *graph.outputs):
        yield value.type
    for weight in graph.initializers.values():
        dtype = (weight.values if isinstance(weight, SparseTensor) else weight).dtype
        yield TensorType(dtype)
    for node in graph.walk():
        for name, value in node.attributes.items():
            if isinstance(value, np.ndarray):
                yield TensorType(value.dtype)
            elif name in _TYPE_ATTRIBUTES and isinstance(value, int) and value:
                yield TensorType(dtype_of(value))


def _is_half(kind: Type) -> bool:
    return isinstance(kind, TensorType) and kind.dtype.name in _HALVES


def _retyped(graph: Graph, narrow: Set[str], wide: np.dtype[Any]) -> Graph:
    """The graph with ``wide`` instead of the ``narrow`` types in weights, attributes and types."""

    def array(value: Array | SparseTensor) -> Array | SparseTensor:
        if isinstance(value, SparseTensor):
            return replace(value, values=array(value.values))  # type: ignore[arg-type]
        return value.astype(wide) if value.dtype.name in narrow else value

    def kind(declared: Type) -> Type:
        if isinstance(declared, TensorType):
            return replace(declared, dtype=wide) if declared.dtype.name in narrow else declared
        return None if declared is None else replace(declared, element=kind(declared.element))

    def attribute(name: str, value: Any) -> Any:
        if isinstance(value, Graph):
            return _retyped(value, narrow, wide)
        if isinstance(value, np.ndarray | SparseTensor):
            return array(value)
        if name in _TYPE_ATTRIBUTES and isinstance(value, int) and value:
            return code_of(wide) if dtype_of(value).name in narrow else value
        return value

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
