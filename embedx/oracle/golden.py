"""Golden cases: what an operator must give for which inputs, by whose word, and how exactly.

The files are ``golden/ops/<Op>.json`` of the source tree, whose format golden/README.md describes:

>>> decode({"float32[2]": [0.5, "-Infinity"]})
array([ 0.5, -inf], dtype=float32)
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from embedx.difference import CLOSE, EXACT, ROUNDING, Tolerance, compare
from embedx.errors import ToleranceError
from embedx.ops import Array, Op, Value, is_floating


@dataclass(frozen=True, eq=False)
class Case:
    """Inputs, attributes and expected outputs of one operator, or the name of a golden model."""

    operator: str
    """``Softmax``, or ``com.microsoft.BiasGelu``: the name of the file."""
    id: str
    opset: int
    oracle: str
    """Who says what is right: never embedx."""
    inputs: tuple[Value, ...] = ()
    """``None`` for an input that is left out."""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    outputs: tuple[Value, ...] = ()
    """``None`` for an output that nobody asks for."""
    model: str | None = None
    """The folder below ``golden/models``, for operators that call subgraphs."""

    @property
    def name(self) -> str:
        """The operator without its domain."""
        return self.operator.rpartition(".")[2]

    @property
    def domain(self) -> str:
        """The operator's domain, ``""`` for the standard one."""
        return self.operator.rpartition(".")[0]


def read_cases(path: Path) -> list[Case]:
    """The cases of one golden file."""
    return [_case(path.stem, entry) for entry in json.loads(path.read_text(encoding="utf-8"))]


def _case(operator: str, entry: Mapping[str, Any]) -> Case:
    return Case(
        operator,
        entry["id"],
        entry["opset"],
        entry["oracle"],
        tuple(map(decode, entry.get("inputs", ()))),
        {name: _attribute(value) for name, value in entry.get("attributes", {}).items()},
        tuple(map(decode, entry.get("outputs", ()))),
        entry.get("model"),
    )


def decode(value: Mapping[str, Any] | None) -> Value:
    """The tensor, the sequence of tensors, or the absence that a golden file spells.

    >>> decode({"sequence": [{"int4[]": [-8]}]})
    [array(-8, dtype=int4)]
    """
    if value is None:
        return None
    ((key, content),) = value.items()
    if key == "sequence":
        return [_tensor(*item) for entry in content for item in entry.items()]
    return _tensor(key, content)


def _tensor(key: str, elements: Sequence[Any]) -> Array:
    name, _, dims = key.removesuffix("]").partition("[")
    shape = tuple(int(n) for n in dims.split(",") if n)
    dtype = _dtype(name)
    if is_floating(dtype):
        # Each number is the shortest decimal of its type, so going through float64 loses nothing.
        return np.array([float(x) for x in elements], np.float64).astype(dtype).reshape(shape)
    narrow = dtype.kind == "V"  # ml_dtypes' integers, which NumPy reaches from its own only
    return np.array(elements, np.int8 if narrow else dtype).astype(dtype).reshape(shape)


def _dtype(name: str) -> np.dtype[Any]:
    if name == "string":
        return np.dtype(object)
    if hasattr(np, name):
        return np.dtype(name)
    import ml_dtypes

    return np.dtype(getattr(ml_dtypes, name))


def _attribute(value: Any) -> Any:
    if isinstance(value, dict):
        return decode(value)
    if isinstance(value, list):
        return tuple(map(_attribute, value))
    return float(np.float32(value)) if isinstance(value, float) else value  # as ONNX stores it


_SUMS = "a sum of products, in an order that the machine chooses, may nearly cancel"
_TAIL = "1 + erf(x) and 1 + tanh(x), as the definitions have it, cancel for x below -1"
_GROWTH = "exp multiplies the rounding error of what it is given by its size"
_CENTRE = "what is near the mean cancels when that is subtracted"

