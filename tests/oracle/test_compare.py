"""Verdicts on planted faults and on healthy runtimes, through ``compare``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

import embedx
from embedx import Engine
from embedx.errors import ConfigError, InputError
from embedx.oracle.compare import compare
from tests.models import model
from tests.oracle.faults import (
    FAULTS,
    no_bias,
    other_axis,
    other_epsilon,
    scaled_column,
    set_weight,
    transposed,
)
from tests.oracle.quantized import dynamic, folder
from tests.tiny import bert, deployment

pytest.importorskip("onnxruntime")
LAYER = "bert.encoder.layer.1."


def planted(fault: Callable[[onnx.ModelProto], None]) -> onnx.ModelProto:
    found = bert()
    fault(found)
    return found


def rounded_weights(bits: int) -> Callable[[onnx.ModelProto], None]:
    """One weight matrix as a processor reads it that keeps so many bits of each factor."""

    def change(w: Any) -> Any:
        mask = np.uint32((0xFFFFFFFF << (23 - bits)) & 0xFFFFFFFF)
        return ((w.view(np.uint32) + np.uint32(1 << (22 - bits))) & mask).view(np.float32)

    return lambda m: set_weight(m, f"{LAYER}intermediate.dense.weight", change)


def one_weight(m: onnx.ModelProto) -> None:
    def change(w: Any) -> Any:
        w[3, 5] *= np.float32(1.00002)
        return w

    set_weight(m, f"{LAYER}attention.self.value.weight", change)


def scale_of_scores(m: onnx.ModelProto) -> None:
    division = next(
        n for n in m.graph.node if n.op_type in ("Div", "Mul") and "Softmax" not in n.name
    )
    name = next(i for i in division.input if any(t.name == i for t in m.graph.initializer))
    set_weight(m, name, lambda w: np.asarray(w * np.float32(1.01)))


@pytest.mark.parametrize(
    "fault",
    [scaled_column, transposed, other_epsilon, other_axis, no_bias, rounded_weights(10),
     rounded_weights(7)],
)  # fmt: skip
@pytest.mark.parametrize("engine", ["embedx", "onnxruntime:off"])
def test_a_fault_is_suspicious_and_found(fault: Any, engine: str) -> None:
    candidate = planted(fault)
    outside = compare(bert(), candidate, with_=engine)
    assert outside.verdict == "suspicious"
    assert outside.first is None
    inside = compare(bert(), candidate, with_=engine, level="nodes")
    assert inside.verdict in ("suspicious", "impossible")
    assert inside.first is not None
    if fault in FAULTS:
        assert inside.first.name == FAULTS[fault][0]
    assert not inside.passed


def test_one_weight_is_below_the_floor_of_outputs_and_found_at_nodes() -> None:
    candidate = planted(one_weight)
    assert compare(bert(), candidate).verdict == "rounding"
    found = compare(bert(), candidate, level="nodes")
    assert found.verdict == "suspicious"
    assert found.first is not None
    assert "differs in 1 of 256 elements, most at [3, 5]" in found.why


@pytest.mark.parametrize("level", ["outputs", "sites", "nodes"])
@pytest.mark.parametrize(
    "engine", ["embedx", "embedx:plain", "onnxruntime", "onnxruntime:off", "onnx.reference"]
)
def test_healthy_runtimes_round(engine: str, level: Any) -> None:
    found = compare(bert(), with_=engine, level=level)
    assert found.verdict == "rounding", str(found)
    ratios = [o.noise_ratio for o in found.outputs]
    assert all(r is not None and r < 3 for r in ratios)
    assert compare(bert(), with_="embedx:exact", level=level).verdict == "identical"


@pytest.mark.parametrize("engine", ["embedx", "embedx:plain", "onnxruntime", "onnxruntime:off"])
def test_healthy_quantized_models_flip_at_most(engine: str, tmp_path: Path) -> None:
    path = dynamic(folder(tmp_path), tmp_path / "int8.onnx")
    for level in ("outputs", "nodes"):
        found = compare(path, with_=engine, level=level)
        assert found.passed, str(found)


def test_a_rounded_copy_is_measured_by_what_its_steps_must_add(tmp_path: Path) -> None:
    floats, path = bert(), dynamic(folder(tmp_path), tmp_path / "int8.onnx")
    for level in ("outputs", "sites", "nodes"):
        found = compare(floats, path, level=level)
        assert found.verdict == "quantization", str(found)
    quantized = onnx.load(path)
    zero = next(
        t for t in quantized.graph.initializer
        if "intermediate.dense" in t.name and "zero_point" in t.name
    )  # fmt: skip
    array = numpy_helper.to_array(zero)
    zero.CopyFrom(
        numpy_helper.from_array((array.astype(np.int16) + 9).astype(array.dtype), zero.name)
    )
    found = compare(floats, quantized, level="nodes")
    assert found.verdict == "suspicious"
    assert found.first is not None
    assert "intermediate" in " ".join(found.first.covers) or "MatMul" in found.first.op_type


def test_padding_that_leaks_is_found_by_made_up_inputs() -> None:
    def leak(m: onnx.ModelProto) -> None:
        name = next(
            t.name for t in m.graph.initializer
            if numpy_helper.to_array(t).size == 1 and abs(numpy_helper.to_array(t).item()) > 1e30
        )  # fmt: skip
        set_weight(m, name, lambda w: np.full_like(w, -2))

    assert compare(bert(), planted(leak)).verdict == "suspicious"


def test_saturated_sums_are_impossible() -> None:
    text = """g (uint8[M, K] a, int8[K, N] b) => (float[M, N] y) {
        i = MatMulInteger(a, b)  y = Cast<to = 1>(i) }"""
    feeds = {"a": np.full((2, 8), 255, np.uint8), "b": np.full((8, 3), 127, np.int8)}
    right = Engine(model(text)).run(feeds)[0]
    assert compare(model(text), {"y": right}, inputs=feeds).verdict == "identical"
    pairs = np.float32(4 * (2**15 - 1))
    wrong = {"y": np.full((2, 3), pairs), "i": np.full((2, 3), pairs, np.int32)}
    found = compare(model(text), wrong, inputs=feeds, level="nodes")
    assert found.verdict == "impossible"
    assert found.first is not None
    assert found.first.op_type == "MatMulInteger"


def test_flips_explain_a_quantized_model_and_are_counted() -> None:
    # Every product lies at a tie, so that the smallest error decides.
    text = """g (float[1, N] x) => (float[1, N] y)
        <float scale = {1.0}, uint8 zero = {128}, float third = {0.33333334}, float three = {3.0}> {
        a = Mul(x, third)  b = Mul(a, three)
        q = QuantizeLinear(b, scale, zero)  y = DequantizeLinear(q, scale, zero) }"""
    x = np.arange(0.5, 64.5, dtype=np.float32)[None]
    engine = Engine(model(text), precision="exact")
    values = {v.step.node.outputs[0]: v.outputs[0] for v in engine.walk([x])}
    moved = {**values, "b": np.nextafter(values["b"], np.float32(1e9))}
    moved["q"] = np.clip(np.floor(moved["b"] + 0.5) + 128, 0, 255).astype(np.uint8)
    moved["y"] = moved["q"].astype(np.float32) - 128
    found = compare(model(text), moved, inputs={"x": x}, level="nodes")
    assert found.verdict == "quantization", str(found)
    assert found.flips > 10
    assert "QuantizeLinear" in found.why
    assert compare(model(text), {"y": moved["y"]}, inputs={"x": x}).verdict == "quantization"


def test_values_come_from_files_and_folders(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    onnx.save(bert(), path)
    engine = Engine(path, precision="exact")
    feeds = dict(zip(engine.input_names, engine.generate_random_inputs(2, 5), strict=True))
    (output,) = engine.run(feeds)
    np.savez(tmp_path / "in.npz", **feeds)
    np.savez(tmp_path / "out.npz", last_hidden_state=output)
    found = compare(path, tmp_path / "out.npz", inputs=tmp_path / "in.npz")
    assert found.verdict == "identical"
    np.savez(tmp_path / "out.npz", last_hidden_state=output * np.float32(1.001))
    assert compare(path, tmp_path / "out.npz", inputs=tmp_path / "in.npz").verdict == "suspicious"
    with pytest.raises(ConfigError, match="give these, too"):
        compare(path, tmp_path / "out.npz")
    with pytest.raises(InputError, match=r"no value of the output .last_hidden_state"):
        compare(path, {"other": output}, inputs=feeds)
    with pytest.raises(InputError, match="has 1 runs, the inputs are 2"):
        compare(path, {"last_hidden_state": output}, inputs=[feeds, feeds])


def test_what_a_candidate_does_not_give_or_gives_otherwise_is_no_rounding() -> None:
    text = "g (float[N] x) => (float[N] y, float[N] z) { y = Neg(x)  z = Abs(x) }"
    x = np.array([1, -2], np.float32)
    right = {"y": -x, "z": np.abs(x)}
    assert compare(model(text), right, inputs={"x": x}).verdict == "identical"
    with pytest.raises(InputError, match="no value of the output 'z'"):
        compare(model(text), {"y": -x}, inputs={"x": x})
    for other in (right["z"] > 9, right["z"].astype(np.int8), right["z"].astype(np.complex64)):
        found = compare(model(text), {**right, "z": other}, inputs={"x": x})
        assert found.verdict == "impossible"
        assert f"its type is {other.dtype} instead of float32" in found.why
    with pytest.raises(InputError, match="computes no output"):
        compare(model("g () => (float[1] y) <float[1] y = {1}> { }"), inputs={})


def test_sequences_are_compared_by_their_items() -> None:
    text = "g (float[N] x) => (seq(float[N]) y) { a = Neg(x)  y = SequenceConstruct(x, a) }"
    other = text.replace("Neg", "Abs")
    x = {"x": np.array([1, -2], np.float32)}
    assert compare(model(text), inputs=x).passed
    assert compare(model(text), model(other), inputs=x).verdict == "suspicious"


def test_other_fills_of_a_mask_are_no_fault_but_weak_ones_are() -> None:
    text = """g (float[T, T] x, float[T, T] mask) => (float[T, T] y) <float fill = {FILL}> {
        m = Mul(mask, fill)  s = Add(x, m)  y = Softmax(s) }"""
    random = np.random.default_rng(0)
    x = random.standard_normal((6, 6)).astype(np.float32)
    feeds = {"x": x, "mask": np.triu(np.ones((6, 6), np.float32), 1)}
    reference = model(text.replace("FILL", "-3.4e38"))
    for fill, passes in (("-1e9", True), ("-65504.0", True), ("-3.0", False)):
        candidate = model(text.replace("FILL", fill))
        found = compare(reference, candidate, inputs=feeds, level="sites")
        assert found.passed is passes, str(found)


def test_one_wrong_scale_of_many_is_found(tmp_path: Path) -> None:
    path = dynamic(folder(tmp_path), tmp_path / "int8.onnx", per_channel=True)
    assert compare(bert(), path, level="nodes").passed
    quantized = onnx.load(path)

    def wrong(scale: Any) -> Any:
        changed = np.array(scale)
        changed[3] *= np.float32(2)
        return changed

    name = next(
        t.name for t in quantized.graph.initializer
        if t.name.endswith("weight_scale") and "intermediate" in t.name
    )  # fmt: skip
    set_weight(quantized, name, wrong)
    found = compare(bert(), quantized, level="nodes")
    assert found.verdict == "suspicious"
    assert "at [..., 3]" in found.why


def test_texts_are_compared_by_the_models_own_tokenizer(tmp_path: Path) -> None:
    place = deployment(tmp_path, bert())
    found = compare(place, texts=["the cat sat", "a dog"], with_="onnxruntime")
    assert found.verdict == "rounding"
    assert [feeds["input_ids"] for feeds in found.inputs] == ["int64[2, 5]"]


def test_those_who_insist_have_a_tolerance() -> None:
    assert compare(bert(), atol=1e-4).verdict == "rounding"
    found = compare(bert(), rtol=1e-9, atol=0)
    assert found.verdict == "suspicious"
    assert "beyond the tolerance" in found.why


def test_the_line_can_be_moved() -> None:
    assert not compare(bert(), allow="identical").passed
    assert compare(bert(), planted(scaled_column), allow="suspicious").passed


def test_the_document_keeps_its_contract() -> None:
    found = compare(bert(), planted(scaled_column), with_="onnxruntime", level="nodes").document
    assert json.loads(json.dumps(found)) == found
    assert found["schema"] == "embedx.compare/1"
    assert {
        "verdict", "exit", "reference", "candidate", "environment", "inputs", "outputs", "nodes",
        "first",
    } <= found.keys()  # fmt: skip
    assert {
        "name", "verdict", "noise_ratio", "max_abs", "max_rel", "cosine", "flips"
    } <= found["outputs"][0].keys()  # fmt: skip
    keys = {"name", "op_type", "site", "verdict", "local", "cumulative"}
    assert all(keys <= node.keys() for node in found["nodes"])
    assert {"node", "op_type", "site", "covers", "why"} <= found["first"].keys()
    assert found["exit"] == 1
    assert found["cost"]["exact_runs"] == 9


def test_the_same_seed_gives_the_same_ratio() -> None:
    ratios = [compare(bert(), seed=4).outputs[0].noise_ratio for _ in range(2)]
    assert ratios[0] == ratios[1]
    assert ratios[0] != compare(bert(), seed=5).outputs[0].noise_ratio


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"level": "layers"}, "level is outputs, sites or nodes"),
        ({"allow": "all"}, "allow is one of"),
        ({"samples": 1}, "samples must be at least 2"),
        ({"texts": ["a"], "inputs": {}}, "not both"),
    ],
)
def test_what_makes_no_sense_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        compare(bert(), **options)


def test_compare_is_a_public_name() -> None:
    assert embedx.compare is compare
