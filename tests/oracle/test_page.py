"""A comparison as a page."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from embedx.oracle.page import page
from embedx.oracle.verdicts import VERDICTS, Verdict
from tests.oracle.comparisons import DETAIL, comparison, faulty, place

VOID = {"meta", "link", "input", "br"}


class Reader(HTMLParser):
    """The tags of a page, held to be closed in order, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] != "style":
            self.text.append(data)


def test_the_verdict_stands_at_the_top_with_why_and_what_next() -> None:
    text = " ".join(Reader(page(faulty())).text)
    order = [
        "✕ impossible", "MatMul 'wrong': it is <too> far off", "embedx bisect a b", "model.onnx",
        "Outputs", "How the error grows", "Where it begins", "Decisions", "All places", "Inputs",
    ]  # fmt: skip
    places = [text.index(word) for word in order]
    assert places == sorted(places)


@pytest.mark.parametrize("verdict", VERDICTS)
@pytest.mark.parametrize("many", [0, 3])
def test_it_loads_nothing_and_is_well_formed(verdict: Verdict, many: int) -> None:
    hostile = '"><script>alert(1)</script>&'
    one = comparison(
        [place(f"{hostile}{i}", verdict, why=hostile) for i in range(many)], verdict,
        candidate=hostile, why=hostile, next=hostile,
    )  # fmt: skip
    text = page(one)
    reader = Reader(text)
    assert "script" not in {tag for tag, _ in reader.tags}
    links = [v for _, a in reader.tags for k, v in a.items() if k in ("href", "src")]
    assert all(v is not None and v.startswith(("#", "data:")) for v in links)
    assert not re.search(r"@import|url\(|https?://(?!www\.w3\.org/2000/svg)", text)


def test_each_mark_of_the_chart_leads_to_a_row() -> None:
    reader = Reader(page(faulty()))
    rows = {a["id"] for tag, a in reader.tags if tag == "tr" and "id" in a}
    marks = [str(a["href"])[1:] for tag, a in reader.tags if tag == "a"]
    assert rows == {"p0", "p1", "p2", "p3"}
    assert set(marks) <= rows
    assert len(marks) == 4


def test_the_worst_values_and_the_histogram_of_the_culprit() -> None:
    text = " ".join(Reader(page(faulty())).text)
    for word in ("[1, 2]", "1.5003", "0.0003", "300"):
        assert word in text
    assert "2 of 6 elements are the same, 2 are beyond 4 floors" in text


def test_without_a_culprit_the_worst_output_is_shown() -> None:
    outputs = [
        replace(comparison().outputs[0], name=name, noise_ratio=ratio)
        for name, ratio in (("one", 0.5), ("two", 3.0))
    ]
    assert "The worst elements of two" in page(comparison(outputs=tuple(outputs)))
    same = replace(outputs[0], verdict="identical", detail=replace(DETAIL, worst=()))
    assert "The differences" not in page(comparison(verdict="identical", outputs=(same,)))


def test_filters_are_there_for_the_verdicts_that_occur() -> None:
    reader = Reader(page(faulty()))
    boxes = [a["id"] for tag, a in reader.tags if tag == "input"]
    assert boxes == ["show-identical", "show-rounding", "show-impossible"]


def test_a_thousand_places_take_less_than_a_megabyte() -> None:
    places = [place(f"/encoder/layer.{i}/attention/output/dense/MatMul") for i in range(1000)]
    assert len(page(comparison(places)).encode()) < 1_000_000


def test_strange_numbers_are_drawn() -> None:
    details = [
        None, replace(DETAIL, deviation=float("inf")), replace(DETAIL, floor=None, powers=()),
        replace(DETAIL, deviation=0.0, floor=0.0),
    ]  # fmt: skip
    places = [place(str(i), detail=d, local=None) for i, d in enumerate(details)]
    Reader(page(comparison(places)))
    Reader(page(comparison([place("a", detail=None)])))
