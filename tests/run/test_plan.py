"""What a plan decides: who computes what, and when a value has died."""

from __future__ import annotations

import numpy as np
import pytest

from embedx.errors import NodeError
from embedx.model.onnx_file import read_model
from embedx.rewrite.normal import normal_form
from embedx.run.execute import execute
from embedx.run.plan import make_plan
from tests.run.plans import plan_of
from tests.tiny import bert


def test_outputs_behind_the_last_one_that_is_read_need_not_be_made() -> None:
    text = "g (float[1,2] x, float[2] s) => (float[K] o) { o, a, b, c, d = Op(x, s, s, s, s) }"
    text = text.replace("Op", "BatchNormalization")
    x, s = np.ones((1, 2), np.float32), np.ones(2, np.float32)
    assert execute(plan_of(text, opset=7), [x, s])[0].shape == (1, 2)
    with pytest.raises(NodeError, match="1 outputs are made of 4"):
        execute(plan_of(text.replace("(float[K] o)", "(float[K] c)"), opset=7), [x, s])


def test_plans_drop_each_value_once() -> None:
    plan = make_plan(normal_form(read_model(bert())))
    dead = [slot for step in plan.steps for slot in step.dead]
    assert len(dead) == len(set(dead))
    assert not set(dead) & {*plan.output_slots, 0}
