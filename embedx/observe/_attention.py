"""Attention on the ways through a layer, written out or as one node: where its parts lie."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from embedx.model.graph import Node
from embedx.observe._axes import Axes, with_leading
from embedx.observe._flow import Ways

_SOFTMAX = ("Softmax", "BiasSoftmax", "QLinearSoftmax")
_MERGED: Axes = (("batch",), ("token",), ("head", "head_size"))
_APART: Axes = (("batch",), ("head",), ("token",), ("head_size",))
_WEIGHTS: Axes = (("batch",), ("head",), ("query",), ("key",))
_QK_MODES = {2: "scores", 3: "probs"}
"""What ONNX's Attention gives as its fourth output, by its attribute qk_matmul_output_mode."""


class Carrier(NamedTuple):
    """An edge, and what its axes mean."""

    edge: str
    axes: Axes
    heads: int | None = None


@dataclass(frozen=True)
class Attention:
    """The edges around one attention, or why there is none."""

    node: Node
    """The Softmax, or the node that does everything."""
    parts: dict[str, Carrier | str]
    """``q``, ``k`` and ``v`` as they are multiplied, ``scores``, ``probs`` and ``context``."""


def find_attention(ways: Ways) -> Attention | None:
    """The first attention on the ways; None if there is none."""
    for node in ways.nodes:
        if "Attention" in node.op_type:
            return _fused(ways, node)
        if node.op_type in _SOFTMAX:
            found = _written_out(ways, node)
            if found is not None:
                return found
    return None


def place_of(node: Node) -> str:
    """How a node is called that hides a site."""
    return f"inside {node.operator} {node.name or node.outputs[0]!r}"


def _fused(ways: Ways, node: Node) -> Attention:
    def carried(edge: str, heads: object) -> Carrier:
        split = ways.flow.rank(edge) == 4
        count = heads if isinstance(heads, int) else None
        return Carrier(edge, _APART if split else _MERGED, count)

    inside = place_of(node)
    given = [name if name in ways.data(node) else "" for name in (*node.inputs, "", "")]
    biased = "MultiHead" in node.op_type and len(node.inputs) > 3 and node.inputs[3]
    heads = node.attributes.get("num_heads", node.attributes.get("q_num_heads"))
    shared = node.attributes.get("kv_num_heads", heads)
    parts: dict[str, Carrier | str] = {}
    for name, edge in zip("qkv", given, strict=False):
        if not all(given[:3]):
            parts[name] = inside
        elif biased:
            parts[name] = f"its bias is added {inside}"
        else:
            parts[name] = carried(edge, heads if name == "q" else shared)
    parts |= dict.fromkeys(("scores", "probs"), inside)
    mode = _QK_MODES.get(node.attributes.get("qk_matmul_output_mode", 0))
    if mode and node.domain == "" and len(node.outputs) > 3 and node.outputs[3]:
        parts[mode] = Carrier(node.outputs[3], _WEIGHTS)
    parts["context"] = carried(node.outputs[0], heads)
    return Attention(node, parts)


def _written_out(ways: Ways, softmax: Node) -> Attention | None:
    scores, probs = softmax.inputs[0], softmax.outputs[0]
    mixer, product = _product_after(ways, probs), _product_before(ways, scores)
    if mixer is None or product is None:
        return None
    rank = ways.flow.rank
    axis = int(softmax.attributes.get("axis", _default_axis(softmax)))
    turned = axis in (-2, (rank(scores) or 4) - 2)
    last = (("key",), ("query",)) if turned else (("query",), ("key",))
    weights, raw = (with_leading(rank(e), *last) for e in (scores, product.outputs[0]))
    if weights is None or raw is None:
        return None
    left, right = _factors(ways, product, raw)
    q, k = (right, left) if turned else (left, right)
    values, context = _mixed(ways, mixer, probs, weights)
    parts: dict[str, Carrier | str] = {
        "q": _of_tokens(q),
        "k": _of_tokens(k),
        "v": _of_tokens(values),
        "scores": Carrier(scores, weights),
        "probs": Carrier(probs, weights),
        "context": _in_floats(ways, mixer, _of_tokens(context)),
    }
    if softmax.op_type == "BiasSoftmax":
        parts["scores"] = f"its mask is added {place_of(softmax)}"
    return Attention(softmax, parts)


def _default_axis(softmax: Node) -> int:
    if softmax.op_type == "BiasSoftmax":
        return 1
    return -1 if softmax.opset >= 13 or softmax.domain else 1


