"""A document of measurements as one HTML page."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

import pytest

from embedx.bench import as_html

SVG = "{http://www.w3.org/2000/svg}"


@pytest.mark.parametrize("name", ["document", "of_two"])
def test_html_is_well_formed_and_needs_nothing_else(
    name: str, request: pytest.FixtureRequest
) -> None:
    document = request.getfixturevalue(name)
    page = as_html(document)
    root = ElementTree.fromstring(page)
    assert root.tag == "html"
    assert len(root.findall(f".//{SVG}svg")) > len(document["measurements"])
    assert "<script" not in page
    assert "src=" not in page
    for table in root.iter("table"):
        assert len({len(row) for row in table}) == 1


def test_processor_time_stands_below_that_of_the_clock(of_two: dict[str, Any]) -> None:
    root = ElementTree.fromstring(as_html(of_two))
    plots = [[t.text or "" for t in svg.iter(f"{SVG}text")][::2] for svg in root.iter(f"{SVG}svg")]
    first, second = of_two["models"]
    sides = [f"{model}: {s}" for model in (first, second) for s in ("embedx", "onnxruntime")]
    assert [label for side in sides for label in (side, "CPU")] in plots
