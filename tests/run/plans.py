"""Plans of small models."""

from __future__ import annotations

from typing import Any

from embedx.model.onnx_file import read_model
from embedx.rewrite.normal import normal_form
from embedx.run.plan import make_plan
from embedx.run.prepare import prepare
from embedx.run.step import Plan
from tests.models import model


def plan_of(text: str, *, kernels: bool = False, **options: Any) -> Plan:
    graph = normal_form(read_model(model(text, **options)))
    return make_plan(prepare(graph, optimize=kernels), kernels=kernels)
