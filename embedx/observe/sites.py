"""The places in a transformer that people talk about, in any graph that computes one.

A *site* is a name in Hugging Face's words for a tensor, such as ``layers.3.attention.probs``. Sites
are found in the graph's structure, whatever way it is exported, fused or quantized:

- ``embeddings.output``: what the first layer reads
- ``layers.I.attention.q``, ``.k``, ``.v``: what the projections give, with their biases, before
  they are scaled, normalised or rotated
- ``layers.I.attention.scores``: what the Softmax reads, scaled, with all biases and the mask
- ``layers.I.attention.probs``: what the Softmax gives
- ``layers.I.attention.context``: the values that are mixed by the probabilities
- ``layers.I.attention.output``, ``layers.I.mlp.output``: what is added to the residual stream
- ``layers.I.mlp.hidden``: what the last matrix of the MLP reads
- ``layers.I.output``: as ``embedx.rewrite.layers.find_layers`` finds it
- ``pooler``, ``sentence_embedding``, ``logits``: outputs of the graph made of the last layer
"""

from __future__ import annotations

from dataclasses import dataclass


from embedx.errors import ConfigError
from embedx.model.graph import Array, Graph, Node
from embedx.observe._attention import Attention, find_attention
from embedx.observe._axes import Axes, axes_back
from embedx.observe._flow import SAME, Flow, Stretch
from embedx.rewrite.layers import find_layers

_TOKENS: Axes = (("batch",), ("token",), ("hidden",))
_ADDITIONS = ("Add", "Sum", "QLinearAdd")
_SKIPS = ("SkipLayerNormalization", "SkipSimplifiedLayerNormalization")
_SELECTIONS = ("Split", "Slice", "Gather")
_INTEGERS = ("MatMulInteger", "ConvInteger", "QLinearMatMul", "QLinearConv", "QGemm")
_ATTENTION = ("q", "k", "v", "scores", "probs", "context", "output")


@dataclass(frozen=True)
class Site:
    """A tensor with a name that means the same in all graphs."""

    name: str
    edge: str
    """The edge of the graph that carries it."""
    axes: tuple[str, ...]
    """What each axis runs over; ``batch*head`` runs over the heads of each text in turn."""
    heads: int | None = None
    """How many there are, where a word of the axes is ``head``."""


def find_sites(graph: Graph) -> dict[str, Site]:
    """The sites that a graph has by their names, in the order in which they are computed.

    ``graph`` must be sorted and without local functions, as ``normal_form`` makes it. For a site
    that is missing ``absent_sites`` says why.
    """
    return _Finder(graph).sites


def absent_sites(graph: Graph) -> dict[str, str]:
    """For each site of a transformer that ``find_sites`` does not find, why that is."""
    return _Finder(graph).absent


