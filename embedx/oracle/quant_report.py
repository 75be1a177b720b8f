"""A study of what rounding costs, as text for people and as one JSON document."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from embedx.oracle.half import Broken
from embedx.oracle.invariance import WAYS
from embedx.oracle.quant import Choice, InHalf, Lost, Study
from embedx.oracle.quantization import Loss
from embedx.oracle.saturation import Saturation

SCHEMA = "embedx.quant/1"
_WIDTH = 100
_CHANGED, _PRODUCTS, _TROUBLES = 5, 40, 20
"""So many lines are shown of what may be long; JSON has all."""


def as_text(study: Study) -> str:
    """The study in sections, no line longer than 100 characters but for names to paste."""
    count = len(study.texts)
    head = f"{study.reference} in float"
    if study.candidate is not None:
        head = f"{head}\nagainst {study.candidate}"
    repeated = f" ({study.repeated} more that repeat others left out)" if study.repeated else ""
    parts = [f"{head}\non {_texts(count)}{repeated}, in exact arithmetic"]
    if study.lost is not None:
        parts += [
            _felt(study.lost, study.texts),
            _where(study.lost),
            _choice(study.lost.choice, len(study.lost.losses.products), count),
            _saturation(study.lost.saturation, study.texts),
        ]
    if study.half is not None:
        parts.append(_half(study.half))
    parts += [_invariance(study)] if study.invariance else []
    return "\n\n".join(parts)


def _felt(lost: Lost, texts: Sequence[str]) -> str:
    c = lost.consequences
    lines = [
        "What users of a search would notice",
        f"  cosine to the float embedding: {_share(c.mean_cosine)} on average, "
        f"{_share(c.least_cosine)} for {_quoted(texts[c.least_text], 36)}",
    ]
    if c.top_1 is None or c.top_k is None or c.spearman is None:
        return "\n".join([*lines, "  Neighbours need three texts or more."])
    kept = round(c.top_1 * len(texts))
    lines += [
        f"  nearest neighbour among the texts stays for {kept} of {len(texts)} ({c.top_1:.1%})",
        f"  of {f'the {c.k} nearest neighbours' if c.k > 1 else 'nearest neighbours'} "
        f"{c.top_k:.1%} stay",
        *_cut(lost.k, c.k, len(texts)),
        f"  order of the similarities of all pairs: Spearman {c.spearman:.4f}",
    ]
    if c.changed:
        few = c.changed[:_CHANGED]
        which = f"the {len(few)} that change most" if len(few) < len(c.changed) else "all"
        lines.append(f"  other nearest neighbours ({which} of {len(c.changed)}):")
    for one in c.changed[:_CHANGED]:
        lines += [
            f"    {_quoted(texts[one.text])}",
            f"      was near {_quoted(texts[one.was])}",
            f"      is near  {_quoted(texts[one.now])}",
        ]
    return "\n".join(lines)


def _cut(wanted: int, k: int, texts: int) -> list[str]:
    """Why other neighbours count than were asked for: a text's neighbours are the others."""
    if k == wanted:
        return []
    return [
        f"    (not of {wanted}: {texts} texts have {texts - 1} neighbours each, and all of them "
        "would always stay)"
    ]


def _texts(count: int) -> str:
    return f"{count} text{'s' * (count != 1)}"


def _all(count: int) -> str:
    return f"all {_texts(count)}" if count > 1 else "the only text"


def _where(lost: Lost) -> str:
    losses = lost.losses
    lines = [
        "Where it is lost",
        "  Signal to noise in dB: 20 is an error of a tenth, 40 of a hundredth.",
        "  local: what is lost here; cumulative: with all that was lost before; regained: how much",
        "  of the cosine that is lost comes back if this alone runs in float, measured on "
        f"{_texts(lost.regain_texts)}.",
        "",
    ]
    layers = [(f"layers.{i}", "", loss) for i, loss in enumerate(losses.layers)]
    gone = 1 - lost.regain_cosine
    lines += [*_losses("layer", layers, gone), ""] if layers else []
    shown = list(losses.products)
    if len(shown) > _PRODUCTS:
        best = sorted(shown, key=lambda f: -(f[1].regained or 0))[:_PRODUCTS]
        shown = [f for f in shown if f in best]
    rows = [(pair.site, pair.candidate.node.op_type, loss) for pair, loss in shown]
    if rows:
        lines += _losses("product", rows, gone)
    else:
        lines.append("  No product is less exact than in float.")
    if len(shown) < len(losses.products):
        lines.append(f"  ... the {len(shown)} of {len(losses.products)} that regain most")
    if losses.in_float:
        lines.append(f"  {losses.in_float} more products are as exact as in float.")
    if losses.unpaired:
        lines.append(f"  {len(losses.unpaired)} have no equal in the float model:")
        lines += [f"    {_short(name, _WIDTH - 4)}" for name in losses.unpaired[:_CHANGED]]
    return "\n".join(lines)


