"""The facts behind ``embedx inspect``, against what the model was made of."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from embedx.model.onnx_file import read_model
from embedx.observe.inspection import as_text, inspect_model, inspect_plan, plan_as_text
from embedx.run.engine import Engine
from embedx.text.deployment import read_deployment
from tests.models import model
from tests.tiny import HIDDEN, VOCABULARY, bert, deployment


def facts_of(proto: onnx.ModelProto, folder: Path) -> dict[str, Any]:
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return inspect_model(read_model(path), path, None)


def test_what_is_counted_is_what_the_file_has(tmp_path: Path) -> None:
    proto = bert(head=True)
    facts = facts_of(proto, tmp_path)
    assert facts["file_bytes"] == (tmp_path / "model.onnx").stat().st_size
    assert facts["opsets"] == {"ai.onnx": 17}
    assert sum(op["count"] for op in facts["operators"]) == facts["nodes"] == len(proto.graph.node)
    kinds = [node.op_type for node in proto.graph.node]
    assert {op["name"]: op["count"] for op in facts["operators"]} == {
        kind: kinds.count(kind) for kind in kinds
    }
    sizes: dict[str, int] = {}
    for tensor in proto.graph.initializer:
        array = numpy_helper.to_array(tensor)
        sizes[array.dtype.name] = sizes.get(array.dtype.name, 0) + array.size
    assert facts["weights"]["elements"] == sizes
    shapes = {m["name"]: m["shape"] for m in facts["weights"]["matrices"]}
    assert shapes["cls.decoder.weight"] == (HIDDEN, len(VOCABULARY))
    assert facts["outputs"] == [
        {"name": "logits", "type": f"float32[batch, sequence, {len(VOCABULARY)}]"}
    ]
    json.dumps(facts, allow_nan=False)


def quantized(point: int) -> onnx.ModelProto:
    proto = model(
        "g (uint8[N, 4] x) => (int32[N, 6] y) { y = MatMulInteger(x, w, z, wz) }", opset=17
    )
    weight = np.full((4, 6), 3, np.uint8)
    weight[0] = 7
    for name, value in (("w", weight), ("z", np.uint8(0)), ("wz", np.uint8(point))):
        proto.graph.initializer.append(numpy_helper.from_array(np.asarray(value), name))
    return proto


@pytest.mark.parametrize(("point", "share"), [(3, 0.75), (7, 0.25), (0, 0)])
def test_the_zero_point_is_what_means_zero(tmp_path: Path, point: int, share: float) -> None:
    (matrix,) = facts_of(quantized(point), tmp_path)["weights"]["matrices"]
    assert matrix["zeros"] == share


def test_zeros_of_sparse_tensors_are_those_that_are_not_stored(tmp_path: Path) -> None:
    proto = model("g (float[N, 2] x) => (float[N, 4] y) { y = MatMul(x, w) }")
    values = numpy_helper.from_array(np.array([1.0, 0.0], np.float32), "w")
    places = numpy_helper.from_array(np.array([1, 6]), "w_places")
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, [2, 4]))
    (matrix,) = facts_of(proto, tmp_path)["weights"]["matrices"]
    assert (matrix["shape"], matrix["zeros"]) == ((2, 4), 7 / 8)


def test_what_cannot_run_is_told_all_the_same(tmp_path: Path) -> None:
    proto = model(
        "g (float[N] x) => (float[N] y) { a = my.own.Zap(x)  y = Neg(a) }",
        imports=', "my.own" : 3',
    )
    facts = facts_of(proto, tmp_path)
    assert facts["products"] == []
    supported = {op["name"]: op["supported"] for op in facts["operators"]}
    assert supported == {"Zap": False, "Neg": True}
    text = as_text(facts)
    assert "operator        1 my.own::Zap  NOT SUPPORTED" in text
    assert "layer       none found" in text


def test_the_folder_is_part_of_it(tmp_path: Path) -> None:
    folder = deployment(tmp_path, pooling={"pooling_mode_mean_tokens": True})
    path = folder / "model.onnx"
    facts = inspect_model(read_model(path), path, read_deployment(path))
    assert facts["deployment"]["folder"] == str(folder)
    assert facts["deployment"]["max_seq_length"] == 48
    assert [m.partition("(")[0] for m in facts["deployment"]["modules"]][-2:] == [
        "Pooling",
        "Normalize",
    ]
    assert f"folder      {folder}" in as_text(facts)


def test_the_plan_covers_every_node_that_is_left() -> None:
    engine = Engine(bert())
    steps = inspect_plan(engine.plan)
    assert len(steps) == len([*engine.plan.walk()])
    lines = plan_as_text(steps).splitlines()
    assert len(lines) == len(steps)
    for step, line in zip(steps, lines, strict=True):
        assert f" {step['operator']} " in line
        assert all(name in line for name in step["covers"])
        assert (step["matrix"] in line) or not step["stored"]
    products = [s["matrix"] for s in steps if s["stored"]]
    assert any("query" in name for name in products)
