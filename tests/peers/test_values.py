"""Values from a runtime in a process of its own."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from embedx.errors import ConfigError
from embedx.model.onnx_file import read_model
from embedx.peers.process import Runtime, write_arrays
from tests.models import model

TEXT = "g (float[2] x) => (float[2] y) { t = Neg(x)  u = Identity(t)  y = Add(u, u) }"
X = np.array([1.5, -2], np.float32)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    place = tmp_path / "model.onnx"
    place.write_bytes(model(TEXT).SerializeToString())
    return place


@pytest.mark.parametrize("name", ["onnxruntime", "onnx.reference"])
def test_outputs_come_by_their_names(name: str, path: Path, tmp_path: Path) -> None:
    pytest.importorskip(name.partition(".")[0])
    with Runtime(name, {"model": str(path), "threads": 1}) as runtime:
        for x in (X, 2 * X):
            found = runtime.values({"x": x}, ["y"], tmp_path)
            np.testing.assert_array_equal(found["y"], -2 * x)


def test_an_optimized_model_is_saved_and_optimizers_are_left_out(
    path: Path, tmp_path: Path
) -> None:
    pytest.importorskip("onnxruntime")
    job = {"model": str(path), "threads": 1, "level": "all"}
    saved = tmp_path / "saved.onnx"
    Runtime("onnxruntime", {**job, "saved": str(saved)}).__exit__()
    assert "Identity" not in [n.op_type for n in read_model(saved).nodes]
    disabled = ["EliminateIdentity", "ConstantFolding"]
    Runtime("onnxruntime", {**job, "saved": str(saved), "disabled": disabled}).__exit__()
    assert "Identity" in [n.op_type for n in read_model(saved).nodes]


def test_what_the_runtime_says_is_passed_on(path: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    with Runtime("onnxruntime", {"model": str(path), "threads": 1}) as runtime:
        with pytest.raises(ConfigError, match=r"onnxruntime cannot run .*model\.onnx"):
            runtime.values({"x": X}, ["nothing"], tmp_path)
        found = runtime.values({"x": X}, ["y"], tmp_path)  # it lives on
        assert found["y"].tolist() == [-3, 4]


def test_arrays_of_any_name_are_written_without_pickles(tmp_path: Path) -> None:
    arrays = {"file": X, "a/b:0": np.array(["x", "yz"], object), "empty": np.zeros((0, 2))}
    write_arrays(tmp_path / "a.npz", arrays)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        assert file["file"].tolist() == X.tolist()
        assert file["a/b:0"].tolist() == ["x", "yz"]
        assert file["empty"].shape == (0, 2)
