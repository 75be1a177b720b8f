"""What an endpoint can be asked for."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from embedx import Engine, Pipeline, load
from embedx.model.onnx_file import read_model
from embedx.server.config import EndpointConfig
from embedx.server.views import load_endpoint
from embedx.text import model_folder, text_model
from embedx.text.text_model import TextModel
from tests.server.texts import close
from tests.tiny import bert, deployment


def test_a_model_that_gives_nan_fails_its_text_only(
    tmp_path: Path, client_of: Callable[..., Any]
) -> None:
    model = bert()
    for tensor in model.graph.initializer:
        if tensor.name.endswith("word_embeddings.weight"):
            table = numpy_helper.to_array(tensor).copy()
            table[7] = np.nan  # cat
            tensor.CopyFrom(numpy_helper.from_array(table, tensor.name))
    assert isinstance(model, onnx.ModelProto)
    folder = deployment(tmp_path, model)
    endpoint = {"model": str(folder), "kwargs": {"sequence_length": 8}}
    client = client_of([endpoint], batch_wait_ms=200)
    answers: dict[str, Any] = {}

    def ask(text: str) -> None:
        answers[text] = client.post("/embed", json={"inputs": ["a", text]})

    threads = [threading.Thread(target=ask, args=(text,), daemon=True) for text in ("cat", "dog")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert answers["dog"].status_code == 200
    assert answers["cat"].status_code == 424
    assert answers["cat"].json() == {
        "error": "text 1: the model gives NaN or infinity for this text",
        "error_type": "Backend",
    }


def test_endpoints_of_one_file_layer_and_length_share_a_model(folder: Path) -> None:
    shared: dict[Any, TextModel] = {}
    first, same, other = (
        load_endpoint(EndpointConfig(model=str(folder), **options), 1, shared)
        for options in (
            {"sequence_length": 16},
            {"sequence_length": 32, "extraction_strategy": "reduce_mean"},
            {"sequence_length": 16, "emb_extraction_layer": 0},
        )
    )
    assert first.predict.model is same.predict.model is not other.predict.model
    assert first.sentence[None].model is other.sentence[None].model
    assert len(shared) == 2


def test_views_give_what_the_pipeline_and_the_embedder_give(folder: Path) -> None:
    config = EndpointConfig(model=str(folder), sequence_length=(8, 16))
    endpoint = load_endpoint(config, 1, {})
    view = endpoint.predict
    (short, long) = view.model.tokenizer.encode(["a cat", "a " * 12], view.max_length)
    assert (view.width(short), view.width(long)) == (8, 16)
    pipeline = Pipeline.create(model_path=folder, sequence_length=[8, 16])
    close(view.run([short])[0].reshape(-1), pipeline("a cat").embeddings[0])
    sentence = endpoint.sentence[None]
    assert sentence.width(short) == len(short.ids)
    close(sentence.run([short])[0], load(folder).encode("a cat"))


def counted(function: Callable[..., Any], calls: list[Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        calls.append(arguments)
        return function(*arguments, **options)

    return call


def test_an_endpoint_reads_its_model_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []
    monkeypatch.setattr(model_folder, "read_model", counted(read_model, calls))
    monkeypatch.setattr(text_model, "Engine", counted(Engine, calls))
    load_endpoint(EndpointConfig(model=str(folder), sequence_length=16), 1, {})
    assert len(calls) == 2


def test_a_file_that_changes_beside_a_model_is_read_anew(tmp_path: Path) -> None:
    place = deployment(tmp_path)
    shared: dict[Any, TextModel] = {}

    def tokens() -> list[int]:
        endpoint = load_endpoint(EndpointConfig(model=str(place), sequence_length=4), 1, shared)
        (found,) = endpoint.predict.model.tokenizer.encode(["cat the dog"], 4)
        return found.ids

    before = tokens()
    path = place / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "truncation_side": "left"}))
    assert tokens() != before
    assert tokens() == tokens()
    assert len(shared) == 2
