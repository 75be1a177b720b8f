"""Small models in ONNX's text format, for tests of what happens around the operators."""

from __future__ import annotations

import onnx
import onnx.parser


def model(text: str, *, opset: int = 17, functions: str = "", imports: str = "") -> onnx.ModelProto:
    """The model of one graph in ONNX's text format, with model-local functions behind it."""
    head = f'<ir_version: 10, opset_import: ["" : {opset}{imports}]>'
    return onnx.parser.parse_model(f"{head}\n{text}\n{functions}")
