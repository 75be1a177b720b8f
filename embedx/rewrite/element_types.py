"""The element types of a graph's edges, told from its inputs by the schemas of its operators.

An edge that is missing from the result is not understood, and nothing may be concluded about it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from embedx.errors import ModelError
from embedx.model.graph import Graph, Node, SparseTensor, TensorType
from embedx.model.schemas import schema_of
from embedx.ops import constant, dtype_of, resolve

DType: TypeAlias = np.dtype[Any]
_Known: TypeAlias = Mapping[str, DType]

FLOATS = frozenset(map(np.dtype, (np.float16, np.float32, np.float64))) | {dtype_of(16)}
"""float16, float32, float64 and bfloat16."""


_AS_INPUT = {
    "DequantizeLinear": 1,
    "DynamicQuantizeMatMul": 0,
    "GatherBlockQuantized": 2,
    "MatMulIntegerToFloat": 2,
    "RelativePositionBias": 0,
}
"""Operators of com.microsoft whose result has the type of the input at this place."""


def element_types(graph: Graph, outer: _Known | None = None) -> dict[str, DType]:
    """The element types of those edges of a sorted graph of which they can be told.

    ``outer`` has those of the edges that a subgraph may take from outside. Raises ModelError,
    naming the node or the output, for types that an operator does not take at its opset or does not
    take together, for branches that differ, and for an output of another type than declared.
    """
    known = dict(outer or {})
    for value in graph.inputs:
        known.pop(value.name, None)
        if isinstance(value.type, TensorType):
            known[value.name] = value.type.dtype
    for name, weight in graph.initializers.items():
        known[name] = (weight.values if isinstance(weight, SparseTensor) else weight).dtype
    for node in graph.nodes:
        made = zip(node.outputs, _output_types(node, known), strict=False)
        known.update({name: dtype for name, dtype in made if name and dtype is not None})
    for value in graph.outputs:
        found = known.get(value.name)
        declared = value.type.dtype if isinstance(value.type, TensorType) else None
        if found is not None and declared is not None and found != declared:
            raise ModelError(
                f"the output {value.name!r} is declared as {value.type}, it is made as {found}"
            )
    return known


def _output_types(node: Node, known: _Known) -> Sequence[DType | None]:
    schema = schema_of(node.op_type, node.opset, node.domain)
    if schema is None:
        return _like_inputs(node, known)
    bound: dict[str, DType] = {}
    for i, name in enumerate(node.inputs):
        parameter = schema.inputs[i] if i < len(schema.inputs) else schema.more
        dtype = known.get(name)
        if parameter is None or dtype is None:
            continue
        allowed = schema.tensors[parameter]
        if allowed and dtype not in allowed:
            raise ModelError(
                f"{node}: input {i} ({name!r}) is {dtype}, at opset {node.opset} it can be "
                f"{', '.join(sorted(map(str, allowed)))}"
            )
        if parameter != schema.free and bound.setdefault(parameter, dtype) != dtype:
            raise ModelError(
                f"{node}: input {i} ({name!r}) is {dtype}, another one is {bound[parameter]}; "
                "the two must be of one type, so insert a Cast"
            )
    if node.subgraphs:
        return _made_inside(node, known)
    if node.op_type == "Cast":
        return [dtype_of(node.attributes["to"])]
    if node.op_type == "Constant":
        return [constant(**node.attributes).dtype]
    if node.op_type == "ConstantOfShape":
        value = node.attributes.get("value")
        return [np.dtype(np.float32) if value is None else value.dtype]
    last = schema.outputs[-1:]
    return [
        bound.get(p, _only(schema.tensors[p]))
        for p in (*schema.outputs, *last * (len(node.outputs) - len(schema.outputs)))
    ]


def _only(types: frozenset[DType]) -> DType | None:
    return next(iter(types)) if len(types) == 1 else None


def _made_inside(node: Node, known: _Known) -> Sequence[DType | None]:
    """The types of what subgraphs hand out, of a loop behind its condition."""
    bodies = node.subgraphs
    counts = {name: len(graph.outputs) for name, graph in bodies.items()}
    if len(set(counts.values())) > 1 or min(counts.values()) < len(node.outputs):
        given = ", ".join(f"{name} gives {count}" for name, count in counts.items())
        raise ModelError(f"{node} has {len(node.outputs)} outputs, {given}")
    made = []
    for graph in bodies.values():
        inner = element_types(graph, known)
        made.append([inner.get(v.name) for v in graph.outputs[-len(node.outputs) :]])
    for kinds in zip(*made, strict=True):
        told = {kind for kind in kinds if kind is not None}
        if len(told) > 1:
            raise ModelError(f"{node}: its branches give {' and '.join(map(str, told))}")
    return made[0] if node.op_type in ("If", "Loop", "Scan") else []


def _like_inputs(node: Node, known: _Known) -> Sequence[DType | None]:
    """The types of results that have, or are rounded to, the type of an input."""
    try:
        found = resolve(node.op_type, node.opset, node.domain)
    except LookupError:
        return []
    if node.op_type in _AS_INPUT and node.domain == "com.microsoft":
        return [known.get(node.inputs[_AS_INPUT[node.op_type]])]
    given = [known.get(name) for name in node.inputs if name]
    decisive = (dtype for dtype in given if dtype is None or dtype in FLOATS)
    first = next(decisive, None)
    rounded = range(len(node.outputs)) if found.rounds is True else found.rounds or ()
    types: list[DType | None] = [None] * len(node.outputs)
    for i in (i for i in rounded if i < len(types)):
        types[i] = known.get(node.inputs[found.like[i]]) if found.like else first
    return types
