"""Drawings of comparisons."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from embedx.oracle.charts import growth, histogram
from tests.oracle.comparisons import DETAIL, faulty, place

SVG = "{http://www.w3.org/2000/svg}"


def marks(svg: str) -> list[tuple[float, float]]:
    """Where the marks of a growth chart begin."""
    root = ElementTree.fromstring(svg)
    paths = [link[0].attrib["d"] for link in root.iter(f"{SVG}a")]
    return [(float(x), float(y)) for x, y in (re.findall(r"[\d.]+", d)[:2] for d in paths)]


@given(st.lists(st.floats(1e-12, 1e3), min_size=2, max_size=30))
def test_what_is_further_off_stands_higher(values: list[float]) -> None:
    places = [place(str(i), detail=replace(DETAIL, deviation=v)) for i, v in enumerate(values)]
    found = marks(growth(places, None))
    assert [x for x, _ in found] == sorted(x for x, _ in found)
    by_value = sorted(zip(values, found, strict=True), key=lambda pair: pair[0])
    heights = [-y for _, (_, y) in by_value]
    assert heights == sorted(heights)


def test_a_factor_of_ten_is_as_high_wherever_it_is() -> None:
    places = [place(str(i), detail=replace(DETAIL, deviation=10.0**-i)) for i in range(2, 7)]
    ys = [y for _, y in marks(growth(places, None))]
    steps = [b - a for a, b in pairwise(ys)]
    assert max(steps) - min(steps) < 0.11
    assert min(steps) > 10


def test_layers_and_the_first_bad_place_are_named() -> None:
    one = faulty()
    texts = [
        t.text for t in ElementTree.fromstring(growth(one.places, one.first)).iter(f"{SVG}text")
    ]
    assert "layer 0" in texts
    assert "MatMul wrong" in texts


def test_where_nothing_is_a_float_nothing_is_drawn() -> None:
    assert growth([place("a", detail=None)], None) == ""
    assert histogram(replace(DETAIL, powers=((None, 5),))) == ""


def test_bars_are_as_high_as_the_roots_of_their_counts() -> None:
    svg = histogram(replace(DETAIL, powers=((None, 7), (-2, 100), (1, 25), (5, 400))))
    root = ElementTree.fromstring(svg)
    heights = [float(r.attrib["height"]) for r in root.iter(f"{SVG}rect")]
    assert [round(h / max(heights), 2) for h in heights] == [0.5, 0.25, 1.0]
    kinds = [r.attrib["class"] for r in root.iter(f"{SVG}rect")]
    assert kinds == ["rounding", "rounding", "suspicious"]