LOOSER: dict[str, tuple[Tolerance, str]] = {
    "Attention": (CLOSE, _SUMS),
    "BatchNormalization": (CLOSE, _CENTRE),
    "Conv": (CLOSE, _SUMS),
    "ConvTranspose": (CLOSE, _SUMS),
    "Einsum": (CLOSE, _SUMS),
    "GRU": (CLOSE, _SUMS),
    "Gelu": (CLOSE, _TAIL),
    "Gemm": (CLOSE, _SUMS),
    "GridSample": (CLOSE, _SUMS),
    "GroupNormalization": (CLOSE, _CENTRE),
    "InstanceNormalization": (CLOSE, _CENTRE),
    "LSTM": (CLOSE, _SUMS),
    "LayerNormalization": (CLOSE, _CENTRE),
    "LinearAttention": (CLOSE, _SUMS),
    "LogSoftmax": (CLOSE, "a probability near 1 has a logarithm near 0, in which digits cancel"),
    "MatMul": (CLOSE, _SUMS),
    "MeanVarianceNormalization": (CLOSE, _CENTRE),
    "RNN": (CLOSE, _SUMS),
    "Resize": (CLOSE, _SUMS),
    "RoiAlign": (CLOSE, _SUMS),
    "Swish": (CLOSE, _GROWTH),
    "ai.onnx.preview.training.Adam": (ROUNDING, "the suite rounds after every step"),
    "com.microsoft.Attention": (CLOSE, _SUMS),
    "com.microsoft.BiasSplitGelu": (CLOSE, _TAIL),
    "com.microsoft.DynamicQuantizeLSTM": (CLOSE, _SUMS),
    "com.microsoft.EmbedLayerNormalization": (CLOSE, _CENTRE),
    "com.microsoft.FastGelu": (CLOSE, _TAIL),
    "com.microsoft.FusedConv": (CLOSE, _SUMS),
    "com.microsoft.FusedMatMul": (CLOSE, _SUMS),
    "com.microsoft.Gelu": (CLOSE, _TAIL),
    "com.microsoft.GroupQueryAttention": (CLOSE, _SUMS),
    "com.microsoft.MatMulNBits": (CLOSE, _SUMS),
    "com.microsoft.MultiHeadAttention": (CLOSE, _SUMS),
    "com.microsoft.PackedAttention": (CLOSE, _SUMS),
    "com.microsoft.QAttention": (CLOSE, _SUMS),
    "com.microsoft.QEmbedLayerNormalization": (CLOSE, _CENTRE),
    "com.microsoft.QuickGelu": (CLOSE, _GROWTH),
    "com.microsoft.SkipLayerNormalization": (CLOSE, _CENTRE),
}
"""The operators that need more than ROUNDING, and why."""


def tolerance_of(entry: Op) -> Tolerance:
    """The tolerance of an operator: EXACT unless it rounds, ROUNDING unless it is in LOOSER."""
    name = f"{entry.domain}.{entry.name}".lstrip(".")
    if name in LOOSER:
        return LOOSER[name][0]
    return ROUNDING if entry.rounds else EXACT


def check(case: Case, function: Callable[..., Any], tolerance: Tolerance = EXACT) -> None:
    """Raise ToleranceError unless ``function``, given the case's inputs, gives its outputs.

    >>> one = np.array(1)
    >>> case = Case("Neg", "one", 13, "a mistake", inputs=(one,), outputs=(one,))
    >>> check(case, np.negative)
    Traceback (most recent call last):
    ...
    embedx.errors.ToleranceError: Neg 'one', output 0, element []: -1 instead of 1
    """
    with np.errstate(all="ignore"):
        result = function(*case.inputs)
    results = result if isinstance(result, tuple) else (result,)
    for place, expected in enumerate(case.outputs):
        what = f"{case.operator} {case.id!r}, output {place}"
        if place >= len(results):
            raise ToleranceError(f"{what} is missing")
        if expected is not None:
            compare(results[place], expected, tolerance, what)
