"""load(path).encode: sentence-transformers' arguments, order and numbers."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from embedx import load
from embedx.embedder import Embedder, quantized
from embedx.errors import ConfigError, InputError
from embedx.graph import Array
from tests.tiny import HIDDEN, bert, deployment

TEXTS = ["the cat sat on the mat", "a", "a big red dog ran", "the dog", ""]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = deployment(tmp_path_factory.mktemp("tiny"), bert(head=True), pooling={})
    prompts = {"prompts": {"query": "the cat ", "passage": "a dog ", "other": "mat "}}
    (place / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    return place


@pytest.fixture(scope="module")
def model(folder: Path) -> Embedder:
    return load(folder)


def test_embeddings_are_normalised_by_the_models_own_module(model: Embedder) -> None:
    embeddings = model.encode(TEXTS)
    assert embeddings.shape == (5, HIDDEN)
    assert embeddings.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, rtol=1e-6)


def test_order_is_restored_whatever_the_batch(model: Embedder) -> None:
    alone = np.array([model.encode(text) for text in TEXTS])
    for batch_size in (1, 2, 32):
        np.testing.assert_allclose(model.encode(TEXTS, batch_size=batch_size), alone, atol=1e-6)


def test_single_texts_give_vectors_and_none_gives_none(model: Embedder) -> None:
    assert model.encode("a").shape == (HIDDEN,)
    assert model.encode(["a"]).shape == (1, HIDDEN)
    assert model.encode([]).shape[0] == 0
    assert isinstance(model.encode(["a", "a"], convert_to_numpy=False), list)


def test_prompts_are_put_in_front(model: Embedder) -> None:
    expected = model.encode("the cat sat")
    for found in (
        model.encode("sat", prompt_name="query"),
        model.encode("sat", prompt="the cat "),
        model.encode_query("sat"),
    ):
        np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(model.encode_document("sat"), model.encode("a dog sat"))
    with pytest.raises(ConfigError, match="no prompt 'nothing'; the model has query"):
        model.encode("a", prompt_name="nothing")


def test_prompts_may_be_left_out_of_the_pooling(folder: Path, tmp_path: Path) -> None:
    place = deployment(tmp_path, pooling={"include_prompt": False})
    excluding = load(place)
    tokens = excluding.encode("the cat sat", output_value="token_embeddings")
    found = excluding.encode("sat", prompt="the cat ")
    expected = tokens[3:].mean(axis=0)  # behind [CLS] the cat
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-6)


def test_token_embeddings_have_no_padding(model: Embedder) -> None:
    tokens = model.encode(TEXTS, output_value="token_embeddings")
    assert [t.shape for t in tokens] == [
        (8, HIDDEN),
        (3, HIDDEN),
        (7, HIDDEN),
        (4, HIDDEN),
        (2, HIDDEN),
    ]
    everything = model.encode(TEXTS, output_value=None)
    np.testing.assert_array_equal(everything[0]["token_embeddings"], tokens[0])
    np.testing.assert_allclose(
        everything[0]["sentence_embedding"], model.encode(TEXTS[0]), atol=1e-6
    )


def test_truncation_comes_before_normalisation(model: Embedder) -> None:
    cut = model.encode(TEXTS, truncate_dim=4)
    np.testing.assert_array_equal(cut, model.encode(TEXTS)[:, :4])
    unit = model.encode(TEXTS, truncate_dim=4, normalize_embeddings=True)
    np.testing.assert_allclose(unit, cut / np.linalg.norm(cut, axis=1, keepdims=True), rtol=1e-5)


def test_precisions(model: Embedder) -> None:
    plain = model.encode(TEXTS)
    bits = model.encode(TEXTS, precision="ubinary")
    np.testing.assert_array_equal(np.unpackbits(bits, axis=1).astype(bool), plain > 0)
    binary = model.encode(TEXTS, precision="binary")
    assert binary.dtype == np.int8
    np.testing.assert_array_equal(binary.astype(int) + 128, bits)
    low, high = plain.min(axis=0), plain.max(axis=0)
    level = model.encode(TEXTS, precision="uint8")
    np.testing.assert_allclose(
        low + level * (high - low) / 255, plain, atol=float((high - low).max()) / 250
    )
    np.testing.assert_array_equal(model.encode(TEXTS, precision="int8").astype(int) + 128, level)
    with pytest.raises(ConfigError, match="precision is"):
        quantized(plain, "float16")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({"inputs": ["a", 3]}, InputError),
        ({"inputs": "a", "output_value": "all"}, ConfigError),
        ({"inputs": "a", "batch_size": 0}, ConfigError),
        ({"inputs": "a", "truncate_dim": 0}, ConfigError),
    ],
)
def test_bad_arguments(model: Embedder, options: dict[str, Any], error: type[Exception]) -> None:
    with pytest.raises(error):
        model.encode(**options)


def test_long_texts_are_cut_and_warned_about(
    model: Embedder, caplog: pytest.LogCaptureFixture
) -> None:
    assert model.max_seq_length == 48
    with caplog.at_level(logging.WARNING, "embedx"):
        model.encode("cat " * 99)
    assert "1 of 1 texts are longer than 48 tokens" in caplog.text


def test_progress_goes_to_stderr_when_asked_for(
    model: Embedder, capsys: pytest.CaptureFixture[str]
) -> None:
    model.encode(TEXTS, show_progress_bar=True)
    captured = capsys.readouterr()
    assert "5/5" in captured.err
    assert captured.out == ""
    model.encode(TEXTS)
    assert capsys.readouterr().err == ""


def test_without_a_pooling_file_mean_is_used_with_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = deployment(tmp_path)
    guessing, told = load(place), load(place, pooling_mode="mean")
    with caplog.at_level(logging.WARNING, "embedx"):
        embeddings = guessing.encode(["a", "the cat"])
        guessing.encode("a")
    assert caplog.text.count("no 1_Pooling/config.json") == 1
    caplog.clear()
    np.testing.assert_array_equal(told.encode(["a", "the cat"]), embeddings)
    assert not caplog.text
    with pytest.raises(ConfigError, match="pooling_mode"):
        load(place, pooling_mode="average")


def test_a_sentence_embedding_in_the_graph_is_used(tmp_path: Path) -> None:
    proto = bert()
    proto.graph.node.append(
        onnx.helper.make_node(
            "ReduceMax", ["last_hidden_state"], ["sentence_embedding"], axes=[1], keepdims=0
        )
    )
    output = onnx.helper.make_tensor_value_info("sentence_embedding", 1, ["batch", HIDDEN])
    proto.graph.output.append(output)
    place = deployment(tmp_path, proto)
    np.testing.assert_allclose(
        load(place).encode("a"), load(place, pooling_mode="max").encode("a"), atol=1e-6
    )


@pytest.mark.parametrize("measure", ["cosine", "dot", "euclidean", "manhattan"])
def test_similarity(folder: Path, tmp_path: Path, measure: str) -> None:
    place = deployment(tmp_path, pooling={})
    (place / "config_sentence_transformers.json").write_text(
        json.dumps({"similarity_fn_name": measure})
    )
    a, b = np.array([[3.0, 4.0]]), np.array([[0.0, 5.0], [4.0, 3.0]])
    expected: dict[str, Array] = {
        "cosine": np.array([[0.8, 0.96]]),
        "dot": np.array([[20.0, 24.0]]),
        "euclidean": -np.array([[10**0.5, 2**0.5]]),
        "manhattan": -np.array([[4.0, 2.0]]),
    }
    np.testing.assert_allclose(load(place).similarity(a, b), expected[measure])


def test_facts(model: Embedder) -> None:
    assert model.get_embedding_dimension() == model.get_sentence_embedding_dimension() == HIDDEN
    assert model.tokenize(["the cat"])[0].ids == [2, 5, 7, 3]


def test_dynamically_quantized_graphs_run_text_by_text(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(folder)
    model.text_model.one_by_one = True
    shapes = []
    run = model.text_model.engine.run

    def recording(feeds: Any) -> Any:
        shapes.append(feeds["input_ids"].shape)
        return run(feeds)

    monkeypatch.setattr(model.text_model.engine, "run", recording)
    model.encode(["a", "a", "the cat"])
    assert shapes == [(1, 4), (1, 3), (1, 3)]