def _product_after(ways: Ways, edge: str) -> Node | None:
    for node in ways.nodes:
        if ways.flow.is_product(node) and any(ways.leads(edge, n) for n in ways.data(node)):
            return node
    return None


def _product_before(ways: Ways, edge: str) -> Node | None:
    """The nearest product of two things that both come along the ways."""
    for node in reversed(ways.nodes):
        both = ways.flow.is_product(node) and len(ways.data(node)) > 1
        if both and ways.leads(node.outputs[0], edge):
            return node
    return None


def _of_tokens(carrier: Carrier) -> Carrier:
    """In a sequence of its own each query and each key is a token."""
    names = {"query": "token", "key": "token"}
    axes = tuple(tuple(names.get(word, word) for word in axis) for axis in carrier.axes)
    return carrier._replace(axes=axes)


def _operands(product: Node) -> tuple[str, str]:
    return product.inputs[0], product.inputs[3 if "QLinear" in product.op_type else 1]


def _letters(ways: Ways, product: Node) -> tuple[str, str, str] | None:
    """The letters for the axes of both factors and of the result, if it is an Einsum."""
    equation = product.attributes.get("equation")
    if equation is None:
        return None
    text = equation.decode() if isinstance(equation, bytes) else str(equation)
    terms, _, result = text.replace(" ", "").partition("->")
    leading = (ways.flow.rank(product.outputs[0]) or 4) - len(result.replace("...", ""))
    left, _, right = terms.replace("...", "0123456"[: max(leading, 0)]).partition(",")
    return left, right, result.replace("...", "0123456"[: max(leading, 0)])


def _factors(ways: Ways, product: Node, axes: Axes) -> tuple[Carrier, Carrier]:
    """Both factors of the scores, whose axes are known, with theirs."""
    left, right = _operands(product)
    size = ("head_size",)
    if letters := _letters(ways, product):
        known = dict(zip(letters[2], axes, strict=False))
        a, b = (tuple(known.get(letter, size) for letter in term) for term in letters[:2])
        return Carrier(left, a), Carrier(right, b)
    rows, columns = _turned(product, (axes[-2], size), (size, axes[-1]))
    return _led(ways, left, rows), _led(ways, right, columns)


def _mixed(ways: Ways, mixer: Node, probs: str, axes: Axes) -> tuple[Carrier, Carrier]:
    """The values that probabilities of known axes are multiplied by, and the result."""
    names = _operands(mixer)
    place = 0 if ways.leads(probs, names[0]) else 1
    other, result = names[1 - place], mixer.outputs[0]
    size = ("head_size",)
    if letters := _letters(ways, mixer):
        known = dict(zip(letters[place], axes, strict=False))
        v, y = (tuple(known.get(c, size) for c in letters[i]) for i in (1 - place, 2))
        return Carrier(other, v), Carrier(result, y)
    if place == 0:
        _, values = _turned(mixer, (), (("key",), size))
        return _led(ways, other, values), _led(ways, result, (("query",), size))
    values, _ = _turned(mixer, (size, ("key",)), ())
    return _led(ways, other, values), _led(ways, result, (size, ("query",)))


def _turned(product: Node, left: Axes, right: Axes) -> tuple[Axes, Axes]:
    """The last two axes of both factors, as a product reads them that may transpose them."""
    left = left[::-1] if product.attributes.get("transA") else left
    return left, right[::-1] if product.attributes.get("transB") else right


def _led(ways: Ways, edge: str, last: Axes) -> Carrier:
    return Carrier(edge, with_leading(ways.flow.rank(edge), *last) or ())


def is_in_integers(product: Node) -> bool:
    """Whether a product gives integers that are still to be scaled."""
    return product.op_type.startswith(("MatMulInteger", "ConvInteger", "QLinear", "QGemm")) and (
        product.op_type != "MatMulIntegerToFloat"
    )


def _in_floats(ways: Ways, product: Node, carrier: Carrier) -> Carrier | str:
    """What a product gives once its integers are scaled, if that comes right behind."""
    edge = carrier.edge
    raw = is_in_integers(product)
    while raw and (step := ways.step(edge, ways.end)) is not None:
        node, edge = step
        if node.op_type not in ("Cast", "Mul", "DequantizeLinear"):
            break
        raw = node.op_type == "Cast"
    return f"only its integers are there, from {product}" if raw else carrier._replace(edge=edge)
