"""A small model, and another one with whatever fault."""

from __future__ import annotations

from typing import Any

import onnx
from onnx import TensorProto

from tests.models import model

NEG = "g (float[N] x) => (float[N] z) { z = Neg(x) }"


def edited(edit: Any) -> onnx.ModelProto:
    proto = model("g (float[N] x) => (float[N] z) <float[2] w = {1, 2}> { z = Add(x, w) }")
    edit(proto)
    return proto


def tensor_with(**fields: Any) -> Any:
    def edit(proto: onnx.ModelProto) -> None:
        tensor = proto.graph.initializer[0]
        tensor.CopyFrom(TensorProto(name="w", **fields))

    return edit
