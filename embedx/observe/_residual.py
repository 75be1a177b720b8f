"""The stream of hidden states, what is added to it, and the products that make it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from embedx.model.graph import Node
from embedx.observe._attention import Carrier, is_in_integers, place_of
from embedx.observe._axes import Axes, axes_back
from embedx.observe._flow import MOVES, ROUNDING, Ways

TOKENS: Axes = (("batch",), ("token",), ("hidden",))
_FLAT: Axes = (("batch", "token"), ("hidden",))
_CHANNELS: Axes = (("batch",), ("hidden",), ("token",))
_ADDITIONS = ("Add", "Sum", "QLinearAdd")
_BIAS_OF = {"SkipLayerNormalization": 4, "SkipSimplifiedLayerNormalization": 3}
_SELECTIONS = ("Split", "Slice", "Gather")
_SHOWN_AGAIN = (*MOVES, "Identity", "Cast", "Dropout", "DequantizeLinear")


class Residual(NamedTuple):
    """An addition to the stream of something that was made of the stream."""

    node: Node
    root: str
    """The first edge that carries the stream's numbers."""
    stream: str
    """The first one that carries them as floats."""
    added: str


def residuals(ways: Ways) -> list[Residual]:
    """The additions on the ways whose one operand is made of the other by a product."""
    # Some models mix their tokens by a Fourier transform.
    works = [n for n in ways.nodes if ways.flow.is_product(n) or n.op_type == "DFT"]
    made_by_work = ways.bits(node.outputs[0] for node in works)
    found = []
    for node in ways.nodes:
        operands = ways.data(node) if node.op_type in (*_ADDITIONS, *_BIAS_OF) else []
        for edge in operands:
            root = ways.same(edge)[-1]
            roots = ways.bits(ways.flow.beside(root))
            for added in operands:
                made = edge != added and ways.leads(roots, added)
                if made and ways.leads(made_by_work, added, root):
                    found.append(Residual(node, root, ways.origin(edge), added))
    return found


def shares(ways: Ways, residual: Residual, mixed: str) -> tuple[str | None, str | None]:
    """What is added that is made of ``mixed``, and what is added beside it.

    Attention and MLP may be added together.
    """
    node = ways.maker(residual.added)
    terms = ways.data(node) if node is not None and node.op_type == "Add" else [residual.added]
    first = [term for term in terms if ways.leads(mixed, term, residual.root)]
    second = [term for term in terms if term not in first]
    if len(first) == len(second) == 1:
        return first[0], second[0]
    return (residual.added, None) if first else (None, residual.added)


def projected(ways: Ways, end: str, others: Sequence[str] = ()) -> list[str] | str:
    """The edges that carry what the one projection before an edge gives, with its bias.

    ``others`` are made by projections, too: as long as the way leads to them as well, a part may be
    taken of what is the projection of several. Or why there is no such edge.
    """
    linears = ways.linears(end)
    if len(linears) != 1:
        return f"it is made by {len(linears)} products with weights, not by one"
    (linear,) = linears
    edge = linear.outputs[0]
    found, raw, biased = [edge], is_in_integers(linear), False
    while (step := ways.step(edge, end)) is not None:
        shared = any(ways.leads(edge, other) for other in others)
        node, edge, before = *step, edge
        bias = ways.is_read_once(before) and any(map(ways.flow.is_fixed, filter(None, node.inputs)))
        if raw and node.op_type in ("Mul", "DequantizeLinear"):
            found, raw = [edge], False
        elif node.op_type in ("Add", "QLinearAdd") and bias and not biased:
            found, biased = [edge], True
        elif node.op_type in _SELECTIONS and shared:
            found = [edge]
        elif node.op_type in _SHOWN_AGAIN or (node.op_type in ROUNDING and shared):
            found.append(edge)
        else:
            break
    if raw:
        return f"only its integers are there, from {linear}"
    alone = [e for e in found if not any(ways.leads(e, other) for other in others)]
    floats = [name for name in alone if not ways.flow.is_rounded(name)]
    return floats or f"{linear} gives it together with others"


def added_part(ways: Ways, residual: Residual, edge: str) -> Carrier | str:
    """Where the projection lies that gives a term of what is added to the stream."""
    place = _BIAS_OF.get(residual.node.op_type, len(residual.node.inputs))
    if any(residual.node.inputs[place:]):
        return f"its bias is added {place_of(residual.node)}"
    edges = projected(ways, edge)
    if isinstance(edges, str):
        return edges
    (linear,) = ways.linears(edge)
    return _hidden(ways, linear, edges)


def mlp_hidden(ways: Ways, edge: str) -> Carrier | str:
    """Where the features lie that the last product of an MLP reads."""
    linears = ways.linears(edge)
    if len(linears) != 1 or len(data := ways.data(linears[0])) != 1:
        return "the MLP does not end in one product with weights"
    known = _hidden(ways, linears[0], [data[0]])
    if isinstance(known, str):
        return known
    back = axes_back(ways, known.edge, known.axes, ways.origin(known.edge))
    named = [(e, axes) for e, axes in back.items() if len(axes) == 3]
    return Carrier(*named[-1]) if named else known


def _hidden(ways: Ways, linear: Node, edges: list[str]) -> Carrier | str:
    """The first of edges beside a product that has the axes of hidden states."""
    for rank, axes in ((3, _CHANNELS if "Conv" in linear.op_type else TOKENS), (2, _FLAT)):
        for edge in edges:
            if ways.flow.rank(edge) in (rank, None):
                return Carrier(edge, axes)
    return "its axes are not those of hidden states"
