"""A document of measurements as JSON and as text."""

from __future__ import annotations

import json
from typing import Any

from embedx.bench import as_json, as_text
from tests.bench.conftest import PEERS


def test_json_has_a_line_for_each_measurement(document: dict[str, Any]) -> None:
    text = as_json(document)
    assert json.loads(text) == {"schema_version": 1, **document}
    lines = [line.rstrip(",") for line in text.splitlines() if line.startswith('{"kind"')]
    assert [json.loads(line) for line in lines] == document["measurements"]


def test_text_names_sides_and_operators(document: dict[str, Any]) -> None:
    text = as_text(document)
    for word in ("embedx", *PEERS, "x as fast", "MatMul", "GFLOP/s", "2x8 tokens, 1 thread"):
        assert word in text
