"""Comparisons to be shown, that nobody has made."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from embedx.oracle.comparison import Comparison, Output, Place
from embedx.oracle.detail import Detail, Element
from embedx.oracle.verdicts import Verdict

DETAIL = Detail(
    (2, 3), ("float32", "float32"), deviation=2e-4, floor=1e-6,
    worst=(Element((1, 2), 1.5, 1.5003, 1e-6), Element((0, 0), -2.0, -2.0001, 1e-6)),
    powers=((None, 2), (-1, 1), (2, 1), (7, 1), (9, 1)), max_abs=3e-4, max_rel=2e-4,
    abs_counts=(3, 0, 1, 2, 0, 0, 0, 0, 0), rel_counts=(3, 0, 1, 2, 0, 0, 0, 0, 0),
)  # fmt: skip


def place(name: str, verdict: Verdict = "rounding", **changes: Any) -> Place:
    """A place whose edge is called as its node, with ``.out`` behind."""
    local = {"identical": 0.0, "rounding": 1.0}.get(verdict, 300.0)
    made = Place(name, f"{name}.out", "MatMul", None, verdict, local, local, 0, (name,), "", DETAIL)
    return replace(made, **changes)


def comparison(
    places: Sequence[Place] = (), verdict: Verdict = "rounding", **changes: Any
) -> Comparison:
    """A comparison at level nodes with one output."""
    metrics = {"max_abs": 3e-4, "max_rel": 2e-4, "max_ulp": 40.0, "cosine": 1 - 2e-9}
    output = Output("vector", verdict, 1.25, None, metrics, "", DETAIL)
    made = Comparison(
        verdict, "model.onnx", "onnxruntime:off", "nodes", ({"ids": "int64[2, 3]"},), (output,),
        tuple(places), None, "vector is off by 1.25 times what rounding explains",
        environment={"numpy": "2.4", "cpu": {"cores": 2}}, cost={"exact_runs": 9, "seconds": 1.5},
        graph="encoder",
    )  # fmt: skip
    return replace(made, **changes)


def faulty() -> Comparison:
    """One whose third place of four is wrong."""
    wrong = place("wrong", "impossible", covers=("before", "wrong"), why="it is <too> far off")
    places = [
        place("table", "identical", site="embeddings.output"),
        place("query", site="layers.0.attention.q"), wrong,
        place("end", site="layers.0.output", cumulative=200.0, flips=3),
    ]  # fmt: skip
    return comparison(
        places, "impossible", first=wrong, why="MatMul 'wrong': it is <too> far off",
        next="embedx bisect a b",
    )  # fmt: skip
