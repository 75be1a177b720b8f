"""From a node to a call: find the operator, check the node against its signature, bind it."""

from __future__ import annotations

import difflib
import functools
import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from embedx.errors import ModelError, UnsupportedOpError
from embedx.model.graph import Graph, Node, Reference, SparseTensor
from embedx.model.schemas import schema_of
from embedx.ops import Op, resolve, widened

Precision: TypeAlias = Literal["native", "exact", "float64"]
"""``native``: each operator in its own dtype. ``exact``: floats compute in float64 and round once
at the operator's output; MatMul and Gemm round the sum itself, whatever order a machine adds in.
``float64``: nothing is rounded."""


@dataclass(frozen=True)
class Signature:
    """What an operator function takes."""

    required: tuple[bool, ...]
    """For each input in order whether it must be there."""
    variadic: bool
    """Whether any number of further inputs may follow."""
    attributes: dict[str, inspect.Parameter]


@functools.cache
def signature_of(function: Callable[..., Any]) -> Signature:
    """The inputs and attributes of an operator function."""
    parameters = inspect.signature(function).parameters.values()
    positional = [p for p in parameters if p.kind is p.POSITIONAL_ONLY]
    variadic = any(p.kind is p.VAR_POSITIONAL for p in parameters)
    # An optional input in front of a required one can have no default.
    required = (p.default is p.empty and "None" not in p.annotation for p in positional)
    attributes = {p.name: p for p in parameters if p.kind is p.KEYWORD_ONLY}
    return Signature(tuple(required), variadic, attributes)


def bind(node: Node, precision: Precision = "native") -> functools.partial[Any]:
    """The node's operator with its attributes, as a function of the node's inputs alone.

    Subgraphs are left open: whoever runs the node passes them by the names of their attributes.
    Raises LookupError if there is no such operator at the node's opset, ModelError if the node
    does not fit the operator's signature.
    """
    found = resolve(node.op_type, node.opset, node.domain)
    signature = signature_of(found.formula)
    _check_inputs(node, signature)
    ignored = ignored_attributes(node)
    names = (name for name in node.attributes if name not in ignored)
    attributes = {name: _checked(node, name, signature) for name in names}
    if "num_outputs" in signature.attributes and (node.opset < 18 or _lengths_given(node)):
        attributes.setdefault("num_outputs", len(node.outputs))
    told = attributes.get("num_outputs", len(node.outputs))
    if told != len(node.outputs):
        raise ModelError(f"{node} has {len(node.outputs)} outputs, its num_outputs is {told}")
    for name, parameter in signature.attributes.items():
        if name in attributes:
            continue
        if parameter.default is parameter.empty:
            raise ModelError(f"{node} lacks the attribute {name!r}")
        elif isinstance(parameter.default, float):
            attributes[name] = float(np.float32(parameter.default))  # as the schema stores it
    for name in node.subgraphs:
        attributes.pop(name, None)
    return functools.partial(_computing(found, precision), **attributes)


def ignored_attributes(node: Node) -> list[str]:
    """The attributes at which nobody looks.

    So it is with ``consumed_inputs``, since opset 6, and with what a node has beside the attributes
    of an operator that onnxruntime put into ONNX's own domain before ONNX did.
    """
    if node.domain == "" and schema_of(node.op_type, node.opset, "") is None:
        known = signature_of(resolve(node.op_type, node.opset).formula).attributes
        return [name for name in node.attributes if name not in known]
    return [name for name in node.attributes if name == "consumed_inputs"]


def _lengths_given(node: Node) -> bool:
    return len(node.inputs) > 1 and node.inputs[1] != ""


def _computing(found: Op, precision: Precision) -> Callable[..., Any]:
    if precision == "float64":
        return _unrounded(found.formula)
    if precision == "exact" and found.rounds:
        return widened(found.formula, np.dtype(np.float64), found.rounds, found.like)
    return found.function


def _unrounded(function: Callable[..., Any]) -> Callable[..., Any]:
    """``function`` with float64 results where the type is a default, such as ConstantOfShape's."""

    def lifted(value: Any) -> Any:
        narrow = getattr(value, "dtype", None) == np.float32
        return value.astype(np.float64) if narrow else value

    @functools.wraps(function)
    def call(*args: Any, **attributes: Any) -> Any:
        result = function(*args, **attributes)
        return tuple(map(lifted, result)) if isinstance(result, tuple) else lifted(result)

    return call


def _check_inputs(node: Node, signature: Signature) -> None:
    given = [i for i, name in enumerate(node.inputs) if name]
    missing = [i for i, needed in enumerate(signature.required) if needed and i not in given]
    if missing:
        raise ModelError(f"{node} has {len(node.inputs)} inputs and lacks input {missing[0]}")
    if signature.variadic and "" in node.inputs[len(signature.required) :]:
        raise ModelError(f"{node} omits an input where any number of them may stand")
    if not signature.variadic and max(given, default=0) >= max(len(signature.required), 1):
        raise ModelError(
            f"{node} has {len(node.inputs)} inputs and takes at most {len(signature.required)}"
        )


_TYPES: dict[str, Callable[[Any], bool]] = {
    "int": lambda v: isinstance(v, int),
    "float": lambda v: isinstance(v, float),
    "str": lambda v: isinstance(v, str),
    "tuple[int, ...]": lambda v: isinstance(v, tuple) and all(isinstance(i, int) for i in v),
    "tuple[float, ...]": lambda v: isinstance(v, tuple) and all(isinstance(i, float) for i in v),
    "tuple[str, ...]": lambda v: isinstance(v, tuple) and all(isinstance(i, str) for i in v),
    "Array": lambda v: isinstance(v, np.ndarray),
    "Body": lambda v: isinstance(v, Graph),
    "object": lambda v: True,
}


def _checked(node: Node, name: str, signature: Signature) -> Any:
    value = node.attributes[name]
    if name not in signature.attributes:
        near = difflib.get_close_matches(name, signature.attributes, 1)
        known = ", ".join(signature.attributes) or "none"
        hint = f"did you mean {near[0]!r}?" if near else f"at opset {node.opset} there is {known}"
        raise ModelError(f"{node} has the attribute {name!r}; {hint}")
    if isinstance(value, SparseTensor):
        value = value.dense()
    expected = str(signature.attributes[name].annotation).removesuffix(" | None")
    if isinstance(value, Reference) or not _TYPES[expected](value):
        raise ModelError(f"{node}: attribute {name!r} is {value!r}, expected {expected}")
    return value


def check_operators(nodes: Iterable[Node]) -> None:
    """Raise UnsupportedOpError naming every operator, with its nodes, that embedx lacks."""
    missing: dict[str, list[str]] = {}
    for node in nodes:
        try:
            resolve(node.op_type, node.opset, node.domain)
        except LookupError as error:
            missing.setdefault(str(error), []).append(node.name[:60] or f"node {node.index}")
    if missing:
        listed = "; ".join(
            f"{reason} ({len(places)} times: {', '.join(places[:3])})"
            for reason, places in missing.items()
        )
        raise UnsupportedOpError(f"{len(missing)} operators are not supported: {listed}")
