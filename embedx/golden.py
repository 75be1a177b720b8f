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


@dataclass(frozen=True)
class Tolerance:
    """How far floats may be off. Shapes, dtypes, NaN, infinities and all else must be equal."""

    name: str
    ulps: int
    """In units in the last place of the expected element ..."""
    of_largest: int = 0
    """... or, where that is more, of the tensor's largest element: what cancellation may cost."""


EXACT = Tolerance("EXACT", 0)
"""Integers, shapes, moved data, and floats that are rounded once from the exact result."""
ROUNDING = Tolerance("ROUNDING", 4)
"""A few operations, each of which rounds."""
CLOSE = Tolerance("CLOSE", 32, of_largest=4)
"""Many operations: sums of many terms, or results that nearly cancel on the way."""

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


def compare(
    actual: Any, expected: Value, tolerance: Tolerance = EXACT, what: str = "value"
) -> None:
    """Raise ToleranceError, naming the first element that differs, unless the values agree.

    Shape, dtype, and where NaN and the infinities stand must be the same; 0 and -0 are equal.

    >>> compare(np.float16([2, 0.5]), np.float16([2, 0.75]))
    Traceback (most recent call last):
    ...
    embedx.errors.ToleranceError: value, element [1]: 0.5 instead of 0.75 (512 ulp, EXACT allows 0)
    """
    if isinstance(expected, list) and isinstance(actual, list) and len(actual) == len(expected):
        for place, (ours, theirs) in enumerate(zip(actual, expected, strict=True)):
            compare(ours, theirs, tolerance, f"{what}, item {place}")
        return
    if _kind(actual) != _kind(expected):
        raise ToleranceError(f"{what} is {_kind(actual)}, expected {_kind(expected)}")
    if expected is not None:
        _compare_arrays(np.asarray(actual), np.asarray(expected), tolerance, what)


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray | np.generic):
        name = "string" if value.dtype.kind == "O" else value.dtype.name
        return f"{name}{list(value.shape)}"
    return "nothing" if value is None else f"a sequence of {len(value)}"


def _compare_arrays(actual: Array, expected: Array, tolerance: Tolerance, what: str) -> None:
    if is_floating(expected.dtype):
        distance = ulps(actual, expected)
        wrong = ~_within(actual, expected, distance, tolerance)
    else:
        distance = np.full(expected.shape, _APART)
        wrong = np.asarray(actual != expected, bool)
    if not wrong.any():
        return
    place = tuple(int(i) for i in np.argwhere(wrong)[0])
    message = f"{what}, element {list(place)}: {actual[place]} instead of {expected[place]}"
    if distance[place] != _APART:
        message += f" ({distance[place]} ulp, {tolerance.name} allows {tolerance.ulps})"
    if wrong.sum() > 1:
        message += f"; {wrong.sum()} of {wrong.size} elements differ"
    raise ToleranceError(message)


_APART = np.uint64(2**64 - 1)
"""The distance between NaN or an infinity and any other number."""


def ulps(actual: Array, expected: Array) -> Array:
    """How many numbers of their type lie between the elements, plus one; 0 between 0 and -0.

    >>> ulps(np.float32([1, -1, np.nan]), np.float32([1 + 2**-22, -1, np.nan]))
    array([2, 0, 0], dtype=uint64)
    """
    a, b = _ordered(actual), _ordered(expected)
    with np.errstate(over="ignore"):  # modulo 2**64 the difference of two int64 is right
        distance = np.maximum(a, b).astype(np.uint64) - np.minimum(a, b).astype(np.uint64)
    both_nan = np.isnan(actual) & np.isnan(expected)
    apart = ~(np.isfinite(actual) & np.isfinite(expected)) & (distance != 0) & ~both_nan
    return np.asarray(np.where(apart, _APART, np.where(both_nan, 0, distance)), np.uint64)


def _ordered(x: Array) -> Array:
    """Integers as far apart as the floats: sign and magnitude of their bits."""
    if x.dtype.itemsize == 1:
        x = x.astype(np.float32)  # some of these have no sign, or no bit pattern for NaN
    width = 8 * x.dtype.itemsize
    bits = np.ascontiguousarray(x).reshape(x.shape).view(f"i{x.dtype.itemsize}").astype(np.int64)
    magnitude = bits & (2 ** (width - 1) - 1)
    return np.asarray(np.where(bits < 0, -magnitude, magnitude))


def _within(actual: Array, expected: Array, distance: Array, tolerance: Tolerance) -> Array:
    near = distance <= tolerance.ulps
    if not tolerance.of_largest or expected.dtype.itemsize == 1:  # those have no places to lose
        return near
    ours, theirs = actual.astype(np.float64), expected.astype(np.float64)
    largest = np.abs(theirs).max(initial=0, where=np.isfinite(theirs))
    with np.errstate(invalid="ignore"):
        off = np.abs(ours - theirs)  # NaN, which is near nothing, for what is not finite
    return np.asarray(near | (off <= tolerance.of_largest * _last_place(largest, expected.dtype)))


def _last_place(number: float, dtype: np.dtype[Any]) -> float:
    """What one unit in the last place of ``number`` is worth in a float type."""
    one = np.array([number]).astype(dtype)
    return float(np.spacing(one[0]))
