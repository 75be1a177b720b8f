"""Goldens of whole models: what is written, replaced, copied and left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from embedx.errors import ConfigError, InputError
from embedx.model.onnx_file import read_model
from embedx.model.onnx_writer import write_model
from embedx.oracle import recording
from embedx.oracle.recording import check, feeds_of, golden_document, is_of, record
from tests.models import model
from tests.tiny import bert, deployment

X = np.array([[1, 2], [3, 5]], np.float32)


def product(scale: float = 1.0) -> onnx.ModelProto:
    weight = f"{{{0.1 * scale}, 0.2, 0.3, 0.7}}"
    return model(
        f"agraph (float[N, 2] x) => (float[N, 2] y) <float[2, 2] w = {weight}>"
        "{ p = MatMul(x, w) y = Tanh(p) }"
    )


@pytest.fixture
def path(tmp_path: Path) -> Path:
    onnx.save(product(), tmp_path / "product.onnx")
    np.savez(tmp_path / "x.npz", x=np.stack([X, X + 1]))
    return tmp_path / "product.onnx"


def outputs(folder: Path) -> list[Any]:
    files = sorted(folder.glob("test_data_set_*/output_0.pb"))
    return [numpy_helper.to_array(onnx.TensorProto.FromString(f.read_bytes())) for f in files]


def test_what_is_recorded_is_the_exact_result_rounded_at_each_operator(
    path: Path, tmp_path: Path
) -> None:
    assert record(path, tmp_path / "g", inputs=tmp_path / "x.npz") == (2, True)
    weights = np.array([[0.1, 0.2], [0.3, 0.7]], np.float32).astype(np.float64)
    for place, found in enumerate(outputs(tmp_path / "g")):
        inner = ((X + np.float32(place)).astype(np.float64) @ weights).astype(np.float32)
        np.testing.assert_array_equal(found, np.tanh(inner.astype(np.float64)).astype(np.float32))
    assert (tmp_path / "g" / "model.onnx").read_bytes() == path.read_bytes()


def test_another_engine_may_say_what_is_right(path: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    record(path, tmp_path / "g", inputs=tmp_path / "x.npz", with_="onnxruntime:off")
    record(path, tmp_path / "e", inputs=tmp_path / "x.npz")
    for theirs, exact in zip(outputs(tmp_path / "g"), outputs(tmp_path / "e"), strict=True):
        np.testing.assert_allclose(theirs, exact, rtol=1e-6)
    with pytest.raises(ConfigError, match="'nothing'"):
        record(path, tmp_path / "n", with_="nothing")
    assert not (tmp_path / "n").exists()


def test_an_earlier_recording_is_replaced(path: Path, tmp_path: Path) -> None:
    golden = tmp_path / "g"
    record(path, golden, inputs=tmp_path / "x.npz")
    np.savez(tmp_path / "x.npz", x=X)
    assert record(path, golden, inputs=tmp_path / "x.npz", copy_model=False) == (1, False)
    assert sorted(p.name for p in golden.iterdir()) == ["test_data_set_0"]


def test_models_of_others_are_never_written_or_removed(path: Path, tmp_path: Path) -> None:
    there = tmp_path / "other"
    there.mkdir()
    (there / "model.onnx").write_bytes(b"of somebody else")
    with pytest.raises(ConfigError, match=r"a model\.onnx of its own"):
        record(path, there)
    assert (there / "model.onnx").read_bytes() == b"of somebody else"
    own = tmp_path / "own"
    own.mkdir()
    content = path.read_bytes()
    path.rename(own / "model.onnx")
    for copy_model in (True, False):
        assert record(own, own, copy_model=copy_model) == (1, True)
        assert (own / "model.onnx").read_bytes() == content
    linked = tmp_path / "linked"
    record(own, linked)
    (linked / "model.onnx").unlink()
    (linked / "model.onnx").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere").write_bytes(b"of somebody else")
    record(own, linked)
    assert (tmp_path / "elsewhere").read_bytes() == b"of somebody else"


def test_large_models_and_those_with_data_beside_them_are_not_copied(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    outside = tmp_path / "outside.onnx"
    wide = model(
        "agraph (float[N, 1] x) => (float[N, 999] y) <float[1, 999] w> { y = MatMul(x, w) }"
    )
    wide.graph.initializer.append(numpy_helper.from_array(np.ones((1, 999), np.float32), "w"))
    write_model(read_model(wide), outside, external_data=True)
    assert outside.stat().st_size < (tmp_path / "outside.onnx.data").stat().st_size
    assert record(outside, tmp_path / "a") == (1, False)
    monkeypatch.setattr(recording, "LARGEST_COPY", 10)
    assert record(path, tmp_path / "b") == (1, False)


def test_feeds_are_made_of_texts(tmp_path: Path) -> None:
    folder = deployment(tmp_path / "m", bert(head=True), pooling={})
    record(folder, tmp_path / "g", texts=["the cat", "a dog sat on the mat"], copy_model=False)
    graph = read_model(folder / "model.onnx")
    feeds = feeds_of(folder / "model.onnx", graph, texts=["the cat", "a dog sat on the mat"])
    assert is_of(tmp_path / "g", feeds, graph)
    assert not is_of(tmp_path / "g", [*feeds, *feeds], graph)
    other = feeds_of(folder / "model.onnx", graph, texts=["the cat", "a dog sat on the red"])
    assert not is_of(tmp_path / "g", other, graph)
    with pytest.raises(ConfigError, match="not both"):
        feeds_of(folder, graph, inputs="x.npz", texts=["the cat"])


def test_a_golden_fits_its_model_and_no_other(path: Path, tmp_path: Path) -> None:
    record(path, tmp_path / "g", inputs=tmp_path / "x.npz")
    (same,) = check(tmp_path / "g")
    assert (same.verdict, same.passed) == ("identical", True)
    onnx.save(product(1.001), tmp_path / "other.onnx")
    found = check(tmp_path / "g", tmp_path / "other.onnx", with_="embedx")
    assert [c.passed for c in found] == [False, True]
    document = golden_document(found)
    assert document["exit"] == 1
    assert document["verdict"] == found[0].verdict
    assert len(document["comparisons"]) == 2


def test_what_is_missing_is_named(path: Path, tmp_path: Path) -> None:
    record(path, tmp_path / "g", copy_model=False)
    with pytest.raises(InputError, match=r"g has no model\.onnx; name the model"):
        check(tmp_path / "g")
    with pytest.raises(InputError, match="test_data_set_0"):
        check(tmp_path, path)
    (tmp_path / "g" / "test_data_set_0" / "output_0.pb").write_bytes(b"\xff")
    with pytest.raises(InputError, match=r"output_0\.pb"):
        check(tmp_path / "g", path)
