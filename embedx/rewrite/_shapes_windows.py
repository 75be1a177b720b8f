"""Shapes of convolutions, pools and whatever else slides over an image."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from embedx.model.graph import Node
from embedx.rewrite._shape_registry import at, rule
from embedx.rewrite.edges import Edges
from embedx.rewrite.sizes import Shape, Size

_CONVOLUTIONS = {"QLinearConv": (0, 3)}


@rule("Conv ConvInteger QLinearConv com.microsoft::FusedConv")
def _conv(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    x, w = (at(shapes, i) for i in _CONVOLUTIONS.get(node.op_type, (0, 1)))
    if x is None or w is None or len(x) != len(w) or len(x) < 3:
        return []
    edges.sizes.same(edges.sizes.product([w[1], int(node.attributes.get("group", 1))]), x[1])
    return [(x[0], w[0], *_windows(edges, node, x[2:], w[2:]))]


@rule("ConvTranspose")
def _conv_transpose(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    x, w = shapes[0], at(shapes, 1)
    if x is None or w is None or len(x) != len(w) or len(x) < 3:
        return []
    edges.sizes.same(w[0], x[1])
    channels = edges.sizes.product([w[1], int(node.attributes.get("group", 1))])
    return [(x[0], channels, *(edges.sizes.new() for _ in x[2:]))]


@rule("AveragePool LpPool MaxPool")
def _pool(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    x, kernel = shapes[0], node.attributes.get("kernel_shape", ())
    if x is None or len(kernel) != len(x) - 2:
        return []
    y = (*x[:2], *_windows(edges, node, x[2:], kernel))
    return [y, y]


@rule("GlobalAveragePool GlobalLpPool GlobalMaxPool")
def _global_pool(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    x = shapes[0]
    return [] if x is None else [(*x[:2], *(1 for _ in x[2:]))]


def _windows(
    edges: Edges, node: Node, spaces: Sequence[Size], kernel: Sequence[Size]
) -> Iterable[Size]:
    """How often a window fits along each axis."""
    rank = len(spaces)
    ones, zeros = (1,) * rank, (0,) * 2 * rank
    strides, dilations, pads = (
        tuple(node.attributes.get(name, default))
        for name, default in (("strides", ones), ("dilations", ones), ("pads", zeros))
    )
    automatic = node.attributes.get("auto_pad", b"NOTSET")
    same = automatic in (b"SAME_UPPER", b"SAME_LOWER", "SAME_UPPER", "SAME_LOWER")
    if len(strides) != rank or len(dilations) != rank or len(pads) != 2 * rank:
        return [edges.sizes.new() for _ in spaces]
    result: list[Size] = []
    for i, (space, span) in enumerate(zip(map(edges.sizes.of, spaces), kernel, strict=True)):
        if not isinstance(space, int) or not isinstance(span, int):
            result.append(edges.sizes.new())
            continue
        if same:
            count = -(-space // strides[i])
        else:
            rest = space + pads[i] + pads[i + rank] - dilations[i] * (span - 1) - 1
            up = strides[i] - 1 if node.attributes.get("ceil_mode") else 0
            count = (rest + up) // strides[i] + 1 if rest >= 0 else 0
            if up and (count - 1) * strides[i] >= space + pads[i]:
                count -= 1  # no window begins in the padding behind
        if count < 1:
            edges.sizes.contradictions += 1
        result.append(count)
    return result


@rule("Pad")
def _pad(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    x, pads = shapes[0], edges.numbers(node, 1, "pads")
    if x is None:
        return []
    if pads is None or len(pads) != 2 * len(x):
        return [tuple(edges.sizes.new() for _ in x)]
    return [
        tuple(
            edges.sizes.total([size, before + after])
            for size, before, after in zip(x, pads[: len(x)], pads[len(x) :], strict=True)
        )
    ]


@rule("Resize Upsample")
def _resize(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    return [] if shapes[0] is None else [tuple(edges.sizes.new() for _ in shapes[0])]
