"""What a quantized model loses, by product and by layer, and what would bring it back.

The loss is a signal-to-noise ratio, ``10 log10(sum x**2 / sum (x - y)**2)`` in dB, as the papers on
quantization give it (SQNR). It is *local* if the reference is fed what the quantized model itself
has at that place, so that all noise is made there, and *cumulative* if it is fed what it has in its
own run. What is regained is measured, not estimated: the quantized model runs once more, with the
float product in place of its own.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from embedx.errors import ConfigError
from embedx.model.graph import Array, Graph
from embedx.observe.sites import find_sites
from embedx.oracle.consequences import cosines
from embedx.oracle.products import Place, Product, Products, paired
from embedx.rewrite.layers import find_layers
from embedx.run.engine import Engine
from embedx.run.execute import Compute
from embedx.run.step import Step

_FLOAT_DB = 110.0
"""Products in float32 are better than this, and those in float16 worse."""

_ALIKE, _FACTOR = 0.95, 1.5
"""What correlates so well, and yet is so much larger or smaller, is scaled in another place."""

Feeds = Mapping[str, Array]
Instead = Mapping[str, Callable[[Mapping[str, Array]], Array]]
"""What is put on an edge, by its name, from the values so far."""
T = TypeVar("T")


class Side:
    """One of two models that are compared, and its runs in exact precision."""

    def __init__(self, graph: Graph) -> None:
        self.engine = Engine(graph, precision="exact")
        self.products = Products(self.engine.graph)
        self.layers = find_layers(self.products.graph)
        self.output = self.engine.output_names[0]

    def values(
        self, feeds: Feeds, keep: Collection[str] = (), instead: Instead | None = None
    ) -> dict[str, Array]:
        """The values of a run on some edges and on the output, with others put in their places."""
        instead = instead or {}
        constants = self.products.constants
        values = {name: constants[name] for name in keep if name in constants} | dict(feeds)
        wanted = {*keep, *instead, self.output}

        def around(step: Step, _: Sequence[Any], compute: Compute) -> Sequence[Any]:
            outputs = list(compute())
            for i, name in enumerate(step.node.outputs[: len(outputs)]):
                if name in wanted:
                    values[name] = outputs[i]
                if name in instead:
                    values[name] = outputs[i] = instead[name](values)
            return outputs

        for _ in self.engine.walk(feeds, around):
            pass
        return values


@dataclass(frozen=True, eq=False)
class Text:
    """A text as both models read it, alone."""

    reference: Feeds
    candidate: Feeds
    pool: Callable[[Array], Array]
    """Makes the embedding, (1, dimensions), of what a model gives."""


@dataclass(frozen=True, eq=False)
class Pair:
    """A product of the reference, and the one of the candidate that stands for it."""

    site: str
    """A name that people know, or else the node's."""
    layer: int | None
    """None in front of the layers and behind them."""
    reference: Product
    candidate: Product

    @property
    def to_exclude(self) -> str:
        """How a quantizer calls the node: onnxruntime's makes a MatMul of a Gemm first."""
        name = self.reference.node.name
        split = self.candidate.node.name.startswith(f"{name}_MatMul")
        return f"{name}_MatMul" if self.reference.node.op_type == "Gemm" and split else name

    def real(self, sides: tuple[Side, Side], values: Mapping[str, Array]) -> Array:
        """The reference's product of what the candidate has in its run."""
        weight = sides[0].products.constants.get(self.reference.b.edge)
        if self.reference.looks_up and weight is not None:  # of which few rows are needed
            return self.reference.multiply(self.candidate.a.real(values), weight)
        b = self.candidate.b.real(values) if weight is None else weight.astype(np.float64)
        return self.reference.multiply(self.candidate.a.real(values), b)


@dataclass(frozen=True)
class Loss:
    """What is lost at a product, or in a layer."""

    local: float | None
    """In dB; infinite where nothing is lost, None where the two files have nothing alike."""
    cumulative: float | None
    regained: float | None = None
    """How much the mean cosine of the embeddings rises if this alone goes back to floats."""


