"""A model as plain, frozen data. Nothing here knows protobuf, and nothing here computes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray

from embedx.ops import qualified, reserve

FUSED_DOMAIN = "embedx"
"""The domain of fused nodes that no operator of ONNX or com.microsoft describes."""

Array: TypeAlias = NDArray[Any]
_T = TypeVar("_T")
Dim: TypeAlias = int | str | None
"""A size, the name of a size that the feeds decide, or nothing known."""


@dataclass(frozen=True)
class TensorType:
    """A tensor's element type, and its shape as far as it is declared."""

    dtype: np.dtype[Any]
    shape: tuple[Dim, ...] | None = None

    def __str__(self) -> str:
        dims = (
            "?"
            if self.shape is None
            else ", ".join(str("?" if d is None else d) for d in self.shape)
        )
        return f"{_dtype_name(self.dtype)}[{dims}]"


@dataclass(frozen=True)
class SequenceType:
    """A sequence of tensors, or of maps."""

    element: Type

    def __str__(self) -> str:
        return f"sequence({self.element})"


@dataclass(frozen=True)
class MapType:
    """Values by keys, which are integers or strings."""

    key: np.dtype[Any]
    value: Type

    def __str__(self) -> str:
        return f"map({_dtype_name(self.key)}, {self.value})"


@dataclass(frozen=True)
class OptionalType:
    """A value that may be absent."""

    element: Type

    def __str__(self) -> str:
        return f"optional({self.element})"


Type: TypeAlias = TensorType | SequenceType | MapType | OptionalType | None
"""``None`` where a file declares nothing, as it may inside a graph."""


@dataclass(frozen=True)
class Value:
    """A named edge and its declared type."""

    name: str
    type: Type = None


@dataclass(frozen=True, eq=False)
class SparseTensor:
    """A tensor of mostly zeros: its other values and where they stand, row by row."""

    values: Array
    places: Array
    """int64 positions in the flattened tensor, strictly ascending."""
    shape: tuple[int, ...]

    @property
    def dtype(self) -> np.dtype[Any]:
        """The element type."""
        return self.values.dtype

    def dense(self) -> Array:
        """The tensor with its zeros. Raises OverBudgetError if it may not be so large."""
        reserve(self.shape, self.values.dtype)
        full = np.zeros(self.shape, self.values.dtype)
        full.reshape(-1)[self.places] = self.values
        return full


def full(value: SparseTensor | _T) -> Array | _T:
    """A sparse tensor with its zeros; anything else as it is."""
    return value.dense() if isinstance(value, SparseTensor) else value


@dataclass(frozen=True)
class Reference:
    """An attribute inside a function whose value is the function's attribute ``name``."""

    name: str


@dataclass(frozen=True, eq=False)
class Node:
    """One operator call. ``""`` among inputs and outputs is an omitted one."""

    op_type: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    """int, float, str, bytes, Array, SparseTensor, Graph, Type, Reference, or a tuple of such."""
    domain: str = ""
    name: str = ""
    overload: str = ""
    opset: int = 1
    """The version of the domain's operators that the node is written in."""
    index: int = 0
    """The place in the file, for messages; -1 for a node that is in no file."""
    literal: Graph | None = None
    """What a fused node stands for: the file's nodes, as a graph of the fused node's inputs."""

    @property
    def covers(self) -> tuple[Node, ...]:
        """The file's nodes that the node stands for: itself, unless it is a fused one."""
        nodes = (self,) if self.literal is None else self.literal.nodes
        return tuple(node for node in nodes if node.index >= 0)

    @property
    def subgraphs(self) -> dict[str, Graph]:
        """The attributes that are graphs."""
        return {k: v for k, v in self.attributes.items() if isinstance(v, Graph)}

    @property
    def operator(self) -> str:
        """The operator's name, behind its domain unless that is ONNX's own."""
        return qualified(self.domain, self.op_type)

    def __str__(self) -> str:
        """How messages call the node."""
        label = f" {self.name[:120]!r}" if self.name else ""
        place = f"node {self.index}" if self.index >= 0 else "a node of the plan"
        return f"{self.operator}{label} ({place})"


@dataclass(frozen=True, eq=False)
class Function:
    """A model-local function: a body that stands for an operator."""

    name: str
    domain: str
    overload: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: Mapping[str, Any]
    """Default values; ``None`` for an attribute without one."""
    nodes: tuple[Node, ...]


