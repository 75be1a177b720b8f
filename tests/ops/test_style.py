"""Operators are short functions whose docstrings tell their errors."""

from __future__ import annotations

import ast
import inspect
import math
import re
import textwrap
from collections.abc import Iterator
from types import FunctionType, ModuleType
from typing import Any

import pytest

from embedx.ops import Op, registered

BEHAVIOURS = list(registered())
FORMULAS = list({entry.formula for entry in BEHAVIOURS})
SAFE = {"com.microsoft::Gelu-1"}
"""What calls functions that can raise, but never so that they do."""


def definition(function: Any) -> ast.FunctionDef:
    (found,) = ast.parse(textwrap.dedent(inspect.getsource(function))).body
    assert isinstance(found, ast.FunctionDef)
    return found


def body_lines(function: Any) -> int:
    """The lines of a function without its head and docstring."""
    first, *rest = definition(function).body
    documented = isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant)
    lines = rest if documented else [first, *rest]
    return (lines[-1].end_lineno or 0) - lines[0].lineno + 1


def used(function: Any) -> Iterator[FunctionType]:
    """The functions of embedx.ops that a function names; not the budget, which any may exceed."""
    names = function.__globals__
    for node in ast.walk(definition(function)):
        if isinstance(node, ast.Name):
            value = names.get(node.id)
        elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            module = names.get(node.value.id)
            value = getattr(module, node.attr, None) if isinstance(module, ModuleType) else None
        else:
            continue
        home = value.__module__ if isinstance(value, FunctionType) else ""
        if home.startswith("embedx.ops.") and not home.endswith("._budget"):
            yield value


def helpers(function: Any, found: set[Any]) -> set[Any]:
    """A function and those of embedx.ops that it calls, directly or not."""
    function = inspect.unwrap(function)
    if function not in found:
        found.add(function)
        for other in used(function):
            helpers(other, found)
    return found


def raised(function: Any) -> Iterator[str]:
    for node in ast.walk(definition(function)):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call):
            yield ast.unparse(node.exc.func)


def test_bodies_are_short() -> None:
    lengths = sorted(map(body_lines, FORMULAS))
    assert lengths[len(lengths) // 2] <= 3
    assert lengths[math.ceil(0.9 * len(lengths)) - 1] <= 12
    assert lengths[-1] <= 25


@pytest.mark.parametrize("entry", BEHAVIOURS, ids=lambda entry: entry.title)
def test_errors_are_told(entry: Op) -> None:
    text = inspect.getdoc(entry.formula) or ""
    section = re.search(r"\bRaises\s.*?(?=\n\n)", text, re.S)
    can_raise = any(any(raised(helper)) for helper in helpers(entry.formula, set()))
    if can_raise and entry.title not in SAFE:
        assert section, "say which errors are raised, and why"
    own = set(raised(entry.formula))
    assert {error for error in own if error not in (section[0] if section else "")} == set()


@pytest.mark.parametrize("entry", BEHAVIOURS, ids=lambda entry: entry.title)
def test_the_source_is_named(entry: Op) -> None:
    text = inspect.getdoc(entry.formula) or ""
    source = re.search(r"^Spec: (.*\.)\Z", text, re.S | re.M)
    assert source, "end the docstring with 'Spec: ...'"
    name = f"{entry.domain} {entry.name}" if entry.domain == "ai.onnx.ml" else entry.name
    assert re.search(rf"\b{name}-\d+", source[1])
