"""Schemas as plain data."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from embedx.model.schemas import schema_of


def test_inputs_and_outputs_share_type_parameters() -> None:
    schema = schema_of("Where", 17, "")
    assert schema is not None
    assert schema.inputs == ("B", "T", "T")
    assert schema.outputs == ("T",)
    assert schema.tensors["B"] == {np.dtype(bool)}


@pytest.mark.parametrize(
    ("name", "more", "free"), [("Add", None, None), ("Concat", "T", None), ("Loop", "V", "V")]
)
def test_variadic_inputs(name: str, more: str | None, free: str | None) -> None:
    schema = schema_of(name, 17, "")
    assert schema is not None
    assert (schema.more, schema.free) == (more, free)


def test_types_grow_with_the_opset() -> None:
    old, new = schema_of("Add", 7, ""), schema_of("Add", 14, "")
    assert old is not None
    assert new is not None
    assert old.tensors["T"] < new.tensors["T"]


def test_operators_that_the_standard_lacks_have_none() -> None:
    assert schema_of("Gelu", 19, "") is None
    assert schema_of("BiasGelu", 1, "com.microsoft") is None


def test_every_schema_can_be_read() -> None:
    for schema in onnx.defs.get_all_schemas_with_history():
        assert schema_of(schema.name, schema.since_version, schema.domain) is not None