def _losses(title: str, rows: Iterable[tuple[str, str, Loss]], gone: float) -> Iterator[str]:
    found = [
        (
            site,
            operator,
            _db(loss.local),
            _db(loss.cumulative),
            f"{(loss.regained or 0) / gone:+.0%}" if gone > 0 else "-",
        )
        for site, operator, loss in rows
    ]
    return _table((title, "", "local", "cumulative", "regained"), found, left=2)


def _choice(choice: Choice, count: int, texts: int) -> str:
    lines = ["What should stay in float"]
    few, before, after = len(choice.pairs), _share(choice.before), _share(choice.after)
    if choice.wanted is not None:
        what = f"{choice.measure} of {choice.wanted:g}"
        if choice.kept:
            return "\n".join([*lines, f"  Nothing: the {what} is kept; it is {before}."])
        lines.append(f"  The {what} is not kept: it is {before} on {_all(texts)}.")
        spared = "the smallest set" if few == 1 else "and none of them can be spared"
        if choice.found:
            lines.append(f"  With {few} of {count} products in float it is {after}, {spared}.")
        else:
            lines.append(f"  Even with all {count} products in float it is {after}:")
            lines.append("  the rest is lost between them, where other operators quantize.")
    elif choice.pairs:
        which = (
            f"The {few} of {count} products that regain" if few > 1 else "The product that regains"
        )
        lines += [
            f"  {which} most raise{'s' * (few == 1)} the mean cosine, in float,",
            f"  from {before} to {after} on {_all(texts)}.",
            "  --keep 0.99 finds what is needed for that.",
        ]
    else:
        return "\n".join([*lines, "  No product alone regains anything."])
    lines.append("  For onnxruntime.quantization:")
    lines += _paste("nodes_to_exclude", _names(choice))
    if nameless := few - len(_names(choice)):
        lines.append(f"  {nameless} more have no name by which a quantizer could know them.")
    return "\n".join(lines)


def _names(choice: Choice) -> list[str]:
    return [pair.to_exclude for pair in choice.pairs if pair.to_exclude]


def _paste(name: str, values: Sequence[str]) -> list[str]:
    return [f"  {name}=[", *(f"      {value!r}," for value in values), "  ]"]


def _saturation(found: Saturation | None, texts: Sequence[str]) -> str:
    lines = ["On processors without VNNI, which add two products in 16 bits"]
    if found is None:
        return "\n".join(
            [*lines, "  Nothing can overflow: no unsigned inputs meet signed weights of 8 bits."]
        )
    total, sums = (sum(getattr(p, n) for p in found.products) for n in ("overflows", "sums"))
    hit = sorted((p for p in found.products if p.overflows), key=lambda p: -p.overflows)
    lines.append(
        f"  {total} of {sums} sums overflow, in {len(hit)} of {len(found.products)} products"
    )
    if hit:
        rows = [
            (p.pair.site, str(p.overflows), str(p.sums), str(sum(map(bool, p.texts))))
            for p in hit[:_TROUBLES]
        ]
        lines += _table(("product", "overflow", "of sums", "in texts"), rows, left=1)
        by_text = [sum(counts) for counts in zip(*(p.texts for p in found.products), strict=True)]
        worst = max(range(len(by_text)), key=by_text.__getitem__)
        lines.append(f"  most in one text: {by_text[worst]} in {_quoted(texts[worst], 60)}")
    better = found.seven_bits > found.saturated
    lines += [
        f"  mean cosine: exact {_share(found.cosine)}, saturating {_share(found.saturated)}, "
        f"with weights of 7 bits {_share(found.seven_bits)}",
        "  Weights of 7 bits (reduce_range=True) never overflow, and are twice as coarse:",
        f"  here they {'help' if better else 'cost more than they save' if hit else 'only cost'}.",
    ]
    if found.uncounted:
        lines.append(
            f"  {len(found.uncounted)} convolutions or stacks of matrices are not counted."
        )
    return "\n".join(lines)


