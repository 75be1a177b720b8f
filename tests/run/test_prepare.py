"""What happens to a graph between the file and the plan."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from embedx.errors import BudgetError, ConfigError, InputError, ModelError, UnsupportedOpError
from embedx.model.onnx_file import read_model
from embedx.ops import OverBudgetError
from embedx.rewrite.normal import normal_form
from embedx.run.engine import Engine
from embedx.run.prepare import RULES, checked, loading, prepare
from tests.models import model
from tests.tiny import bert


def graph(text: str, **options: Any) -> Any:
    return normal_form(read_model(model(text, **options)))


def test_rules_have_names_of_their_own() -> None:
    assert len({rule.name for rule in RULES}) == len(set(map(id, RULES)))


@pytest.mark.parametrize("name", sorted({rule.name for rule in RULES}))
def test_each_rule_can_be_left_out(name: str) -> None:
    proto = bert(opset=11)
    plain, some = Engine(proto, optimize=False), Engine(proto, skip_rules=[name])
    feeds = plain.generate_random_inputs(2, 7)
    np.testing.assert_allclose(some.run(feeds)[0], plain.run(feeds)[0], atol=1e-5)


def test_without_any_rule_the_graph_is_as_it_was_written() -> None:
    written = graph("g (float[N] x) => (float[N] y) { a = Identity(x) b = Neg(a) y = Neg(b) }")
    assert str(prepare(written, skip=[rule.name for rule in RULES])) == str(written)
    assert str(prepare(written, optimize=False)) == str(written)
    assert str(prepare(written, "exact")) == str(written)


def test_rules_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ConfigError, match="no rule 'fuse'; the rules are drop_identities, "):
        Engine(bert(), skip_rules=["fuse"])


def test_a_rewritten_node_knows_the_nodes_that_it_stands_for() -> None:
    engine = Engine(bert(opset=11))
    written = Engine(bert(opset=11), optimize=False)
    covered = [node.name for step in engine.plan.steps for node in step.node.covers]
    assert len(covered) == len(set(covered))
    assert {step.node.name for step in written.plan.steps} >= set(covered)
    fused = [step.node for step in engine.plan.steps if step.node.literal]
    assert {node.op_type for node in fused} >= {"SkipLayerNormalization", "Attention", "BiasGelu"}


def test_what_cannot_run_is_refused_with_all_that_is_missing() -> None:
    with pytest.raises(UnsupportedOpError, match=r"2 operators .*NoSuch.*Neither"):
        checked(graph("g (float[N] x) => (float[N] y) { a = NoSuch(x) y = Neither(a) }"))


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (ValueError("5 is odd"), ModelError),
        (RecursionError(), ModelError),
        (OverflowError(34, "too large"), ModelError),
        (AttributeError("x"), ModelError),
        (MemoryError(), BudgetError),
        (OverBudgetError("much"), BudgetError),
        (InputError("as it is"), InputError),
    ],
)
def test_whatever_is_wrong_with_a_model_is_one_of_our_errors(raised: Exception, kind: Any) -> None:
    with pytest.raises(kind), loading():
        raise raised


def test_interrupts_pass() -> None:
    with pytest.raises(KeyboardInterrupt), loading():
        raise KeyboardInterrupt


def test_what_onnxruntime_does_not_look_at_is_told(caplog: pytest.LogCaptureFixture) -> None:
    # Below opset 17 it is an operator of onnxruntime's own, which takes any attribute.
    call = "LayerNormalization<epsion = 1.0>(x, s)"
    text = f"g (float[N,2] x, float[2] s) => (float[N,2] y) {{ y = {call} }}"
    x, s = np.array([[1, 3]], np.float32), np.ones(2, np.float32)
    (y,) = Engine(model(text, opset=11)).run([x, s])
    np.testing.assert_allclose(y, [[-1, 1]], atol=1e-5)
    assert [r.message for r in caplog.records] == [
        "LayerNormalization (node 0): nobody looks at the attribute 'epsion'; is the name right?"
    ]
    with pytest.raises(ModelError, match="did you mean 'epsilon'"):
        Engine(model(text, opset=17))
