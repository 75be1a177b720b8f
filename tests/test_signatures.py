"""The keystone: every operator's signature is its schema, for every opset that it serves."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from embedx.ops import Array, Body, Op, registered

CONTRIB = json.loads((Path(__file__).parents[1] / "golden/contrib_schemas.json").read_text())
NO_DEFAULT = inspect.Parameter.empty
LEGACY_HINTS = {"consumed_inputs"}  # opset 1 told runtimes what they may overwrite
PROSE_DEFAULTS = {"Concat-1": {"axis": 1}}  # stated in the documentation, not in the schema
FROM_THE_NODE = {"num_outputs"}  # before opset 18 the number of Split's outputs said it

ANNOTATIONS = {
    "float": "float",
    "floats": "tuple[float, ...]",
    "graph": "Body",
    "int": "int",
    "ints": "tuple[int, ...]",
    "sparse_tensor": "Array",
    "string": "str",
    "strings": "tuple[str, ...]",
    "tensor": "Array",
    "type_proto": "object",
}


@dataclass(frozen=True)
class Attribute:
    type: str
    default: Any
    """``NO_DEFAULT`` if the attribute is required."""


@dataclass(frozen=True)
class Schema:
    version: int
    inputs: Mapping[str, str]
    """From each name to ``required``, ``optional`` or ``variadic``."""
    attributes: Mapping[str, Attribute]
    deprecated: bool = False


def complaints(
    function: Callable[..., Any], schema: Schema, later: Sequence[Schema] = ()
) -> list[str]:
    """How the function's signature departs from the schema; what only ``later`` has may be there.

    What became optional later may be so already, and what is new later must have a default.
    """
    parameters = list(inspect.signature(function).parameters.values())
    inputs = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.VAR_POSITIONAL)]
    attributes = {p.name: p for p in parameters if p.kind is p.KEYWORD_ONLY}
    found = [
        f"{p.name} is neither positional-only nor keyword-only"
        for p in parameters
        if p not in inputs and p.name not in attributes
    ]
    found += _input_complaints(inputs, schema, later)
    found += _attribute_complaints(attributes, schema, later)
    return found


def _input_complaints(
    given: list[inspect.Parameter], schema: Schema, later: Sequence[Schema]
) -> Iterator[str]:
    wanted = list(schema.inputs.items())
    for place, (name, option) in enumerate(wanted):
        if place >= len(given):
            yield f"input {name} is missing"
            continue
        p = given[place]
        if p.name.removesuffix("_") != name.lower():
            yield f"input {place} is called {p.name}, in the schema {name}"
        if (p.kind is p.VAR_POSITIONAL) != (option == "variadic"):
            yield f"input {name} is {option} in the schema"
        if option == "variadic":
            continue
        # Python has no default before a parameter without one: there None must be passed.
        followed = any(other == "required" for _, other in wanted[place + 1 :])
        relaxed = any(other.inputs.get(name) == "optional" for other in later)
        if (p.default is None) != (option == "optional" and not followed) and not relaxed:
            yield f"input {name} is {option} in the schema, its default is {p.default}"
        if option == "optional" and not p.annotation.endswith(("None", "Value")):
            yield f"input {name} is optional in the schema, its annotation is {p.annotation}"
    for p in given[len(wanted) :]:
        known = any(p.name.removesuffix("_") in map(str.lower, other.inputs) for other in later)
        if not known or (p.default is not None and p.kind is not p.VAR_POSITIONAL):
            yield f"input {p.name} is not in the schema"


def _attribute_complaints(
    given: Mapping[str, inspect.Parameter], schema: Schema, later: Sequence[Schema]
) -> Iterator[str]:
    for name, attribute in schema.attributes.items():
        if name not in given:
            if name not in LEGACY_HINTS:
                yield f"attribute {name} is missing"
            continue
        p = given[name]
        allowed = [attribute.default, *_later_defaults(name, attribute, later)]
        if not any(_same(p.default, default) for default in allowed):
            yield f"attribute {name} has the default {p.default!r}, in the schema {allowed[0]!r}"
        wanted = ANNOTATIONS[attribute.type]
        wanted += " | None" * (p.default is None and wanted != "object")
        if p.annotation != wanted:
            yield f"attribute {name} is annotated {p.annotation}, expected {wanted}"
    for name in given.keys() - schema.attributes.keys() - FROM_THE_NODE:
        if not any(name in other.attributes for other in later):
            yield f"attribute {name} is not in the schema"
        elif given[name].default is NO_DEFAULT:
            yield f"attribute {name} came later and has no default"


def _later_defaults(name: str, now: Attribute, later: Sequence[Schema]) -> list[Any]:
    """An attribute that is required now may have the default that it gets later."""
    if now.default is not NO_DEFAULT:
        return []
    return [other.attributes[name].default for other in later if name in other.attributes]


def _same(ours: Any, theirs: Any) -> bool:
    if isinstance(theirs, float):
        return isinstance(ours, float) and np.float32(ours) == np.float32(theirs)
    return type(ours) is type(theirs) and bool(ours == theirs)


# The two sources of schemas, in one form.


def standard_schemas() -> dict[tuple[str, str], list[Schema]]:
    found: dict[tuple[str, str], list[Schema]] = {}
    for schema in sorted(onnx.defs.get_all_schemas_with_history(), key=lambda s: s.since_version):
        versions = found.setdefault((schema.domain, schema.name), [])
        versions.append(
            Schema(
                schema.since_version,
                {p.name: _option(p) for p in schema.inputs},
                _with_prose(
                    f"{schema.name}-{schema.since_version}",
                    {name: _attribute(a) for name, a in schema.attributes.items()},
                ),
                schema.deprecated,
            )
        )
    return found


def _option(parameter: Any) -> str:
    names = {"Single": "required", "Optional": "optional", "Variadic": "variadic"}
    return names[parameter.option.name]


def _attribute(schema: Any) -> Attribute:
    kind = schema.type.name.lower()
    if schema.required:
        return Attribute(kind, NO_DEFAULT)
    default = onnx.helper.get_attribute_value(schema.default_value)
    return Attribute(kind, _plain(default) if schema.default_value.type else None)


def _with_prose(title: str, attributes: dict[str, Attribute]) -> dict[str, Attribute]:
    for name, default in PROSE_DEFAULTS.get(title, {}).items():
        attributes[name] = Attribute(attributes[name].type, default)
    return attributes


def contrib_schemas() -> dict[tuple[str, str], list[Schema]]:
    found = {}
    for title, schema in CONTRIB["operators"].items():
        domain, _, name = title.rpartition(".")
        attributes = {
            key: Attribute(a["type"], NO_DEFAULT if "required" in a else _plain(a.get("default")))
            for key, a in schema["attributes"].items()
        }
        found[domain, name] = [Schema(schema["since"], schema["inputs"], attributes)]
        if "removed" in schema:
            found[domain, name].append(Schema(schema["removed"], {}, {}, deprecated=True))
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    return tuple(map(_plain, value)) if isinstance(value, list) else value


def all_schemas() -> dict[tuple[str, str], list[Schema]]:
    """By domain and name, oldest first. onnxruntime has a few before the standard has them."""
    own, standard = contrib_schemas(), standard_schemas()
    return {
        key: sorted(own.get(key, []) + standard.get(key, []), key=lambda schema: schema.version)
        for key in own.keys() | standard.keys()
    }


SCHEMAS = all_schemas()


def served(entry: Op) -> list[Schema]:
    """The schema in force when the behaviour begins, and those that follow while it lasts."""
    rivals = [o.since for o in registered() if (o.domain, o.name) == (entry.domain, entry.name)]
    end = min([since for since in rivals if since > entry.since], default=entry.until or 10**6)
    known = SCHEMAS.get((entry.domain, entry.name), [])
    first = max([s.version for s in known if s.version <= entry.since], default=10**6)
    return [s for s in known if first <= s.version < end]


def pairs() -> Iterator[Any]:
    for entry in registered():
        for schema in served(entry):
            title = entry.title.removesuffix(str(entry.since)) + str(schema.version)
            yield pytest.param(entry, schema, id=title)


@pytest.mark.parametrize(("entry", "schema"), list(pairs()))
def test_signature_is_schema(entry: Op, schema: Schema) -> None:
    later = [s for s in SCHEMAS[entry.domain, entry.name] if s.version > schema.version]
    assert complaints(entry.formula, schema, later) == []


@pytest.mark.parametrize("entry", list(registered()), ids=lambda entry: entry.title)
def test_behaviour_has_a_schema_and_ends_where_the_operator_does(entry: Op) -> None:
    assert served(entry), "no schema has this name"
    newest = SCHEMAS[entry.domain, entry.name][-1]
    assert entry.until in ({None, newest.version} if newest.deprecated else {None})
    assert not newest.deprecated or newest not in served(entry)


# The keystone itself: an operator done right, and each mistake that it is there to catch.

GEMM = Schema(
    7,
    {"A": "required", "B": "required", "C": "optional"},
    {
        "alpha": Attribute("float", 0.1),
        "axes": Attribute("ints", None),
        "mode": Attribute("string", "fast"),
        "to": Attribute("int", NO_DEFAULT),
        "body": Attribute("graph", NO_DEFAULT),
    },
)
NEXT = Schema(
    9,
    {**GEMM.inputs, "D": "optional"},
    {**GEMM.attributes, "late": Attribute("int", 0)},
)


RIGHT = """def f(
    a: Array, b: Array, c: Array | None = None, /, *,
    alpha: float = 0.1, axes: tuple[int, ...] | None = None, mode: str = "fast",
    to: int, body: Body,
): ..."""


def written(old: str = "", new: str = "") -> Callable[..., Any]:
    """The right function with one thing changed."""
    assert old in RIGHT
    namespace: dict[str, Any] = {}
    exec(RIGHT.replace(old, new), namespace)
    return namespace["f"]


def test_what_is_right_passes() -> None:
    assert complaints(written(), GEMM) == []


def test_what_a_later_version_adds_may_be_there_already() -> None:
    def newer(
        a: Array, b_: Array, c: Array | None = None, d: Array | None = None, /, *,
        alpha: float = 0.1, axes: tuple[int, ...] | None = None, mode: str = "fast",
        to: int, body: Body, late: int = 0,
    ) -> None: ...  # fmt: skip

    assert complaints(newer, GEMM, [NEXT]) == []
    assert complaints(newer, NEXT) == []
    assert len(complaints(newer, GEMM)) == 2


SEEDED = [
    ("alpha: float = 0.1", "alpha: float = 0.2", "alpha has the default 0.2, in the schema 0.1"),
    ("alpha: float = 0.1", "alpha: float", "alpha has the default"),
    ("alpha: float = 0.1", "alpha: int = 0", "alpha has the default 0, in the schema 0.1"),
    ("alpha: float = 0.1", "alhpa: float = 0.1", "attribute alpha is missing"),
    ("alpha: float = 0.1", "alhpa: float = 0.1", "attribute alhpa is not in the schema"),
    ("alpha: float", "alpha: object", "alpha is annotated object, expected float"),
    ("axes: tuple[int, ...] | None = None", "axes: tuple[int, ...] = ()", "axes has the default"),
    ("axes: tuple[int, ...]", "axes: int", "expected tuple[int, ...] | None"),
    ('mode: str = "fast"', 'mode: str = "slow"', "mode has the default 'slow'"),
    ("to: int", "to: int = 1", "to has the default 1"),
    ("body: Body", "body: object", "body is annotated object, expected Body"),
    ("to: int", "to: int, extra: int = 0", "attribute extra is not in the schema"),
    ("a: Array, b: Array", "b: Array, a: Array", "input 0 is called b, in the schema A"),
    ("c: Array | None = None, /, *,", "/, *c: Array,", "input C is optional in the schema"),
    ("c: Array | None = None, /", "c: Array | None, /", "input C is optional in the schema"),
    ("c: Array | None = None, /", "c: Array = None, /", "its annotation is Array"),
    ("b: Array, c: Array | None = None", "b: Array", "input C is missing"),
    ("c: Array | None = None, /", "c: Array | None = None, d: Array | None = None, /", "input d"),
    ("b: Array, c: Array | None = None, /", "b: Array, /, c: Array | None = None", "neither"),
]


@pytest.mark.parametrize(("old", "new", "expected"), SEEDED)
def test_seeded_mistake_is_caught(old: str, new: str, expected: str) -> None:
    assert any(expected in complaint for complaint in complaints(written(old, new), GEMM))


def test_later_attribute_needs_a_default_and_later_input_too() -> None:
    def hasty(a: Array, b: Array, c: Array | None, d: Array, /, *, late: int) -> None: ...

    found = complaints(hasty, GEMM, [NEXT])
    assert "attribute late came later and has no default" in found
    assert "input d is not in the schema" in found


def test_optional_input_before_a_required_one_has_no_default() -> None:
    schema = Schema(1, {"x": "required", "zero_point": "optional", "y": "required"}, {})

    def good(x: Array, zero_point: Array | None, y: Array, /) -> None: ...
    def bad(x: Array, zero_point: Array, y: Array, /) -> None: ...

    assert complaints(good, schema) == []
    assert complaints(bad, schema) != []
