"""The places in a transformer that people talk about, in any graph that computes one.

A *site* is a tensor with a name in Hugging Face's words, such as ``layers.3.attention.probs``. It
is found in the graph's structure, whatever way the graph is exported, fused or quantized:

- ``embeddings.output``: what the first layer reads
- ``layers.I.attention.q``, ``.k``, ``.v``: what the projections give, with their biases, before
  anything is scaled, normalised, rotated or repeated
- ``layers.I.attention.scores``: what the Softmax reads: scaled, with all biases and the mask
- ``layers.I.attention.probs``: what the Softmax gives
- ``layers.I.attention.context``: the values mixed by the probabilities
- ``layers.I.attention.output``, ``layers.I.mlp.output``: what a projection gives to be added to
  the residual stream
- ``layers.I.mlp.hidden``: what the last projection of the MLP reads
- ``layers.I.output``: the residual stream behind the layer, as ``find_layers`` finds it
- ``pooler``, ``sentence_embedding``, ``logits``: outputs of the graph made of the last layer
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from embedx.errors import ConfigError
from embedx.model.graph import Array, Graph
from embedx.observe._attention import Attention, Carrier, find_attention
from embedx.observe._axes import Axes, axes_back
from embedx.observe._flow import Flow, Ways
from embedx.observe._residual import (
    TOKENS,
    added_part,
    mlp_hidden,
    projected,
    residuals,
    shares,
)
from embedx.rewrite.layers import find_layers

_PARTS = ("q", "k", "v", "scores", "probs", "context")
_APART = ("batch", "head", "group", "token", "query", "key", "head_size")
_MERGED = ("batch", "token", "hidden", "head", "group", "head_size", "label")


_STRANGE = "axes that are not those of plain attention"


@dataclass(frozen=True)
class Site:
    """A tensor with a name that means the same in all graphs."""

    name: str
    edge: str
    """The edge of the graph that carries it."""
    axes: tuple[str, ...]
    """What each axis runs over: ``batch*head`` over the heads of one text after another, ``1`` over
    nothing."""
    heads: int | None = None
    """How many heads an axis runs over, where that is known."""


def find_sites(graph: Graph) -> dict[str, Site]:
    """The sites of a graph by their names, in the order in which they are computed.

    ``graph`` must be sorted and without local functions, as ``normal_form`` makes it.
    """
    return {name: site for name, site in _found(graph).items() if isinstance(site, Site)}


def absent_sites(graph: Graph) -> dict[str, str]:
    """Why sites are missing that a transformer has and ``find_sites`` does not find."""
    return {name: reason for name, reason in _found(graph).items() if isinstance(reason, str)}


def sites_as_text(sites: Mapping[str, Site], absent: Mapping[str, str]) -> str:
    """The sites, and why others are absent, in lines that can be read and searched."""
    lines = [f"site    {s.name:26s} {s.edge}  ({', '.join(s.axes)})" for s in sites.values()]
    return "\n".join([*lines, *(f"absent  {name:26s} {why}" for name, why in absent.items())])


def canonical(site: Site, array: Array, batch: int | None = None) -> Array:
    """The value of a site with the axes in the order that all graphs share.

    ``q``, ``k`` and ``v`` become (batch, head, token, head_size), ``scores`` and ``probs`` (batch,
    head, query, key), and all others (batch, token, hidden), or what of it they have. How many
    texts there are must be told where an axis is ``batch*token``. Raises ConfigError for a value of
    other axes, and for axes that cannot be told apart.
    """
    if array.ndim != len(site.axes):
        raise ConfigError(f"{site.name} has {len(site.axes)} axes, the value has {array.ndim}")
    words, sizes = list[str](), list[int]()
    for axis, size in zip(site.axes, array.shape, strict=True):
        inner = [] if axis == "1" else axis.split("*")
        words += inner
        sizes += _cut(site, axis, inner, size, {"head": site.heads, "batch": batch})
    apart = site.name.rpartition(".")[2] in _PARTS[:5]
    order = _APART if apart else _MERGED
    places = sorted(range(len(words)), key=lambda i: order.index(words[i]))
    moved = array.reshape(sizes).transpose(places)
    joined = ("head", "group") if apart else ("head", "group", "head_size")
    at = [i for i, place in enumerate(places) if words[place] in joined]
    if at:
        moved = moved.reshape(*moved.shape[: at[0]], -1, *moved.shape[at[-1] + 1 :])
    missing = [i for i in (0, 1) if apart and not {*words} & {*_APART[i : 2 * i + 1]}]
    return np.expand_dims(moved, missing)


def _cut(
    site: Site, axis: str, words: list[str], size: int, known: dict[str, int | None]
) -> list[int]:
    """The sizes of the words that share an axis."""
    if len(words) < 2:
        return [size] * len(words)
    counts = [known.get(word) for word in words]
    rest = math.prod(count for count in counts if count is not None)
    if counts.count(None) > 1 or not rest or size % rest:
        raise ConfigError(f"{site.name}: nothing tells how to cut its axis {axis} of {size}")
    return [size // rest if count is None else count for count in counts]


def _found(graph: Graph) -> dict[str, Site | str]:
    """Each site, or why it is missing."""
    flow = Flow(graph)
    layers = find_layers(flow.graph)
    if not layers:
        return {"layers.0.output": "no residual stream runs through layers"}
    found: dict[str, Carrier | str] = {}
    feeds = [value.name for value in flow.graph.feeds]
    additions = residuals(Ways(flow, feeds, layers[0]))
    places = {name: i for i, name in enumerate(flow.makers)}
    starts = feeds
    if additions:
        first = min(additions, key=lambda addition: places.get(addition.root, -1))
        found["embeddings.output"] = Carrier(first.stream, TOKENS)
        starts = flow.beside(first.root)
    else:
        found["embeddings.output"] = "nothing is added to what the first layer reads"
    for i, end in enumerate(layers):
        ways = Ways(flow, starts, end)
        for part, carrier in _layer(ways):
            found[f"layers.{i}.{part}"] = carrier
        found[f"layers.{i}.output"] = Carrier(end, TOKENS)
        starts = [name for same in ways.same(end) for name in flow.beside(same)]
    found |= _heads_of(flow, starts)
    return {name: _site(flow, name, carrier) for name, carrier in found.items()}


def _site(flow: Flow, name: str, carrier: Carrier | str) -> Site | str:
    if isinstance(carrier, str):
        return carrier
    if flow.is_rounded(carrier.edge):
        return f"only its integers are there, from {flow.makers[carrier.edge]}"
    words = carrier.axes
    if words == TOKENS and flow.has_tokens_first(carrier.edge):
        words = (words[1], words[0], words[2])
    axes = tuple("*".join(axis) or "1" for axis in words)
    return Site(name, carrier.edge, axes, carrier.heads)


def _layer(ways: Ways) -> Iterator[tuple[str, Carrier | str]]:
    attention = find_attention(ways)
    mixed = "" if attention is None else attention.node.outputs[0]
    shared = [(r, *shares(ways, r, mixed)) for r in residuals(ways)]
    if attention is None:
        reason = _without_attention(ways)
        yield from ((f"attention.{part}", reason) for part in (*_PARTS, "output"))
    else:
        parts = _attention(ways, attention)
        yield from ((f"attention.{part}", parts[part]) for part in _PARTS)
        outputs = [added_part(ways, r, edge) for r, edge, _ in shared if edge]
        yield "attention.output", outputs[0] if outputs else "the context is added to no stream"
    rest = [(r, edge) for r, _, edge in shared if edge]
    yield "mlp.hidden", mlp_hidden(ways, rest[-1][1]) if rest else "the layer adds no MLP"
    yield "mlp.output", added_part(ways, *rest[-1]) if rest else "the layer adds no MLP"


def _without_attention(ways: Ways) -> str:
    for node in ways.nodes:
        if node.op_type == "DFT":
            return f"the layer mixes its tokens by a Fourier transform, {node}"
    return "the layer has no Softmax between two products of what it reads"


def _attention(ways: Ways, attention: Attention) -> dict[str, Carrier | str]:
    """The parts of an attention: q, k and v where they are projected, all with their heads."""
    parts = dict(attention.parts)
    anchors = {n: c for n in "qkv" if isinstance(c := parts[n], Carrier)}
    for name, anchor in anchors.items():
        others = [other.edge for n, other in anchors.items() if n != name]
        parts[name] = _projection(ways, anchor, others)
        if parts[name] == _STRANGE:
            return dict.fromkeys(parts, f"{attention.node} works on {_STRANGE}")
    queries = parts["q"]
    heads = queries.heads if isinstance(queries, Carrier) else None
    for name, carrier in parts.items():
        if isinstance(carrier, Carrier) and any("head" in axis for axis in carrier.axes):
            parts[name] = carrier._replace(heads=carrier.heads or heads)
    return parts


def _projection(ways: Ways, anchor: Carrier, others: list[str]) -> Carrier | str:
    """Where a factor of attention is as its projection gives it, cut into heads if possible."""
    edges = projected(ways, anchor.edge, others)
    if isinstance(edges, str):
        return edges
    back = axes_back(ways, anchor.edge, anchor.axes, edges[0])
    known = [name for name in edges if name in back]
    if not known:
        return _STRANGE
    best = max(known, key=lambda name: (sum(len(a) == 1 for a in back[name]), -len(back[name])))
    return Carrier(best, back[best], _count_heads(ways.flow, back) or anchor.heads)


def _count_heads(flow: Flow, back: dict[str, Axes]) -> int | None:
    """How many heads a projection makes, by the known sizes of axes on the way back to it."""
    sizes = {
        axis: size
        for edge, axes in back.items()
        for axis, size in zip(axes, flow.shape(edge) or (), strict=False)
        if isinstance(size, int)
    }
    whole, one = sizes.get(("head", "head_size")), sizes.get(("head_size",))
    return sizes.get(("head",), whole // one if whole and one else None)


def _heads_of(flow: Flow, starts: list[str]) -> dict[str, Carrier | str]:
    """The outputs that are made of the last layer."""
    found: dict[str, Carrier | str] = {}
    for value in flow.graph.outputs:
        ways, shape = Ways(flow, starts, value.name), flow.shape(value.name)
        if not ways.nodes or not shape or not isinstance(shape[-1], int):
            continue
        linears = [node for node in ways.nodes if flow.is_linear(node)]
        words: Axes = (("batch",), ("token",))[: len(shape) - 1]
        # A projected embedding and the logits of classes differ in nothing but the name.
        if len(shape) == 2 and (not linears or "embed" in value.name):
            found.setdefault("sentence_embedding", Carrier(value.name, (*words, ("hidden",))))
        elif len(shape) == 2 and len(linears) == 1 and any(n.op_type == "Tanh" for n in ways.nodes):
            found.setdefault("pooler", Carrier(value.name, (*words, ("hidden",))))
        elif len(shape) in (2, 3) and linears:
            found.setdefault("logits", Carrier(value.name, (*words, ("label",))))
    return found
