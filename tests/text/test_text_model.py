"""A model folder as a function of tokens: what goes in, what comes out, and who runs together."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from embedx.errors import InputError, ModelError
from embedx.text.model_folder import read_folder
from embedx.text.text_model import TextModel
from embedx.text.tokens import Tokens
from tests.models import model
from tests.tiny import VOCABULARY, bert, deployment

SIZE = len(VOCABULARY)
CAT, DOG = VOCABULARY.index("cat"), VOCABULARY.index("dog")


def tokens(*ids: int) -> Tokens:
    return Tokens(list(ids), [0] * len(ids), len(ids))


def written(folder: Path, text: str, **weights: Any) -> Path:
    """A folder with a model in ONNX's text form; ``table`` gives each token four numbers."""
    proto = model(text, imports=', "com.microsoft" : 1')
    table = np.arange(SIZE * 4, dtype=np.float32).reshape(SIZE, 4)
    for name, array in {"table": table, **weights}.items():
        proto.graph.initializer.append(onnx.numpy_helper.from_array(np.asarray(array), name))
    return deployment(folder, proto)


def opened(place: Path, **options: Any) -> TextModel:
    folder = read_folder(place)
    return TextModel(folder, folder.edge(None), **options)


def looked_up(folder: Path, inputs: str, body: str = "", output: str = "float[N,M,4] z") -> Path:
    body = body or "z = Gather(table, input_ids)"
    return written(folder, f"g ({inputs}) => ({output}) {{ {body} }}")


IDS = "int64[N,M] input_ids"


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ("int64[N,M] attention_mask", [[1, 1, 1]]),
        ("int32[N,M] input_mask", [[1, 1, 1]]),
        ("int64[N,M] token_type_ids", [[0, 0, 0]]),
        ("int64[N,M] segment_ids", [[0, 0, 0]]),
        ("int64[N,M] position_ids", [[0, 1, 2]]),
    ],
)
def test_inputs_are_fed_by_their_names(tmp_path: Path, more: str, expected: Any) -> None:
    name = more.split()[-1]
    body = f"x = Cast<to=1>({name})  z = Unsqueeze(x, axes)"
    text = f"g ({IDS}, {more}) => (float[N,M,1] z) {{ {body} }}"
    place = written(tmp_path, text, axes=np.array([2]))
    ((_, hidden),) = opened(place).embed([tokens(2, CAT, 3)], 1)
    assert hidden[:, :, 0].tolist() == expected


def test_tokens_may_go_in_one_after_another_with_offsets(tmp_path: Path) -> None:
    text = """g (int64[K] input_ids, int64[N] offsets) => (float[N,4] z) {
        first = Gather(input_ids, offsets)  z = Gather(table, first) }"""
    texts = [tokens(CAT, 1), tokens(DOG, 1)]
    ((places, hidden),) = opened(written(tmp_path, text)).embed(texts, 8)
    assert places == [0, 1]
    assert hidden[:, 0].tolist() == [4 * CAT, 4 * DOG]


def test_decoders_start_without_a_past(tmp_path: Path) -> None:
    inputs = f"{IDS}, float[N,2,P,8] past_key_values.0.key"
    body = """x = Gather(table, input_ids)  n = Shape<start=2, end=3>(past_key_values.0.key)
        f = Cast<to=1>(n)  z = Add(x, f)"""
    body = body.replace("past_key_values.0.key", '"past_key_values.0.key"')
    inputs = inputs.replace("past_key_values.0.key", '"past_key_values.0.key"')
    place = looked_up(tmp_path, inputs, body)
    ((_, hidden),) = opened(place).embed([tokens(CAT)], 1)
    assert hidden.tolist() == [[[4 * CAT, 4 * CAT + 1, 4 * CAT + 2, 4 * CAT + 3]]]


@pytest.mark.parametrize(
    "value", ["float[N,M] pixel_values", "float[N,M] something", "seq(int64[N]) input_ids"]
)
def test_inputs_that_no_text_gives_are_named(tmp_path: Path, value: str) -> None:
    text = f"g ({IDS.replace('input_ids', 'ids')}, {value}) => (int64[N,M] z) {{ z = Neg(ids) }}"
    with pytest.raises(ModelError, match="cannot be made from a text"):
        opened(written(tmp_path, text))


