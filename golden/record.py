"""Write the golden files of the operators named: cases of the backend suite, and those in cases/.

    python golden/record.py Softmax com.microsoft.BiasGelu

Without names, every operator that has a file is recorded anew. What is written depends on the
oracles alone: this must never import embedx.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from cases import CASES, EXCLUDED, MODELS, Case, Model
from encoding import encode, encode_attribute
from onnx import numpy_helper
from oracles import ONNXRUNTIME, SUITE, Value, by_formula, by_onnxruntime, has_formula, run
from suite import SuiteCase, small_cases, smallest_cases

GOLDEN = Path(__file__).parent
OPERATORS = GOLDEN / "ops"
SUITE_TOLERANCE = 1e-3  # the suite's own, relative
BFLOAT16_TOLERANCE = 2**-6


def main(names: Sequence[str]) -> int:
    failed = 0
    for name in names or sorted(path.stem for path in OPERATORS.glob("*.json")):
        try:
            record(name)
        except Exception as error:  # one operator's trouble must not hide that of the others
            failed = 1
            print(f"{name}: {type(error).__name__}: {error}", file=sys.stderr)
    return failed


def record(operator: str) -> None:
    """Write the operator's file and its models, and remove models that it no longer lists."""
    entries = entries_of(operator)
    lines = ",\n".join(json.dumps(entry, allow_nan=False) for entry in entries)
    known = models_of(operator)
    (OPERATORS / f"{operator}.json").write_text(f"[\n{lines}\n]\n", encoding="utf-8")
    for stale in known - models_of(operator):
        shutil.rmtree(GOLDEN / "models" / stale)


def entries_of(operator: str) -> list[dict[str, Any]]:
    """The operator's cases, as its file has them."""
    entries = [from_suite(case) for case in small_cases(operator, EXCLUDED)]
    entries += [from_case(operator, case) for case in CASES.get(operator, ())]
    entries += [from_model(model) for model in MODELS.get(operator, ())]
    entries = entries or [from_suite(case) for case in smallest_cases(operator, EXCLUDED)]
    if not entries:
        raise LookupError("the suite has no case; add some to golden/cases")
    counts = Counter(entry["id"] for entry in entries)
    if max(counts.values()) > 1:
        raise ValueError(f"several cases are called {counts.most_common(1)[0][0]}")
    return entries


def from_suite(case: SuiteCase) -> dict[str, Any]:
    """The suite's outputs, or exact ones where there is a formula and the suite agrees with it."""
    if case.has_subgraph:
        write_model(case.id, case.model, case.inputs, case.outputs)
        return {"id": case.id, "opset": case.opset, "oracle": SUITE, "model": case.id}
    oracle, outputs = SUITE, case.outputs
    if has_formula(case.operator, case.inputs) and len(outputs) == 1:
        oracle, outputs = by_formula(case.operator, case.opset, case.inputs, case.attributes)
        agree(case.id, outputs[0], case.outputs[0])
    return entry(case.id, case.opset, oracle, case.inputs, case.attributes, outputs)


def agree(name: str, ours: Any, theirs: Any) -> None:
    """Raise unless two oracles say the same: a person must decide between them."""
    slack = BFLOAT16_TOLERANCE if ours.dtype.name == "bfloat16" else SUITE_TOLERANCE
    wide = np.float64 if ours.dtype.kind in "fV" else ours.dtype
    near = ours.shape == theirs.shape and np.allclose(
        ours.astype(wide), theirs.astype(wide), rtol=slack, atol=1e-7, equal_nan=True
    )
    if ours.dtype != theirs.dtype or not near:
        raise ValueError(f"{name}: exact arithmetic gives {ours}, the suite {theirs}")


def from_case(operator: str, case: Case) -> dict[str, Any]:
    attributes = case.attributes
    if case.same_as is not None:
        # An old opset that onnxruntime lacks, spelled as the newer one that means the same.
        opset, inputs, attributes = case.same_as
        oracle, outputs = by_onnxruntime(operator, opset, inputs, attributes, case.outputs)
    elif has_formula(operator, case.inputs) and not case.by_onnxruntime:
        oracle, outputs = by_formula(operator, case.opset, case.inputs, attributes)
    else:
        oracle, outputs = by_onnxruntime(
            operator, case.opset, case.inputs, attributes, case.outputs, case.constant
        )
    return entry(case.id, case.opset, oracle, case.inputs, case.attributes, outputs)


def from_model(model: Model) -> dict[str, Any]:
    whole = onnx.parser.parse_model(model.source) if isinstance(model.source, str) else model.source
    onnx.checker.check_model(whole)
    feeds = {v.name: x for v, x in zip(whole.graph.input, model.inputs, strict=True)}
    write_model(model.id, whole, model.inputs, run(whole, feeds))
    opset = next(o.version for o in whole.opset_import if o.domain == "")
    return {"id": model.id, "opset": opset, "oracle": ONNXRUNTIME, "model": model.id}


def entry(
    name: str,
    opset: int,
    oracle: str,
    inputs: Iterable[Value],
    attributes: Mapping[str, Any],
    outputs: Iterable[Value],
) -> dict[str, Any]:
    """A line of a golden file."""
    return {
        "id": name,
        "opset": opset,
        "oracle": oracle,
        "inputs": [encode(x) for x in inputs],
        "attributes": {key: encode_attribute(attributes[key]) for key in sorted(attributes)},
        "outputs": [encode(y) for y in outputs],
    }


def models_of(operator: str) -> set[str]:
    """The models that the operator's present file lists."""
    path = OPERATORS / f"{operator}.json"
    entries = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    return {entry["model"] for entry in entries if "model" in entry}


def write_model(
    name: str, model: onnx.ModelProto, inputs: Sequence[Value], outputs: Sequence[Value]
) -> None:
    """A model with its data in ONNX's own layout."""
    folder = GOLDEN / "models" / name
    data = folder / "test_data_set_0"
    data.mkdir(parents=True, exist_ok=True)
    onnx.save(model, folder / "model.onnx")
    for kind, values, edges in (
        ("input", inputs, model.graph.input),
        ("output", outputs, model.graph.output),
    ):
        for i, (value, edge) in enumerate(zip(values, edges, strict=True)):
            (data / f"{kind}_{i}.pb").write_bytes(proto(value, edge).SerializeToString())


def proto(value: Value, edge: onnx.ValueInfoProto) -> Any:
    if edge.type.HasField("optional_type"):
        return numpy_helper.from_optional(value, edge.name)
    if isinstance(value, dict):
        return map_proto(value, edge.name)
    if isinstance(value, list) and edge.type.sequence_type.elem_type.HasField("map_type"):
        return onnx.SequenceProto(
            name=edge.name,
            elem_type=onnx.SequenceProto.MAP,
            map_values=[map_proto(item, "") for item in value],
        )
    if isinstance(value, list):
        return numpy_helper.from_list(value, edge.name)
    return numpy_helper.from_array(np.asarray(value), edge.name)


def map_proto(value: Mapping[Any, float], name: str) -> onnx.MapProto:
    """A map from integers or strings to float32."""
    values = numpy_helper.from_list([np.array(v, np.float32) for v in value.values()])
    proto = onnx.MapProto(name=name, key_type=onnx.TensorProto.INT64, values=values)
    if isinstance(next(iter(value)), str):
        proto.key_type = onnx.TensorProto.STRING
        proto.string_keys.extend(key.encode() for key in value)
    else:
        proto.keys.extend(value)
    return proto


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
