"""The shapes of a graph's edges, followed from its inputs' through the operators.

Nothing is computed and no node is refused: an operator without a rule here makes edges of unknown
shape, and a node that cannot run leaves a contradiction in the sizes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np

from embedx.model.graph import Graph, Node
from embedx.rewrite import (  # noqa: F401 - each registers its rules
    _shapes_elementwise,
    _shapes_layout,
    _shapes_products,
    _shapes_windows,
)
from embedx.rewrite._shape_registry import RULES
from embedx.rewrite.edges import Edges
from embedx.rewrite.sizes import Shape, Size, Sizes


def edges_of(graph: Graph, inputs: Mapping[str, Shape], sizes: Sizes) -> Edges:
    """What is known of the edges of a sorted graph whose inputs have these shapes.

    What the operators demand of sizes that are only names is learned by ``sizes``.
    """
    edges = Edges(inputs, sizes)
    _follow(graph, edges)
    return edges


def _follow(graph: Graph, edges: Edges) -> None:
    for name, weight in graph.initializers.items():
        if isinstance(weight, np.ndarray):
            edges.hold(name, weight)
        else:
            edges.set_shape(name, tuple(weight.shape))
    for node in graph.nodes:
        for name in node.outputs:  # in a body it may hide another one
            edges.forget(name)
        try:
            _follow_node(node, edges)
        except (ArithmeticError, LookupError, TypeError, ValueError):
            edges.sizes.contradictions += 1  # such as an attribute that makes no sense
        for body in node.subgraphs.values():
            inner = edges.inner()
            for value in body.inputs:
                inner.forget(value.name)
            _follow(body, inner)


def _follow_node(node: Node, edges: Edges) -> None:
    if node.op_type == "Constant":
        held = next(iter(node.attributes.values()), None)
        if isinstance(held, np.ndarray | tuple | int | float):
            edges.hold(node.outputs[0], np.asarray(held))
        return
    reckon = None if node.domain else _VALUES.get(node.op_type)
    if reckon is not None and (values := reckon(edges, node)) is not None:
        edges.set_values(node.outputs[0], values)
    rule = RULES.get(node.operator)
    if rule is not None:
        made = rule(edges, node, [edges.shape(name) for name in node.inputs])
        for name, shape in zip(node.outputs, made, strict=False):
            edges.set_shape(name, shape)


Values: TypeAlias = tuple[Size, ...] | None


def _shape_values(edges: Edges, node: Node) -> Values:
    shape = edges.shape(node.inputs[0])
    start, end = node.attributes.get("start", 0), node.attributes.get("end")
    return None if shape is None else shape[start:end]


def _size_values(edges: Edges, node: Node) -> Values:
    shape = edges.shape(node.inputs[0])
    return None if shape is None else (edges.sizes.product(shape),)


def _same_values(edges: Edges, node: Node) -> Values:
    return edges.values(node.inputs[0])


def _gathered_values(edges: Edges, node: Node) -> Values:
    values, places = edges.values(node.inputs[0]), edges.numbers(node, 1)
    if values is None or places is None:
        return None
    inside = all(-len(values) <= place < len(values) for place in places)
    return tuple(values[place] for place in places) if inside else None


def _sliced_values(edges: Edges, node: Node) -> Values:
    values = edges.values(node.inputs[0])
    starts, ends = edges.numbers(node, 1, "starts"), edges.numbers(node, 2, "ends")
    steps = edges.numbers(node, 4, "steps") if len(node.inputs) > 4 else [1]
    if values is None or not starts or not ends or not steps or len(starts) != 1 or not steps[0]:
        return None
    return values[starts[0] : ends[0] : steps[0]]


def _concatenated_values(edges: Edges, node: Node) -> Values:
    pieces = [
        (edges.sizes.new(),) if edges.shape(name) == (1,) and edges.values(name) is None
        else edges.values(name)
        for name in node.inputs
    ]  # fmt: skip
    return None if None in pieces else tuple(size for piece in pieces for size in piece or ())


def _reckoned_values(edges: Edges, node: Node) -> Values:
    a, b = (edges.values(name) for name in node.inputs)
    if not a or not b or len({len(a), len(b)} - {1}) > 1:
        return None
    count = max(len(a), len(b))
    pairs = zip(a * (count // len(a)), b * (count // len(b)), strict=True)
    if node.op_type == "Mul":
        return tuple(edges.sizes.product(pair) for pair in pairs)
    if node.op_type == "Add":
        return tuple(map(edges.sizes.total, pairs))
    known = [(x, y) for x, y in pairs if isinstance(x, int) and isinstance(y, int)]
    if len(known) < count or (node.op_type == "Div" and any(y <= 0 or x < 0 for x, y in known)):
        return None
    functions: dict[str, Callable[[int, int], int]] = {
        "Sub": int.__sub__,
        "Div": int.__floordiv__,
    }
    return tuple(functions[node.op_type](x, y) for x, y in known)


def _filled_values(edges: Edges, node: Node) -> Values:
    lengths = edges.values(node.inputs[0])
    fill = np.ravel(node.attributes.get("value", 0.0))
    if lengths is None or len(lengths) != 1 or not isinstance(lengths[0], int) or lengths[0] > 16:
        return None
    return (int(fill[0]),) * lengths[0] if fill.dtype.kind in "iu" else None


def _equal_values(edges: Edges, node: Node) -> Values:
    a, b = (edges.values(name) for name in node.inputs)
    if not a or not b or len(a) != len(b):
        return None
    found = []
    for x, y in zip(a, b, strict=True):
        numbers = [size for size in (x, y) if isinstance(size, int)]
        if x != y and len(numbers) < 2 and not any(n < 0 for n in numbers):  # no size is negative
            return None
        found.append(int(x == y))
    return tuple(found)


def _chosen_values(edges: Edges, node: Node) -> Values:
    chosen, a, b = (edges.values(name) for name in node.inputs)
    if chosen is None or a is None or b is None or not len(chosen) == len(a) == len(b):
        return None
    triples = zip(chosen, a, b, strict=True)
    return tuple(x if first else y for first, x, y in triples)


_VALUES: dict[str, Callable[[Edges, Node], Values]] = {
    "Shape": _shape_values,
    "Size": _size_values,
    "Gather": _gathered_values,
    "Slice": _sliced_values,
    "Concat": _concatenated_values,
    "ConstantOfShape": _filled_values,
    "Equal": _equal_values,
    "Where": _chosen_values,
    **dict.fromkeys(("Cast", "Identity", "Reshape", "Squeeze", "Unsqueeze"), _same_values),
    **dict.fromkeys(("Add", "Sub", "Mul", "Div"), _reckoned_values),
}
