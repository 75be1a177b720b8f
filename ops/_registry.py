"""Which function implements which ONNX operator at which opset."""

from __future__ import annotations

import difflib
import functools
from bisect import bisect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ParamSpec, TypeVar

import numpy as np

from ._rounding import rounded

P = ParamSpec("P")
R = TypeVar("R")

ML = "ai.onnx.ml"
"""The domain of classical machine learning."""


@dataclass(frozen=True)
class Op:
    """One behaviour of one operator."""

    name: str
    domain: str
    since: int
    """The first opset with this behaviour."""
    until: int | None
    """The opset that removed the operator, if one did."""
    function: Callable[..., Any]
    """What users call: half-precision floats are computed in float32 and rounded once."""
    formula: Callable[..., Any]
    """The undecorated body, which computes in whatever dtype it is given."""
    rounds: bool | tuple[int, ...]
    """Whether the outputs (or those at these positions) are rounded to the inputs' float type."""
    like: tuple[int, ...]
    """The input whose float type each output takes; empty: the first floating input's."""
    pure: bool
    """Whether equal inputs always give equal outputs."""

    @property
    def title(self) -> str:
        """``Softmax-13``, or ``com.microsoft::BiasGelu-1``."""
        return f"{qualified(self.domain, self.name)}-{self.since}"


def qualified(domain: str, name: str) -> str:
    """An operator's name with its domain, unless that is the standard's own.

    >>> qualified("", "Softmax"), qualified("com.microsoft", "BiasGelu")
    ('Softmax', 'com.microsoft::BiasGelu')
    """
    return f"{domain}::{name}" if domain else name


_REGISTRY: dict[tuple[str, str], list[Op]] = {}


def op(
    name: str,
    *,
    since: int,
    until: int | None = None,
    domain: str = "",
    rounds: bool | tuple[int, ...] = False,
    like: tuple[int, ...] = (),
    pure: bool = True,
) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Register the decorated function as operator ``name`` from opset ``since`` on.

    ``rounds`` marks arithmetic that rounds: its fp16 and bfloat16 inputs are computed in float32
    and rounded once at the output (``True``: every floating output; a tuple: those outputs), to the
    type of the first floating input, or of the input that ``like`` names for the output. An
    operator that draws random numbers is not ``pure``.
    """

    def register(function: Callable[P, R]) -> Callable[P, R]:
        public = widened(function, np.dtype(np.float32), rounds, like) if rounds else function
        versions = _REGISTRY.setdefault((domain, name), [])
        versions.append(Op(name, domain, since, until, public, function, rounds, like, pure))
        versions.sort(key=lambda entry: entry.since)
        return public

    return register


def resolve(name: str, opset: int, domain: str = "") -> Op:
    """The newest behaviour of an operator that is not newer than ``opset``.

    >>> resolve("Softmax", 12).title, resolve("Softmax", 17).title
    ('Softmax-1', 'Softmax-13')

    Raises LookupError if the operator is unknown, newer than the opset, or removed by it.
    """
    versions = _REGISTRY.get((domain, name))
    if not versions:
        raise LookupError(
            f"no operator {name} in domain {domain or 'ai.onnx'}{_hint(name, domain)}"
        )
    place = bisect(versions, opset, key=lambda entry: entry.since)
    if place == 0:
        raise LookupError(f"{name} exists from opset {versions[0].since} on, not at {opset}")
    found = versions[place - 1]
    if found.until is not None and opset >= found.until:
        raise LookupError(f"{name} was removed at opset {found.until}, the model imports {opset}")
    return found


@functools.lru_cache
def _hint(name: str, domain: str) -> str:
    """A suggestion: the same name in another domain, or a similar name in this one."""
    elsewhere = sorted(qualified(other, known) for other, known in _REGISTRY if known == name)
    names = [known for other, known in _REGISTRY if other == domain]
    near = elsewhere or difflib.get_close_matches(name, names, 1)
    return f"; did you mean {near[0]}?" if near else ""


def registered() -> Iterator[Op]:
    """Every registered behaviour, by domain, name and opset."""
    for key in sorted(_REGISTRY):
        yield from _REGISTRY[key]


def widened(
    function: Callable[P, R],
    work: np.dtype[Any],
    rounds: bool | tuple[int, ...] = True,
    like: tuple[int, ...] = (),
) -> Callable[P, R]:
    """``function`` computing in ``work`` for floats narrower than that, each result rounded once.

    Results take the type of the first floating input, or of the inputs ``like``. Integers, wider
    floats and outputs to which the function itself gives another type pass through.
    """

    @functools.wraps(function)
    def call(*args: P.args, **attributes: P.kwargs) -> R:
        inputs: Any = args
        if not any(_is_narrow(a, work) for a in inputs):
            return function(*args, **attributes)
        wide: Any = (a.astype(work) if _is_narrow(a, work) else a for a in inputs)
        result: Any = function(*wide, **attributes)
        values = list(result) if isinstance(result, tuple) else [result]
        first = next(a.dtype for a in inputs if _is_float(a))
        for i in range(len(values)) if rounds is True else rounds or ():
            values[i] = _rounded(values[i], work, inputs[like[i]].dtype if like else first)
        if not isinstance(result, tuple):
            return values[0]
        return type(result)(*values) if hasattr(result, "_fields") else tuple(values)  # type: ignore[return-value]

    return call


def _is_float(value: Any) -> bool:
    # ml_dtypes' floats have kind "V"; its narrow integers, which have it too, are never rounded.
    return getattr(value, "dtype", np.dtype(bool)).kind in "fV"


def _is_narrow(value: Any, work: np.dtype[Any]) -> bool:
    return _is_float(value) and value.dtype.itemsize < work.itemsize


def _rounded(value: Any, work: np.dtype[Any], target: np.dtype[Any]) -> Any:
    return rounded(value, target) if getattr(value, "dtype", None) == work else value
