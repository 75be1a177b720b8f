"""load(path).encode: sentence-transformers' arguments, order and numbers."""

from __future__ import annotations

import json
import logging
import multiprocessing
import pickle
import queue
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from embedx import Pipeline, load
from embedx.errors import ConfigError, DeploymentError, InputError
from embedx.model.graph import Array
from embedx.text.embedder import Embedder, quantized
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
    assert model.encode([]).shape == (0, HIDDEN)
    assert model.encode([], truncate_dim=4, precision="uint8").shape == (0, 4)
    assert model.encode([], output_value="token_embeddings") == []
    assert model.encode([], output_value=None) == []
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
    # The one that sentence-transformers has for every model, empty unless a file says otherwise.
    np.testing.assert_array_equal(model.encode("a", prompt_name="document"), model.encode("a"))


def test_the_default_prompt_is_put_in_front_unless_another_is_named(tmp_path: Path) -> None:
    place = deployment(tmp_path, pooling={})
    prompts = {"prompts": {"query": "the cat ", "none": None}, "default_prompt_name": "query"}
    (place / "config_sentence_transformers.json").write_text(json.dumps(prompts))
    model = load(place)
    np.testing.assert_array_equal(model.encode("sat"), model.encode("the cat sat", prompt=""))
    np.testing.assert_array_equal(
        model.encode("sat", prompt_name="none"), model.encode("sat", prompt="")
    )


def test_white_space_is_part_of_a_text(tmp_path: Path) -> None:
    """As sentence-transformers 6 hands it on; its earlier releases strip."""
    place = deployment(tmp_path)
    settings = json.loads((place / "tokenizer.json").read_text())
    settings["pre_tokenizer"] = {"type": "Split", "pattern": {"String": "the"},
                                 "behavior": "Isolated", "invert": False}  # fmt: skip
    (place / "tokenizer.json").write_text(json.dumps(settings))
    model = load(place, pooling_mode="mean")
    tokens = model.encode([" the ", "the"], output_value="token_embeddings")
    assert [len(t) for t in tokens] == [5, 3]


def test_prompts_may_be_left_out_of_the_pooling(folder: Path, tmp_path: Path) -> None:
    place = deployment(tmp_path, pooling={"include_prompt": False})
    excluding = load(place)
    tokens = excluding.encode("the cat sat", output_value="token_embeddings")
    found = excluding.encode("sat", prompt="the cat ")
    expected = tokens[3:].mean(axis=0)  # behind [CLS] the cat
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-6)


@pytest.mark.parametrize(("specials", "count"), [("[CLS] $A [SEP]", 3), ("[CLS] $A", 3), ("$A", 2)])
def test_a_prompt_has_as_many_tokens_as_it_has_alone(
    tmp_path: Path, specials: str, count: int
) -> None:
    from tokenizers import Tokenizer, processors

    place = deployment(tmp_path, pooling={"include_prompt": False})
    tokenizer = Tokenizer.from_file(str(place / "tokenizer.json"))
    tokenizer.post_processor = processors.TemplateProcessing(
        specials, special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(place / "tokenizer.json"))
    assert load(place).prefixed(["sat"], "the cat ")[1] == count


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


VECTORS = [
    [-1.2000000476837158, 4.070000171661377, -3.3333334922790527, -22.5, -0.00800000037997961, 3],
    [0.3660000264644623, -1.128499984741211, 0.8133333921432495, 4.575, 0.0012200000928714871, 3],
    [0, -0.3700000047683716, 0.6666666865348816, -22.5, 0.004000000189989805, 3],
    [0.6000000238418579, -2.5900001525878906, 2.6666667461395264, 22.5, 0.010000000707805157, 3],
]


@pytest.mark.parametrize(
    ("precision", "expected"),
    [
        (
            "uint8",
            [
                [0, 255, 0, 0, 0, 0],
                [221, 55, 176, 153, 130, 0],
                [170, 85, 170, 0, 169, 0],
                [255, 0, 255, 255, 255, 0],
            ],
        ),
        (
            "int8",
            [
                [-128, 127, -128, -128, -128, -128],
                [93, -73, 48, 25, 2, -128],
                [42, -43, 42, -128, 41, -128],
                [127, -128, 127, 127, 127, -128],
            ],
        ),
        ("ubinary", [[68], [188], [44], [188]]),
        ("binary", [[-60], [60], [-84], [60]]),
    ],
)
def test_quantization_is_sentence_transformers_own(precision: Any, expected: Any) -> None:
    """Against what quantize_embeddings of release 6.2 gives: levels are cut off, not rounded."""
    found = quantized(np.array(VECTORS, np.float32), precision)
    assert found.dtype == (np.uint8 if precision.startswith("u") else np.int8)
    assert found.tolist() == expected


