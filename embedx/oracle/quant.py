"""What rounding a model costs: all that ``embedx quant`` finds out about one model or two."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from embedx.errors import ConfigError, InputError, NodeError
from embedx.model.graph import Array
from embedx.model.onnx_file import read_model
from embedx.oracle.consequences import Consequences, consequences
from embedx.oracle.half import Half, first_broken, half_precision
from embedx.oracle.invariance import Invariance, invariance
from embedx.oracle.quantization import (
    Loss,
    Losses,
    Pair,
    Side,
    Text,
    in_float,
    losses,
    mean_cosine,
    pairs_of,
    smallest,
)  # fmt: skip
from embedx.oracle.saturation import Overflow, Saturation, saturation
from embedx.rewrite.normal import normal_form
from embedx.run.prepare import loading
from embedx.text.embedder import Embedder, load
from embedx.text.locate import find_model
from embedx.text.model_folder import ModelFolder
from embedx.text.text_model import TextModel
from embedx.text.tokens import Tokens

REGAIN_TEXTS = 8
"""On so many texts it is measured what a product regains, which takes a run for each."""
_SEARCH_TEXTS = 24
"""On so many texts nodes for a mean cosine are searched, before all texts have the last word."""
_INVARIANCE_TEXTS = 8
_AT_ONCE = 8
"""So many texts are a batch in half precision."""
_SUGGESTED = 0.1
"""This share of the products is suggested to stay in float unless something is to be kept."""


@dataclass(frozen=True)
class Keep:
    """What a quantized model is to keep of the float one."""

    share: float
    """Between 0 and 1."""
    of: str = "cosine"
    """``cosine``, the mean; ``top-1`` or ``top-k``, the mean share of neighbours that stay."""


@dataclass(frozen=True, eq=False)
class Choice:
    """Products that stay in float."""

    pairs: tuple[Pair, ...]
    measure: str
    before: float
    """The measure of the model as it is, over all texts,"""
    after: float
    """and with these products in float."""
    wanted: float | None = None
    """What was to be kept, if anything."""

    @property
    def kept(self) -> bool:
        """Whether the model keeps what was wanted as it is."""
        return self.wanted is None or self.before >= self.wanted

    @property
    def found(self) -> bool:
        """Whether the choice keeps what was wanted."""
        return self.wanted is None or self.after >= self.wanted


@dataclass(frozen=True, eq=False)
class Lost:
    """What a quantized model loses."""

    losses: Losses
    """With what each product and layer regains."""
    regain_texts: int
    """On how many texts that was measured,"""
    regain_cosine: float
    """and the mean cosine of these as it is."""
    consequences: Consequences
    k: int
    """How many nearest neighbours were asked for; ``consequences.k`` of them count."""
    choice: Choice
    saturation: Saturation | None


@dataclass(frozen=True, eq=False)
class InHalf:
    """What half precision does, and what that means for embeddings."""

    half: Half
    cosine: float
    """The mean cosine between embeddings in half precision and in float32; NaN if they break,"""
    with_list: float
    """and with the nodes of the list in float32."""
    batches: tuple[tuple[int, ...], ...]
    """Which texts ran together."""


@dataclass(frozen=True, eq=False)
class Study:
    """All that was found out."""

    reference: str
    candidate: str | None
    texts: tuple[str, ...]
    repeated: int
    """How many texts were left out since they had come before."""
    lost: Lost | None
    half: InHalf | None
    invariance: tuple[tuple[str, Invariance], ...]
    """By the model's path."""

    @property
    def passed(self) -> bool:
        """Whether all checks that were asked for have come out well."""
        kept = self.lost is None or self.lost.choice.kept
        whole = self.half is None or not (self.half.half.troubles or self.half.half.first)
        return kept and whole and not any(i.breaches for _, i in self.invariance)