def _half(found: InHalf) -> str:
    half = found.half
    lines = ["In half precision (float16)"]
    if half.first_in_float is not None:
        lines.append(f"  The model itself breaks: {_broken(half.first_in_float, found)}.")
    if half.first is not None:
        lines.append(f"  First to break: {_broken(half.first, found)}.")
    lines += [
        f"  mean cosine to float32: {_share(found.cosine)}",
        f"  {half.denormal:.2%} of all numbers lose digits or become 0, being below 6.1e-05",
    ]
    if not half.troubles:
        return "\n".join([*lines, "  Nothing overflows, and nothing is lost by being too small."])
    rows = [
        (
            _short(t.node.name or str(t.node), 44),
            t.node.op_type,
            f"{t.largest:.3g}",
            str(t.overflows or "-"),
            str(t.lost or "-"),
        )
        for t in half.troubles[:_TROUBLES]
    ]
    lines.append("  overflow: numbers above 65504; lost: rows too small, or of a constant that is")
    lines += _table(("node", "", "largest", "overflow", "lost"), rows, left=2)
    if len(half.troubles) > _TROUBLES:
        lines.append(f"  ... {len(half.troubles)} nodes in all")
    lines += [
        f"  With these nodes in float32 the mean cosine is {_share(found.with_list)}:",
        *_paste("node_block_list", half.node_block_list),
    ]
    if half.nameless:
        lines.append(f"  {len(half.nameless)} nodes of that list have no name: {half.nameless[0]}")
    return "\n".join(lines)


def _broken(broken: Broken, found: InHalf) -> str:
    texts = found.batches[broken.batch]
    which = f"text {texts[0] + 1}" if len(texts) == 1 else f"texts like {texts[0] + 1}"
    return f"{broken.node} makes {broken.what}, with {which}"


def _share(value: float) -> str:
    """A number near 1, with as many digits as tell how near."""
    if math.isnan(value):
        return "no number"
    return f"{value:.4f}" if value < 0.995 else f"{value:.7f}"


def _invariance(study: Study) -> str:
    lines = ["A text alone, among others, with padding, and in another order"]
    for name, found in study.invariance:
        lines.append(f"  {name}")
        for way in WAYS:
            broken = [b for b in found.breaches if b.way == way]
            if way in found.impossible and not found.checked[way]:
                lines.append(f"    {way:<10} cannot be tried: {found.impossible[way][:70]}")
            elif not broken:
                lines.append(f"    {way:<10} bit-identical ({found.checked[way]} texts)")
            else:
                worst = max(broken, key=lambda b: b.largest)
                lines += [
                    f"    {way:<10} differs for {len(broken)} of {found.checked[way]} texts,"
                    f" by up to {worst.largest:.2g} of {worst.of:.2g}",
                    f"    {'':<10} first at {_short(str(worst.node or 'the output'), 76)}",
                ]
    return "\n".join(lines)


def as_document(study: Study) -> dict[str, Any]:
    """The study as one JSON document; numbers that are no numbers, and infinite ones, are null."""
    document: dict[str, Any] = {
        "schema": SCHEMA,
        "exit": 0 if study.passed else 1,
        "reference": study.reference,
        "candidate": study.candidate,
        "texts": len(study.texts),
        "repeated": study.repeated,
        **_lost_document(study.lost, study.texts),
        "fp16": None if study.half is None else _half_document(study.half),
        "invariance": [
            {
                "model": name,
                "ways": [
                    {
                        "way": way,
                        "texts": found.checked[way],
                        "identical": not any(b.way == way for b in found.breaches),
                        "impossible": found.impossible.get(way),
                        "breaches": [
                            {
                                "text": b.text,
                                "node": b.node and b.node.name,
                                "op_type": b.node and b.node.op_type,
                                "max_abs": b.largest,
                            }
                            for b in found.breaches
                            if b.way == way
                        ],
                    }
                    for way in WAYS
                ],
            }
            for name, found in study.invariance
        ],
    }
    return dict(_plain(document))


