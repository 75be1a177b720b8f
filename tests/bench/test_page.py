"""A document of measurements as one HTML page."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from typing import Any

from embedx.bench import as_html


def test_html_is_well_formed_and_needs_nothing_else(document: dict[str, Any]) -> None:
    page = as_html(document)
    root = ElementTree.fromstring(page)
    assert root.tag == "html"
    assert len(root.findall(".//{http://www.w3.org/2000/svg}svg")) > len(document["measurements"])
    assert "<script" not in page
    assert "src=" not in page
