"""The single-node cases of the ONNX backend suite, few and small."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper
from oracles import Value, plain

MOST_CASES = 8
MOST_ELEMENTS = 100
MOST_ELEMENTS_OF_A_MODEL = 400


@dataclass(frozen=True, eq=False)
class SuiteCase:
    """One node of the suite, or one that calls subgraphs."""

    id: str
    operator: str
    opset: int
    model: onnx.ModelProto
    inputs: list[Value]
    outputs: list[Value]
    """In the node's order for a plain operator, in the graph's for one with subgraphs."""
    attributes: dict[str, Any]
    has_subgraph: bool

    @property
    def elements(self) -> int:
        """How many numbers go in and come out."""
        return sum(map(count, self.inputs + self.outputs))

    @property
    def features(self) -> set[Any]:
        """What sets this case apart: attributes, absent inputs, element types, ranks."""
        shown = {(name, repr(value)) for name, value in self.attributes.items()}
        kinds = {(i, describe(x)) for i, x in enumerate(self.inputs)}
        return shown | kinds | {len(self.inputs), len(self.outputs), self.opset}


def count(value: Value) -> int:
    return sum(map(count, value)) if isinstance(value, list) else 0 if value is None else value.size


def describe(value: Value) -> str:
    if isinstance(value, np.ndarray):
        return f"{value.dtype} of rank {value.ndim}" + " without elements" * (value.size == 0)
    return type(value).__name__


def small_cases(operator: str, excluded: Collection[str]) -> list[SuiteCase]:
    """Up to eight small cases of an operator, each unlike those before it."""
    candidates = [
        case
        for case in wanted_cases(operator, excluded)
        if case.elements <= (MOST_ELEMENTS_OF_A_MODEL if case.has_subgraph else MOST_ELEMENTS)
    ]
    chosen: list[SuiteCase] = []
    seen: set[Any] = set()
    while candidates and len(chosen) < MOST_CASES:
        best = max(candidates, key=lambda case: (len(case.features - seen), -case.elements))
        if not best.features - seen:
            break
        seen |= best.features
        chosen.append(best)
        candidates.remove(best)
    return sorted(chosen, key=lambda case: case.id)


def smallest_cases(operator: str, excluded: Collection[str]) -> list[SuiteCase]:
    """Two cases of an operator that has no small ones."""
    return sorted(wanted_cases(operator, excluded), key=lambda case: case.elements)[:2]


def wanted_cases(operator: str, excluded: Collection[str]) -> list[SuiteCase]:
    return [case for case in all_cases().get(operator, []) if case.id not in excluded]


@functools.cache
def all_cases() -> dict[str, list[SuiteCase]]:
    """By operator, in the suite's order. Takes some seconds: the suite is generated."""
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        tests = load_model_tests(kind="node")
    found: dict[str, list[SuiteCase]] = {}
    for test in tests:
        for case in single_node(test):
            found.setdefault(case.operator, []).append(case)
    return found


def single_node(test: Any) -> Iterator[SuiteCase]:
    """The test as a case, if its model is one node (and is not an operator's expansion)."""
    graph = test.model.graph
    if len(graph.node) != 1 or test.name.endswith("_expanded") or graph.initializer:
        return
    (node,) = graph.node
    has_subgraph = any(a.HasField("g") for a in node.attribute)
    inputs, outputs = test.data_sets[0]
    given = {v.name: value(x) for v, x in zip(graph.input, inputs, strict=True)}
    made = {v.name: value(x) for v, x in zip(graph.output, outputs, strict=True)}
    opsets = {o.domain: o.version for o in test.model.opset_import}
    yield SuiteCase(
        test.name.removeprefix("test_"),
        f"{node.domain}.{node.op_type}".lstrip("."),
        opsets[node.domain],
        test.model,
        list(given.values()) if has_subgraph else [given.get(name) for name in node.input],
        list(made.values()) if has_subgraph else [made.get(name) for name in node.output],
        {a.name: attribute(a) for a in node.attribute if not a.HasField("g")},
        has_subgraph,
    )


def attribute(proto: Any) -> Any:
    found = plain(proto)
    return numpy_helper.to_array(found) if isinstance(found, onnx.TensorProto) else found


def value(data: Any) -> Value:
    if isinstance(data, onnx.TensorProto):
        return np.asarray(numpy_helper.to_array(data))
    if isinstance(data, list):
        return [np.asarray(item) for item in data]
    return None if data is None else np.asarray(data)
