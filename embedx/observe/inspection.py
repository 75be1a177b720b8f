"""What is in a model file, and whether it can run: the facts behind ``embedx inspect``."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from embedx.errors import EmbedxError
from embedx.model.graph import Array, Graph, SparseTensor
from embedx.ops import qualified, resolve
from embedx.rewrite.layers import find_layers
from embedx.rewrite.normal import normal_form
from embedx.run.engine import Engine
from embedx.run.step import Plan
from embedx.text.deployment import Deployment


@dataclass(frozen=True)
class Weight:
    """A matrix among the initializers."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    zeros: float
    """The share of its elements that mean zero."""


def inspect_plan(plan: Plan) -> list[dict[str, Any]]:
    """The calls of a run in order, those of subgraphs behind the node that has them.

    Each tells its operator, the file's nodes that it stands for, and for a product with a constant
    matrix the matrix's name, in which form it is stored, and why.
    """
    return [
        {
            "operator": step.node.operator,
            "covers": [node.name or str(node) for node in step.node.covers],
            "matrix": step.matrix,
            "stored": step.note,
        }
        for step in plan.walk()
    ]


def plan_as_text(steps: list[dict[str, Any]]) -> str:
    """The plan in lines that can be read and searched."""
    return "\n".join(
        f"step {i:5d}  {step['operator']:38s} covers {', '.join(step['covers'])}"
        + f"  [{step['matrix']}: {step['stored']}]" * bool(step["stored"])
        for i, step in enumerate(steps)
    )


def inspect_model(graph: Graph, path: Path, deployment: Deployment | None) -> dict[str, Any]:
    """The facts, as JSON can hold them. ``graph`` is as the file has it."""
    flat = normal_form(graph)
    operators: Counter[tuple[str, str, int]] = Counter(
        (node.domain, node.op_type, node.opset) for node in flat.walk()
    )
    sizes: Counter[str] = Counter()
    for value in graph.initializers.values():
        stored = value.values if isinstance(value, SparseTensor) else value
        sizes[stored.dtype.name] += stored.size
    return {
        "file": str(path),
        "file_bytes": path.stat().st_size,
        "ir_version": graph.ir_version,
        "opsets": {domain or "ai.onnx": version for domain, version in graph.opsets.items()},
        "inputs": [{"name": v.name, "type": str(v.type)} for v in graph.feeds],
        "outputs": [{"name": v.name, "type": str(v.type)} for v in graph.outputs],
        "nodes": len(flat.nodes),
        "local_functions": len(graph.functions),
        "operators": [
            {
                "domain": domain or "ai.onnx",
                "name": name,
                "count": count,
                "supported": _known(name, opset, domain),
            }
            for (domain, name, opset), count in operators.most_common()
        ],
        "weights": {"elements": dict(sizes), "matrices": [vars(w) for w in _matrices(flat)]},
        "products": _products(graph),
        "layers": find_layers(flat),
        "deployment": None if deployment is None else _deployment(deployment),
    }


def _products(graph: Graph) -> list[dict[str, str]]:
    """For each product with a constant matrix how a run stores that; none if it cannot run."""
    try:
        steps = inspect_plan(Engine(graph).plan)
    except EmbedxError:
        return []
    return [{"matrix": s["matrix"], "stored": s["stored"]} for s in steps if s["stored"]]


def _known(name: str, opset: int, domain: str) -> bool:
    try:
        return resolve(name, opset, domain) is not None
    except LookupError:
        return False


def _matrices(graph: Graph) -> list[Weight]:
    readers = graph.consumers()
    found = []
    for name, value in graph.initializers.items():
        if len(value.shape) == 2 and min(value.shape) > 1:
            stored = value.values if isinstance(value, SparseTensor) else value
            found.append(
                Weight(
                    name, stored.dtype.name, tuple(value.shape), _zeros(graph, name, value, readers)
                )
            )
    return found


def _zeros(graph: Graph, name: str, value: Array | SparseTensor, readers: dict[str, Any]) -> float:
    size = value.shape[0] * value.shape[1]
    if isinstance(value, SparseTensor):
        return 1 - np.count_nonzero(value.values) / size
    zero: Array | int = 0
    for node in readers.get(name, ()):
        if node.op_type == "MatMulInteger" and len(node.inputs) > 3 and node.inputs[1] == name:
            point = graph.initializers.get(node.inputs[3])
            zero = point if isinstance(point, np.ndarray) else 0
        if node.op_type == "DequantizeLinear" and len(node.inputs) > 2 and node.inputs[0] == name:
            point = graph.initializers.get(node.inputs[2])
            zero = point if isinstance(point, np.ndarray) and point.size == 1 else 0
    return float(np.mean(value == zero))


def _deployment(deployment: Deployment) -> dict[str, Any]:
    return {
        "folder": str(deployment.folder),
        "model_type": deployment.config.get("model_type"),
        "max_seq_length": deployment.max_seq_length,
        "modules": [type(m).__name__ + str(getattr(m, "modes", "")) for m in deployment.modules],
        "prompts": dict(deployment.prompts),
    }


def as_text(facts: dict[str, Any]) -> str:
    """The facts in lines that can be read and searched."""
    opsets = ", ".join(f"{domain} {version}" for domain, version in facts["opsets"].items())
    lines = [
        f"file        {facts['file']}",
        f"size        {facts['file_bytes'] / 1e6:.1f} MB, IR version {facts['ir_version']}",
        f"opsets      {opsets}",
        *(f"input       {v['name']}: {v['type']}" for v in facts["inputs"]),
        *(f"output      {v['name']}: {v['type']}" for v in facts["outputs"]),
        f"nodes       {facts['nodes']}, {facts['local_functions']} local functions",
    ]
    for entry in facts["operators"]:
        domain = "" if entry["domain"] == "ai.onnx" else entry["domain"]
        name = qualified(domain, entry["name"])
        missing = "" if entry["supported"] else "  NOT SUPPORTED"
        lines.append(f"operator    {entry['count']:5d} {name}{missing}")
    for dtype, count in facts["weights"]["elements"].items():
        lines.append(f"weights     {count:,} {dtype}")
    stored = {p["matrix"] for p in facts["products"]}
    for weight in facts["weights"]["matrices"]:
        if weight["zeros"] >= 0.01 and weight["name"] not in stored:
            shape = "x".join(map(str, weight["shape"]))
            lines.append(
                f"sparse      {weight['zeros']:6.1%} of {shape} {weight['dtype']} {weight['name']}"
            )
    lines += [f"product     {p['matrix']}: {p['stored']}" for p in facts["products"]]
    for i, edge in enumerate(facts["layers"]):
        lines.append(f"layer       {i:3d} ends at {edge}")
    if not facts["layers"]:
        lines.append("layer       none found")
    if facts["deployment"]:
        lines += [f"{key:11s} {value}" for key, value in facts["deployment"].items() if value]
    return "\n".join(lines)
