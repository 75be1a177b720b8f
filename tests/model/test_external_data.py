"""Data beside the model file: inside its folder or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto

from embedx.errors import ExternalDataError
from embedx.kernels.memory import fresh
from embedx.model.external_data import let_go, mapped_file
from embedx.model.onnx_file import read_model
from tests.models import model


def _with_external(folder: Path, entries: dict[str, str], data: bytes = b"\0" * 8) -> Path:
    proto = model("g (float[2] x) => (float[2] z) { z = Add(x, w) }")
    tensor = TensorProto(name="w", data_type=1, dims=[2], data_location=TensorProto.EXTERNAL)
    for key, value in {"location": "weights.bin", **entries}.items():
        tensor.external_data.add(key=key, value=value)
    proto.graph.initializer.append(tensor)
    folder.mkdir(exist_ok=True)
    (folder / "weights.bin").write_bytes(data)
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return path


def test_external_data_is_mapped_from_its_offset(tmp_path: Path) -> None:
    data = np.array([9, 1, 2], np.float32).tobytes()
    path = _with_external(tmp_path, {"offset": "4", "length": "8"}, data)
    weight = read_model(path).initializers["w"]
    assert isinstance(weight, np.ndarray)
    assert not weight.flags.owndata
    assert weight.tolist() == [1, 2]


def test_external_data_may_lie_beside_a_linked_model(tmp_path: Path) -> None:
    blobs = tmp_path / "blobs"
    _with_external(blobs, {})
    snapshot = tmp_path / "snapshot"
    snapshot.mkdir()
    for name in ("model.onnx", "weights.bin"):
        (snapshot / name).symlink_to(blobs / name)
    assert read_model(snapshot / "model.onnx").initializers


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ({"location": "../weights.bin"}, "not a path inside"),
        ({"location": "a/../../weights.bin"}, "not a path inside"),
        ({"location": "/etc/passwd"}, "not a path inside"),
        ({"location": "C:\\weights.bin"}, "not a path inside"),
        ({"location": "https://example.com/w"}, "not a path inside"),
        ({"location": "weights\0.bin"}, "not a path inside"),
        ({"location": ""}, "not a path inside"),
        ({"location": "missing.bin"}, "cannot find"),
        ({"location": "link.bin"}, "leads out"),
        ({"location": "folder"}, "no regular file"),
        ({"location": "pipe"}, "no regular file"),
        ({"offset": "4"}, "past its end"),
        ({"offset": "-4"}, "no count"),
        ({"offset": "٤"}, "no count"),
        ({"offset": "99999999999999999999"}, "no count"),
        ({"length": "4"}, "declares 4"),
    ],
)
def test_external_data_outside_the_folder_is_never_read(
    tmp_path: Path, entries: dict[str, str], message: str
) -> None:
    folder = tmp_path / "model"
    path = _with_external(folder, entries)
    (tmp_path / "weights.bin").write_bytes(b"\0" * 8)
    (folder / "link.bin").symlink_to(tmp_path / "weights.bin")
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe")
    with pytest.raises(ExternalDataError, match=message):
        read_model(path)


def test_keys_of_external_data_that_only_others_understand_are_ignored(tmp_path: Path) -> None:
    entries = {"prepacked_0": "w|0;8;", "basepath": "/", "__class__": "x", "checksum": "0" * 40}
    assert read_model(_with_external(tmp_path, entries)).initializers


@pytest.mark.parametrize("key", ["location", "offset", "length", "checksum"])
def test_the_standard_keys_of_external_data_occur_once(tmp_path: Path, key: str) -> None:
    path = _with_external(tmp_path, {"offset": "0", "length": "8", "checksum": "0"})
    proto = onnx.load(path, load_external_data=False)
    entries = proto.graph.initializer[0].external_data
    entries.add().CopyFrom(next(entry for entry in entries if entry.key == key))
    path.write_bytes(proto.SerializeToString())
    with pytest.raises(ExternalDataError, match="once each"):
        read_model(path)


def test_external_data_needs_the_path(tmp_path: Path) -> None:
    data = _with_external(tmp_path, {}).read_bytes()
    with pytest.raises(ExternalDataError, match="give the model's path"):
        read_model(data)


@pytest.mark.parametrize("offset", [0, 3, 5000])
def test_what_is_let_go_is_read_again(tmp_path: Path, offset: int) -> None:
    numbers = np.arange(100_000, dtype=np.float32)
    (tmp_path / "x").write_bytes(bytes(offset) + numbers.tobytes())
    data = mapped_file(tmp_path / "x").data
    mapped = np.frombuffer(data, np.float32, offset=offset).reshape(100, 1000)
    for part in (mapped, mapped[3:50], mapped.T, mapped[:0]):
        let_go(part)
        np.testing.assert_array_equal(mapped.reshape(-1), numbers)
    for own in (numbers, fresh((50_000,), np.float32), np.memmap(tmp_path / "x", mode="c")):
        own[...] = 7
        let_go(own)
        assert (own == 7).all()
