"""A study told in lines and as JSON."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest

from embedx.oracle.quant import Keep, study
from embedx.oracle.quant_report import as_document, as_text
from tests.oracle.quantized import TEXTS, dynamic, folder
from tests.tiny import bert


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    place = tmp_path_factory.mktemp("models")
    source = folder(place / "float")
    return source, dynamic(source, place / "int8.onnx")


def test_nodes_without_names_are_told(tmp_path: Path) -> None:
    model = bert()
    source = folder(tmp_path / "float", model)
    target = dynamic(source, tmp_path / "int8.onnx")
    for node in model.graph.node:
        node.name = ""
    onnx.save(model, source / "model.onnx")
    found = study(source, target, TEXTS, keep=Keep(1), regain_texts=1)
    assert "have no name" in as_text(found)
    assert as_document(found)["nodes_to_exclude"] == []


def test_the_text_fits_a_terminal_and_json_has_all(models: tuple[Path, Path]) -> None:
    found = study(*models, TEXTS, keep=Keep(0.9999), regain_texts=2, half=True, invariant=True)
    for line in as_text(found).splitlines():
        assert len(line) <= 100 or str(models[0]) in line
    document = json.loads(json.dumps(as_document(found), allow_nan=False))
    assert document["schema"] == "embedx.quant/1"
    assert document["exit"] == 1
    assert found.lost is not None
    sites = {p["site"] for p in document["products"]}
    assert {"layers.0.attention.q", "layers.1.mlp.output"} <= sites
    assert set(document["nodes_to_exclude"]) <= {p["node"] for p in document["products"]}
    assert repr(document["nodes_to_exclude"][0]) in as_text(found)
    assert document["fp16"]["node_block_list"] == []
    assert [i["model"] for i in document["invariance"]] == [found.reference, found.candidate]
    assert document["consequences"]["mean_cosine"] == found.lost.consequences.mean_cosine


def test_fewer_neighbours_than_were_asked_for_are_explained(models: tuple[Path, Path]) -> None:
    found = study(*models, TEXTS, k=50, regain_texts=1)
    text = as_text(found)
    assert "of the 6 nearest neighbours " in text
    assert "(not of 50: 8 texts have 7 neighbours each, and all of them would always stay)" in text
    assert "measured on 1 text.\n" in text
    assert as_document(found)["consequences"]["k_asked"] == 50
    assert "(not " not in as_text(study(*models, TEXTS, k=6, regain_texts=1))


def test_one_text_is_no_texts(models: tuple[Path, Path]) -> None:
    text = as_text(study(*models, TEXTS[:1]))
    assert "\non 1 text, in exact arithmetic" in text
    assert "1 texts" not in text


def test_what_stands_alone_has_no_section(models: tuple[Path, Path]) -> None:
    found = study(models[0], None, TEXTS, half=True)
    assert "Nothing overflows" in as_text(found)
    assert "dB" not in as_text(found)
    document = as_document(found)
    assert document["candidate"] is None
    assert "products" not in document
    assert document["exit"] == 0
