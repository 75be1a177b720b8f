"""What the standard's operators accept and give: the element types of their inputs and outputs."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx.defs import OpSchema

from embedx.ops import dtype_of

_TENSORS = {f"tensor({name.lower()})": code for name, code in onnx.TensorProto.DataType.items()}


@dataclass(frozen=True)
class Schema:
    """The types of one operator at one opset, by the names of its type parameters."""

    inputs: tuple[str, ...]
    """The type parameter of each input, or a type that is written out, such as tensor(int64)."""
    more: str | None
    """The type parameter of any further inputs; None if there are none."""
    free: str | None
    """The type parameter that may be another type in each place, as of the values of a Loop."""
    outputs: tuple[str, ...]
    tensors: Mapping[str, frozenset[np.dtype[Any]]]
    """The element types that each type parameter may have; empty if it is no tensor."""


@functools.cache
def schema_of(op_type: str, opset: int, domain: str) -> Schema | None:
    """The schema of an operator of ONNX itself at an opset; None if the standard has none."""
    try:
        schema = onnx.defs.get_schema(op_type, opset, domain)
    except onnx.defs.SchemaError:
        return None
    tensors = {
        constraint.type_param_str: _element_types(constraint.allowed_type_strs)
        for constraint in schema.type_constraints
    }
    for parameter in (*schema.inputs, *schema.outputs):
        tensors.setdefault(parameter.type_str, _element_types([parameter.type_str]))
    more, several = (_variadic(parameters) for parameters in (schema.inputs, schema.outputs))
    return Schema(
        inputs=tuple(p.type_str for p in schema.inputs),
        more=more.type_str if more else None,
        free=next((p.type_str for p in (more, several) if p and not p.is_homogeneous), None),
        outputs=tuple(p.type_str for p in schema.outputs),
        tensors=tensors,
    )


def _variadic(parameters: Sequence[Any]) -> Any:
    last = parameters[-1] if parameters else None
    return last if last and last.option == OpSchema.FormalParameterOption.Variadic else None


def _element_types(names: Iterable[str]) -> frozenset[np.dtype[Any]]:
    return frozenset(dtype_of(_TENSORS[name]) for name in names if name in _TENSORS)
