"""Weights in safetensors files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from embedx.errors import DeploymentError
from embedx.text.safetensors import read_safetensors
from tests.text.files import safetensors

BITS = {
    "F64": np.array([[1.0, -0.5], [3.0, 0.0]]),
    "F32": np.array([[1.0, -0.5], [3.0, 0.0]], np.float32),
    "F16": np.array([[1.0, -0.5], [3.0, 0.0]], np.float16),
    "BF16": np.array([[0x3F80, 0xBF00], [0x4040, 0]], np.uint16),
    "F8_E4M3": np.array([[0x38, 0xB0], [0x44, 0]], np.uint8),
    "F8_E5M2": np.array([[0x3C, 0xB8], [0x42, 0]], np.uint8),
}
"""1, -0.5, 3 and 0, by hand: a sign, an exponent with a bias of 127, 7 or 15, a fraction."""


@pytest.mark.parametrize("dtype", BITS)
def test_floats_of_any_width_are_read(tmp_path: Path, dtype: str) -> None:
    tensors = read_safetensors(safetensors(tmp_path / "x.safetensors", {"w": BITS[dtype]}, dtype))
    assert tensors["w"].dtype == np.float32
    assert tensors["w"].tolist() == [[1, -0.5], [3, 0]]


@pytest.mark.parametrize(
    ("data", "message"),
    [(b"", "safetensors"), (b"\xff" * 20, "safetensors"), (b"\x02\0\0\0\0\0\0\0{}", None)],
)
def test_safetensors_headers_are_checked(tmp_path: Path, data: bytes, message: str | None) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    if message is None:
        assert read_safetensors(path) == {}
    else:
        with pytest.raises(DeploymentError, match=message):
            read_safetensors(path)