def study(
    reference: str | os.PathLike[str],
    candidate: str | os.PathLike[str] | None,
    texts: Iterable[str],
    *,
    keep: Keep | None = None,
    k: int = 10,
    regain_texts: int = REGAIN_TEXTS,
    half: bool = False,
    invariant: bool = False,
    tell: Callable[[str], None] = lambda _: None,
) -> Study:
    """What a candidate loses against a float model, and the other questions that are asked.

    Both get the tokens, the pooling and the modules of the reference's folder. ``tell`` hears what
    is being done. Raises ConfigError for options that do not go together, InputError for texts
    that cannot be used, ConfigError for models that are not one and its copy, and what loading and
    running a model raise.
    """
    if candidate is None and not (half or invariant):
        raise ConfigError(
            "name a quantized model to compare with, or ask for --fp16 or --invariance"
        )
    if candidate is None and keep is not None:
        raise ConfigError("--keep needs a quantized model")
    given = list(texts)
    unique = tuple(dict.fromkeys(text for text in given if text.strip()))
    if not unique:
        raise InputError("there are no texts")
    embedder = load(reference, precision="exact")
    tokens, prompt = embedder.prefixed(list(unique), embedder.prefix(None, None))
    empty = next((i for i, text in enumerate(tokens) if not text.ids), None)
    if empty is not None:
        raise InputError(f"a text has no tokens: {unique[empty][:60]!r}")
    models = [(str(embedder.text_model.path), embedder.text_model)]
    lost = None
    if candidate is not None:
        other = _beside(candidate, embedder)
        models.append((str(other.path), other))
        pools = [_pool(embedder, len(t.ids), prompt) for t in tokens]
        lost = _lost(embedder, other, tokens, pools, keep, k, regain_texts, tell)
    in_half = None
    if half:
        tell(f"{len(tokens)} texts in half precision")
        in_half = _in_half(embedder, tokens, prompt)
    found = []
    for name, model in models if invariant else ():
        tell(f"texts alone and with others: {name}")
        some = [tokens[i] for i in _spread(len(tokens), _INVARIANCE_TEXTS)]
        graph, longest = model.engine.graph, embedder.max_seq_length
        feed = model.feeds
        found.append(
            (name, invariance(graph, some, feed, longest=longest, fixed=model.fixed_length))
        )
    return Study(
        reference=models[0][0],
        candidate=models[1][0] if candidate is not None else None,
        texts=unique,
        repeated=len([t for t in given if t.strip()]) - len(unique),
        lost=lost,
        half=in_half,
        invariance=tuple(found),
    )


def _beside(candidate: str | os.PathLike[str], embedder: Embedder) -> TextModel:
    """Another model, with the tokenizer and the settings of the first."""
    path: Path = find_model(candidate)
    with loading():
        folder = ModelFolder(path, embedder.text_model.deployment, normal_form(read_model(path)))
    return TextModel(
        folder, folder.usual_edge(pooled=True), longest=embedder.max_seq_length, precision="exact"
    )


def _spread(count: int, most: int) -> list[int]:
    """At most so many places, evenly over all."""
    return sorted({int(i) for i in np.linspace(0, count - 1, min(count, most))})


def _feeds(model: TextModel, texts: Sequence[Tokens], width: int) -> dict[str, Array]:
    """What a model is fed for some texts, with the last one again if it wants more."""
    size = model.fixed_batch or len(texts)
    filled = [*texts, *[texts[-1]] * (size - len(texts))]
    return model.feeds(filled, model.fixed_length or width)


def _pool(embedder: Embedder, length: int, prompt: int, row: int = 0) -> Callable[[Array], Array]:
    """What makes a text's embedding of a batch's output; ``prompt`` tokens are the prompt's."""

    def pool(output: Array) -> Array:
        if output.ndim not in (2, 3):
            raise InputError(f"the output has {output.ndim} axes, so it is no embedding of texts")
        own = output[row : row + 1, :length] if output.ndim == 3 else output[row : row + 1]
        return embedder.pooled(np.asarray(own, np.float32), prompt)

    return pool


def _lost(
    embedder: Embedder,
    other: TextModel,
    tokens: Sequence[Tokens],
    pools: Sequence[Callable[[Array], Array]],
    keep: Keep | None,
    k: int,
    regain_texts: int,
    tell: Callable[[str], None],
) -> Lost:
    model = embedder.text_model
    texts = [
        Text(_feeds(model, [t], len(t.ids)), _feeds(other, [t], len(t.ids)), pool)
        for t, pool in zip(tokens, pools, strict=True)
    ]
    sides = Side(model.engine.graph), Side(other.engine.graph)
    pairs = pairs_of(sides)
    _check_alike(sides[1], pairs)
    tell(f"{len(texts)} texts in both models")
    overflow = Overflow(sides[1], pairs)
    found = losses(sides, pairs, texts, overflow.look)
    if found.reference.shape != found.candidate.shape:
        raise ConfigError(
            f"the embeddings have {found.reference.shape[1]} and {found.candidate.shape[1]} "
            "numbers; these are not a model and its quantized copy"
        )
    _check_finite(found, sides, texts)
    chosen = _spread(len(texts), regain_texts)
    tell(f"what each of {len(found.products)} products regains, on {len(chosen)} texts")
    base = mean_cosine(found.reference[chosen], found.candidate[chosen])
    found = _with_regained(sides, found, [texts[i] for i in chosen], chosen, base)

    def felt(candidate: Array) -> Consequences:
        return consequences(found.reference, candidate, embedder.similarity, k)

    tell("which nodes should stay in float")
    choice = _choice(sides, found, texts, keep, felt)
    tell("what saturates")
    return Lost(
        losses=found,
        regain_texts=len(chosen),
        regain_cosine=base,
        consequences=felt(found.candidate),
        k=k,
        choice=choice,
        saturation=saturation(sides, overflow, found.reference, found.candidate, texts),
    )


