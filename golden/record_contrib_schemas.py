"""Write contrib_schemas.json: inputs, outputs and attributes of onnxruntime's own operators.

``onnx.defs`` knows the standard's operators only, so the signatures of ``com.microsoft``, and of
what onnxruntime alone has in the default domain, are read from onnxruntime itself, once, and
tests/test_signatures.py compares ours with that table. In the default domain that is what its
optimizers write, and what ONNX tried out and removed at opset 10, of which no schema is left.

    python golden/record_contrib_schemas.py
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

TABLE = Path(__file__).parent / "contrib_schemas.json"
CONTRIB = "com.microsoft"
OPTIONS = {"Single": "required", "Optional": "optional", "Variadic": "variadic"}


def main() -> None:
    known = {
        (schema.domain, schema.name, schema.since_version)
        for schema in onnx.defs.get_all_schemas_with_history()
    }
    own = [
        schema
        for schema in get_all_operator_schema()
        if schema.domain in ("", CONTRIB)
        and (schema.domain, schema.name, schema.since_version) not in known
    ]
    schemas = {title(schema): describe(schema) for schema in own if not schema.deprecated}
    for schema in own:
        if schema.deprecated:
            schemas[title(schema)]["removed"] = schema.since_version
    source = f"onnxruntime {onnxruntime.__version__}"
    lines = ",\n".join(
        f"{json.dumps(name)}: {json.dumps(schemas[name])}" for name in sorted(schemas)
    )
    text = f'{{"source": {json.dumps(source)}, "operators": {{\n{lines}\n}}}}\n'
    TABLE.write_text(text, encoding="utf-8")
    print(f"{TABLE.name}: {len(schemas)} operators of {source}")


def title(schema: Any) -> str:
    return f"{schema.domain}.{schema.name}".lstrip(".")


def describe(schema: Any) -> dict[str, Any]:
    return {
        "since": schema.since_version,
        "inputs": edges(schema.inputs),
        "outputs": edges(schema.outputs),
        "attributes": {name: attribute(a) for name, a in sorted(schema.attributes.items())},
    }


def edges(parameters: Any) -> dict[str, str]:
    named = {p.name: OPTIONS[p.option.name] for p in parameters}
    assert len(named) == len(parameters), "two parameters of one name"
    return named


def attribute(schema: Any) -> dict[str, Any]:
    described: dict[str, Any] = {"type": schema.type.name.lower()}
    if schema.required:
        described["required"] = True
    default = onnx.AttributeProto.FromString(schema._default_value)
    if default.type:  # an empty proto: there is no default
        described["default"] = plain(onnx.helper.get_attribute_value(default))
    return described


def plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, float):
        return float(str(np.float32(value)))  # the schema's float32 in its shortest form
    return value if isinstance(value, int) else [plain(item) for item in value]


if __name__ == "__main__":
    main()
