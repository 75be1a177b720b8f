"""What half precision does, against models that a converter has converted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from onnx import helper

from embedx.oracle.half import in_half
from embedx.oracle.quant import InHalf, study
from tests.oracle.quantized import TEXTS, folder, scaled
from tests.tiny import bert


def looked_at(source: Path) -> InHalf:
    found = study(source, None, TEXTS, half=True).half
    assert found is not None
    return found


MODELS = {
    "overflow": lambda: scaled(bert(), "layer.1.output.dense.weight", 6e4),
    "large weights": lambda: scaled(bert(), "layer.1.output.dense.weight", 3e5),
    "tiny variance": lambda: scaled(bert(opset=13), "_embeddings.", 1e-5),
    "tiny": lambda: scaled(bert(), "_embeddings.", 1e-7),
}
"""What breaks in half precision, if a node in it is not left in float32."""


def test_a_healthy_model_has_no_troubles(tmp_path: Path) -> None:
    found = looked_at(folder(tmp_path))
    assert found.half.troubles == ()
    assert found.half.node_block_list == ()
    assert found.half.first is None
    assert found.cosine > 0.99999


@pytest.mark.parametrize("name", MODELS)
def test_with_the_list_a_converted_model_is_as_foretold(tmp_path: Path, name: str) -> None:
    converters = pytest.importorskip("onnxruntime.transformers.onnx_model")
    source = folder(tmp_path / "float", MODELS[name]())
    found = looked_at(source)
    assert found.half.node_block_list
    assert not found.half.nameless
    assert found.with_list > 0.99999
    assert not found.cosine > 0.9999
    for names, foretold in ((found.half.node_block_list, found.with_list), ((), found.cosine)):
        model = converters.OnnxModel(onnx.load(source / "model.onnx"))
        model.convert_float_to_float16(
            use_symbolic_shape_infer=False, keep_io_types=True, node_block_list=list(names)
        )
        onnx.save(model.model, tmp_path / "half.onnx")
        if np.isnan(foretold):
            with pytest.raises(Exception, match=r"gives no numbers for text \d"):
                study(source, tmp_path / "half.onnx", TEXTS, regain_texts=1)
            continue
        lost = study(source, tmp_path / "half.onnx", TEXTS, regain_texts=1).lost
        assert lost is not None
        assert lost.consequences.mean_cosine == pytest.approx(foretold, abs=1e-6)


def test_an_overflow_is_named_with_who_makes_it_and_who_reads_it(tmp_path: Path) -> None:
    model = MODELS["overflow"]()
    found = looked_at(folder(tmp_path, model)).half
    product = next(n for n in model.graph.node if "layer.1.output.dense.weight" in "".join(n.input))
    assert found.first is not None
    assert (found.first.node.name, found.first.what) == (product.name, "Inf")
    assert found.troubles[0].node.name == product.name
    assert found.troubles[0].largest > 65504
    assert found.troubles[0].overflows > 0
    norm = [n.name for n in model.graph.node if n.op_type == "LayerNormalization"][-1]
    assert found.node_block_list[0] == product.name
    assert norm in found.node_block_list


def test_what_is_lost_by_being_small_is_named(tmp_path: Path) -> None:
    found = looked_at(folder(tmp_path, MODELS["tiny variance"]())).half
    assert {t.node.op_type for t in found.troubles} >= {"Pow", "ReduceMean"}
    assert all(t.lost and not t.overflows for t in found.troubles)


def test_masks_may_be_infinite(tmp_path: Path) -> None:
    # Padded texts add -65504, cut off from float32's least number, to scores of some -10.
    found = looked_at(folder(tmp_path, scaled(bert(), "attention.self", 8)))
    assert found.half.troubles == ()
    assert found.cosine > 0.999


def test_a_model_that_breaks_in_float32_is_named(tmp_path: Path) -> None:
    model = bert()
    last = model.graph.node[-1]
    model.graph.node.insert(
        len(model.graph.node) - 1, helper.make_node("Sqrt", [last.input[0]], ["root"], name="root")
    )
    last.input[0] = "root"
    broken = looked_at(folder(tmp_path, model)).half.first_in_float
    assert broken is not None
    assert (broken.node.name, broken.what) == ("root", "NaN")


@given(st.floats(width=32, allow_nan=False))
def test_constants_stay_finite_and_none_becomes_zero(x: float) -> None:
    half = float(in_half(np.array(x, np.float32)))
    assert np.isinf(half) == np.isinf(x)
    assert (half == 0) == (x == 0)
    if 6.2e-5 < abs(x) < 65504:
        assert half == float(np.float16(x))
