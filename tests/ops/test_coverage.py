"""Each operator has a property: a test over drawn inputs that calls it, in its module's tests."""

from __future__ import annotations

import ast
import functools
import importlib
import inspect
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import is_hypothesis_test

from embedx.ops import Op, registered


def uses(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}


def definitions(tree: ast.Module) -> Iterator[tuple[str, set[str]]]:
    """The names that a module defines, and the names that each definition uses."""
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.ClassDef):
            yield statement.name, uses(statement)
        elif isinstance(statement, ast.Assign | ast.AnnAssign | ast.AugAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            for name in set().union(*map(uses, targets)):
                yield name, uses(statement)


def leaves(value: Any) -> Iterator[Any]:
    """What lists, tuples and dictionaries hold, however deep."""
    if isinstance(value, dict):
        value = [*value, *value.values()]
    if not isinstance(value, list | tuple):
        yield value
        return
    for item in value:
        yield from leaves(item)


@functools.cache
def with_properties(name: str) -> list[Any]:
    """All functions that the properties in a test module use, themselves or through its helpers."""
    module = importlib.import_module(name)
    used: dict[str, set[str]] = {}
    for defined, names in definitions(ast.parse(inspect.getsource(module))):
        used.setdefault(defined, set()).update(names)
    reached: set[str] = set()
    open_names = {defined for defined in used if is_hypothesis_test(getattr(module, defined))}
    while open_names:
        reached |= open_names
        open_names = set().union(*(used.get(n, set()) for n in open_names)) - reached
    return [leaf for n in reached for leaf in leaves(getattr(module, n, None)) if callable(leaf)]


@pytest.mark.parametrize("entry", list(registered()), ids=lambda entry: entry.title)
def test_operator_has_a_property(entry: Op) -> None:
    *folders, module = entry.formula.__module__.split(".")[2:]
    tests = ".".join(["tests.ops", *folders, f"test_{module}"])
    assert any(used is entry.function for used in with_properties(tests)), f"add one to {tests}"
