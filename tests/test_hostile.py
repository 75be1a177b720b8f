"""Whatever is done to the bytes and fields of a model, Engine raises its own errors, or it runs."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import onnx
import pytest
from google.protobuf.descriptor import FieldDescriptor

from embedx.errors import EmbedxError
from embedx.run.engine import Engine
from embedx.run.prepare import RULES
from tests.differential import parsed
from tests.models import model
from tests.tiny import bert

Random = np.random.Generator

SEEDS = [
    bert(layers=1),
    bert(layers=1, opset=11),
    model(
        """g (int64 n, float[N] x) => (float[K, N] y) {
        y = Loop(n) <body = b (int64 i, bool c) => (bool d, float[N] s) {
            d = Identity(c)  s = Neg(x) }> }"""
    ),
    model(
        """g (bool c, float16[N] x) => (float16[N] z) {
        z = If(c) <then_branch = t () => (float16[N] a) { a = Neg(x) },
                   else_branch = e () => (float16[N] b) { b = Tanh(x) }> }"""
    ),
    model(
        "g (float[N] x) => (float[N] y) { y = local.f(x) }",
        functions='<domain: "local", opset_import: ["" : 17]> f (x) => (y) { y = Neg(x) }',
        imports=', "local" : 1',
    ),
    *(parsed(rule.examples[0], opset=20) for rule in RULES),
]
STRANGE: dict[int, list[Any]] = {
    FieldDescriptor.CPPTYPE_INT32: [0, -1, 1, 8, 10, 16, 21, 999, 2**31 - 1],
    FieldDescriptor.CPPTYPE_INT64: [0, -1, 1, 3, 2**31, 2**62, -(2**63)],
    FieldDescriptor.CPPTYPE_UINT64: [0, 1, 2**64 - 1],
    FieldDescriptor.CPPTYPE_FLOAT: [0.0, -1.0, float("nan"), float("inf"), 1e-38],
    FieldDescriptor.CPPTYPE_DOUBLE: [0.0, -1.0, float("nan"), 5e-324, 1e308],
}
TEXTS = ["", "x", "y", "a", "\0", "é\n", "Add", "Cast", "Softmax", "If", "ai.onnx", "axes", "to"]


def _messages(message: Any) -> list[Any]:
    found = [message]
    for field, value in message.ListFields():
        if field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE:
            for inner in value if field.is_repeated else [value]:
                found += _messages(inner)
    return found


def _mutate(message: Any, random: Random) -> None:
    """Change, clear, double, drop or reorder one field anywhere in a message."""
    messages = _messages(message)
    target = messages[random.integers(len(messages))]
    fields = [f for f in target.DESCRIPTOR.fields if f.name != "doc_string"]
    present = [f for f, _ in target.ListFields()]
    field = (present or fields)[random.integers(len(present or fields))]
    if random.random() < 0.2:
        field = fields[random.integers(len(fields))]
    is_message = field.cpp_type == FieldDescriptor.CPPTYPE_MESSAGE
    if random.random() < 0.15:
        target.ClearField(field.name)
    elif field.is_repeated:
        values = getattr(target, field.name)
        if len(values) and random.random() < 0.5:
            del values[random.integers(len(values))]
        elif is_message and len(values):
            values.add().CopyFrom(values[random.integers(len(values))])
        elif not is_message:
            values.append(_value(field, random))
    elif not is_message:
        setattr(target, field.name, _value(field, random))


def _value(field: Any, random: Random) -> Any:
    if field.type == FieldDescriptor.TYPE_BYTES:
        return random.bytes(int(random.integers(9)))
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        choices: list[Any] = [value.number for value in field.enum_type.values]
    else:
        choices = STRANGE.get(field.cpp_type, TEXTS)
    return choices[random.integers(len(choices))]


def _message(data: bytes, option: dict[str, Any]) -> str:
    """What embedx has against a model."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            engine = Engine(data, max_bytes=2**26, time_limit=5, max_iterations=1000, **option)
            engine.run(engine.generate_random_inputs(1, 3))
    except EmbedxError as error:
        return str(error)
    return "nothing"


def _survives(data: bytes) -> None:
    options: tuple[dict[str, Any], ...] = ({}, {"optimize": False}, {"precision": "float64"})
    for option in options:
        message = _message(data, option)
        assert message
        assert message.isprintable()


@pytest.mark.parametrize("seed", range(10))
def test_models_with_changed_fields(seed: int) -> None:
    random = np.random.default_rng(seed)
    for _ in range(60):
        proto = onnx.ModelProto()
        proto.CopyFrom(SEEDS[random.integers(len(SEEDS))])
        for _ in range(int(random.integers(1, 4))):
            _mutate(proto, random)
        _survives(proto.SerializeToString())


@pytest.mark.parametrize("seed", range(4))
def test_models_with_changed_bytes(seed: int) -> None:
    random = np.random.default_rng(seed)
    for _ in range(60):
        data = bytearray(SEEDS[random.integers(len(SEEDS))].SerializeToString())
        for place in random.integers(0, len(data), int(random.integers(1, 6))):
            data[place] = random.integers(256)
        _survives(bytes(data[: len(data) if random.random() < 0.8 else int(place)]))
