"""Goldens of whole models: what is written, replaced, copied and left alone."""

from __future__ import annotations

import shutil
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
    assert sorted(p.name for p in golden.iterdir()) == [
        "embedx_files.json", "test_data_set_0",
    ]  # fmt: skip


def content(folder: Path) -> dict[str, bytes]:
    return {str(p): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize(
    "name", ["model.onnx", "test_data_set_0/output_0.pb", "test_data_set_1/input_0.pb", "notes"]
)
def test_files_of_others_are_never_written_or_removed(
    path: Path, tmp_path: Path, name: str
) -> None:
    there = tmp_path / "other" / name
    there.parent.mkdir(parents=True)
    for recorded in (False, True):
        there.write_bytes(b"of somebody else")
        before = content(tmp_path)
        with pytest.raises(ConfigError, match=f"{name} that .*choose another folder, or empty it"):
            record(path, tmp_path / "other")
        assert content(tmp_path) == before
        if not recorded:
            there.unlink()
            record(path, tmp_path / "other")
            there.parent.mkdir(exist_ok=True)


def test_the_models_own_folder_is_refused(path: Path, tmp_path: Path) -> None:
    record(path, tmp_path / "g")
    before = content(tmp_path)
    for name in ("g/model.onnx", "g"):
        with pytest.raises(ConfigError, match="is the model's own folder"):
            record(tmp_path / name, tmp_path / "g")
    with pytest.raises(ConfigError, match="is no folder"):
        record(path, path)
    assert content(tmp_path) == before


def test_links_lead_to_what_others_have(path: Path, tmp_path: Path) -> None:
    record(path, tmp_path / "g")
    (tmp_path / "elsewhere").write_bytes((tmp_path / "g" / "model.onnx").read_bytes())
    (tmp_path / "g" / "model.onnx").unlink()
    (tmp_path / "g" / "model.onnx").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match=r"model\.onnx that has changed"):
        record(path, tmp_path / "g")


def test_what_lies_beside_does_not_hinder(path: Path, tmp_path: Path) -> None:
    record(path, tmp_path / "g")
    record(path, tmp_path / "g" / "inner")
    (tmp_path / "g" / ".gitattributes").write_text("*.pb binary")
    inner = content(tmp_path / "g" / "inner")
    assert record(path, tmp_path / "g", inputs=tmp_path / "x.npz") == (2, True)
    assert content(tmp_path / "g" / "inner") == inner
    assert (tmp_path / "g" / ".gitattributes").is_file()


@pytest.mark.parametrize("listed", [True, False])
def test_a_golden_without_outputs_is_no_golden(path: Path, tmp_path: Path, listed: bool) -> None:
    record(path, tmp_path / "g", inputs=tmp_path / "x.npz")
    if not listed:  # as others write such folders
        (tmp_path / "g" / "embedx_files.json").unlink()
    (tmp_path / "g" / "test_data_set_1" / "output_0.pb").unlink()
    with pytest.raises(InputError, match=r"test_data_set_1.*output_0\.pb"):
        check(tmp_path / "g")


def test_a_data_set_that_was_recorded_is_missed(path: Path, tmp_path: Path) -> None:
    record(path, tmp_path / "g", inputs=tmp_path / "x.npz")
    shutil.rmtree(tmp_path / "g" / "test_data_set_1")
    with pytest.raises(InputError, match=r"lacks test_data_set_1/input_0\.pb"):
        check(tmp_path / "g")


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