@dataclass(frozen=True, eq=False)
class Losses:
    """What a quantized model loses where."""

    products: tuple[tuple[Pair, Loss], ...]
    """Those that are not as exact as floats, in order."""
    layers: tuple[Loss, ...]
    in_float: int
    """How many products of the candidate are as exact as floats."""
    unpaired: tuple[str, ...]
    """Nodes of the candidate that multiply, and of which the reference has no equal."""
    reference: Array
    candidate: Array
    """The embeddings of both, (texts, dimensions)."""


def pairs_of(sides: tuple[Side, Side]) -> list[Pair]:
    """The products that two models share. Raises ConfigError if the first is quantized, too."""
    found = paired(*(side.products.all for side in sides))
    names = _site_names(sides[0].products)
    pairs = []
    for ours, theirs in found:
        if ours.rounded:
            raise ConfigError(
                f"{ours.node} of the first model is quantized itself; give the float model first"
            )
        site = names.get(ours.target, ours.node.name or f"node {ours.node.index}")
        layer = re.match(r"layers\.(\d+)\.", site)
        pairs.append(Pair(site, int(layer[1]) if layer else None, ours, theirs))
    return pairs


def _site_names(products: Products) -> dict[str, str]:
    """The site that is made of each edge, without another product on the way."""
    makers, results = products.graph.producers(), {p.target for p in products.all}
    found: dict[str, str] = {}
    for site in find_sites(products.graph).values():
        edges = [site.edge]
        for edge in edges:
            if edge in found:
                continue
            found[edge] = site.name
            if edge not in results and edge in makers:
                edges += filter(None, makers[edge].inputs)
    return found


class _Noise:
    """A ratio of signal to noise, from pieces."""

    def __init__(self) -> None:
        self.signal = self.noise = self.other = 0.0
        self.known = True

    def add(self, x: Array, y: Array) -> None:
        if x.shape != y.shape:
            self.known = False
            return
        x, y = x.astype(np.float64), y.astype(np.float64)
        self.signal += float((x * x).sum())
        self.other += float((y * y).sum())
        self.noise += float(((x - y) ** 2).sum())

    @property
    def db(self) -> float | None:
        if not self.known or not np.isfinite(self.signal + self.noise):
            return None
        # 2 x.y, of which the correlation and the best factor between x and y are made.
        twice = self.signal + self.other - self.noise
        alike = twice > 2 * _ALIKE * (self.signal * self.other) ** 0.5
        if alike and not 1 / _FACTOR < twice / (2 * self.signal) < _FACTOR:
            return None
        if self.noise == 0:
            return float("inf")
        return float(10 * np.log10(self.signal / self.noise)) if self.signal else float("-inf")


def losses(
    sides: tuple[Side, Side],
    pairs: Sequence[Pair],
    texts: Sequence[Text],
    look: Callable[[Mapping[str, Array]], None] = lambda _: None,
) -> Losses:
    """What the candidate, the second side, loses on some texts.

    ``look`` sees what each of its runs has at all edges of the pairs.
    """
    reference, candidate = sides
    local, cumulative = ([_Noise() for _ in pairs] for _ in range(2))
    places = map(candidate.products.place, candidate.layers)
    layers = list(zip(reference.layers, places, strict=False))
    if len(reference.layers) != len(candidate.layers):
        layers = []
    layer_noise = [(_Noise(), _Noise()) for _ in layers]
    keep_ours = {a for a, _ in layers}.union(
        *({p.reference.target, *p.reference.bias.edges} for p in pairs)
    )
    places_to_read = [p.candidate.edges for p in pairs] + [place.edges for _, place in layers]
    keep_theirs = set[str]().union(*places_to_read)
    rows: tuple[list[Array], list[Array]] = [], []
    for text in texts:
        ours = reference.values(text.reference, keep_ours)
        theirs = candidate.values(text.candidate, keep_theirs)
        look(theirs)
        for pair, here, whole in zip(pairs, local, cumulative, strict=True):
            value = pair.candidate.value(theirs)
            here.add(pair.real(sides, theirs), value)
            whole.add(pair.reference.value(ours), value)
        for (_, whole), (a, b) in zip(layer_noise, layers, strict=True):
            whole.add(ours[a], b.real(theirs))
        if layers:
            noise = [here for here, _ in layer_noise]
            _layer_by_layer(reference, text.reference, layers, theirs, noise)
        rows[0].append(text.pool(ours[reference.output]))
        rows[1].append(text.pool(theirs[candidate.output]))
    found = [(p, Loss(a.db, b.db)) for p, a, b in zip(pairs, local, cumulative, strict=True)]
    lossy = [f for f in found if f[1].local is None or f[1].local < _FLOAT_DB]
    known = {p.candidate.node.index for p in pairs}
    alone = [p.node for p in candidate.products.all if p.node.index not in known]
    return Losses(
        products=tuple(lossy),
        layers=tuple(Loss(a.db, b.db) for a, b in layer_noise),
        in_float=len(found) - len(lossy),
        unpaired=tuple(str(node) for node in [*alone, *candidate.products.unread]),
        reference=np.concatenate(rows[0]),
        candidate=np.concatenate(rows[1]),
    )


