"""Tensors, sequences and attributes as JSON that any language reads back bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
from formulas import Array
from oracles import Value


def encode(value: Value) -> dict[str, Any] | None:
    if isinstance(value, list):
        return {"sequence": [encode(item) for item in value]}
    return None if value is None else encode_tensor(np.asarray(value))


def encode_tensor(x: Array) -> dict[str, Any]:
    name = "string" if x.dtype.kind in "OUS" else x.dtype.name
    dims = ",".join(map(str, x.shape))
    return {f"{name}[{dims}]": [element(item, x.dtype) for item in x.reshape(-1)]}


def element(item: Any, dtype: np.dtype[Any]) -> Any:
    if dtype.kind in "OUS":
        return item.decode() if isinstance(item, bytes) else str(item)
    if dtype == bool:
        return bool(item)
    return number(item, dtype) if "float" in dtype.name else int(item)


def number(item: Any, dtype: np.dtype[Any]) -> float | str:
    """The shortest decimal that reads back as this number of its type; JSON lacks NaN and inf."""
    if not np.isfinite(item):
        return "NaN" if np.isnan(item) else "Infinity" if item > 0 else "-Infinity"
    short = float(str(item)) if dtype.kind == "f" else float(item)
    assert dtype.type(short) == item, f"{short!r} does not read back"
    return short


def encode_attribute(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return encode_tensor(value)
    if isinstance(value, list | tuple):
        return [encode_attribute(item) for item in value]
    return number(np.float32(value), np.dtype(np.float32)) if isinstance(value, float) else value
