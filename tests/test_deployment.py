"""Model folders: finding them, and what their files say."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedx.deployment import (
    Dense,
    Normalize,
    Pooling,
    find_model,
    read_deployment,
    read_safetensors,
)
from embedx.errors import DeploymentError, InputError
from tests.tiny import deployment


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def folder_with(tmp_path: Path, **files: Any) -> Path:
    write(tmp_path / "model.onnx", "")
    for name, content in files.items():
        write(tmp_path / f"{name.replace('__', '/')}.json", content)
    return tmp_path / "model.onnx"


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


def test_files_are_read_beside_the_onnx_folder(tmp_path: Path) -> None:
    path = deployment(tmp_path, place="onnx/model.onnx", pooling={}) / "onnx" / "model.onnx"
    found = read_deployment(path)
    assert found.folder == tmp_path
    assert found.modules == (Pooling(("mean",)), Normalize())


@pytest.mark.parametrize(
    ("config", "modes"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, ("cls",)),
        (
            {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True,
             "pooling_mode_lasttoken": True, "pooling_mode_max_tokens": True},
            ("cls", "max", "mean", "lasttoken"),
        ),
        ({"pooling_mode": "weightedmean"}, ("weightedmean",)),
        ({}, ("mean",)),
    ],
)  # fmt: skip
def test_pooling_modes(tmp_path: Path, config: dict[str, Any], modes: tuple[str, ...]) -> None:
    path = folder_with(tmp_path, **{"1_Pooling__config": config})
    assert read_deployment(path).modules == (Pooling(modes),)


def safetensors(path: Path, tensors: dict[str, Any]) -> Path:
    header, body = {}, b""
    for name, array in tensors.items():
        data = array.tobytes()
        dtype = {"float32": "F32", "float16": "F16"}[array.dtype.name]
        offsets = [len(body), len(body) + len(data)]
        header[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": offsets}
        body += data
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return path


def test_dense_layers_are_read(tmp_path: Path) -> None:
    weight = np.arange(6, dtype=np.float16).reshape(2, 3)
    safetensors(tmp_path / "2_Dense" / "model.safetensors", {"linear.weight": weight})
    path = folder_with(
        tmp_path,
        modules=[{"type": "x.Transformer", "path": ""}, {"type": "y.Dense", "path": "2_Dense"}],
        **{"2_Dense__config": {"activation_function": "torch.nn.modules.linear.Identity"}},
    )
    (dense,) = read_deployment(path).modules
    assert isinstance(dense, Dense)
    assert dense.activation == "Identity"
    np.testing.assert_array_equal(dense.weight, weight)


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"", "safetensors"), (b"\xff" * 20, "safetensors"), (b"\x02\0\0\0\0\0\0\0{}", None)],
)
def test_safetensors_headers_are_checked(tmp_path: Path, data: bytes, message: str | None) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    if message is None:
        assert read_safetensors(path) == {}
    else:
        with pytest.raises(DeploymentError, match=message):
            read_safetensors(path)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"config": "[1]"}, "holds list"),
        ({"config": "{"}, "not readable as JSON"),
        ({"config": {"max_position_embeddings": "many"}}, "expected a length"),
        ({"config": {"max_position_embeddings": -3}}, "expected a length"),
        ({"modules": {"a": 1}}, "must be a list"),
        ({"modules": [{"type": "os.system", "path": ""}]}, "'system' is not supported"),
        ({"modules": [{"type": "x.Pooling", "path": "../elsewhere"}]}, "leads out"),
        ({"1_Pooling__config": {"pooling_mode_cls_token": "yes"}}, "pooling_mode_cls_token"),
        ({"1_Pooling__config": {"pooling_mode": "best"}}, "none of"),
        ({"config_sentence_transformers": {"prompts": ["a"]}}, "'prompts' is"),
    ],
)
def test_fields_that_make_no_sense_are_named(
    tmp_path: Path, files: dict[str, Any], message: str
) -> None:
    with pytest.raises(DeploymentError, match=message):
        read_deployment(folder_with(tmp_path, **files))


POSITIONS = {"max_position_embeddings": 514}


@pytest.mark.parametrize(
    ("files", "length"),
    [
        ({"sentence_bert_config": {"max_seq_length": 256}, "config": POSITIONS}, 256),
        ({"config": POSITIONS}, 514),
        ({"config": {**POSITIONS, "model_type": "roberta"}}, 512),
        ({"tokenizer_config": {"model_max_length": 1e30}}, None),
        ({"tokenizer_config": {"model_max_length": 128}, "config": POSITIONS}, 128),
        ({}, None),
    ],
)
def test_the_maximal_length_comes_from_the_first_file_that_says(
    tmp_path: Path, files: dict[str, Any], length: int | None
) -> None:
    assert read_deployment(folder_with(tmp_path, **files)).max_seq_length == length


def test_prompts_and_similarity(tmp_path: Path) -> None:
    content = {"prompts": {"query": "q: "}, "default_prompt_name": "query"}
    found = read_deployment(folder_with(tmp_path, config_sentence_transformers=content))
    assert (found.prompts, found.default_prompt_name) == ({"query": "q: "}, "query")
    assert found.similarity == "cosine"
