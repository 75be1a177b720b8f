"""Who says what is right: exact arithmetic rounded once, or onnxruntime running one node."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import ml_dtypes
import mpmath
import numpy as np
import onnx
import onnxruntime
from contrib_formulas import CONTRIB_FORMULAS, CONTRIB_TYPES
from formulas import FORMULAS, RESULT_TYPES, UNDEFINED_FOR_NOTHING, Array
from mpmath import mp, mpf
from onnx import TensorProto, helper, numpy_helper
from signal_formulas import SIGNAL_FORMULAS, SIGNAL_TYPES

mp.dps = 50

Value: TypeAlias = "Array | list[Array] | dict[Any, float] | None"

MPMATH = f"mpmath {mp.dps} digits"
INTEGERS = "exact integer arithmetic"
ONNXRUNTIME = f"onnxruntime {onnxruntime.__version__}"
SUITE = f"onnx backend suite {onnx.__version__}"


ALL_FORMULAS = FORMULAS | SIGNAL_FORMULAS | CONTRIB_FORMULAS
ALL_TYPES = RESULT_TYPES | SIGNAL_TYPES | CONTRIB_TYPES
CONTRIB_SCHEMAS = json.loads((Path(__file__).parent / "contrib_schemas.json").read_text())[
    "operators"
]


def is_floating(dtype: np.dtype[Any]) -> bool:
    return dtype.kind == "f" or "float" in dtype.name


def has_formula(name: str, inputs: Sequence[Value]) -> bool:
    """Whether exact arithmetic covers the operator for these inputs."""
    numbers = [
        isinstance(x, np.ndarray) and x.dtype.kind in "fViub" for x in inputs if x is not None
    ]
    lacks_elements = any(isinstance(x, np.ndarray) and x.size == 0 for x in inputs[:1])
    undefined = lacks_elements and name in UNDEFINED_FOR_NOTHING
    return name in ALL_FORMULAS and bool(numbers) and all(numbers) and not undefined


def by_formula(
    name: str, opset: int, inputs: Sequence[Any], attributes: Mapping[str, Any]
) -> tuple[str, list[Value]]:
    """The oracle's name and the operator's outputs."""
    check_types(name, opset, inputs)
    given = {**defaults(name, opset), **attributes}
    numbers = {
        k: mpf(float(np.float32(v))) if isinstance(v, float) else v for k, v in given.items()
    }
    result = ALL_FORMULAS[name](*map(exactly, inputs), **numbers)
    results = result if isinstance(result, tuple) else (result,)
    types = [np.dtype(t or inputs[0].dtype) for t in ALL_TYPES.get(name, (None,))]
    floating = any(is_floating(x.dtype) for x in inputs if x is not None)
    return MPMATH if floating or is_floating(types[0]) else INTEGERS, [
        rounded(np.asarray(y, object), dtype) for y, dtype in zip(results, types, strict=True)
    ]


def check_types(name: str, opset: int, inputs: Sequence[Any]) -> None:
    """Raise TypeError for an input of a type that the operator does not take at this opset."""
    if not onnx.defs.has(name, opset):
        return
    parameters = onnx.defs.get_schema(name, opset).inputs
    for place, x in enumerate(inputs):
        allowed = parameters[min(place, len(parameters) - 1)].types
        code = 0 if x is None else helper.np_dtype_to_tensor_dtype(x.dtype)
        if x is not None and f"tensor({TensorProto.DataType.Name(code).lower()})" not in allowed:
            raise TypeError(f"{name} of opset {opset} does not take {x.dtype} as input {place}")


def defaults(name: str, opset: int) -> dict[str, Any]:
    """The attributes for which the operator's schema has defaults."""
    if not onnx.defs.has(name, opset):
        known = CONTRIB_SCHEMAS[name]["attributes"].items()
        return {key: a["default"] for key, a in known if "default" in a}
    attributes = onnx.defs.get_schema(name, opset).attributes.values()
    return {a.name: plain(a.default_value) for a in attributes if a.default_value.type}


def plain(attribute: Any) -> Any:
    """An attribute's value, with strings as such."""
    value = helper.get_attribute_value(attribute)
    if isinstance(value, list):
        return [v.decode() if isinstance(v, bytes) else v for v in value]
    return value.decode() if isinstance(value, bytes) else value


def exactly(x: Array | None) -> Array | None:
    """The same numbers as Python integers and bools, or as mpmath's."""
    if x is None:
        return None
    kind = bool if x.dtype == bool else int
    result = np.empty(x.size, object)
    result[:] = [mpf(float(v)) if is_floating(x.dtype) else kind(v) for v in x.reshape(-1)]
    return result.reshape(x.shape)


