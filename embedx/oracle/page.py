"""A comparison as one HTML page that needs nothing else."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from html import escape
from typing import Any

from embedx.html import listed, page_of, table_of, wide
from embedx.oracle.charts import growth, histogram
from embedx.oracle.comparison import (
    MEASURES,
    Comparison,
    Output,
    Place,
    begins,
    called,
    closeness,
    counted,
    short,
)
from embedx.oracle.detail import Detail
from embedx.oracle.verdicts import LINE, MEANINGS, VERDICTS, Verdict, is_worse

_GLYPHS: dict[Verdict, str] = {
    "identical": "=", "rounding": "●", "quantization": "◆", "suspicious": "▲", "impossible": "✕",
}  # fmt: skip

_STYLE = """
body { max-width: 64em; margin: 0 auto; padding: 2.5em 2em 5em; }
code, .mono { font: 0.9em/1.5 ui-monospace, "Cascadia Mono", Menlo, Consolas, monospace;
  overflow-wrap: anywhere; }
header > p:first-child { margin: 0; color: var(--soft); font-size: 13px; }
h1 { font-size: 30px; line-height: 1.2; letter-spacing: -0.02em; font-weight: 650;
  margin: 0.2em 0 0.3em; }
h2 { font-size: 20px; letter-spacing: -0.01em; font-weight: 650; margin: 2.6em 0 0.2em; }
h2 + p { margin-top: 0; }
h3 { font-size: 13px; font-weight: 600; margin: 1.4em 0 0.4em; }
p { max-width: 46em; } .soft, h2 + p, figcaption { color: var(--soft); }
.lead { font-size: 17px; } .lead, .why { overflow-wrap: anywhere; }
pre { background: var(--raised); border-radius: 8px; padding: 0.7em 1em; overflow-x: auto;
  font: 13px/1.5 ui-monospace, "Cascadia Mono", Menlo, Consolas, monospace; }
dl.facts { display: grid; grid-template-columns: max-content 1fr; gap: 0.25em 1.5em;
  margin: 1em 0; }
dl.facts dt { color: var(--soft); font-weight: 400; } dl.facts dd { margin: 0; }
.listed dl { display: grid; grid-template-columns: max-content 1fr; gap: 0.25em 1.5em; }
.listed dt { font-weight: 400; color: var(--soft); } .listed dd { margin: 0; }
table { font-size: 13px; } th { font-weight: 500; color: var(--soft); }
th, td { padding: 0.25em 1.4em 0.25em 0; vertical-align: baseline; }
.left td:nth-child(2), .left th:nth-child(2), .places td:nth-child(3), .places th:nth-child(3) {
  text-align: left; }
td .mono { display: block; color: var(--soft); font-size: 12px; }
td.name { white-space: normal; min-width: 16em; overflow-wrap: anywhere; }
.v { font-weight: 600; white-space: nowrap; }
.card { border-left: 3px solid currentColor; padding: 0.2em 0 0.2em 1.2em; margin: 1.2em 0; }
.card > * { color: var(--ink); }
.two { display: flex; flex-wrap: wrap; gap: 0 3em; align-items: flex-start; }
.two > div { flex: 0 1 auto; min-width: 0; } .two > figure { flex: 1 1 20em; }
.numbers th, .numbers td { padding-right: 1em; }
figure { margin: 0; } figcaption { font-size: 13px; max-width: 46em; }
svg { min-width: 0; } .chart svg { min-width: 720px; }
svg .soft { fill: var(--soft); font-size: 12px; } svg a { text-decoration: none; }
.grid { stroke: var(--line); } .edge { stroke: var(--strong); fill: none; }
.band { fill: var(--tint); } .way { stroke: var(--strong); fill: none; }
.limit { stroke: var(--soft); stroke-dasharray: 5 4; fill: none; }
.same { stroke: var(--identical); opacity: 0.6; }
.first { stroke-width: 1.5; stroke-dasharray: 2 3; }
.key { display: flex; flex-wrap: wrap; gap: 0.3em 1.5em; font-size: 13px; color: var(--soft);
  margin: 0.4em 0 0; padding: 0; list-style: none; }
