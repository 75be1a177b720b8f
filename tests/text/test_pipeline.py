"""Pipeline.create: DeepSparse's arguments, numbers and promises."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from embedx import Engine, Pipeline
from embedx.errors import ConfigError, DeploymentError, InputError, ModelError, NodeError
from embedx.text.pipeline import EmbeddingExtractionInput, PipelineConfig
from tests.models import model
from tests.rewrite.test_layers import quantized
from tests.tiny import HIDDEN, VOCABULARY, bert, deployment

TEXTS = ["the cat sat on the mat", "a big red dog ran far away from the cat !", "a"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return deployment(tmp_path_factory.mktemp("tiny"), bert(head=True), pooling={})


def create(folder: Path, **options: Any) -> Pipeline:
    return Pipeline.create(
        task="transformers_embedding_extraction",
        model_path=str(folder),
        **{"sequence_length": 32, **options},
    )


def hidden_of(folder: Path, text: str) -> Any:
    """The last hidden state at the text's true length, from the engine itself."""
    pipeline = create(folder)
    (tokens,) = pipeline.text_model.tokenizer.encode([text], 32)
    ids = np.array([tokens.ids])
    engine = Engine(pipeline.text_model.engine.graph)
    return engine.run([ids, np.ones_like(ids), np.zeros_like(ids)])[0][0]


def test_per_token_is_flat_and_as_long_as_the_sequence(folder: Path) -> None:
    output = create(folder)(TEXTS)
    assert [len(e) for e in output.embeddings] == [32 * HIDDEN] * 3
    assert isinstance(output.embeddings[0][0], float)
    hidden = hidden_of(folder, TEXTS[0])
    np.testing.assert_allclose(output.embeddings[0][: hidden.size], hidden.reshape(-1), atol=1e-5)


@pytest.mark.parametrize(
    ("strategy", "expected"),
    [
        ("reduce_mean", lambda h: h[1:].mean(axis=0)),
        ("reduce_max", lambda h: h[1:].max(axis=0)),
        ("cls_token", lambda h: h[0]),
        ("mean", lambda h: h.mean(axis=0)),
        ("max", lambda h: h.max(axis=0)),
        ("cls", lambda h: h[0]),
        ("lasttoken", lambda h: h[-1]),
        ("weightedmean", lambda h: np.average(h, axis=0, weights=np.arange(1, len(h) + 1))),
        ("mean_sqrt_len", lambda h: h.sum(axis=0) / len(h) ** 0.5),
        ("auto", lambda h: h.mean(axis=0) / np.linalg.norm(h.mean(axis=0))),
    ],
)
def test_strategies(folder: Path, strategy: str, expected: Any) -> None:
    pipeline = create(folder, extraction_strategy=strategy, return_numpy=True)
    for text, embedding in zip(TEXTS, pipeline(TEXTS).embeddings, strict=True):
        assert type(embedding) is np.ndarray
        assert embedding.dtype == np.float32
        np.testing.assert_allclose(embedding, expected(hidden_of(folder, text)), atol=1e-5)