@pytest.mark.parametrize("precision", ["int8", "uint8"])
def test_the_range_of_one_embedding_is_none(model: Embedder, precision: Any) -> None:
    with pytest.raises(ConfigError, match="needs the range of several embeddings"):
        model.encode("a", precision=precision)
    assert model.encode("a", precision="binary").shape == (HIDDEN // 8,)


def test_token_embeddings_are_quantized_over_the_range_of_all(model: Embedder) -> None:
    tokens = model.encode(TEXTS, output_value="token_embeddings")
    found = model.encode(TEXTS, output_value="token_embeddings", precision="int8")
    assert [t.shape for t in found] == [t.shape for t in tokens]
    np.testing.assert_array_equal(np.concatenate(found), quantized(np.concatenate(tokens), "int8"))


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


@pytest.mark.parametrize(
    ("config", "mode"),
    [
        ({"architectures": ["BertModel"]}, "mean"),
        ({"architectures": None}, "mean"),
        ({"architectures": ["Qwen3ForCausalLM"]}, "lasttoken"),
        ({"architectures": ["Qwen3ForCausalLM"], "is_causal": False}, "mean"),
    ],
)
def test_the_default_pooling_is_sentence_transformers_own(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, config: dict[str, Any], mode: str
) -> None:
    place = deployment(tmp_path)
    (place / "config.json").write_text(json.dumps({"max_position_embeddings": 64, **config}))
    with caplog.at_level(logging.WARNING, "embedx"):
        found = load(place).encode(["the cat", "a"])
    assert f"so {mode} is used" in caplog.text
    np.testing.assert_array_equal(found, load(place, pooling_mode=mode).encode(["the cat", "a"]))


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
    # Where files say how to pool, the vector is made of the tokens as they say.
    (place / "1_Pooling").mkdir()
    (place / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": "cls"}))
    np.testing.assert_array_equal(
        load(place).encode("a"), load(place, pooling_mode="cls").encode("a")
    )


def only_pooled(tmp_path: Path, *kinds: str) -> Path:
    """A graph without layers that pools by itself, and modules behind it."""
    place = deployment(
        tmp_path,
        onnx.parser.parse_model(
            """<ir_version: 8, opset_import: ["" : 17]>
            g (int64[N,M] input_ids) => (float[N,2] z) <float[2,2] table = {3, 4, 6, 8}> {
                one = Constant<value_int=1>()  ids = Mod(input_ids, one)
                x = Gather(table, ids)  z = ReduceMean<axes=[1], keepdims=0>(x) }"""
        ),
    )
    listed = [
        {"path": kind, "type": f"sentence_transformers.models.{kind}"}
        for kind in ("Transformer", *kinds)
    ]
    (place / "modules.json").write_text(json.dumps(listed))
    return place


def test_what_a_graph_pools_may_still_be_normalised(tmp_path: Path) -> None:
    place = only_pooled(tmp_path, "Normalize")
    np.testing.assert_allclose(load(place).encode("a"), [0.6, 0.8], rtol=1e-6)
    auto = Pipeline.create(model_path=place, extraction_strategy="auto", sequence_length=8)
    np.testing.assert_allclose(auto("a").embeddings, [[0.6, 0.8]], rtol=1e-6)


def test_a_layer_behind_what_a_graph_pools_is_refused(tmp_path: Path) -> None:
    """It may be in the graph already."""
    place = only_pooled(tmp_path, "LayerNorm")
    (place / "LayerNorm").mkdir()
    tensor = {"dtype": "F32", "shape": [2]}
    header = json.dumps(
        {
            "norm.weight": {**tensor, "data_offsets": [0, 8]},
            "norm.bias": {**tensor, "data_offsets": [0, 8]},
        }
    ).encode()
    data = len(header).to_bytes(8, "little") + header + np.ones(2, np.float32).tobytes()
    (place / "LayerNorm" / "model.safetensors").write_bytes(data)
    with pytest.raises(DeploymentError, match="names a LayerNorm, and the graph pools by itself"):
        load(place).encode("a")


def test_modules_without_a_pooling_are_refused(tmp_path: Path) -> None:
    place = deployment(tmp_path, pooling={})
    listed = json.loads((place / "modules.json").read_text())
    (place / "modules.json").write_text(json.dumps([listed[0], listed[2]]))
    with pytest.raises(DeploymentError, match="'sentence_embedding' is read"):
        load(place).encode("a")
    assert load(place, pooling_mode="mean").encode("a").shape == (HIDDEN,)


def test_the_model_may_say_how_many_dimensions_are_kept(tmp_path: Path) -> None:
    place = deployment(tmp_path, pooling={})
    whole = load(place).encode(TEXTS)
    (place / "config_sentence_transformers.json").write_text(json.dumps({"truncate_dim": 5}))
    model = load(place)
    np.testing.assert_array_equal(model.encode(TEXTS), whole[:, :5])
    np.testing.assert_array_equal(model.encode(TEXTS, truncate_dim=7), whole[:, :7])
    assert model.get_embedding_dimension() == 5
    assert model.encode([]).shape == (0, 5)


@pytest.fixture
def bare(tmp_path: Path) -> Embedder:
    """A model whose tokenizer puts nothing around a text."""
    place = deployment(tmp_path, pooling={})
    settings = json.loads((place / "tokenizer.json").read_text())
    settings["post_processor"] = None
    (place / "tokenizer.json").write_text(json.dumps(settings))
    return load(place)


def test_a_text_without_tokens_gives_zeros(bare: Embedder) -> None:
    np.testing.assert_array_equal(bare.encode(""), np.zeros(HIDDEN))
    np.testing.assert_array_equal(bare.encode([""]), np.zeros((1, HIDDEN)))
    both = bare.encode(["", "the cat"])
    np.testing.assert_array_equal(both[0], np.zeros(HIDDEN))
    np.testing.assert_array_equal(both[1], bare.encode("the cat"))
    assert bare.encode("", output_value="token_embeddings").shape == (0, HIDDEN)
    assert bare.encode("", output_value=None)["input_ids"] == []
    assert bare.get_embedding_dimension() == HIDDEN


def test_the_end_of_a_text_is_kept_where_the_tokenizer_says_so(
    folder: Path, tmp_path: Path
) -> None:
    place = deployment(tmp_path, pooling={})
    config = {"pad_token": "[PAD]", "truncation_side": "left", "model_max_length": 4}
    (place / "tokenizer_config.json").write_text(json.dumps(config))
    np.testing.assert_array_equal(
        load(place).encode("the cat sat on mat"), load(place).encode("on mat")
    )


def test_a_tokenizer_may_lie_elsewhere(folder: Path, tmp_path: Path) -> None:
    """As for a model that embedx truncate has written; its folder says nothing of pooling."""
    (tmp_path / "cut.onnx").write_bytes((folder / "model.onnx").read_bytes())
    expected = load(folder, pooling_mode="mean").encode(TEXTS)
    for place in (folder, folder / "tokenizer.json"):
        found = load(tmp_path / "cut.onnx", tokenizer=place, pooling_mode="mean")
        np.testing.assert_array_equal(found.encode(TEXTS), expected)
        assert found.max_seq_length == 48
    with pytest.raises(DeploymentError, match="neither tokenizer"):
        load(tmp_path / "cut.onnx")


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
    assert sorted(shapes) == [(1, 3), (1, 3), (1, 4)]


def _encoded(model: Any, texts: list[str], answers: Any) -> None:
    answers.put(model.encode(texts) if isinstance(model, Embedder) else model(texts).embeddings)


@pytest.mark.parametrize("start", ["fork", "spawn"])
@pytest.mark.parametrize("made", ["load", "pipeline"])
def test_models_work_in_other_processes(start: Any, made: str, tmp_path: Path) -> None:
    place, texts = deployment(tmp_path, bert()), ["the cat", "a big dog ran"]
    model: Any = load(place)
    if made == "pipeline":
        model = Pipeline.create(model_path=place, extraction_strategy="reduce_mean")
    context = multiprocessing.get_context(start)
    answers = context.Queue()
    here = queue.SimpleQueue[Any]()
    _encoded(model, texts, here)
    process = context.Process(target=_encoded, args=(model, texts, answers), daemon=True)
    process.start()
    found = answers.get(timeout=60)
    process.join(30)
    np.testing.assert_array_equal(found, here.get(timeout=0))


def test_what_was_set_is_pickled_and_what_was_read_is_read_again(tmp_path: Path) -> None:
    embedder = load(deployment(tmp_path, bert()))
    embedder.max_seq_length = 3
    copy = pickle.loads(pickle.dumps(embedder))
    assert copy.max_seq_length == 3
    assert copy.modules == embedder.modules