def _check_alike(candidate: Side, pairs: Sequence[Pair]) -> None:
    """Refuse a candidate of another architecture, or of other weights. Raises ConfigError."""
    weights = [p for p in candidate.products.all if p.shape is not None]
    known = {p.candidate.node.index for p in pairs}
    alike = sum(p.node.index in known for p in weights)
    if 2 * alike < len(weights):
        raise ConfigError(
            f"{alike} of the {len(weights)} products with weights in the second model have their "
            "equal in the first; these are not a model and its quantized copy"
        )


def _check_finite(found: Losses, sides: tuple[Side, Side], texts: Sequence[Text]) -> None:
    """Refuse embeddings with NaN or Inf. Raises NodeError naming the node that makes the first."""
    for side, rows, which in zip(
        sides, (found.reference, found.candidate), ("float", "quantized"), strict=True
    ):
        bad = [i for i, row in enumerate(rows) if not np.isfinite(row).all()]
        if bad:
            text = texts[bad[0]]
            feeds = text.reference if which == "float" else text.candidate
            broken = first_broken(side.engine.graph, [feeds])
            where = f"{broken.node} makes {broken.what}" if broken else "its pooling makes NaN"
            raise NodeError(f"the {which} model gives no numbers for text {bad[0] + 1}: {where}")


def _with_regained(
    sides: tuple[Side, Side],
    found: Losses,
    texts: Sequence[Text],
    places: Sequence[int],
    base: float,
) -> Losses:
    """The losses with what each product and each layer regains on some texts."""
    reference = found.reference[places]

    def regained(loss: Loss, pairs: Sequence[Pair]) -> Loss:
        if not pairs:
            return replace(loss, regained=0.0)
        return replace(loss, regained=mean_cosine(reference, in_float(sides, pairs, texts)) - base)

    layers = [
        regained(loss, [p for p, _ in found.products if p.layer == i])
        for i, loss in enumerate(found.layers)
    ]
    products = [(pair, regained(loss, [pair])) for pair, loss in found.products]
    return replace(found, products=tuple(products), layers=tuple(layers))


def _choice(
    sides: tuple[Side, Side],
    found: Losses,
    texts: Sequence[Text],
    keep: Keep | None,
    felt: Callable[[Array], Consequences],
) -> Choice:
    """Which products are to stay in float."""
    ranked = sorted(found.products, key=lambda f: -(f[1].regained or 0.0))
    order = [pair for pair, _ in ranked]
    of = "cosine" if keep is None else keep.of

    def measure(candidate: Array) -> float:
        told = felt(candidate)
        values = {"cosine": told.mean_cosine, "top-1": told.top_1}
        value = values.get(of, told.top_k)
        if value is None:
            raise InputError(f"{of} needs at least three texts that differ")
        return value

    def score(pairs: Sequence[Pair]) -> float:
        return measure(in_float(sides, pairs, texts) if pairs else found.candidate)

    before = score(())
    if keep is None:
        some = [p for p, loss in ranked if (loss.regained or 0) > 0]
        some = some[: max(round(_SUGGESTED * len(order)), 1)]
        return Choice(tuple(some), of, before, score(some))
    places = _spread(len(texts), _SEARCH_TEXTS)

    def quick(pairs: Sequence[Pair]) -> float:
        if of != "cosine":  # the neighbours among some texts are others than among all
            return score(pairs)
        rows = in_float(sides, pairs, [texts[i] for i in places])
        return mean_cosine(found.reference[places], rows)

    chosen = [] if before >= keep.share else smallest(order, quick, keep.share)
    chosen = order if chosen is None else chosen
    after = score(chosen)
    for one in order:
        if after >= keep.share:
            break
        if one not in chosen:
            chosen = [*chosen, one]
            after = score(chosen)
    return Choice(tuple(chosen), of, before, after, keep.share)


def _in_half(embedder: Embedder, tokens: Sequence[Tokens], prompt: int) -> InHalf:
    model = embedder.text_model
    size = model.fixed_batch or _AT_ONCE
    order = sorted(range(len(tokens)), key=lambda i: len(tokens[i].ids))
    batches = [tuple(order[i : i + size]) for i in range(0, len(order), size)]
    feeds = [
        _feeds(model, [tokens[i] for i in b], max(len(tokens[i].ids) for i in b)) for b in batches
    ]
    half = half_precision(model.engine.graph, feeds)

    def rows(outputs: Sequence[Array]) -> Array:
        made = [
            _pool(embedder, len(tokens[i].ids), prompt, row)(output)
            for batch, output in zip(batches, outputs, strict=True)
            for row, i in enumerate(batch)
        ]
        return np.concatenate(made)

    reference = rows(half.in_float)
    cosines = [mean_cosine(reference, rows(x)) for x in (half.in_half, half.with_list)]
    return InHalf(half, cosines[0], cosines[1], tuple(batches))
