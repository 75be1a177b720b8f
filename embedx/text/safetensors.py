"""Tensors in safetensors files."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np

from embedx.errors import DeploymentError
from embedx.model.graph import Array

_SAFETENSORS_DTYPES = {
    "F64": "float64",
    "F32": "float32",
    "F16": "float16",
    "BF16": "bfloat16",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E5M2": "float8_e5m2",
}


def read_safetensors(path: Path) -> dict[str, Array]:
    """The float tensors of a safetensors file, in float32.

    Source: the format description of safetensors. Raises DeploymentError for a header or offsets
    that do not fit the file.
    """
    import ml_dtypes

    try:
        data = path.read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length])
        body = data[8 + length :]
        tensors = {}
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            begin, end = entry["data_offsets"]
            kind = _SAFETENSORS_DTYPES[entry["dtype"]]
            dtype = np.dtype(getattr(ml_dtypes, kind, kind))
            if not 0 <= begin <= end <= len(body):
                raise ValueError(f"tensor {name!r} lies outside the file")
            array = np.frombuffer(body[begin:end], dtype).reshape(entry["shape"])
            tensors[name] = array.astype(np.float32)
    except (
        OSError,
        KeyError,
        TypeError,
        ValueError,
        AttributeError,
        RecursionError,
        struct.error,
    ) as error:
        raise DeploymentError(f"{path}: not a safetensors file of floats ({error})") from error
    return tensors