def rounded(values: Array, dtype: np.dtype[Any]) -> Array:
    """Exact numbers in a type of limited width: floats rounded to even, integers wrapped around."""
    if dtype == bool:
        return values.astype(bool)
    fit = nearest if is_floating(dtype) else wrapped
    fitted = np.empty(values.shape, np.float64 if is_floating(dtype) else object)
    fitted.reshape(-1)[:] = [fit(v, dtype) for v in values.reshape(-1)]
    return fitted.astype(dtype)


def wrapped(value: Any, dtype: np.dtype[Any]) -> int:
    """The integer part of a number, modulo the width of the type."""
    low, width = int(np.iinfo(dtype).min), 8 * dtype.itemsize
    return (int(value) - low) % 2**width + low


def nearest(value: Any, dtype: np.dtype[Any]) -> float:
    """The float of the type that is nearest, the even one of two; infinity beyond the largest."""
    if isinstance(value, mpmath.mpc) or mp.isnan(value):
        return math.nan  # where only a complex number would do there is no result
    if mp.isinf(value) or value == 0:
        return float(value)
    info = ml_dtypes.finfo(dtype)
    exponent = max(mp.frexp(value)[1] - 1, int(info.minexp))
    unit = exponent - int(info.nmant)
    whole = mp.nint(mp.ldexp(value, -unit))
    if abs(mp.ldexp(whole, unit)) > float(info.max):
        return math.copysign(math.inf, whole)
    return math.ldexp(int(whole), unit)


def by_onnxruntime(
    operator: str,
    opset: int,
    inputs: Sequence[Value],
    attributes: Mapping[str, Any],
    outputs: Sequence[bool],
    constant: Sequence[int] = (),
) -> tuple[str, list[Value]]:
    """The oracle's name and the node's outputs, ``None`` for those that are not wanted.

    The inputs at the places ``constant`` are initializers: some kernels prepare those.
    """
    fixed = {i for i, x in enumerate(inputs) if i in constant or not crosses(x)}
    model = one_node(operator, opset, inputs, attributes, outputs, fixed)
    feeds = {f"x{i}": x for i, x in enumerate(inputs) if i not in fixed}
    results = iter(run(model, feeds))
    return ONNXRUNTIME, [next(results) if wanted else None for wanted in outputs]


def run(model: onnx.ModelProto, feeds: Mapping[str, Any]) -> list[Any]:
    """What onnxruntime makes of a model, executed as it is written, on one thread."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, feeds))


def crosses(value: Value) -> bool:
    """Whether onnxruntime's Python API takes the value; the narrow types must be initializers."""
    return isinstance(value, list) or (value is not None and value.dtype.kind != "V")


def one_node(
    operator: str,
    opset: int,
    inputs: Sequence[Value],
    attributes: Mapping[str, Any],
    outputs: Sequence[bool],
    fixed: Collection[int],
) -> onnx.ModelProto:
    domain, _, name = operator.rpartition(".")
    tensors = {
        k: numpy_helper.from_array(v) for k, v in attributes.items() if isinstance(v, np.ndarray)
    }
    node = helper.make_node(
        name,
        ["" if x is None else f"x{i}" for i, x in enumerate(inputs)],
        [f"y{i}" if wanted else "" for i, wanted in enumerate(outputs)],
        domain=domain,
        **{**attributes, **tensors},
    )
    graph = helper.make_graph(
        [node],
        operator,
        [value_info(f"x{i}", x) for i, x in enumerate(inputs) if i not in fixed],
        [helper.make_empty_tensor_value_info(y) for y in node.output if y],
        [
            numpy_helper.from_array(x, f"x{i}")
            for i, x in enumerate(inputs)
            if i in fixed and x is not None
        ],
    )
    imports = [helper.make_opsetid(domain, opset)]
    if domain:
        imports.append(helper.make_opsetid("", 17))
    return helper.make_model(graph, opset_imports=imports, ir_version=10)


def value_info(name: str, value: Value) -> onnx.ValueInfoProto:
    assert value is not None
    first = value[0] if isinstance(value, list) else value
    kind = helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(first.dtype), first.shape)
    if isinstance(value, list):
        kind = helper.make_tensor_type_proto(kind.tensor_type.elem_type, None)
        kind = helper.make_sequence_type_proto(kind)
    return helper.make_value_info(name, kind)