def _lost_document(lost: Lost | None, texts: Sequence[str]) -> dict[str, Any]:
    if lost is None:
        return {}
    c, choice = lost.consequences, lost.choice
    return {
        "consequences": {
            "mean_cosine": c.mean_cosine,
            "min_cosine": c.least_cosine,
            "min_cosine_text": texts[c.least_text],
            "k": c.k,
            "k_asked": lost.k,
            "top_1": c.top_1,
            "top_k": c.top_k,
            "spearman": c.spearman,
            "changed": [
                {
                    "text": texts[o.text],
                    "was": texts[o.was],
                    "now": texts[o.now],
                    "margin": o.margin,
                }
                for o in c.changed
            ],
        },
        "regain_texts": lost.regain_texts,
        "regain_cosine": lost.regain_cosine,
        "layers": [{"layer": i, **_loss(x)} for i, x in enumerate(lost.losses.layers)],
        "products": [
            {
                "site": pair.site,
                "layer": pair.layer,
                "node": pair.reference.node.name,
                "candidate_node": pair.candidate.node.name,
                "op_type": pair.candidate.node.op_type,
                **_loss(loss),
            }
            for pair, loss in lost.losses.products
        ],
        "in_float": lost.losses.in_float,
        "unpaired": list(lost.losses.unpaired),
        "nodes_to_exclude": _names(choice),
        "keep": {
            "of": choice.measure,
            "wanted": choice.wanted,
            "before": choice.before,
            "after": choice.after,
            "kept": choice.kept,
            "found": choice.found,
        },
        "saturation": None if lost.saturation is None else _saturation_document(lost.saturation),
    }


def _loss(loss: Loss) -> dict[str, Any]:
    return {"local": loss.local, "cumulative": loss.cumulative, "regained": loss.regained}


def _saturation_document(found: Saturation) -> dict[str, Any]:
    return {
        "overflows": sum(p.overflows for p in found.products),
        "sums": sum(p.sums for p in found.products),
        "products": [
            {
                "site": p.pair.site,
                "candidate_node": p.pair.candidate.node.name,
                "overflows": p.overflows,
                "sums": p.sums,
                "by_text": list(p.texts),
            }
            for p in found.products
        ],
        "uncounted": list(found.uncounted),
        "cosine": {
            "exact": found.cosine,
            "saturating": found.saturated,
            "seven_bits": found.seven_bits,
        },
    }


def _half_document(found: InHalf) -> dict[str, Any]:
    half = found.half
    return {
        "node_block_list": list(half.node_block_list),
        "nameless": list(half.nameless),
        "troubles": [
            {
                "node": t.node.name,
                "op_type": t.node.op_type,
                "max_abs": t.largest,
                "overflows": t.overflows,
                "lost_rows": t.lost,
            }
            for t in half.troubles
        ],
        "first": _broken_document(half.first, found),
        "first_in_float32": _broken_document(half.first_in_float, found),
        "denormal": half.denormal,
        "cosine": {"half": found.cosine, "with_list": found.with_list},
    }


def _broken_document(broken: Broken | None, found: InHalf) -> dict[str, Any] | None:
    if broken is None:
        return None
    node = {"node": broken.node.name, "op_type": broken.node.op_type, "makes": broken.what}
    return {**node, "texts": list(found.batches[broken.batch])}


def _plain(value: Any) -> Any:
    """The value with null for what JSON has no number for."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_plain(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _db(value: float | None) -> str:
    if value is None:
        return "-"
    return "exact" if math.isinf(value) and value > 0 else f"{value:.1f}"


def _table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]], left: int) -> Iterator[str]:
    """Columns as wide as they must be, the first ``left`` of them flush left."""
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    for line in lines:
        cells = [
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        yield f"  {'  '.join(cells)}".rstrip()


def _quoted(text: str, most: int = 80) -> str:
    return f'"{_short(" ".join(text.split()), most)}"'


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 3]}..."
