"""Plots and tables."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from hypothesis import given
from hypothesis import strategies as st

from embedx.html import COLOURS, STYLE, Bar, listed, page_of, plot, table_of

SVG = "{http://www.w3.org/2000/svg}"


def test_plots_escape_names_and_survive_zeros() -> None:
    root = ElementTree.fromstring(plot([Bar("<a>", 0.0, "&", middle=(0.0, 0.0))], even=None))
    assert [t.text for t in root.iter(f"{SVG}text")] == ["<a>", "&"]


def test_a_table_escapes_its_cells() -> None:
    root = ElementTree.fromstring(table_of([["a", "<b>"], ["&", '"1"'], ["x", "y"]]))
    rows = [[(cell.tag, cell.text) for cell in row] for row in root]
    assert rows == [
        [("th", "a"), ("th", "<b>")],
        [("td", "&"), ("td", '"1"')],
        [("td", "x"), ("td", "y")],
    ]


@given(st.lists(st.floats(0, 1e6), min_size=1, max_size=5), st.none() | st.floats(0, 1e6))
def test_bars_are_as_long_as_their_values(values: list[float], even: float | None) -> None:
    root = ElementTree.fromstring(plot([Bar("a", v, str(v)) for v in values], even))
    widths = [float(rect.attrib["width"]) for rect in root.iter(f"{SVG}rect")]
    longest = max([*values, even or 0])
    assert len(widths) == len(values)
    for value, width in zip(values, widths, strict=True):
        assert abs(width - (480 * value / longest if longest else 0)) <= 0.06
    lines = [*root.iter(f"{SVG}line")]
    assert len(lines) == (even is not None)
    assert all(line.attrib["x1"] == line.attrib["x2"] for line in lines)


def test_long_labels_have_room() -> None:
    (text, _) = ElementTree.fromstring(plot([Bar("m" * 60, 1.0, "1")])).iter(f"{SVG}text")
    assert float(text.attrib["x"]) > 60 * 7


def test_a_page_is_whole_and_its_title_is_text() -> None:
    text = page_of("<a> & b", "<h1>x</h1>", "h1 { color: red; }")
    assert "<title>&lt;a&gt; &amp; b</title>" in text
    assert text.index("h1 { color: red; }") < text.index("<body>") < text.index("<h1>x</h1>")
    assert text.startswith("<!DOCTYPE html>")


def test_colours_are_there_in_light_and_dark() -> None:
    light, dark = STYLE.split("@media (prefers-color-scheme: dark)", 1)
    for name, colours in COLOURS.items():
        assert f"--{name}: {colours[0]};" in light
        assert f"--{name}: {colours[1]};" in dark


def test_a_list_escapes_its_words() -> None:
    root = ElementTree.fromstring(listed([("<a>", "&")]))
    assert [(item.tag, item.text) for item in root] == [("dt", "<a>"), ("dd", "&")]
