"""Overflows of 16 bits, against the instruction written out in Python's own integers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from embedx.model.graph import Array, Node
from embedx.oracle.quant import study
from embedx.oracle.quantization import Side, pairs_of
from embedx.oracle.saturation import Overflow, risks, saturating
from embedx.run.engine import Engine
from embedx.text.embedder import load
from tests.oracle.quantized import TEXTS, dynamic, folder, scaled
from tests.oracle.test_products import CODES, FORMS, REFERENCE, SCALE, SCALES, W, X, graph, node
from tests.tiny import bert


def vpmaddubsw(a: Array, b: Array) -> tuple[int, list[list[int]]]:
    """The number of sums of pairs that saturate, and the product that comes of them."""
    count = 0
    product: list[list[int]] = []
    for row in a.tolist():
        product.append([])
        for column in b.T.tolist():
            total = 0
            for i in range(0, len(row), 2):
                exact = sum(x * y for x, y in zip(row[i : i + 2], column[i : i + 2], strict=True))
                kept = max(-32768, min(32767, exact))
                count += kept != exact
                total += kept
            product[-1].append(total)
    return count, product


edges = st.sampled_from([0, 1, 2, 127, 128, 129, 254, 255])


@given(st.data(), st.integers(1, 7), st.integers(1, 4), st.integers(1, 3))
def test_sums_saturate_as_the_instruction_does(
    data: st.DataObject, inner: int, rows: int, columns: int
) -> None:
    a = data.draw(arrays(np.uint8, (rows, inner), elements=edges | st.integers(0, 255)))
    signed = st.sampled_from([-128, -127, -65, -64, 0, 63, 64, 126, 127]) | st.integers(-128, 127)
    b = data.draw(arrays(np.int8, (inner, columns), elements=signed))
    counts, excess = saturating(a, risks(b), columns)
    count, product = vpmaddubsw(a, b)
    assert counts.sum() == count
    exact = a.astype(np.int64) @ b.astype(np.int64)
    np.testing.assert_array_equal(exact + excess, product)


@given(arrays(np.int8, (6, 4), elements=st.integers(-64, 64)))
def test_seven_bits_never_saturate(b: Array) -> None:
    assert not len(risks(b).pairs)


@pytest.mark.parametrize("form", ["per tensor", "per channel"])
def test_a_models_sums_are_counted(tmp_path: Path, form: str) -> None:
    source = folder(tmp_path / "float", scaled(bert(), "dense.weight", 3))
    target = dynamic(source, tmp_path / "int8.onnx", per_channel=form == "per channel")
    found = study(source, target, TEXTS, regain_texts=1).lost
    assert found is not None
    assert found.saturation is not None
    model = load(source).text_model
    expected: dict[str, list[int]] = {}

    def count(node: Node, inputs: Any, _: Any) -> None:
        if node.op_type == "MatMulInteger":
            a, b = inputs[0], inputs[1]
            expected.setdefault(node.name, []).append(vpmaddubsw(a.reshape(-1, len(b)), b)[0])

    engine = Engine(target, precision="exact")
    for text in model.tokens(TEXTS, 64):
        engine.run(model.feeds([text], len(text.ids)), observe=count)
    counted = {o.pair.candidate.node.name: list(o.texts) for o in found.saturation.products}
    assert counted == expected
    assert any(map(any, counted.values()))
    if form == "per tensor":
        assert found.saturation.saturated != found.saturation.cosine


def test_seven_bits_are_foretold(tmp_path: Path) -> None:
    source = folder(tmp_path / "float")
    full = study(source, dynamic(source, tmp_path / "int8.onnx"), TEXTS, regain_texts=1).lost
    reduced = dynamic(source, tmp_path / "int7.onnx", reduce_range=True)
    really = study(source, reduced, TEXTS, regain_texts=1).lost
    assert full is not None
    assert full.saturation is not None
    assert really is not None
    assert really.saturation is not None
    assert sum(o.overflows for o in really.saturation.products) == 0
    mean = really.consequences.mean_cosine
    assert 1 - full.saturation.seven_bits == pytest.approx(1 - mean, rel=0.02)


def test_unsigned_weights_do_not_saturate(tmp_path: Path) -> None:
    from onnxruntime.quantization import QuantType

    source = folder(tmp_path / "float")
    target = dynamic(source, tmp_path / "u8.onnx", weight_type=QuantType.QUInt8)
    found = study(source, target, TEXTS, regain_texts=1).lost
    assert found is not None
    assert found.saturation is None


SIGNED = [form for form in FORMS if form not in ("MatMul", "MatMulNBits")]


@pytest.mark.parametrize("form", SIGNED)
def test_all_forms_of_signed_weights_are_counted(form: str) -> None:
    sides = Side(REFERENCE), Side(FORMS[form])
    counted = Overflow(sides[1], pairs_of(sides))
    (pair,) = counted.pairs
    large = np.where(np.arange(8) % 2, 40, 60).astype(np.float32) * np.sign(X)
    values = sides[1].values({"x": large}, pair.candidate.edges)
    counted.look(values)
    codes = values.get(pair.candidate.a.integers)
    if codes is None:  # which DynamicQuantizeMatMul makes inside
        low, high = large.min(), large.max()
        scale = (high - low) / np.float32(255)
        codes = np.clip(np.rint(large / scale) + np.rint(-low / scale), 0, 255).astype(np.uint8)
    assert counted.counts[pair] == [vpmaddubsw(codes.reshape(-1, 8), CODES)[0]]
    assert counted.sums[pair] == 6 * 4 * 4


def test_stacks_of_matrices_are_left_out() -> None:
    stacked = np.stack([W, W[::-1]])
    integers = np.rint(stacked / SCALE).astype(np.int8)
    again = [
        node("QuantizeLinear", "x a_scale a_zero", "q"),
        node("DequantizeLinear", "q a_scale a_zero", "x_again"),
        node("DequantizeLinear", "w w_scale w_zero", "w_again"),
        node("MatMul", "x_again w_again", "y"),
    ]
    other = graph(again, w=integers, w_scale=SCALE, w_zero=np.int8(0), **SCALES)
    sides = Side(graph([node("MatMul", "x w", "y")], w=stacked)), Side(other)
    counted = Overflow(sides[1], pairs_of(sides))
    assert counted.pairs == []
    assert len(counted.uncounted) == 1