@pytest.mark.parametrize(
    ("body", "output", "shown"),
    [
        ("z = Neg(input_ids)", "int64[N,M] z", r"'z' is int64\[1, 2\] for 1 texts"),
        ("x = Gather(table, input_ids)  z = Cast<to=6>(x)", "int32[N,M,4] z", r"int32\[1, 2, 4\]"),
        ("x = Gather(table, input_ids)  z = Cast<to=9>(x)", "bool[N,M,4] z", r"bool\[1, 2, 4\]"),
        ("x = Gather(table, input_ids)  z = ReduceSum<keepdims=0>(x)", "float z", r"float32\[\]"),
        ("x = Gather(table, input_ids)  z = Unsqueeze(x, axes)", "float[A,B,C,D] z", "float32"),
    ],
)
def test_what_is_no_embedding_is_refused(
    tmp_path: Path, body: str, output: str, shown: str
) -> None:
    text = f"g ({IDS}) => ({output}) {{ {body} }}"
    place = written(tmp_path, text, axes=np.array([0]))
    with pytest.raises(ModelError, match=rf"{shown}.*expected floats"):
        list(opened(place).embed([tokens(CAT, DOG)], 1))


@pytest.mark.parametrize("to", [1, 10, 11, 16])
def test_floats_of_any_width_come_out_as_float32(tmp_path: Path, to: int) -> None:
    kind = {1: "float", 10: "float16", 11: "double", 16: "bfloat16"}[to]
    body = f"x = Gather(table, input_ids)  z = Cast<to={to}>(x)"
    model = opened(looked_up(tmp_path, IDS, body, f"{kind}[N,M,4] z"))
    ((_, hidden),) = model.embed([tokens(CAT)], 1)
    assert hidden.dtype == np.float32
    assert hidden[0, 0].tolist() == [28, 29, 30, 31]


def test_a_token_beyond_the_table_is_named(tmp_path: Path) -> None:
    text = f"g ({IDS}) => (float[N,M,4] z) {{ z = Gather(small, input_ids) }}"
    place = written(tmp_path, text, small=np.zeros((2, 4), np.float32))
    with pytest.raises(InputError, match=r"'cat' has the id 7, the model knows 2"):
        list(opened(place).embed([tokens(CAT)], 1))


def test_texts_of_one_length_run_together(tmp_path: Path) -> None:
    model = opened(looked_up(tmp_path, IDS))
    texts = [tokens(1), tokens(1, 2, 3), tokens(2), tokens(), tokens(3), tokens(4, 5, 6)]
    groups = [(places, hidden.shape) for places, hidden in model.embed(texts, 2)]
    assert groups == [([1, 5], (2, 3, 4)), ([0, 2], (2, 1, 4)), ([4], (1, 1, 4))]
    padded = [(places, hidden.shape) for places, hidden in model.embed(texts[:2], 2, pad_to=[3, 3])]
    assert padded == [([0, 1], (2, 3, 4))]
    assert model.of_one_token.shape == (1, 1, 4)


def test_a_declared_batch_is_filled_and_a_declared_length_padded(tmp_path: Path) -> None:
    model = opened(looked_up(tmp_path, "int64[3,4] input_ids", output="float[3,4,4] z"))
    assert model.fixed_length == 4
    groups = list(model.embed([tokens(CAT, DOG)] * 4, 8))
    assert [(places, hidden.shape) for places, hidden in groups] == [([0, 1, 2, 3], (4, 2, 4))]
    assert (groups[0][1][:, :, 0] == [4 * CAT, 4 * DOG]).all()
    longer = opened(tmp_path, longest=5)
    assert longer.fixed_length is None


