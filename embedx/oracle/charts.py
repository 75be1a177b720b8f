"""Drawings of a comparison, in SVG: how an error grows, and how far off how many elements are."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from html import escape

from embedx.oracle.comparison import Place, called, short
from embedx.oracle.detail import Detail
from embedx.oracle.verdicts import LINE, is_worse

_WIDTH, _LEFT, _RIGHT, _TOP = 1000, 56, 16, 30
_HEIGHT = 320
"""Pixels from the top to where nothing is off."""
_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
_MANY = 250
"""Places from which on their marks are small."""


def growth(places: Sequence[Place], first: Place | None) -> str:
    """The deviation at each place, in the order of execution, above what rounding explains.

    Both are relative to the size of the values, on a logarithmic axis. Each mark leads to the row
    of its place (``#p0`` ...). An empty string where no place has floats.
    """
    floors = [p.floor for p in places]
    axis = _axis([*floors, *(p.deviation for p in places)])
    if axis is None:
        return ""
    step = (_WIDTH - _LEFT - _RIGHT) / len(places)
    xs = [_LEFT + step * (i + 0.5) for i in range(len(places))]
    ys = [axis.y(p.deviation) for p in places]
    drawn = [*axis.grid(), *_layers(places, step)]
    band = _stairs([axis.y(f) for f in floors], step)
    line = _stairs([axis.y(None if f is None else LINE * f) for f in floors], step)
    if band:
        start = band.partition(" ")[0].removeprefix("M").partition(",")[0]
        drawn += [
            f'<path class="band" d="{band}V{_HEIGHT}H{start}Z"/>',
            f'<path class="limit" d="{line}"/>',
        ]
    drawn.append(f'<path class="way" d="{_way(xs, ys)}"/>')
    if first is not None:
        drawn += _marked(xs[places.index(first)], first)
    size = 2.2 if len(places) > _MANY else 3.4
    same = [x for x, p in zip(xs, places, strict=True) if p.verdict == "identical"]
    if same:
        ticks = "".join(f"M{x:.1f} {_HEIGHT + 16}v6" for x in same)
        drawn.append(f'<path class="same" d="{ticks}"/>')
    for i, (x, y, place) in enumerate(zip(xs, ys, places, strict=True)):
        if place.verdict == "identical" and y is None:
            continue
        told = f"{called(place)}: {place.verdict}, {short(place.cumulative)} so far"
        told += f", {short(place.local)} here" * (place.local is not None)
        drawn.append(
            f'<a href="#p{i}"><path class="{place.verdict}" '
            f'd="{_mark(place, x, _HEIGHT + 19 if y is None else y, size)}">'
            f"<title>{escape(told)}</title></path></a>"
        )
    return _svg(_HEIGHT + 34, drawn, "How far off the candidate is at each place of the model")


class _Axis:
    """Powers of ten from the bottom to the top."""

    def __init__(self, least: int, most: int) -> None:
        self.least, self.most = least, most

    def y(self, value: float | None) -> float | None:
        """Where a value lies; None for 0 and for what is not known."""
        if value is None or not value > 0:
            return None
        part = (math.log10(min(value, 1e300)) - self.least) / (self.most - self.least)
        return _HEIGHT - min(max(part, 0.0), 1.0) * (_HEIGHT - _TOP)

    def grid(self) -> Iterator[str]:
        """Lines and their labels."""
        every = -(-(self.most - self.least) // 9)
        for power in range(self.least, self.most + 1, every):
            y = self.y(10.0**power)
            yield f'<path class="grid" d="M{_LEFT} {y:.1f}H{_WIDTH - _RIGHT}"/>'
            yield (
                f'<text class="soft" x="{_LEFT - 8}" y="{(y or 0) + 4:.1f}" text-anchor="end">'
                f"10{str(power).translate(_RAISED)}</text>"
            )
        yield (
            f'<text class="soft" x="{_LEFT - 8}" y="{_HEIGHT + 24}" text-anchor="end">same</text>'
        )


def _axis(values: Sequence[float | None]) -> _Axis | None:
    known = [v for v in values if v is not None and 0 < v < float("inf")]
    if not known:
        return None
    least = math.floor(math.log10(min(known)))
    return _Axis(least, max(math.ceil(math.log10(LINE * max(known))), least + 2))


def _stairs(ys: Sequence[float | None], step: float) -> str:
    """A path with a level for each place; where nothing is known it stays at the one before."""
    path, before = [], None
    for i, y in enumerate(ys):
        if y is None:
            continue
        x = _LEFT + step * i
        path.append(f"M{x:.1f},{y:.1f} " if before is None else f"H{x:.1f}V{y:.1f}")
        before = y
    return "".join(path) + f"H{_LEFT + step * len(ys):.1f}" if path else ""


def _way(xs: Sequence[float], ys: Sequence[float | None]) -> str:
    known = [f"{x:.1f} {y:.1f}" for x, y in zip(xs, ys, strict=True) if y is not None]
    return "M" + "L".join(known) if known else ""


def _layers(places: Sequence[Place], step: float) -> Iterator[str]:
    """The layers' bounds and names, as far as the sites tell."""
    start, layer = 0, None
    for end, name in [*_ends(places), (len(places), None)]:
        if name is not None:
            left, right = _LEFT + step * start, _LEFT + step * end
            if layer is None and start:
                yield f'<path class="edge" d="M{left:.1f} {_TOP}V{_HEIGHT}"/>'
            yield f'<path class="edge" d="M{right:.1f} {_TOP}V{_HEIGHT}"/>'
            label = f"layer {name}" if right - left > 60 else name if right - left > 16 else ""
            yield (
                f'<text class="soft" x="{(left + right) / 2:.1f}" y="{_TOP - 10}" '
                f'text-anchor="middle">{label}</text>'
            )
        start, layer = end, name


def _ends(places: Sequence[Place]) -> list[tuple[int, str | None]]:
    """Behind which places something ends, and the number of the layer; None for what is before."""
    found: dict[str, int] = {}
    before = 0
    for i, place in enumerate(places):
        site = place.site or ""
        if number := re.match(r"layers\.(\d+)\.", site):
            found[number[1]] = i + 1
        elif site == "embeddings.output":
            before = i + 1
    return [*([(before, None)] if before else []), *((end, name) for name, end in found.items())]


def _marked(x: float, first: Place) -> list[str]:
    anchor, shift = ("end", -8) if x > _WIDTH / 2 else ("start", 8)
    return [
        f'<path class="first {first.verdict}" d="M{x:.1f} {_TOP}V{_HEIGHT}"/>',
        f'<text class="{first.verdict}" x="{x + shift:.1f}" y="{_TOP + 14}" '
        f'text-anchor="{anchor}">{escape(called(first, 48))}</text>',
    ]


def _mark(place: Place, x: float, y: float, size: float) -> str:
    """A dot; a diamond where decisions fell, a triangle for what is worse."""
    if is_worse(place.verdict, "quantization"):
        r = size + 2.6
        return f"M{x:.1f} {y - r:.1f}l{r:.1f} {1.8 * r:.1f}h{-2 * r:.1f}z"
    if place.verdict == "quantization":
        r = size + 1.2
        return f"M{x:.1f} {y - r:.1f}l{r:.1f} {r:.1f}l{-r:.1f} {r:.1f}l{-r:.1f} {-r:.1f}z"
    r = size
    return f"M{x - r:.1f} {y:.1f}a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0z"


_BARS, _BASE = 150, 176
"""Pixels: the longest bar; where they stand."""


def histogram(seen: Detail) -> str:
    """How many elements are how many times the floor off; the heights are roots of the counts.

    An empty string where nothing is off.
    """
    counts = {power: n for power, n in seen.powers if power is not None}
    if not counts:
        return ""
    line = round(math.log2(LINE))
    powers = range(min(*counts, line), max(*counts, line + 1) + 1)
    width, most = 460, max(counts.values())
    step = (width - 30) / len(powers)
    drawn = []
    every = -(-len(powers) // 9)
    for i, power in enumerate(powers):
        x, n = 8 + step * i, counts.get(power, 0)
        height = max(_BARS * math.sqrt(n / most), 2.0) if n else 0.0
        kind = "suspicious" if power > line else "rounding"
        if n:
            drawn.append(
                f'<rect class="{kind}" x="{x + 0.5:.1f}" y="{_BASE - height:.1f}" '
                f'width="{max(step - 1, 1):.1f}" height="{height:.1f}">'
                f"<title>{n} elements: {_power(power - 1)} to {_power(power)} floors</title></rect>"
            )
        if (power - line) % every == 0:
            drawn.append(
                f'<text class="soft" x="{x + step:.1f}" y="{_BASE + 18}" text-anchor="middle">'
                f"{_power(power)}</text>"
            )
    edge = 8 + step * (line - powers[0] + 1)
    drawn += [
        f'<path class="limit" d="M{edge:.1f} 14V{_BASE + 4}"/>',
        f'<path class="edge" d="M0 {_BASE}H{width}"/>',
    ]
    return _svg(_BASE + 26, drawn, "How many elements are how many times the floor off", width)


def _power(power: int) -> str:
    if power < 0:
        return f"1/{2**-power}"
    return str(2**power) if power < 14 else f"{2.0**power:.0e}".replace("e+0", "e").replace("+", "")


def _svg(height: float, drawn: Sequence[str], told: str, width: int = _WIDTH) -> str:
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(told)}">\n' + "\n".join(drawn) + "\n</svg>"
    )
