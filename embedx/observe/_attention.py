"""Attention in a stretch of a graph, written out or as one node: where its parts lie."""

from __future__ import annotations

from dataclasses import dataclass, field

from embedx.model.graph import Node
from embedx.observe._axes import Axes, leading
from embedx.observe._flow import Stretch
from embedx.ops import qualified

_SOFTMAX = ("Softmax", "BiasSoftmax", "QLinearSoftmax")
_HIDDEN: Axes = (("batch",), ("token",), ("head", "head_size"))
_SPLIT: Axes = (("batch",), ("head",), ("token",), ("head_size",))


@dataclass(frozen=True)
class Attention:
    """The edges around one attention and their axes; what is not there, and why."""

    node: Node
    """The Softmax, or the node that does everything."""
    parts: dict[str, tuple[str, Axes]] = field(default_factory=dict)
    """``q``, ``k`` and ``v`` as they are multiplied, the scores, the probabilities, the context."""
    absent: dict[str, str] = field(default_factory=dict)
    heads: int | None = None


def find_attention(stretch: Stretch) -> Attention | None:
    """The first attention of a stretch; None if there is none."""
    for node in stretch.nodes:
        if "Attention" in node.op_type:
            return _fused(stretch, node)
        if node.op_type in _SOFTMAX:
            found = _written_out(stretch, node)
            if found is not None:
                return found
    return None


def _fused(stretch: Stretch, node: Node) -> Attention:
    inside = f"inside {qualified(node.domain, node.op_type)} {node.name or node.outputs[0]!r}"
    parts: dict[str, tuple[str, Axes]] = {}
    absent = dict.fromkeys(("scores", "probs"), inside)
    given = [name if name in stretch.edges else "" for name in (*node.inputs, "", "")]
    separate = "QAttention" not in node.op_type and all(given[:3])
    biased = "MultiHead" in node.op_type and len(node.inputs) > 3 and node.inputs[3]
    for name, edge in zip("qkv", given, strict=False):
        shape = stretch.flow.shape(edge)
        if not separate:
            absent[name] = inside
        elif biased:
            absent[name] = f"its bias is added {inside}"
        else:
            parts[name] = edge, _SPLIT if shape is not None and len(shape) == 4 else _HIDDEN
    shape = stretch.flow.shape(node.outputs[0])
    split = shape is not None and len(shape) == 4 and node.domain == ""
    parts["context"] = node.outputs[0], _SPLIT if split else _HIDDEN
    heads = node.attributes.get("num_heads", node.attributes.get("q_num_heads"))
    return Attention(node, parts, absent, heads if isinstance(heads, int) else None)


def _written_out(stretch: Stretch, softmax: Node) -> Attention | None:
    scores, probs = softmax.inputs[0], softmax.outputs[0]
    mixer = _product_after(stretch, probs)
    product = _product_before(stretch, scores)
    if mixer is None or product is None:
        return None
    places = [i for i, n in enumerate(mixer.inputs) if probs in stretch.before(n)]
    rank, turned = _rank(stretch, scores), _key_is_second_last(stretch, softmax)
    weights = _with_leading(
        rank, ("key",) if turned else ("query",), ("query",) if turned else ("key",)
    )
    if weights is None or not places:
        return None
    first = places[0] == 0
    mixed = _with_leading(
        _rank(stretch, mixer.outputs[0]),
        *((("query",), ("head_size",)) if first else (("head_size",), ("query",))),
    )
    raw = _with_leading(_rank(stretch, product.outputs[0]), *weights[-2:])
    if mixed is None or raw is None:
        return None
    left, right = _operands(stretch, product, raw, "head_size")
    q, k = (right, left) if turned else (left, right)
    values = _operands(stretch, mixer, mixed, "key")[1 if first else 0]
    parts = {"q": q, "k": k, "v": values, "context": (mixer.outputs[0], mixed)}
    return Attention(
        softmax,
        {
            **{name: (edge, _of_tokens(axes)) for name, (edge, axes) in parts.items()},
            "scores": (scores, weights),
            "probs": (probs, weights),
        },
    )


def _product_after(stretch: Stretch, edge: str) -> Node | None:
    return next(
        (
            node
            for node in stretch.nodes
            if stretch.flow.is_product(node)
            and any(edge in stretch.before(name) for name in stretch.data(node))
        ),
        None,
    )


def _product_before(stretch: Stretch, edge: str) -> Node | None:
    """The nearest product of two things that both come along the ways."""
    above = stretch.before(edge)
    return next(
        (
            node
            for node in reversed(stretch.nodes)
            if stretch.flow.is_product(node)
            and node.outputs[0] in above
            and len(stretch.data(node)) > 1
        ),
        None,
    )


def _rank(stretch: Stretch, edge: str) -> int:
    shape = stretch.flow.shape(edge)
    return 4 if shape is None else len(shape)


def _with_leading(rank: int, *last: tuple[str, ...]) -> Axes | None:
    first = leading(rank - len(last))
    return None if first is None else (*first, *last)


def _key_is_second_last(stretch: Stretch, softmax: Node) -> bool:
    default = 1 if softmax.domain == "" and softmax.opset < 13 else -1
    axis = int(softmax.attributes.get("axis", default))
    rank = _rank(stretch, softmax.inputs[0])
    return axis in (-2, rank - 2)


def _of_tokens(axes: Axes) -> Axes:
    """In a sequence of its own each query and each key is a token."""
    names = {"query": "token", "key": "token"}
    return tuple(tuple(names.get(word, word) for word in axis) for axis in axes)


def _operands(
    stretch: Stretch, product: Node, axes: Axes, inner: str
) -> tuple[tuple[str, Axes], tuple[str, Axes]]:
    """Both factors of a product whose own axes are known, with theirs."""
    second = 3 if product.op_type.startswith("QLinear") else 1
    names = product.inputs[0], product.inputs[second]
    equation = product.attributes.get("equation")
    if equation is not None:
        text = equation.decode() if isinstance(equation, bytes) else equation
        terms, _, result = text.replace(" ", "").partition("->")
        known = dict(zip(result, axes, strict=False))
        a, b = (tuple(known.get(c, (inner,)) for c in term) for term in terms.split(","))
        return (names[0], a), (names[1], b)
    row, column = axes[-2], axes[-1]
    found = []
    for name, pair, turned in zip(
        names,
        ((row, (inner,)), ((inner,), column)),
        (product.attributes.get("transA"), product.attributes.get("transB")),
        strict=True,
    ):
        first = leading(_rank(stretch, name) - 2)
        found.append(
            (name, (*(axes[:-2] if first is None else first), *(pair[::-1] if turned else pair)))
        )
    return found[0], found[1]
