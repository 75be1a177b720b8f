"""A document of measurements as JSON and as text."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import pytest

from embedx.bench import as_json, as_text
from embedx.bench.report import legend, operators
from tests.bench.conftest import PEERS


def test_json_has_a_line_for_each_measurement(document: dict[str, Any]) -> None:
    text = as_json(document)
    assert json.loads(text) == {"schema_version": 2, **document}
    lines = [line.rstrip(",") for line in text.splitlines() if line.startswith('{"kind"')]
    assert [json.loads(line) for line in lines] == document["measurements"]


def test_text_names_sides_and_operators(document: dict[str, Any]) -> None:
    text = as_text(document)
    for word in ("embedx", *PEERS, "CPU", "MatMul", "GFLOP/s", "2x8 tokens, 1 thread"):
        assert word in text
    for words in ("onnxruntime, sorted", "onnxruntime, naive", "sorted: ", "naive: "):
        assert words in text


@pytest.mark.parametrize("name", ["document", "of_two"])
def test_text_fits_into_a_terminal(name: str, request: pytest.FixtureRequest) -> None:
    wide = deepcopy(request.getfixturevalue(name))
    for side in (s for m in wide["measurements"] for s in m.get("sides", ())):
        if side["side"] == "onnx.reference":
            side["side"] = "sentence-transformers"
        side |= {"wall_seconds": 0.123, "cpu_seconds": 0.123, "peak_bytes": 9999e6}
        side |= {"texts_per_second": 12345.6, "load_seconds": 0.456}
    text = as_text(wide)
    assert "sentence-transformers" in text or name != "document"
    assert max(len(line) for line in text.splitlines() if "/" not in line) < 80


def test_each_model_has_a_heading_in_a_table_if_there_are_several(
    document: dict[str, Any], of_two: dict[str, Any]
) -> None:
    lines = as_text(of_two).splitlines()
    compared = [m for m in of_two["measurements"] if "sides" in m]
    for model in of_two["models"]:
        assert lines.count(model) == len(compared)
    (model,) = document["models"]
    assert model not in as_text(document).splitlines()


def test_operators_that_take_next_to_nothing_are_one_row() -> None:
    shares = {"MatMul": 0.9, "Gelu": 0.085, "Cast": 0.009, "Shape": 0.006}
    rows = [{"operator": o, "count": 2, "seconds": 1.0, "share": s} for o, s in shares.items()]
    *kept, others = operators({"operators": rows})
    assert kept == rows[:2]
    assert (others["operator"], others["count"], others["seconds"]) == ("(2 others)", 4, 2.0)
    assert operators({"operators": rows[:3]}) == rows[:3]


def test_the_words_in_the_tables_are_explained_and_no_others(
    document: dict[str, Any], of_two: dict[str, Any]
) -> None:
    words = {word for word, _ in legend(document)}
    assert words == {*"wall CPU load MB slowdown embedx differs sorted naive".split()}
    assert {word for word, _ in legend(of_two)} == (words | {"\N{PLUS-MINUS SIGN}"}) - {"slowdown"}
    alone = {**document, "measurements": document["measurements"][2:3]}
    assert legend(alone) == []
    ours = [{**m, "sides": m["sides"][:1]} for m in document["measurements"][:1]]
    assert "embedx" not in dict(legend({**document, "measurements": ours}))