def _layer_by_layer(
    side: Side,
    feeds: Feeds,
    layers: Sequence[tuple[str, Place]],
    values: Mapping[str, Array],
    noise: Sequence[_Noise],
) -> None:
    """Run a model whose layers each read what another model's layer before has made."""

    def taught(ours: str, theirs: Place, here: _Noise) -> Callable[[Mapping[str, Array]], Array]:
        def value(made: Mapping[str, Array]) -> Array:
            other = theirs.real(values)
            here.add(made[ours], other)
            fits = made[ours].shape == other.shape
            return other.astype(made[ours].dtype) if fits else made[ours]

        return value

    side.values(feeds, (), {a: taught(a, b, n) for (a, b), n in zip(layers, noise, strict=True)})


def in_float(sides: tuple[Side, Side], pairs: Iterable[Pair], texts: Sequence[Text]) -> Array:
    """The candidate's embeddings of texts with some products as the reference has them."""

    def floats(pair: Pair) -> Callable[[Mapping[str, Array]], Array]:
        return lambda values: pair.candidate.instead(pair.real(sides, values), values)

    return embeddings(sides[1], {pair: floats(pair) for pair in pairs}, texts)


def embeddings(
    side: Side,
    instead: Mapping[Pair, Callable[[Mapping[str, Array]], Array]],
    texts: Sequence[Text],
) -> Array:
    """The candidate's embeddings with other results of some products in their places."""
    keep = set[str]().union(*(pair.candidate.edges for pair in instead))
    put = {pair.candidate.target: value for pair, value in instead.items()}
    rows = [t.pool(side.values(t.candidate, keep, put)[side.output]) for t in texts]
    return np.concatenate(rows)


def mean_cosine(reference: Array, candidate: Array) -> float:
    """The mean of the cosines between the rows of two arrays."""
    return float(cosines(reference, candidate).mean())


def smallest(
    order: Sequence[T], score: Callable[[Sequence[T]], float], wanted: float
) -> list[T] | None:
    """A small choice whose score is at least ``wanted``; None if even that of all is less.

    ``order`` has the most useful first. As long as what each is worth adds up, the shortest
    beginning that will do is the smallest choice there is. Then whatever can be spared is left out,
    so that nothing in the choice can be; a choice of one is known to be the smallest.
    """
    if score(()) >= wanted:
        return []
    if score(order) < wanted:
        return None
    few, enough = 0, len(order)
    while enough - few > 1:
        middle = (few + enough) // 2
        if score(order[:middle]) >= wanted:
            enough = middle
        else:
            few = middle
    chosen = list(order[:enough])
    for one in chosen[::-1]:
        rest = [other for other in chosen if other is not one]
        if rest and score(rest) >= wanted:
            chosen = rest
    return chosen
