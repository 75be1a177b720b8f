"""Models are found where people put them."""

from __future__ import annotations

from pathlib import Path

import pytest

from embedx.errors import InputError
from embedx.text.locate import find_model
from tests.text.files import write


@pytest.mark.parametrize("place", ["model.onnx", "onnx/model.onnx", "deployment/model.onnx"])
def test_models_are_found_where_people_put_them(tmp_path: Path, place: str) -> None:
    path = write(tmp_path / place, "")
    assert find_model(tmp_path) == find_model(path) == path


def test_the_only_model_is_found_and_of_several_one_must_be_named(tmp_path: Path) -> None:
    optimized = write(tmp_path / "model_optimized.onnx", "")
    assert find_model(tmp_path) == optimized
    other = write(tmp_path / "onnx" / "model_int8.onnx", "")
    with pytest.raises(InputError, match=r"model_optimized\.onnx, onnx/model_int8\.onnx"):
        find_model(tmp_path)
    assert find_model(tmp_path, "model_int8.onnx") == other
    assert find_model(tmp_path, "onnx/model_int8.onnx") == other
    with pytest.raises(InputError, match="has no file"):
        find_model(tmp_path, "model_q4.onnx")


def test_hub_names_are_found_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    snapshot = tmp_path / "models--org--name" / "snapshots" / "abc"
    path = write(snapshot / "onnx" / "model.onnx", "")
    assert find_model("hf:org/name") == find_model("org/name") == path
    write(tmp_path / "models--org--name" / "snapshots" / "def" / "model.onnx", "")
    write(tmp_path / "models--org--name" / "refs" / "main", "abc")
    assert find_model("org/name") == path
    with pytest.raises(InputError, match="hf download org/other"):
        find_model("org/other")


def test_zoo_stubs_are_found_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SPARSEZOO_MODELS_PATH", str(tmp_path))
    name = "obert-base-wikipedia_bookcorpus-pruned80_quantized"
    path = write(tmp_path / "neuralmagic" / name / "deployment" / "model.onnx", "")
    stub = "zoo:nlp/masked_language_modeling/obert-base/pytorch/huggingface"
    assert find_model(f"{stub}/wikipedia_bookcorpus/pruned80_quant-none-vnni") == path
    assert find_model(f"zoo:{name}") == path
    with pytest.raises(InputError, match="shut down"):
        find_model("zoo:bert-large")


def test_what_is_nothing_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file or folder"):
        find_model(tmp_path / "nothing")
    with pytest.raises(InputError, match="no such file"):
        find_model("missing/model.onnx")