.key i { display: inline-block; width: 1.6em; height: 0.8em; margin-right: 0.5em; }
.key .floor { background: var(--tint); }
.key .four { height: 0; vertical-align: middle; border-top: 1.5px dashed var(--soft); }
fieldset { border: 0; padding: 0; margin: 0.8em 0; display: flex; flex-wrap: wrap;
  gap: 0.3em 1.4em; }
label { cursor: pointer; } input { accent-color: var(--accent); margin: 0 0.4em 0 0; }
tr:target { background: var(--tint); scroll-margin: 30vh; }
@media (max-width: 560px) {
  body { padding: 1.2em 1em 3em; } h1 { font-size: 26px; }
  th, td { padding-right: 1em; } .listed dl, dl.facts { grid-template-columns: 1fr; gap: 0; }
  .listed dd, dl.facts dd { margin-bottom: 0.6em; } .card { padding-left: 0.8em; }
}
""" + "".join(
    f".{v} {{ color: var(--{v}); }} svg .{v} {{ fill: var(--{v}); }} "
    f"svg .first.{v} {{ stroke: var(--{v}); }}\n"
    f"body:has(#show-{v}:not(:checked)) tr.is-{v} {{ display: none; }}\n"
    for v in VERDICTS
)


def page(comparison: Comparison) -> str:
    """The whole page, for light and dark screens, wide and narrow; it loads nothing."""
    parts = [_head(comparison), _outputs(comparison)]
    if comparison.places:
        parts.append(_growth(comparison))
    parts.append(_culprit(comparison))
    if comparison.places:
        parts += [_decisions(comparison), _places(comparison)]
    parts.append(_circumstances(comparison))
    title = f"{comparison.verdict}: {comparison.candidate}"
    return page_of(title, "\n".join(filter(None, parts)), _STYLE)


def _head(comparison: Comparison) -> str:
    verdict = comparison.verdict
    passed = "passes" if comparison.passed else "fails"
    command = ""
    if comparison.next:
        command = f"<p>To know more:</p>\n<pre>{escape(comparison.next)}</pre>\n"
    return (
        f"<header>\n<p>embedx compare, level {escape(comparison.level)}; this {passed} "
        f"(up to {escape(comparison.allow)} is allowed)</p>\n"
        f'<h1 class="{verdict}">{_GLYPHS[verdict]} {verdict}</h1>\n'
        f'<p class="lead">{escape(comparison.why)}</p>\n'
        f"{command}</header>\n"
        '<dl class="facts">'
        f"<dt>reference</dt><dd><code>{escape(comparison.reference)}</code>, "
        "in exact precision</dd>"
        f"<dt>candidate</dt><dd><code>{escape(comparison.candidate)}</code></dd></dl>"
    )


def _verdict(verdict: Verdict) -> str:
    return f'<span class="v {verdict}">{_GLYPHS[verdict]} {verdict}</span>'


def _rows(header: Sequence[str], rows: Sequence[Sequence[str]], kind: str = "left") -> str:
    """A table of HTML cells."""
    head = "".join(f"<th>{cell}</th>" for cell in header)
    body = "\n".join("<tr>" + "".join(f"<td>{c}</td>" for c in row) + "</tr>" for row in rows)
    return wide(f'<table class="{kind}">\n<tr>{head}</tr>\n{body}\n</table>')


def _outputs(comparison: Comparison) -> str:
    flips = any(o.flips for o in comparison.outputs)
    header = ["output", "verdict", "noise ratio", *MEASURES.values(), *["flips"] * flips]
    rows = [
        [
            f"<code>{escape(o.name)}</code>", _verdict(o.verdict), short(o.noise_ratio),
            *((closeness if m == "cosine" else short)(o.metrics.get(m)) for m in MEASURES),
            *["" if o.flips is None else str(o.flips)] * flips,
        ]
        for o in comparison.outputs
    ]  # fmt: skip
    whys = [
        f"<p><code>{escape(o.name)}</code>: {escape(o.why)}</p>"
        for o in comparison.outputs
        if o.why
    ]
    return (
        "<h2>Outputs</h2>\n<p>The noise ratio is the difference in noise floors. A floor is what "
        "rounding explains, for this model and these inputs; honest runtimes stay below "
        f"{LINE:g}.</p>\n" + _rows(header, rows) + "\n".join(whys)
    )


def _growth(comparison: Comparison) -> str:
    drawn = growth(comparison.places, comparison.first)
    if not drawn:
        return ""
    beyond = [p for p in comparison.places if p.cumulative is not None and p.cumulative > LINE]
    if beyond:
        told = f"Beyond {LINE:g} floors from {called(beyond[0])} on."
    else:
        told = f"No place is beyond {LINE:g} floors."
    return (
        f"<h2>How the error grows</h2>\n<p>{escape(told)} Each mark is a place of the model, in "
        "the order of execution: how far off it is since the inputs, relative to its values. Its "
        "colour is the verdict on that place alone. Press it for its row.</p>\n"
        f'<div class="chart">{wide(drawn)}</div>\n<ul class="key">'
        '<li><i class="floor"></i>the noise floor: what rounding explains</li>'
        f'<li><i class="four"></i>{LINE:g} floors</li>'
        + "".join(f"<li>{_verdict(v)}</li>" for v in VERDICTS if v in _met(comparison))
        + "</ul>"
    )


def _met(comparison: Comparison) -> Counter[Verdict]:
    return Counter(p.verdict for p in comparison.places)


def _culprit(comparison: Comparison) -> str:
    """The first place that is worse than allowed; without one, the worst output."""
    first = comparison.first
    if first is not None:
        facts = [
            ("operator", escape(first.op_type)),
            ("node", f"<code>{escape(first.name)}</code>"),
        ]
        if first.site:
            facts.append(("site", f"<code>{escape(first.site)}</code>"))
        facts += [
            ("edge", f"<code>{escape(first.edge)}</code>"),
            ("here", f"{short(first.local)} noise floors"),
            ("so far", f"{short(first.cumulative)} noise floors"),
        ]
        if len(first.covers) > 1:
            names = escape(", ".join(first.covers))
            told = f"<summary>{len(first.covers)} nodes</summary><code>{names}</code>"
            facts.append(("covers", f"<details>{told}</details>"))
        listing = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in facts)
        return (
            f"<h2>Where it begins</h2>\n<p>{escape(called(first))} is the first place that is "
            f"worse than {comparison.allow}.</p>\n"
            f'<div class="card {first.verdict}">{_verdict(first.verdict)}'
            f'<p class="why">{escape(first.why)}</p>\n<dl class="facts">{listing}</dl></div>\n'
            + _values(first.detail, "of its result, since the inputs")
        )
    worst = max(
        comparison.outputs, default=None,
        key=lambda o: (VERDICTS.index(o.verdict), o.noise_ratio or 0.0),
    )  # fmt: skip
    if worst is None or worst.verdict == "identical":
        return ""
    drawn = _values(worst.detail, f"of {worst.name}")
    return f"<h2>The differences</h2>\n<p>{_differences(worst)}</p>\n{drawn}" if drawn else ""


def _differences(output: Output) -> str:
    seen = output.detail
    assert seen is not None
    size = " x ".join(map(str, seen.shape))
    return (
        f"<code>{escape(output.name)}</code> is {escape(seen.types[0])}, {size or 'one number'}"
        f"{f'; the candidate has {escape(seen.types[1])}' if len({*seen.types}) > 1 else ''}."
    )


def _values(seen: Detail | None, what: str) -> str:
    """The worst elements of a tensor, and how far off how many are."""
    if seen is None or not seen.worst:
        return ""
    scaled = seen.worst[0].floor is not None
    header = ["element", "exact", "candidate", "off by", *(["floor", "times"] if scaled else [])]
    rows = [
        [
            f"<code>[{', '.join(map(str, e.place))}]</code>", f"{e.exact:.7g}", f"{e.value:.7g}",
            short(abs(e.value - e.exact)), *([short(e.floor), short(e.times)] if scaled else []),
        ]
        for e in seen.worst
    ]  # fmt: skip
    run = f" (input {seen.run + 1})" if seen.run else ""
    parts = [
        f"<div><h3>The worst elements {escape(what)}{run}</h3>"
        f"{_rows(header, rows, 'numbers')}</div>"
    ]
    drawn = histogram(seen)
    if drawn:
        total, same = sum(n for _, n in seen.powers), dict(seen.powers).get(None, 0)
        beyond = sum(n for power, n in seen.powers if power is not None and 2.0**power > LINE)
        parts.append(
            f"<figure><h3>How far off its elements are, in floors</h3>{drawn}<figcaption>"
            f"{same:,} of {total:,} elements are the same, {beyond:,} are beyond {LINE:g} floors. "
            "The heights are square roots of counts.</figcaption></figure>"
        )
    return f'<div class="two">{"".join(parts)}</div>'


def _decisions(comparison: Comparison) -> str:
    flipped = [p for p in comparison.places if p.flips]
    if not flipped:
        return ""
    rows = [
        [f"<code>{escape(called(p))}</code>", _verdict(p.verdict), str(p.flips)]
        for p in flipped[:8]
    ]
    more = f"<p>And {len(flipped) - 8} more places.</p>" if len(flipped) > 8 else ""
    return (
        f"<h2>Decisions</h2>\n<p>{escape(begins(comparison.places))} A decision is a rounding to "
        "an integer, a cast or a comparison: where its input lies at a tie, the last bit "
        "decides.</p>\n" + _rows(["place", "verdict", "flips"], rows) + more
    )


def _places(comparison: Comparison) -> str:
    met = _met(comparison)
    boxes = "".join(
        f'<label><input type="checkbox" id="show-{v}" checked/>{_verdict(v)} {met[v]}</label>'
        for v in VERDICTS
        if met[v]
    )
    flips = any(p.flips for p in comparison.places)
    header = ["place", "operator", "verdict", "here", "so far", "deviation", "floor"]
    header += ["flips"] if flips else []
    head = "".join(f"<th>{cell}</th>" for cell in header)
    body = "\n".join(_place(i, p, flips) for i, p in enumerate(comparison.places))
    return (
        f"<h2>All places</h2>\n<p>{escape(counted(comparison.places))} <i>Here</i> is what happens "
        "between the places before and this one, with what the candidate itself had there; <i>so "
        "far</i> is since the inputs. Both are in noise floors.</p>\n"
        f"<fieldset>{boxes}</fieldset>\n"
        + wide(f'<table class="left places">\n<tr>{head}</tr>\n{body}\n</table>')
    )


def _place(i: int, place: Place, flips: bool) -> str:
    under = [place.name] if place.site else []
    under += [place.why] if is_worse(place.verdict, "rounding") else []
    cells = [
        _verdict(place.verdict), short(place.local), short(place.cumulative),
        short(place.deviation), short(place.floor), *([str(place.flips or "")] if flips else []),
    ]  # fmt: skip
    return (
        f'<tr id="p{i}" class="is-{place.verdict}"><td class="name">'
        f"<code>{escape(place.site or place.name)}</code>"
        + "".join(f'<span class="mono">{escape(line)}</span>' for line in under if line)
        + f"</td><td>{escape(place.op_type)}</td>"
        + "".join(f"<td>{cell}</td>" for cell in cells)
        + "</tr>"
    )


def _circumstances(comparison: Comparison) -> str:
    runs = [["input", *dict.fromkeys(name for feeds in comparison.inputs for name in feeds)]]
    runs += [
        [str(i), *(feeds.get(name, "") for name in runs[0][1:])]
        for i, feeds in enumerate(comparison.inputs, 1)
    ]
    words = [(verdict, MEANINGS[verdict]) for verdict in VERDICTS]
    facts = [(name, _said(value)) for name, value in comparison.environment.items()]
    facts += [(name.replace("_", " "), f"{value:.4g}") for name, value in comparison.cost.items()]
    return (
        f"<h2>Inputs</h2>\n{wide(table_of(runs))}\n"
        f'<h2>The verdicts</h2>\n<div class="listed">{listed(words)}</div>\n'
        f'<h2>Environment and cost</h2>\n<div class="listed">{listed(facts)}</div>'
    )


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{k} {_said(v)}" for k, v in value.items())
    if isinstance(value, list | tuple):
        return ", ".join(map(_said, value))
    return str(value)
