"""Which kernel stands in for which operator."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, TypeVar

from embedx.kernels.storage import Storage
from embedx.model.graph import Array, Node, SparseTensor

F = TypeVar("F", bound=Callable[..., Any])
Constants: TypeAlias = "tuple[Array | SparseTensor | None, ...]"


@dataclass(frozen=True)
class Prepared:
    """A kernel made for one node: its weights, in the form that it wants, are inside."""

    call: Callable[..., Any]
    """Takes the node's inputs, of which the packed ones may be ``None``, and its attributes."""
    packed: tuple[int, ...] = ()
    """The inputs that nobody needs again: what the kernel declines, its operator refuses."""
    matrix: int | None = None
    """The input of which it has a form of its own."""
    note: str = ""
    """In which form, and why."""
    rows: tuple[int, ...] = ()
    """As for :class:`Kernel`."""


Preparation: TypeAlias = Callable[[Node, Constants, Storage], Prepared | None]


@dataclass(frozen=True)
class Kernel:
    """A fast stand-in for one operator, with the operator's signature.

    It gives NotImplemented for inputs that it does not take on, before it has written anything.
    """

    function: Callable[..., Any]
    overwrites: tuple[int, ...] = ()
    """The inputs over which it can write its result: one of them is given to it as ``out``."""
    prepare: Preparation | None = None
    """Makes a kernel around a node's constants, its matrices stored as asked for; ``None`` from it
    means the plain one."""
    rows: tuple[int, ...] = ()
    """The inputs that it takes row by row, in whatever axes the rows are: of any rows of them, and
    its other inputs, it makes those rows of its one output. It is given ``out`` to write to."""


REPLACING: dict[Callable[..., Any], Kernel] = {}
"""By the formula of the operator that each replaces."""
FUSED: dict[str, Kernel] = {}
"""By the names in the domain ``embedx``, to which no operator of ``embedx.ops`` belongs."""


def replaces(
    formula: Callable[..., Any],
    *,
    overwrites: tuple[int, ...] = (),
    prepare: Preparation | None = None,
    rows: tuple[int, ...] = (),
) -> Callable[[F], F]:
    """Register the decorated function as the kernel for an operator of ``embedx.ops``."""

    def register(function: F) -> F:
        target = getattr(formula, "__wrapped__", formula)
        REPLACING[target] = Kernel(function, overwrites, prepare, rows)
        return function

    return register


def fused(name: str, *, prepare: Preparation | None = None) -> Callable[[F], F]:
    """Register the decorated function as the kernel ``embedx::name``."""

    def register(function: F) -> F:
        FUSED[name] = Kernel(function, prepare=prepare)
        return function

    return register
