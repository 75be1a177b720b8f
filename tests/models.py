"""Small models in ONNX's text format, for tests of what happens around the operators."""

from __future__ import annotations

from typing import Any

import onnx
import onnx.parser

from embedx.model.graph import Graph
from embedx.model.onnx_file import read_model
from embedx.rewrite.normal import normal_form


def model(text: str, *, opset: int = 17, functions: str = "", imports: str = "") -> onnx.ModelProto:
    """The model of one graph in ONNX's text format, with model-local functions behind it."""
    head = f'<ir_version: 10, opset_import: ["" : {opset}{imports}]>'
    return onnx.parser.parse_model(f"{head}\n{text}\n{functions}")


def graph(text: str, **options: Any) -> Graph:
    """The graph of such a model in its normal form."""
    return normal_form(read_model(model(text, **options)))