class SourceFile(Protocol):
    """A file whose bytes are weights."""

    @property
    def path(self) -> Path:
        """Where it lies."""

    def check(self) -> None:
        """Raise ModelError if the file is not any more what was read."""

    def digest(self) -> str:
        """What tells whether another file has the same content."""


@dataclass(frozen=True, eq=False)
class Graph:
    """Nodes, what goes in, what comes out, and the constants between."""

    name: str
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    nodes: tuple[Node, ...]
    initializers: Mapping[str, Array | SparseTensor] = field(default_factory=dict)
    opsets: Mapping[str, int] = field(default_factory=dict)
    functions: Mapping[tuple[str, str, str], Function] = field(default_factory=dict)
    """By domain, name and overload."""
    values: Mapping[str, Type] = field(default_factory=dict)
    """Declared types of inner edges; hints, not promises."""
    metadata: Mapping[str, str] = field(default_factory=dict)
    ir_version: int = 8
    files: tuple[SourceFile, ...] = ()
    """The files that the weights are views of."""

    @property
    def feeds(self) -> tuple[Value, ...]:
        """The inputs that must be fed: those without an initializer as their default."""
        return tuple(v for v in self.inputs if v.name not in self.initializers)

    @property
    def constants(self) -> Mapping[str, Array | SparseTensor]:
        """The initializers that no feed can override."""
        inputs = {v.name for v in self.inputs}
        if inputs.isdisjoint(self.initializers):
            return self.initializers
        return {name: v for name, v in self.initializers.items() if name not in inputs}

    def producers(self) -> dict[str, Node]:
        """The node behind each edge that a node makes."""
        return {name: node for node in self.nodes for name in node.outputs if name}

    def consumers(self) -> dict[str, list[Node]]:
        """The nodes that read each edge, be it inside their subgraphs, in file order."""
        readers: dict[str, list[Node]] = {}
        for node in self.nodes:
            for name in dict.fromkeys(reads(node)):
                readers.setdefault(name, []).append(node)
        return readers

    def walk(self) -> Iterator[Node]:
        """Every node, those of subgraphs included."""
        for node in self.nodes:
            yield node
            for subgraph in node.subgraphs.values():
                yield from subgraph.walk()

    def __str__(self) -> str:
        """One node per line, for people and for comparing graphs before and after a rewrite."""
        lines = [f"graph {self.name}({', '.join(f'{v.name}: {v.type}' for v in self.inputs)})"]
        for name, value in self.initializers.items():
            stored = value.values if isinstance(value, SparseTensor) else value
            lines.append(f"  {name}: {TensorType(stored.dtype, tuple(value.shape))}")
        for node in self.nodes:
            shown = ", ".join(f"{k}={_short(v)}" for k, v in sorted(node.attributes.items()))
            made = ", ".join(name or "_" for name in node.outputs)
            taken = ", ".join(name or "_" for name in node.inputs)
            lines.append(f"  {made} = {node.operator}{f'<{shown}>' if shown else ''}({taken})")
        return "\n".join([*lines, f"  return {', '.join(v.name for v in self.outputs)}"])


def reads(node: Node) -> Iterator[str]:
    """The edges that a node needs: its inputs, and what its subgraphs take from outside."""
    yield from (name for name in node.inputs if name)
    for subgraph in node.subgraphs.values():
        yield from captures(subgraph)


def captures(subgraph: Graph) -> Iterator[str]:
    """The outer edges that a subgraph uses."""
    inner = {v.name for v in subgraph.inputs} | set(subgraph.initializers)
    inner.update(name for node in subgraph.nodes for name in node.outputs)
    used = [name for node in subgraph.nodes for name in reads(node)]
    for name in dict.fromkeys([*used, *(v.name for v in subgraph.outputs)]):
        if name not in inner:
            yield name


def _dtype_name(dtype: np.dtype[Any]) -> str:
    return "string" if dtype == object else dtype.name


def _short(value: object) -> str:
    if isinstance(value, np.ndarray) and value.size > 8:
        return f"{value.dtype}{list(value.shape)}"
    return f"graph {value.name}" if isinstance(value, Graph) else repr(value)
