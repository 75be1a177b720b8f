"""Data sets in folders and files, against onnx's own reading of the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from embedx.errors import InputError
from embedx.model.graph import Graph
from embedx.model.onnx_file import read_model
from embedx.ops import Array
from embedx.oracle.data_sets import feeds_from, load_tensors, read_data_sets, write_data_set
from tests.models import model


def floats(values: Any) -> Array:
    return np.array(values, np.float32)


IDS, MASK = np.arange(6).reshape(2, 3), np.ones((2, 3), np.int64)


@pytest.fixture
def graph() -> Graph:
    text = "agraph (int64[N, L] ids, int64[N, L] mask) => (int64[N, L] y) { y = Mul(ids, mask) }"
    return read_model(model(text))


def save(path: Path, array: Any, name: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(numpy_helper.from_array(array, name).SerializeToString())


def same(found: Any, expected: dict[str, Any]) -> bool:
    return list(found) == list(expected) and all(
        found[name].dtype == expected[name].dtype and np.array_equal(found[name], expected[name])
        for name in expected
    )


def test_all_sets_of_a_folder_are_read_in_the_order_of_their_numbers(
    graph: Graph, tmp_path: Path
) -> None:
    for number in (10, 2, 0):
        place = tmp_path / f"test_data_set_{number}"
        save(place / "input_0.pb", IDS + number)
        save(place / "input_1.pb", MASK)
        save(place / "output_0.pb", IDS)
    found = read_data_sets(tmp_path, graph)
    assert [data.name for data in found] == [f"test_data_set_{n}" for n in (0, 2, 10)]
    assert same(found[2].inputs, {"ids": IDS + 10, "mask": MASK})
    assert same(found[2].outputs, {"y": IDS})
    (one,) = feeds_from(tmp_path / "test_data_set_2", graph)
    assert same(one, {"ids": IDS + 2, "mask": MASK})


def test_names_in_the_files_count_if_all_of_them_fit(graph: Graph, tmp_path: Path) -> None:
    save(tmp_path / "input_0.pb", MASK, "mask")
    save(tmp_path / "input_1.pb", IDS, "ids")
    assert same(feeds_from(tmp_path, graph)[0], {"mask": MASK, "ids": IDS})
    save(tmp_path / "input_1.pb", IDS, "something else")
    assert same(feeds_from(tmp_path, graph)[0], {"ids": MASK, "mask": IDS})


def test_weights_among_the_inputs_are_fed_where_files_have_them(tmp_path: Path) -> None:
    text = "agraph (float[2] x, float[2] w) => (float[2] y) <float[2] w = {1, 2}> { y = Mul(x, w) }"
    graph = read_model(model(text))
    save(tmp_path / "input_0.pb", floats([3, 4]))
    assert same(feeds_from(tmp_path, graph)[0], {"x": floats([3, 4])})
    save(tmp_path / "input_1.pb", floats([5, 6]))
    assert same(feeds_from(tmp_path, graph)[0], {"x": floats([3, 4]), "w": floats([5, 6])})


def test_what_is_written_is_read_back_and_read_by_onnx(tmp_path: Path) -> None:
    text = (
        "agraph (float[2] x, seq(float[2]) s, optional(float[2]) o) => (seq(float[2]) y, float z)"
        "{ y = SequenceInsert(s, x) z = ReduceSum(x) }"
    )
    graph = read_model(model(text))
    x = floats([1, 2])
    folder = tmp_path / "a" / "test_data_set_0"
    folder.mkdir(parents=True)
    (folder / "input_7.pb").write_bytes(b"of an earlier model")
    write_data_set(folder, graph, {"x": x, "s": [x], "o": None}, [[x, x], floats(3)])
    assert not (folder / "input_7.pb").exists()
    (data,) = read_data_sets(tmp_path / "a", graph)
    assert np.array_equal(np.array(data.inputs["x"]), x)
    assert np.array_equal(np.array(data.inputs["s"]), [x])
    assert data.inputs["o"] is None
    assert np.array_equal(np.array(data.outputs["y"]), [x, x])
    assert np.array_equal(np.array(data.outputs["z"]), 3)
    proto = onnx.SequenceProto.FromString((folder / "output_0.pb").read_bytes())
    assert np.array_equal(numpy_helper.to_list(proto), [x, x])
    assert onnx.TensorProto.FromString((folder / "output_1.pb").read_bytes()).name == "z"


def test_an_archive_is_one_run_or_one_for_each_entry_of_another_axis(
    graph: Graph, tmp_path: Path
) -> None:
    path = tmp_path / "x.npz"
    np.savez(path, mask=MASK, ids=IDS)
    (feeds,) = feeds_from(path, graph)
    assert same(feeds, {"mask": MASK, "ids": IDS})
    np.savez(path, ids=np.stack([IDS, IDS + 1, IDS + 2]), mask=np.stack([MASK] * 3))
    three = feeds_from(path, graph)
    assert [feeds["ids"][0, 0] for feeds in three] == [0, 1, 2]
    assert same(three[1], {"ids": IDS + 1, "mask": MASK})


def test_arrays_without_names_of_their_own_stand_for_the_inputs_in_order(
    graph: Graph, tmp_path: Path
) -> None:
    np.savez(tmp_path / "x.npz", IDS, MASK)
    assert same(feeds_from(tmp_path / "x.npz", graph)[0], {"ids": IDS, "mask": MASK})
    one = read_model(model("agraph (float[2] x) => (float[2] y) { y = Abs(x) }"))
    np.save(tmp_path / "some.npy", floats([1, 2]))
    assert same(feeds_from(tmp_path / "some.npy", one)[0], {"x": floats([1, 2])})
    np.savez(tmp_path / "x.npz", other=floats([1, 2]))
    with pytest.raises(InputError, match="missing: x unknown: other"):
        feeds_from(tmp_path / "x.npz", one)


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "int4"])
def test_types_that_archives_do_not_know_are_the_declared_ones(name: str, tmp_path: Path) -> None:
    dtype = np.dtype(getattr(ml_dtypes, name))
    kind = {"bfloat16": "bfloat16", "float8_e4m3fn": "float8e4m3fn", "int4": "int4"}[name]
    graph = read_model(
        model(f"agraph ({kind}[N] x) => ({kind}[N] y) {{ y = Identity(x) }}", opset=21)
    )
    x = np.array([1, -3, 4], np.int8).astype(dtype)
    np.savez(tmp_path / "x.npz", x=x)
    (feeds,) = feeds_from(tmp_path / "x.npz", graph)
    assert feeds["x"].dtype == dtype
    assert feeds["x"].tobytes() == x.tobytes()


@pytest.mark.parametrize(
    ("arrays", "said"),
    [
        ({"ids": IDS}, "missing: mask"),
        ({"ids": IDS, "mask": MASK, "kind": IDS}, "unknown: kind"),
        ({"ids": IDS, "mask": MASK.astype(np.int32)}, "input 'mask' is int32, expected int64"),
        ({"ids": IDS[0], "mask": MASK[0]}, r"'ids' has shape \(3,\)"),
        ({"ids": IDS[None], "mask": MASK}, r"'ids' has shape \(1, 2, 3\)"),
        ({"ids": IDS[None], "mask": np.stack([MASK] * 2)}, "'ids': 1, 'mask': 2"),
        ({"ids": IDS[None][:0], "mask": MASK[None][:0]}, "'ids': 0, 'mask': 0"),
    ],
)
def test_what_does_not_fit_is_named_and_what_was_expected(
    arrays: Any, said: str, graph: Graph, tmp_path: Path
) -> None:
    np.savez(tmp_path / "x.npz", **arrays)
    with pytest.raises(InputError, match=said) as caught:
        feeds_from(tmp_path / "x.npz", graph)
    assert "x.npz" in str(caught.value)
    if "first counts" not in str(caught.value):
        assert "'ids' (int64[N, L]), 'mask' (int64[N, L])" in str(caught.value)


def test_folders_that_do_not_fit(graph: Graph, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no test_data_set_0, and no input_0\.pb"):
        read_data_sets(tmp_path, graph)
    for number, array in enumerate((IDS, MASK, IDS)):
        save(tmp_path / f"input_{number}.pb", array)
    with pytest.raises(InputError, match=r"input_2\.pb is one file too many; the inputs are 'ids'"):
        read_data_sets(tmp_path, graph)
    (tmp_path / "input_2.pb").unlink()
    (tmp_path / "input_1.pb").write_bytes(b"\xff")
    with pytest.raises(InputError, match=r"input_1\.pb is no TensorProto"):
        read_data_sets(tmp_path, graph)
    save(tmp_path / "input_1.pb", MASK)
    save(tmp_path / "output_1.pb", MASK)
    with pytest.raises(InputError, match=r"output_1\.pb is one file too many; the outputs are 'y'"):
        read_data_sets(tmp_path, graph)


def test_tensors_are_loaded_by_what_the_file_is(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=IDS, b=MASK)
    assert same(load_tensors(tmp_path / "x.npz"), {"a": IDS, "b": MASK})
    np.save(tmp_path / "vector.npy", IDS)
    assert same(load_tensors(tmp_path / "vector.npy"), {"vector": IDS})
    save(tmp_path / "t.pb", IDS, "layer/out")
    assert same(load_tensors(tmp_path / "t.pb"), {"layer/out": IDS})
    save(tmp_path / "t.pb", IDS)
    assert same(load_tensors(tmp_path / "t.pb"), {"t": IDS})
    with pytest.raises(InputError, match=r"x\.json: tensors are read from"):
        load_tensors(tmp_path / "x.json")
