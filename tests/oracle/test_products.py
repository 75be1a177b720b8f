"""Products in all the ways in which they are written, and their equals in another file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import TensorProto, helper, numpy_helper

from embedx.model.graph import Array, Graph
from embedx.model.onnx_file import read_model
from embedx.oracle.products import Products, paired
from embedx.oracle.quantization import Side
from embedx.rewrite.normal import normal_form
from tests.oracle.quantized import dynamic, folder

RNG = np.random.default_rng(5)
X = RNG.normal(size=(2, 3, 8)).astype(np.float32)
W = RNG.normal(size=(8, 4)).astype(np.float32)
BIAS = RNG.normal(size=4).astype(np.float32)
SCALE = np.float32(np.abs(W).max() / 127)
CODES = np.rint(W / SCALE).astype(np.int8)
A_SCALE, A_ZERO = np.float32(6 / 255), np.uint8(128)
Y_SCALE, Y_ZERO = np.float32(20 / 255), np.uint8(120)
MICROSOFT = "com.microsoft"


def graph(nodes: list[Any], **constants: Any) -> Graph:
    """A graph of x (2, 3, 8) and y with these nodes."""
    made = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, list(X.shape))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [2, 3, 4])],
        [numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(MICROSOFT, 1)]
    model = helper.make_model(made, opset_imports=opsets, ir_version=8)
    return normal_form(read_model(model.SerializeToString()))


def node(kind: str, inputs: str, outputs: str, **attributes: Any) -> Any:
    """A node; ``kind`` may have its domain in front."""
    domain, _, name = kind.rpartition("::")
    taken = ["" if i == "_" else i for i in inputs.split()]
    return helper.make_node(name, taken, outputs.split(), domain=domain, **attributes)


QUANTIZED = node("QuantizeLinear", "x a_scale a_zero", "q")
DYNAMIC = node("DynamicQuantizeLinear", "x", "q a_scale a_zero")
SCALES = {"a_scale": A_SCALE, "a_zero": A_ZERO}
WEIGHTS = {"w": CODES, "w_scale": SCALE, "w_zero": np.int8(0)}
RESULT = {"y_scale": Y_SCALE, "y_zero": Y_ZERO}

FORMS: dict[str, Graph] = {
    "MatMul": graph([node("MatMul", "x w", "y")], w=W),
    "MatMulInteger": graph(
        [
            DYNAMIC,
            node("MatMulInteger", "q w a_zero w_zero", "sums"),
            node("Cast", "sums", "floats", to=1),
            node("Mul", "a_scale w_scale", "scale"),
            node("Mul", "floats scale", "y"),
        ],
        **WEIGHTS,
    ),
    "MatMulInteger with a bias": graph(
        [
            QUANTIZED,
            node("MatMulInteger", "q w a_zero w_zero", "sums"),
            node("Add", "sums bias", "biased"),
            node("Cast", "biased", "floats", to=1),
            node("Mul", "floats scale", "y"),
        ],
        bias=np.rint(BIAS / SCALE / A_SCALE).astype(np.int32),
        scale=SCALE * A_SCALE,
        **SCALES,
        **WEIGHTS,
    ),
    "QDQ": graph(
        [
            QUANTIZED,
            node("DequantizeLinear", "q a_scale a_zero", "x_again"),
            node("DequantizeLinear", "w w_scale w_zero", "w_again"),
            node("MatMul", "x_again w_again", "y"),
        ],
        **SCALES,
        **WEIGHTS,
    ),
    "QLinearMatMul": graph(
        [
            QUANTIZED,
            node(
                "QLinearMatMul",
                "q a_scale a_zero w w_scale w_zero y_scale y_zero",
                "codes",
            ),
            node("DequantizeLinear", "codes y_scale y_zero", "y"),
        ],
        **SCALES,
        **WEIGHTS,
        **RESULT,
    ),
    "MatMulIntegerToFloat": graph(
        [
            DYNAMIC,
            node(
                "com.microsoft::MatMulIntegerToFloat",
                "q w a_scale w_scale a_zero w_zero bias",
                "y",
            ),
        ],
        bias=BIAS,
        **WEIGHTS,
    ),
    "DynamicQuantizeMatMul": graph(
        [node("com.microsoft::DynamicQuantizeMatMul", "x w w_scale w_zero bias", "y")],
        bias=BIAS,
        **WEIGHTS,
    ),
    "MatMulNBits": graph(
        [
            node(
                "com.microsoft::MatMulNBits", "x w scales _ _ bias", "y",
                K=8, N=4, bits=8, block_size=16,
            )
        ],
        w=np.pad((CODES.astype(int) + 128).astype(np.uint8).T, ((0, 0), (0, 8)))[:, None],
        scales=np.full(4, SCALE),
        bias=BIAS,
    ),
}  # fmt: skip
REFERENCE = FORMS["MatMul"]


@pytest.mark.parametrize("form", FORMS)
def test_a_product_is_read_as_real_numbers(form: str) -> None:
    side = Side(FORMS[form])
    (product,) = side.products.all
    values = side.values({"x": X}, product.edges)
    np.testing.assert_allclose(product.a.real(values), X, atol=6 / 255)
    steps = 6 / 255 * np.abs(W).sum(axis=0) + SCALE * np.abs(X).sum(axis=-1, keepdims=True)
    assert (np.abs(product.value(values) - X @ W) <= steps + Y_SCALE).all()


@pytest.mark.parametrize("form", FORMS)
def test_the_same_product_instead_changes_nothing(form: str) -> None:
    side = Side(FORMS[form])
    (product,) = side.products.all
    before = side.values({"x": X})["y"]
    after = side.values(
        {"x": X}, product.edges, {product.target: lambda v: product.instead(product.value(v), v)}
    )["y"]
    np.testing.assert_allclose(after, before, atol=1e-6)


@pytest.mark.parametrize("form", FORMS)
def test_the_float_product_instead_gives_what_floats_give(form: str) -> None:
    side, exact = Side(FORMS[form]), X.astype(np.float64) @ W
    (product,) = side.products.all
    y = side.values({"x": X}, product.edges, {product.target: lambda v: product.instead(exact, v)})
    bias = BIAS if "bias" in side.products.constants else 0
    rounding = Y_SCALE / 2 + 1e-6 if form == "QLinearMatMul" else SCALE * A_SCALE
    np.testing.assert_allclose(y["y"], exact + bias, atol=float(rounding))


@pytest.mark.parametrize("form", FORMS)
def test_forms_are_paired_by_their_weights_alone(form: str) -> None:
    ours, theirs = Products(REFERENCE), Products(FORMS[form])
    assert len(paired(ours.all, theirs.all)) == 1
    other = graph([node("MatMul", "x w", "y")], w=RNG.normal(size=(8, 4)).astype(np.float32))
    assert paired(Products(other).all, theirs.all) == []


def chain(weights: list[Array], names: list[str]) -> Graph:
    """Products of x, one behind the other, whose nodes have these names."""
    edges = ["x", *(f"e{i}" for i in range(len(weights) - 1)), "y"]
    nodes = [
        helper.make_node("MatMul", [edges[i], f"w{i}"], [edges[i + 1]], name=name)
        for i, name in enumerate(names)
    ]
    return graph(nodes, **{f"w{i}": w for i, w in enumerate(weights)})


@settings(max_examples=25)
@given(st.permutations(range(5)), st.booleans())
def test_pairs_do_not_depend_on_order_and_names(order: list[int], named: bool) -> None:
    weights = [RNG.normal(size=(8, 8)).astype(np.float32) for _ in range(5)]
    names = [f"layer{i}" for i in range(5)]
    a = chain(weights, names)
    rounded = [(np.rint(weights[i] * 10) / 10).astype(np.float32) for i in order]
    b = chain(rounded, [f"{names[i]}_quant" if named else f"n{i}" for i in order])
    found = paired(Products(a).all, Products(b).all)
    weight = {p.node.name: p.b.edge for g in (a, b) for p in Products(g).all}
    assert len(found) == 5
    for one, other in found:
        left = a.initializers[weight[one.node.name]]
        right = b.initializers[weight[other.node.name]]
        assert isinstance(left, np.ndarray)
        assert isinstance(right, np.ndarray)
        np.testing.assert_allclose(left, right, atol=0.051)


def test_tied_weights_are_paired_in_order() -> None:
    weight = RNG.normal(size=(8, 8)).astype(np.float32)
    a, b = (chain([weight] * 4, [f"{c}{i}" for i in range(4)]) for c in "ab")
    found = paired(Products(a).all, Products(b).all)
    assert [(x.node.name, y.node.name) for x, y in found] == [(f"a{i}", f"b{i}") for i in range(4)]


def test_a_name_is_no_proof() -> None:
    weights = [RNG.normal(size=(8, 8)).astype(np.float32) for _ in range(2)]
    a, b = chain(weights, ["one", "two"]), chain(weights[::-1], ["one", "two"])
    found = paired(Products(a).all, Products(b).all)
    assert [(x.node.name, y.node.name) for x, y in found] == [("one", "two"), ("two", "one")]


@pytest.mark.parametrize("ops", [["MatMul"], ["MatMul", "Gather"]])
def test_all_products_of_a_quantized_model_are_paired(tmp_path: Path, ops: list[str]) -> None:
    source = folder(tmp_path / "float")
    target = dynamic(source, tmp_path / "int8.onnx", op_types_to_quantize=ops)
    sides = [Products(normal_form(read_model(p))) for p in (source / "model.onnx", target)]
    found = paired(sides[0].all, sides[1].all)
    assert len(found) == len(sides[0].all) == len(sides[1].all)
    names = {n.name for n in onnx.load(source / "model.onnx").graph.node}
    for one, other in found:
        assert one.node.name in names
        assert other.node.name in (one.node.name, f"{one.node.name}_quant")
    tables = [other for _, other in found if other.looks_up]
    assert all(t.rounded == ("Gather" in ops) for t in tables)