def canonical(site: Site, array: Array) -> Array:
    """A site's value in the order of axes that all graphs share.

    ``q``, ``k`` and ``v`` are (batch, head, token, head_size), ``scores`` and ``probs`` (batch,
    head, query, key), all others (batch, token, hidden) without the axes that they lack. Raises
    ConfigError for an array of other axes than the site has.
    """
    if array.ndim != len(site.axes):
        raise ConfigError(
            f"{site.name} has the axes ({', '.join(site.axes)}), not {array.ndim} of them"
        )
    words, sizes = list[str](), list[int]()
    for axis, size in zip(site.axes, array.shape, strict=True):
        split = axis.split("*") if axis != "1" else []
        if split[1:] and (site.heads is None or "head" not in split or len(split) > 2):
            raise ConfigError(f"{site.name} cannot be split along its axis {axis}")
        words += split
        for word in split:
            known = site.heads or 1
            sizes.append(size if len(split) == 1 else known if word == "head" else size // known)
    split_array = array.reshape(sizes)
    apart = site.name.rpartition(".")[2] in ("q", "k", "v", "scores", "probs")
    order = _APART if apart else _MERGED
    places = sorted(range(len(words)), key=lambda i: order.index(words[i]))
    moved = split_array.transpose(places)
    features = [i for i, place in enumerate(places) if words[place] in _FEATURES]
    if not apart and len(features) > 1:
        return moved.reshape(*moved.shape[: features[0]], -1)
    if apart and "group" in words:
        batch, head, group, *rest = moved.shape
        return moved.reshape(batch, head * group, *rest)
    return moved


_APART = ("batch", "head", "group", "token", "query", "key", "head_size")
_FEATURES = ("hidden", "head", "group", "head_size", "label")
_MERGED = ("batch", "token", *_FEATURES)


@dataclass(frozen=True)
class _Residual:
    """An addition to the stream, whose operand ``stream`` is also what ``added`` is made of."""

    node: Node
    stream: str
    added: str


class _Finder:
    """The sites of a graph, those that are there and those that are not."""

    def __init__(self, graph: Graph) -> None:
        self.flow = Flow(graph)
        self.sites: dict[str, Site] = {}
        self.absent: dict[str, str] = {}
        layers = find_layers(self.flow.graph)
        if not layers:
            return
        feeds = [v.name for v in self.flow.graph.feeds]
        whole = Stretch(self.flow, feeds, layers[0])
        streams = [residual.stream for residual in _residuals(whole)]
        order = {name: i for i, name in enumerate(self.flow.makers)}
        stream = min(streams, key=lambda name: order.get(name, -1), default=None)
        if stream is None:
            self.absent["embeddings.output"] = "nothing is added to a residual stream"
        else:
            self._put("embeddings.output", stream, _TOKENS)
        starts = feeds if stream is None else [stream]
        for i, end in enumerate(layers):
            self._layer(f"layers.{i}", Stretch(self.flow, starts, end))
            self._put(f"layers.{i}.output", end, _TOKENS)
            starts = list(self.flow.makers[end].outputs)

    def _put(self, name: str, edge: str, axes: Axes, heads: int | None = None) -> None:
        words = tuple("*".join(axis) or "1" for axis in axes)
        has_heads = any("head" in axis for axis in axes)
        self.sites[name] = Site(name, edge, words, heads if has_heads else None)

    def _layer(self, name: str, stretch: Stretch) -> None:
        residuals = _residuals(stretch)
        attention = find_attention(stretch)
        if attention is None:
            for part in _ATTENTION:
                self.absent[f"{name}.attention.{part}"] = _mixer(stretch)
        else:
            self._attention(f"{name}.attention", stretch, attention, residuals)
        behind = set[str]() if attention is None else {attention.node.outputs[0]}
        others = [
            r
            for r in residuals
            if not behind & (stretch.before(r.added) - stretch.before(r.stream))
        ]
        if not others:
            for part in ("hidden", "output"):
                self.absent[f"{name}.mlp.{part}"] = "no MLP is added to the residual stream"
            return
        self._mlp(f"{name}.mlp", stretch, others[-1])

    def _attention(
        self, name: str, stretch: Stretch, attention: Attention, residuals: list[_Residual]
    ) -> None:
        self.absent.update({f"{name}.{k}": why for k, why in attention.absent.items()})
        anchors = {k: edge for k, (edge, _) in attention.parts.items() if k in "qkv"}
        made: dict[str, tuple[str, Axes, int | None]] = {}
        heads = attention.heads
        for part, edge in anchors.items():
            others = frozenset[str]().union(
                *(stretch.before(e) for k, e in anchors.items() if k != part)
            )
            chain = _projected(stretch, edge, others)
            axes = attention.parts[part][1]
            known = [(e, a) for e in chain if (a := axes_back(stretch, edge, axes, e))]
            own = _heads(self.flow, [(edge, axes), *known])
            heads = heads or (own if part == "q" else None)
            if known:
                best = max(known, key=lambda entry: len(entry[1]))
                made[part] = (*best, own)
            else:
                self.absent[f"{name}.{part}"] = "no edge carries the projection alone"
        for part in _ATTENTION:
            if part in made:
                edge, axes, own = made[part]
                self._put(f"{name}.{part}", edge, axes, own or heads)
            elif part in attention.parts and part not in anchors:
                edge, axes = attention.parts[part]
                self._put(f"{name}.{part}", edge, axes, heads)
        behind = attention.node.outputs[0]
        for residual in residuals:
            if behind in stretch.before(residual.added) - stretch.before(residual.stream):
                self._added(f"{name}.output", stretch, residual)
                break

    def _mlp(self, name: str, stretch: Stretch, residual: _Residual) -> None:
        linears = stretch.linears_behind(residual.added)
        if len(linears) == 1:
            data = stretch.data(linears[0])
            if len(data) == 1:
                self._put(f"{name}.hidden", stretch.origin(data[0]), _TOKENS)
        self._added(f"{name}.output", stretch, residual)

    def _added(self, name: str, stretch: Stretch, residual: _Residual) -> None:
        if residual.node.op_type in _SKIPS and _bias(residual.node):
            where = residual.node.name or residual.node.outputs[0]
            self.absent[name] = f"its bias is added inside {residual.node.op_type} {where!r}"
            return
        chain = _projected(stretch, residual.added, frozenset())
        if chain:
            self._put(name, chain[-1], _TOKENS)
        else:
            self.absent[name] = "no edge carries the projection alone"


def _residuals(stretch: Stretch) -> list[_Residual]:
    """The additions of something that is made of the other operand by a product with weights."""
    found = []
    for node in stretch.nodes:
        if node.op_type not in _ADDITIONS + _SKIPS:
            continue
        operands = stretch.data(node)
        for edge in operands:
            stream = stretch.origin(edge)
            for other in operands:
                between = stretch.before(other) - stretch.before(stream)
                makers = (stretch.maker(name) for name in between)
                if (
                    other != edge
                    and stream in stretch.before(other)
                    and any(m is not None and stretch.flow.is_product(m) for m in makers)
                ):
                    found.append(_Residual(node, stream, other))
    return found


def _projected(stretch: Stretch, end: str, others: frozenset[str]) -> list[str]:
    """The edges that carry what the one projection before an edge gives, with its bias.

    ``others`` are the edges from which other things are made, too: while the way runs through
    them, a part may be taken of a projection of several.
    """
    linears = stretch.linears_behind(end)
    if len(linears) != 1:
        return []
    (linear,) = linears
    edge = linear.outputs[0]
    biased, raw = False, linear.op_type in _INTEGERS
    found = [edge]
    while (step := stretch.next(edge, end)) is not None:
        node, out = step
        fixed = [n for n in node.inputs if n and stretch.flow.is_fixed(n)]
        if raw and node.op_type in ("Mul", "DequantizeLinear"):
            found, raw = [out], False
        elif node.op_type in ("Add", "QLinearAdd") and fixed and not biased:
            found, biased = [out], True
        elif node.op_type in _SELECTIONS and edge in others:
            found = [out]
        elif node.op_type in SAME:
            found.append(out)
        else:
            break
        edge = out
    return [] if raw else [e for e in found if e not in others]


def _heads(flow: Flow, edges: list[tuple[str, Axes]]) -> int | None:
    """How many heads there are, from an edge that has an axis of them."""
    for edge, axes in edges:
        shape = flow.shape(edge)
        if shape is not None and ("head",) in axes and len(shape) == len(axes):
            size = shape[axes.index(("head",))]
            if isinstance(size, int):
                return size
    return None


def _bias(node: Node) -> str:
    place = 4 if node.op_type == "SkipLayerNormalization" else 3
    return node.inputs[place] if len(node.inputs) > place else ""


def _mixer(stretch: Stretch) -> str:
    for node in stretch.nodes:
        if node.op_type == "DFT":
            return f"the layer mixes its tokens by a Fourier transform, {node}"
    return "no Softmax lies between two products of what the layer reads"
