"""Shapes of operators that lay elements out anew, or pick some of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from embedx.model.graph import Node
from embedx.rewrite._shape_registry import at, axis_of, rule
from embedx.rewrite.edges import Edges
from embedx.rewrite.sizes import Shape, Size


@rule("Transpose")
def _transpose(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    x = shapes[0]
    order = node.attributes.get("perm")
    if x is None:
        return []
    order = tuple(range(len(x)))[::-1] if order is None else order
    return [tuple(x[i] for i in order)] if sorted(order) == list(range(len(x))) else []


@rule("Unsqueeze com.microsoft::ExpandDims")
def _unsqueeze(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    x, axes = shapes[0], edges.numbers(node, 1, "axes")
    if x is None or axes is None:
        return []
    rank = len(x) + len(axes)
    places = {axis % rank for axis in axes}
    rest = iter(x)
    return [tuple(1 if i in places else next(rest) for i in range(rank))]


@rule("Squeeze")
def _squeeze(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    x, axes = shapes[0], edges.numbers(node, 1, "axes")
    given = len(node.inputs) > 1 or "axes" in node.attributes
    if x is None or (given and axes is None):
        return []
    if axes is None:
        known = all(isinstance(size, int) for size in x)
        return [tuple(size for size in x if size != 1)] if known else []
    places = {axis % max(len(x), 1) for axis in axes}
    for place in places:
        edges.sizes.same(1, x[place])
    return [tuple(size for i, size in enumerate(x) if i not in places)]


@rule("Flatten")
def _flatten(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    if shapes[0] is None:
        return []
    axis = int(node.attributes.get("axis", 1))
    return [(edges.sizes.product(shapes[0][:axis]), edges.sizes.product(shapes[0][axis:]))]


@rule("Reshape")
def _reshape(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    attribute = node.attributes.get("shape")
    target = attribute if len(node.inputs) < 2 else edges.values(node.inputs[1])
    if target is None:
        return []
    copies = not node.attributes.get("allowzero", 0)
    return [edges.sizes.reshaped(shapes[0], target, zero_copies=copies)]


@rule("Concat")
def _concat(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    known = [shape for shape in shapes if shape is not None]
    if not known or len({len(shape) for shape in known}) > 1 or not known[0]:
        return []
    axis = axis_of(node, len(known[0]))
    sizes = edges.sizes
    first = known[0]
    for shape in known[1:]:
        for i, size in enumerate(shape):
            if i != axis:
                sizes.same(first[i], size)
    pieces = [sizes.of(shape[axis]) for shape in known]
    total = sizes.total(pieces) if len(known) == len(shapes) else sizes.new()
    return [(*first[:axis], total, *first[axis + 1 :])]


@rule("Split")
def _split(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    x, lengths = shapes[0], edges.numbers(node, 1, "split")
    if not x:
        return []
    axis, count = axis_of(node, len(x)), len(node.outputs)
    if lengths is not None:
        edges.sizes.same(sum(lengths), x[axis])
        pieces: Sequence[Size] = lengths
    elif len(node.inputs) > 1 or node.opset >= 18:
        pieces = [edges.sizes.new() for _ in range(count)]
    else:
        edges.sizes.multiple(x[axis], count)
        size = edges.sizes.of(x[axis])
        pieces = [size // count if isinstance(size, int) else edges.sizes.new()] * count
    return [(*x[:axis], piece, *x[axis + 1 :]) for piece in pieces]


@rule("Slice")
def _slice(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    x = shapes[0]
    if x is None:
        return []
    old = len(node.inputs) == 1
    starts, ends, axes, steps = (
        edges.numbers(node, 1 + i, name)
        for i, name in enumerate(("starts", "ends", "axes", "steps"))
    )
    if axes is None and (old or len(node.inputs) < 4 or not node.inputs[3]):
        axes = list(range(len(starts or ends or ())))
    if axes is None:
        return [tuple(edges.sizes.new() for _ in x)]
    if steps is None and (old or len(node.inputs) < 5 or not node.inputs[4]):
        steps = [1] * len(axes)
    result = list(x)
    for i, axis in enumerate(axes):
        size = edges.sizes.of(x[axis % len(x)]) if -len(x) <= axis < len(x) else ""
        if size == "":
            edges.sizes.contradictions += 1
        elif starts and ends and steps and steps[i] and isinstance(size, int):
            result[axis] = len(range(size)[starts[i] : ends[i] : steps[i]])
        else:
            result[axis] = edges.sizes.new()
    return [tuple(result)]


@rule("Expand")
def _expand(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    target = edges.values(node.inputs[1])
    return [] if target is None else [edges.sizes.broadcast(shapes[0], target)]


@rule("ConstantOfShape")
def _constant_of_shape(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    return [edges.values(node.inputs[0])]


@rule("Shape")
def _shape(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    values = edges.values(node.outputs[0])
    return [(edges.sizes.new() if values is None else len(values),)]


@rule("Range")
def _range(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    return [(edges.sizes.new(),)]


@rule("Gather")
def _gather(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    table, indices = shapes[0], at(shapes, 1)
    if not table or indices is None:
        return []
    axis = axis_of(node, len(table))
    return [(*table[:axis], *indices, *table[axis + 1 :])]


@rule("GatherElements")
def _gather_elements(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    return [at(shapes, 1)]


@rule("OneHot")
def _one_hot(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    indices, depth = shapes[0], edges.numbers(node, 1)
    if indices is None:
        return []
    axis = axis_of(node, len(indices) + 1, -1)
    size: Size = depth[0] if depth else edges.sizes.new()
    return [(*indices[:axis], size, *indices[axis:])]


@rule("TopK")
def _top_k(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    x, k = shapes[0], edges.numbers(node, 1, "k")
    if not x:
        return []
    axis = axis_of(node, len(x), -1)
    return [(*x[:axis], k[0] if k else edges.sizes.new(), *x[axis + 1 :])] * 2
