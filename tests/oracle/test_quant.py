"""A study as a whole: what is left out, what is refused, and how it is told."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from embedx.errors import ConfigError, InputError, NodeError
from embedx.oracle.quant import Keep, study
from tests.oracle.quantized import TEXTS, dynamic, folder, scaled
from tests.tiny import bert


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    place = tmp_path_factory.mktemp("models")
    source = folder(place / "float")
    return source, dynamic(source, place / "int8.onnx")


def test_texts_that_repeat_and_empty_lines_are_left_out(models: tuple[Path, Path]) -> None:
    found = study(*models, ["", *TEXTS, TEXTS[0], "  ", TEXTS[1]], regain_texts=1)
    assert found.texts == tuple(TEXTS)
    assert found.repeated == 2


@pytest.mark.parametrize(
    ("texts", "options", "error", "said"),
    [
        ([], {}, InputError, "no texts"),
        ([" "], {}, InputError, "no texts"),
        (["a", "b"], {"keep": Keep(0.5, "top-1")}, InputError, "at least three texts"),
    ],
)
def test_what_cannot_be_answered_is_refused(
    models: tuple[Path, Path],
    texts: list[str],
    options: dict[str, Any],
    error: type[Exception],
    said: str,
) -> None:
    with pytest.raises(error, match=said):
        study(*models, texts, **options)


@pytest.mark.parametrize("options", [{}, {"half": True, "keep": Keep(0.9)}])
def test_questions_about_two_models_need_two(
    models: tuple[Path, Path], options: dict[str, Any]
) -> None:
    with pytest.raises(ConfigError, match="quantized model"):
        study(models[0], None, TEXTS, **options)


@pytest.mark.parametrize("of", ["cosine", "top-1", "top-3"])
def test_nothing_is_excluded_where_enough_is_kept(models: tuple[Path, Path], of: str) -> None:
    found = study(*models, TEXTS, keep=Keep(0.1, of), regain_texts=1)
    assert found.lost is not None
    assert found.lost.choice.pairs == ()
    assert found.passed


@pytest.mark.parametrize("of", ["top-1", "top-3"])
def test_neighbours_are_kept_with_the_choice(models: tuple[Path, Path], of: str) -> None:
    # What is to be kept is more than is, as the quantization is a coarse one.
    source = models[0]
    coarse = source.parent / "coarse.onnx"
    model = onnx.load(models[1])
    for tensor in model.graph.initializer:
        if tensor.name.endswith("_quantized"):
            value = numpy_helper.to_array(tensor)
            tensor.CopyFrom(numpy_helper.from_array(value // 32 * 32, tensor.name))
    onnx.save(model, coarse)
    found = study(source, coarse, TEXTS, keep=Keep(1, of), k=3).lost
    assert found is not None
    assert not found.choice.kept
    assert found.choice.found
    assert found.choice.pairs
    assert found.choice.after == 1


def test_a_model_without_numbers_is_named_with_its_node(tmp_path: Path) -> None:
    source = folder(tmp_path / "float")
    model = scaled(bert(), "layer.1.output.dense.weight", 0)
    last = model.graph.node[-1]
    model.graph.node.insert(
        len(model.graph.node) - 1, helper.make_node("Log", [last.input[0]], ["log"], name="the log")
    )
    last.input[0] = "log"
    onnx.save(model, tmp_path / "broken.onnx")
    with pytest.raises(NodeError, match=r"quantized model gives no numbers.*'the log'.*makes NaN"):
        study(source, tmp_path / "broken.onnx", TEXTS)


def test_a_candidate_may_have_no_tokenizer_beside_it(
    models: tuple[Path, Path], tmp_path: Path
) -> None:
    alone = tmp_path / "elsewhere" / "some.onnx"
    alone.parent.mkdir()
    alone.write_bytes(models[1].read_bytes())
    here, there = (study(models[0], m, TEXTS, regain_texts=1).lost for m in (models[1], alone))
    assert here is not None
    assert there is not None
    np.testing.assert_array_equal(here.losses.candidate, there.losses.candidate)


def test_models_of_another_width_are_refused(models: tuple[Path, Path], tmp_path: Path) -> None:
    model = bert()
    last = model.graph.node[-1]
    twice = helper.make_node("Concat", [last.input[0]] * 2, ["twice"], axis=-1)
    model.graph.node.insert(len(model.graph.node) - 1, twice)
    last.input[0] = "twice"
    model.graph.output[0].type.tensor_type.shape.dim[2].dim_value = 32
    onnx.save(model, tmp_path / "wide.onnx")
    with pytest.raises(ConfigError, match="16 and 32 numbers"):
        study(models[0], tmp_path / "wide.onnx", TEXTS)


def test_models_of_other_weights_are_refused(models: tuple[Path, Path], tmp_path: Path) -> None:
    random = np.random.default_rng(5)
    model = bert()
    for tensor in model.graph.initializer:
        if len(tensor.dims) == 2 and tensor.data_type == onnx.TensorProto.FLOAT:
            array = random.normal(size=tuple(tensor.dims)).astype(np.float32)
            tensor.CopyFrom(numpy_helper.from_array(array, tensor.name))
    onnx.save(model, tmp_path / "other.onnx")
    with pytest.raises(ConfigError, match=r"0 of the \d+ products with weights .*not a model and"):
        study(models[0], tmp_path / "other.onnx", TEXTS)