def test_a_special_token_that_a_user_types_is_text(folder: Path) -> None:
    pipeline = create(folder, extraction_strategy="reduce_mean")
    hidden = hidden_of(folder, "[PAD] [CLS] cat")
    assert len(hidden) == 5
    found = pipeline("[PAD] [CLS] cat").embeddings[0]
    np.testing.assert_allclose(found, hidden[1:].mean(axis=0), atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_neighbours_do_not_matter(folder: Path, batch_size: int) -> None:
    pipeline = create(folder, extraction_strategy="mean", batch_size=batch_size)
    together = pipeline(TEXTS * 3).embeddings
    for text, embedding in zip(TEXTS * 3, together, strict=True):
        np.testing.assert_allclose(embedding, pipeline(text).embeddings[0], atol=1e-6)


def test_buckets_are_chosen_per_text(folder: Path) -> None:
    pipeline = create(folder, sequence_length=[32, 4, 8])
    output = pipeline(["a", "the cat sat", "the cat sat on the mat ."])
    assert [len(e) // HIDDEN for e in output.embeddings] == [4, 8, 32]


def test_long_texts_are_cut_counted_and_warned_about(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "embedx"):
        output = create(folder, sequence_length=[4, 8])(["a", "cat " * 50])
    assert "1 of 2 texts are longer than 8 tokens" in caplog.text
    assert output.usage.truncated == 1
    assert output.usage.tokens == 11
    assert len(output.embeddings[1]) == 8 * HIDDEN


@pytest.mark.parametrize(
    "call",
    [
        lambda p: p("a", "the cat"),
        lambda p: p(["a", "the cat"]),
        lambda p: p(("a", "the cat")),
        lambda p: p(np.array(["a", "the cat"])),
        lambda p: p(inputs=["a", "the cat"]),
        lambda p: p(EmbeddingExtractionInput(["a", "the cat"])),
        lambda p: p(p.input_schema(inputs=["a", "the cat"])),
    ],
)
def test_call_forms(folder: Path, call: Any) -> None:
    pipeline = create(folder, extraction_strategy="mean")
    np.testing.assert_allclose(
        call(pipeline).embeddings,
        pipeline("a").embeddings + pipeline("the cat").embeddings,
        atol=1e-6,
    )


def test_nothing_gives_nothing(folder: Path) -> None:
    assert create(folder)([]).embeddings == []


@pytest.mark.parametrize(
    "call", [lambda p: p(), lambda p: p(3), lambda p: p([1]), lambda p: p("a", inputs="b")]
)
def test_what_is_no_text_is_refused(folder: Path, call: Any) -> None:
    with pytest.raises(InputError):
        call(create(folder))


def test_output_is_json_without_nan(folder: Path) -> None:
    output = create(folder, return_numpy=True)("a")
    assert json.loads(output.model_dump_json()) == output.model_dump()


@pytest.mark.parametrize(
    "task",
    [
        "transformers_embedding_extraction",
        "Transformers-Embedding-Extraction",
        "transformer_embedding_extraction",
        "embedding extraction",
    ],
)
def test_task_names(folder: Path, task: str) -> None:
    assert Pipeline.create(task, model_path=folder, sequence_length=8)("a").embeddings


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"task": "question_answering"}, "no task 'question_answering'"),
        ({"extraction_strategy": "average"}, "extraction_strategy is one of"),
        ({"sequence_length": 0}, "sequence_length"),
        ({"sequence_length": []}, "sequence_length"),
        ({"sequence_length": "16"}, "sequence_length"),
        ({"sequence_length": None}, "sequence_length"),
        ({"sequence_length": [16, True]}, "sequence_length"),
        ({"batch_size": 0}, "batch_size"),
        ({"num_cores": -1}, "num_cores"),
        ({"emb_extraction_layer": 1.5}, "emb_extraction_layer"),
        ({"emb_extraction_layer": True}, "emb_extraction_layer"),
        ({"emb_extraction_layer": 9}, "the model has 2 layers"),
        ({"emb_extraction_layer": "nowhere"}, "no node or edge"),
    ],
)
def test_arguments_that_make_no_sense_are_refused(
    folder: Path, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        Pipeline.create(**{"model_path": folder, **options})


def test_layers_are_chosen_by_index_name_or_not_at_all(folder: Path) -> None:
    by_index = create(folder, emb_extraction_layer=0, extraction_strategy="mean")
    by_name = create(
        folder, emb_extraction_layer=by_index.text_model.edge, extraction_strategy="mean"
    )
    assert by_index("a").embeddings == by_name("a").embeddings
    logits = create(folder, emb_extraction_layer=None, extraction_strategy="mean")
    assert len(logits("a").embeddings[0]) == len(VOCABULARY)


def test_the_headless_model_gives_the_same_embeddings(folder: Path, tmp_path: Path) -> None:
    headless = create(deployment(tmp_path, bert()), extraction_strategy="reduce_mean")
    headed = create(folder, extraction_strategy="reduce_mean")
    assert headless(TEXTS).embeddings == headed(TEXTS).embeddings


def test_the_users_files_are_not_touched(folder: Path) -> None:
    def hashes() -> dict[str, str]:
        files = (p for p in folder.rglob("*") if p.is_file())
        return {str(p): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}

    before = hashes()
    create(folder, sequence_length=[4, 16])(TEXTS)
    assert hashes() == before


@pytest.mark.parametrize("form", ["to_dict", "to_json", "to_yaml"])
def test_configurations_round_trip(folder: Path, tmp_path: Path, form: str) -> None:
    pipeline = create(
        folder, sequence_length=[8, 16], extraction_strategy="reduce_max", batch_size=3,
        emb_extraction_layer=0, num_cores=1, return_numpy=True,
    )  # fmt: skip
    config = pipeline.to_config()
    written = getattr(config, form)()
    assert Pipeline.from_config(written).to_config() == config
    assert Pipeline.from_config(config).to_config() == config
    if form != "to_dict":
        path = tmp_path / f"config.{form[3:]}"
        path.write_text(written)
        again = Pipeline.from_config(path)
        assert again.to_config() == config
        np.testing.assert_array_equal(again(TEXTS).embeddings, pipeline(TEXTS).embeddings)


def test_configurations_like_deepsparses_are_understood(folder: Path) -> None:
    pipeline = Pipeline.from_config(
        {"task": "embedding_extraction", "model": str(folder), "batch_size": 2,
         "kwargs": {"sequence_length": 8, "extraction_strategy": "mean"}}
    )  # fmt: skip
    assert pipeline.to_config() == PipelineConfig(
        "embedding_extraction",
        str(folder),
        extraction_strategy="mean",
        sequence_length=8,
        batch_size=2,
    )


def test_unknown_configuration_keys_are_refused_with_a_suggestion(folder: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'sequence_length'"):
        Pipeline.from_config({"model_path": str(folder), "sequence_lenght": 8})


def test_models_declared_for_one_batch_and_length_run(folder: Path, tmp_path: Path) -> None:
    proto = bert()
    for value in proto.graph.input:
        for dim, size in zip(value.type.tensor_type.shape.dim, (1, 16), strict=True):
            dim.dim_value = size
    fixed = deployment(tmp_path, proto)
    for length in (12, 16, 32):
        options = {"extraction_strategy": "mean", "sequence_length": length}
        expected = create(folder, **options)(TEXTS).embeddings
        found = create(fixed, **options)(TEXTS).embeddings
        np.testing.assert_allclose(found, expected, atol=1e-5)
    per_token = create(fixed, sequence_length=12)("a").embeddings[0]
    assert len(per_token) == 12 * HIDDEN


def test_a_pooled_graph_is_taken_as_it_is(folder: Path, tmp_path: Path) -> None:
    proto = bert()
    proto.graph.node.append(
        onnx.helper.make_node("ReduceMean", ["last_hidden_state"], ["pooled"], axes=[1], keepdims=0)
    )
    pooled = onnx.helper.make_tensor_value_info("pooled", 1, ["batch", HIDDEN])
    proto.graph.output.insert(0, pooled)
    place = deployment(tmp_path, proto)
    output = create(place, emb_extraction_layer=None)(TEXTS)
    np.testing.assert_allclose(
        output.embeddings, create(folder, extraction_strategy="mean")(TEXTS).embeddings, atol=1e-5
    )
    with pytest.raises(ConfigError, match="one vector per text already"):
        create(place, emb_extraction_layer=None, extraction_strategy="cls_token")("a")


@pytest.mark.parametrize("integers", [False, True])
def test_the_last_layer_of_a_pooled_graph_is_not_its_pooling(
    folder: Path, tmp_path: Path, integers: bool
) -> None:
    """As exports of sentence-transformers pipelines have it; 8-bit ones as well."""

    def tiny() -> onnx.ModelProto:
        return quantized(bert()) if integers else bert()

    proto = tiny()
    for kind, inputs, output, attributes in (
        ("Unsqueeze", ["attention_mask", "last_axis"], "m", {}),
        ("Cast", ["m"], "mask", {"to": 1}),
        ("Mul", ["last_hidden_state", "mask"], "kept", {}),
        ("ReduceSum", ["kept", "tokens_axis"], "total", {"keepdims": 0}),
        ("ReduceSum", ["mask", "tokens_axis"], "count", {"keepdims": 0}),
        ("Div", ["total", "count"], "mean", {}),
        ("LpNormalization", ["mean"], "sentence_embedding", {}),
    ):
        proto.graph.node.append(onnx.helper.make_node(kind, inputs, [output], **attributes))
    for name, axis in (("last_axis", -1), ("tokens_axis", 1)):
        array = onnx.numpy_helper.from_array(np.array([axis]), name)
        proto.graph.initializer.append(array)
    del proto.graph.output[:]
    output = onnx.helper.make_tensor_value_info("sentence_embedding", 1, ["batch", HIDDEN])
    proto.graph.output.append(output)
    pooled, plain = deployment(tmp_path / "a", proto), deployment(tmp_path / "b", tiny())
    for strategy in ("per_token", "reduce_mean", "cls_token"):
        options = {"extraction_strategy": strategy, "return_numpy": True}
        expected = create(plain, **options)(TEXTS).embeddings
        np.testing.assert_array_equal(create(pooled, **options)(TEXTS).embeddings, expected)
    assert len(create(pooled)("a").embeddings[0]) == 32 * HIDDEN


@pytest.mark.parametrize("strategy", ["mean", "reduce_mean", "reduce_max", "lasttoken", "auto"])
def test_texts_without_tokens_give_zeros(tmp_path: Path, strategy: str) -> None:
    place = deployment(tmp_path, pooling={})
    settings = json.loads((place / "tokenizer.json").read_text())
    settings["post_processor"] = None
    (place / "tokenizer.json").write_text(json.dumps(settings))
    pipeline = create(place, extraction_strategy=strategy)
    assert pipeline([""]).embeddings == [[0.0] * HIDDEN]
    assert pipeline(["", "cat"]).embeddings[0] == [0.0] * HIDDEN


def test_a_tokenizer_may_lie_elsewhere(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "cut.onnx").write_bytes((folder / "model.onnx").read_bytes())
    expected = create(folder, extraction_strategy="mean")(TEXTS).embeddings
    for place in (folder, str(folder / "tokenizer.json")):
        found = create(tmp_path / "cut.onnx", tokenizer=place, extraction_strategy="mean")
        assert found(TEXTS).embeddings == expected
        again = Pipeline.from_config(found.to_config().to_yaml())
        assert again(TEXTS).embeddings == expected
    with pytest.raises(InputError, match="no such file or folder"):
        create(tmp_path / "cut.onnx", tokenizer=tmp_path / "nowhere")


def test_auto_needs_the_folder_to_say_how(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="1_Pooling"):
        create(deployment(tmp_path), extraction_strategy="auto")


def test_missing_tokenizers_and_strange_inputs_are_named(folder: Path, tmp_path: Path) -> None:
    place = deployment(tmp_path)
    (place / "tokenizer.json").unlink()
    with pytest.raises(DeploymentError, match="neither tokenizer"):
        create(place)
    strange = model("g (float[N,M] pixels) => (float[N,M] z) { z = Neg(pixels) }")
    with pytest.raises(ModelError, match=r"'pixels'.* cannot be made from a text"):
        create(deployment(tmp_path / "strange", strange))


def test_a_model_that_gives_nan_says_so(tmp_path: Path) -> None:
    proto = model(
        """g (int64[N,M] input_ids) => (float[N,M,2] z) <float[23,2] table, float zero = {0}> {
        x = Gather(table, input_ids)  z = Div(x, zero) }"""
    )
    table = onnx.numpy_helper.from_array(np.zeros((23, 2), np.float32), "table")
    proto.graph.initializer.append(table)
    with pytest.raises(NodeError, match="NaN or infinity for text 0"):
        create(deployment(tmp_path, proto))("a")


def test_a_tokenizer_of_another_model_is_noticed(tmp_path: Path) -> None:
    proto = bert()
    table = next(t for t in proto.graph.initializer if "word_embeddings" in t.name)
    small = onnx.numpy_helper.to_array(table)[:6]
    table.CopyFrom(onnx.numpy_helper.from_array(small, table.name))
    with pytest.raises(InputError, match="'cat' has the id 7, the model knows 6"):
        create(deployment(tmp_path, proto))("cat")


@pytest.mark.parametrize("config", [None, 42, ["a"], {"kwargs": [1]}, {"model": 5}])
def test_what_is_no_configuration_is_refused(config: Any) -> None:
    with pytest.raises(ConfigError, match=r"mapping|expected a path"):
        Pipeline.from_config(config)


def test_kwargs_may_be_empty() -> None:
    assert Pipeline.from_config({"kwargs": None}).config == Pipeline.create().config
