"""Where a candidate parts, and what makes it: with faults in files, in a runtime, in none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from embedx.errors import ConfigError
from embedx.oracle.bisect import bisect
from tests.oracle import faults
from tests.oracle.faults import FAULTS, Fault, bisected
from tests.tiny import VOCABULARY, bert


def two_files(folder: Path) -> tuple[Path, Path]:
    """A model, and a copy of it."""
    paths = folder / "model.onnx", folder / "candidate.onnx"
    for path in paths:
        onnx.save(bert(), path)
    return paths


@pytest.mark.parametrize("engine", ["embedx", "onnxruntime"])
@pytest.mark.parametrize("fault", FAULTS, ids=lambda f: f.__name__)
def test_a_fault_in_a_file_is_found_in_any_engine(fault: Fault, engine: str) -> None:
    found = bisected(fault, engine)
    node, cause = FAULTS[fault]
    assert found.first is not None
    assert node in found.first.covers
    assert found.cause is not None
    assert (found.cause.kind, found.cause.names) == ("file", (cause,))
    assert found.piece is not None
    assert {n.name for n in found.piece.graph.nodes} == set(found.first.covers)


def test_of_several_faults_the_first_counts_and_the_others_are_named() -> None:
    model = bert()
    for fault in FAULTS:
        fault(model)
    found = bisect(bert(), model, with_="embedx:plain")
    assert found.first is not None
    assert found.first.name == "MatMul_47"
    assert found.cause is not None
    assert found.cause.names == (f"{faults.LAYER}attention.self.query.weight",)
    assert {p.name for p in found.others} == {node for node, _ in FAULTS.values()} - {"MatMul_47"}


@pytest.mark.parametrize("engine", ["embedx", "onnxruntime"])
def test_equal_files_do_not_part(tmp_path: Path, engine: str) -> None:
    found = bisect(*two_files(tmp_path), with_=engine, seeds=3)
    assert not found.parted
    assert found.document["exit"] == 0
    assert found.document["input"] is None
    assert str(found).startswith("They do not part on 3 inputs")


def test_the_optimizer_that_makes_a_difference_is_found() -> None:
    found = bisect(faults.scaling(), inputs={"x": faults.large()})
    assert found.first is not None
    assert found.first.covers == ("scale", "product")
    assert found.cause is not None
    assert (found.cause.kind, found.cause.names) == ("optimizers", ("MatMulScaleFusion",))
    assert found.piece is not None
    assert [n.name for n in found.piece.graph.nodes] == ["scale", "product"]


def test_without_optimizers_the_same_model_is_right() -> None:
    assert not bisect(
        faults.scaling(), with_="onnxruntime:off", inputs={"x": faults.large()}
    ).parted


def test_another_file_is_not_blamed_for_what_the_runtime_makes_of_both() -> None:
    found = bisect(faults.scaling(), faults.scaling(), inputs={"x": faults.large()})
    assert found.cause is not None
    assert (found.cause.kind, found.cause.names) == ("optimizers", ("MatMulScaleFusion",))


def test_the_input_that_shows_it_is_found(tmp_path: Path) -> None:
    """Only the word 'dog' is another one."""
    model, candidate = bert(), bert()
    dog = VOCABULARY.index("dog")

    def change(table: NDArray[Any]) -> NDArray[Any]:
        table[dog] *= 2
        return table

    faults.set_weight(candidate, "bert.embeddings.word_embeddings.weight", change)
    ids = [np.full((1, 4), word) for word in (5, 6, dog, 9)]
    feeds = [
        {"input_ids": i, "attention_mask": np.ones_like(i), "token_type_ids": np.zeros_like(i)}
        for i in ids
    ]
    found = bisect(model, candidate, with_="embedx:plain", inputs=feeds)
    assert found.first is not None
    assert found.first.op_type == "Gather"
    assert found.first.run == 2
    assert found.document["input"]["index"] == 2
    assert found.piece is not None
    assert np.array_equal(found.piece.feeds["input_ids"], ids[2])
    assert "input      number 3 of 4 shows it best" in str(found)
    del feeds[2]
    assert not bisect(model, candidate, with_="embedx:plain", inputs=feeds).parted


@pytest.mark.parametrize("behind_add", [False, True])
def test_a_piece_has_what_a_program_needs_to_fail(tmp_path: Path, behind_add: bool) -> None:
    onnx.save(bert(), tmp_path / "model.onnx")
    engine = faults.faulty_softmax(tmp_path, behind_add=behind_add)
    found = bisect(tmp_path / "model.onnx", with_=engine)
    assert found.first is not None
    assert found.first.name == "Softmax_24"
    assert [p.name for p in found.others] == ["Softmax_58"]
    assert found.cause is not None
    assert found.cause.kind == "engine"
    assert found.piece is not None
    kinds = [n.op_type for n in found.piece.graph.nodes]
    assert kinds == (["Add", "Softmax"] if behind_add else ["Softmax"])


def test_values_have_a_first_place_but_no_cause(tmp_path: Path) -> None:
    x = faults.large()
    values = {"r": np.maximum(x, 0), "rs": np.maximum(x, 0) * np.float32(1.01e-20)}
    found = bisect(faults.scaling(), values, inputs={"x": x})
    assert found.first is not None
    assert found.first.name == "scale"
    assert found.cause is not None
    assert found.cause.kind == "values"
    assert found.piece is None


def test_seeds_make_inputs_up(tmp_path: Path) -> None:
    model = two_files(tmp_path)[0]
    with pytest.raises(ConfigError, match="at least 1"):
        bisect(model, seeds=0)
    with pytest.raises(ConfigError, match="made up"):
        bisect(model, seeds=2, texts=["a"])


def test_an_inexact_kernel_of_onnxruntime() -> None:
    """Its DFT really is that inexact (onnxruntime 1.32)."""
    nodes = [
        helper.make_node("Unsqueeze", ["x", "last"], ["u"], name="unsqueeze"),
        helper.make_node("DFT", ["u", "", "one"], ["d"], name="dft"),
        helper.make_node("Gather", ["d", "zero"], ["y"], name="real", axis=-1),
    ]
    weights = {"last": [-1], "one": 1, "zero": 0}
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", 384]) for n in "xy")
    graph = helper.make_graph(
        nodes, "mixing", [x], [y],
        [numpy_helper.from_array(np.array(v), k) for k, v in weights.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    feeds = {"x": np.random.default_rng(0).normal(size=(4, 384)).astype(np.float32)}
    found = bisect(model, inputs=feeds)
    assert found.first is not None
    assert found.first.name == "dft"
    assert found.cause is not None
    assert (found.cause.kind, found.cause.names) == ("kernel", ())
    assert found.piece is not None
    assert [n.name for n in found.piece.graph.nodes] == ["dft"]


def test_an_optimizer_that_takes_one_pattern_for_another() -> None:
    found = bisect(faults.divided_the_wrong_way())
    assert found.cause is not None
    assert (found.cause.kind, found.cause.names) == ("optimizers", ("LayerNormFusionL2",))
    assert found.piece is not None
    kinds = [n.op_type for n in found.piece.graph.nodes]
    assert kinds.count("Div") == 1
    assert len(kinds) <= 10


def test_a_fault_in_a_file_of_half_precision() -> None:
    half = faults.in_half_precision(bert())
    assert not bisect(bert(), half, with_="embedx:plain").parted
    wrong = bert()
    faults.transposed(wrong)
    found = bisect(bert(), faults.in_half_precision(wrong), with_="embedx:plain")
    node, weight = FAULTS[faults.transposed]
    assert found.first is not None
    assert node in found.first.covers
    assert found.cause is not None
    assert (found.cause.kind, found.cause.names) == ("file", (weight,))
    assert found.piece is not None
    assert len(found.piece.graph.nodes) == len(found.first.covers)