def test_models_that_quantize_the_whole_batch_run_text_by_text(tmp_path: Path) -> None:
    """With one scale for all, a text's vector would depend on its neighbours."""
    body = "q, s, p = DynamicQuantizeLinear(x)  z = DequantizeLinear(q, s, p)"
    text = f"g ({IDS}) => (float[N,M,4] z) {{ x = Gather(table, input_ids)  {body} }}"
    model = opened(written(tmp_path, text))
    assert model.one_by_one
    texts = [tokens(CAT, 1), tokens(SIZE - 1, 2), tokens(DOG, 3)]
    alone = [next(model.embed([t], 1))[1][0] for t in texts]
    groups = list(model.embed(texts, 8))
    assert [places for places, _ in groups] == [[0], [1], [2]]
    for (_, hidden), expected in zip(groups, alone, strict=True):
        np.testing.assert_array_equal(hidden[0], expected)
    model.one_by_one = False
    ((_, together),) = model.embed(texts, 8)
    assert not np.array_equal(together[0], alone[0])


def test_quantized_products_have_a_scale_for_each_text(tmp_path: Path) -> None:
    body = "z = com.microsoft.DynamicQuantizeMatMul(x, w, scale)"
    text = f"g ({IDS}) => (float[N,M,4] z) {{ x = Gather(table, input_ids)  {body} }}"
    place = written(tmp_path, text, w=np.eye(4, dtype=np.int8), scale=np.float32(1))
    model = opened(place)
    assert not model.one_by_one
    texts = [tokens(CAT, 1), tokens(SIZE - 1, 2), tokens(DOG, 3)]
    ((places, together),) = model.embed(texts, 8)
    assert places == [0, 1, 2]
    for text_tokens, hidden in zip(texts, together, strict=True):
        ((_, alone),) = model.embed([text_tokens], 1)
        np.testing.assert_array_equal(hidden, alone[0])
    # Where the kernels do not run, the scale is the batch's, and a text runs alone.
    assert opened(place, precision="exact").one_by_one


def test_static_scales_need_no_runs_of_their_own(tmp_path: Path) -> None:
    body = (
        "x = Gather(table, input_ids)  q = QuantizeLinear(x, s, p)  z = DequantizeLinear(q, s, p)"
    )
    text = f"g ({IDS}) => (float[N,M,4] z) {{ {body} }}"
    place = written(tmp_path, text, s=np.float32(1), p=np.uint8(0))
    assert not opened(place).one_by_one


def test_case_is_lowered_where_the_folder_says_so(tmp_path: Path) -> None:
    place = looked_up(tmp_path, IDS)
    settings = json.loads((place / "tokenizer.json").read_text())
    settings["normalizer"] = None
    (place / "tokenizer.json").write_text(json.dumps(settings))
    for lower, expected in ((False, 1), (True, CAT)):
        (place / "sentence_bert_config.json").write_text(json.dumps({"do_lower_case": lower}))
        assert opened(place).tokenizer.encode(["CAT"], 9)[0].ids == [2, expected, 3]


def test_static_embeddings_run_without_special_tokens(tmp_path: Path) -> None:
    place = looked_up(tmp_path, IDS)
    kind = "sentence_transformers.models.StaticEmbedding"
    (place / "modules.json").write_text(json.dumps([{"path": "", "type": kind}]))
    model = opened(place)
    assert model.tokenizer.encode(["the cat"], 9)[0].ids == [VOCABULARY.index("the"), CAT]


def test_pickled_are_the_path_and_the_digests_of_all_that_was_read(tmp_path: Path) -> None:
    place = deployment(tmp_path, bert())
    folder = read_folder(place)
    text_model = TextModel(folder, folder.edge(-1))
    data = pickle.dumps(text_model)
    assert len(data) < 2000
    ((_, expected),) = text_model.embed([tokens(2, CAT, 3)], 1)
    ((_, hidden),) = pickle.loads(data).embed([tokens(2, CAT, 3)], 1)
    np.testing.assert_array_equal(hidden, expected)
    config = place / "tokenizer_config.json"
    config.write_text(config.read_text() + " ")
    with pytest.raises(ModelError, match=r"tokenizer_config\.json is not the file that it was"):
        pickle.loads(data)
