"""The engine: what goes in, what comes out, what is freed, and what a failure says."""

from __future__ import annotations

import os
import pickle
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from embedx.errors import BudgetError, ConfigError, InputError, ModelError, NodeError
from embedx.run.engine import Engine
from embedx.run.execute import Compute
from embedx.run.step import Step
from tests.models import model
from tests.tiny import bert

ADD = "g (float[N] x, float[N] y) => (float[N] z) { z = Add(x, y) }"


ONES = np.ones(2, np.float32)


def test_all_forms_of_feeds_and_calls_agree() -> None:
    engine = Engine(model(ADD))
    expected = [np.full(2, 2, np.float32)]
    for result in (
        engine.run([ONES, ONES]),
        engine.run((ONES, ONES)),
        engine.run({"y": ONES, "x": ONES}),
        engine.run(None, {"x": ONES, "y": ONES}),
        engine.run(["z"], [ONES, ONES]),
        engine([ONES, ONES]),
        list(engine.mapped_run([ONES, ONES]).values()),
        engine.timed_run([ONES, ONES])[0],
    ):
        np.testing.assert_array_equal(result, expected)


def test_model_may_be_path_bytes_proto_or_graph(tmp_path: Any) -> None:
    proto = model(ADD)
    path = tmp_path / "model.onnx"
    onnx.save(proto, path)
    for source in (path, str(path), proto.SerializeToString(), proto, Engine(proto).graph):
        assert Engine(source).run([ONES, ONES])[0].tolist() == [2, 2]


def test_names_shapes_and_dtypes_are_the_declared_ones() -> None:
    engine = Engine(bert())
    assert engine.input_names == ["input_ids", "attention_mask", "token_type_ids"]
    assert engine.input_shapes == [("batch", "sequence")] * 3
    assert engine.input_dtypes == [np.dtype(np.int64)] * 3
    assert engine.output_names == ["last_hidden_state"]
    assert engine.output_shapes == [("batch", "sequence", 16)]


def test_unknown_output_is_named() -> None:
    with pytest.raises(InputError, match="no output 'q'; the model has z"):
        Engine(model(ADD)).run(["q"], [ONES, ONES])


def test_outputs_belong_to_the_caller() -> None:
    engine = Engine(
        model(
            """g (float[N] x) => (float[N] a, float[N] b, float[2] c, float[N] d, float[N] e)
            <float[2] w = {1, 2}> {
            a = Identity(x)  b = Identity(x)  c = Identity(w)  d = Neg(x)  e = Identity(d) }"""
        )
    )
    x = np.ones(2, np.float32)
    outputs = engine.run([x])
    for output in outputs:
        output += 1
    np.testing.assert_array_equal(x, 1)
    assert [o.tolist() for o in outputs] == [[2, 2], [2, 2], [2, 3], [0, 0], [0, 0]]
    assert [o.tolist() for o in engine.run([x])] == [[1, 1], [1, 1], [1, 2], [-1, -1], [-1, -1]]


def test_values_are_freed_at_their_last_use() -> None:
    chain = "".join(f"t{i + 1} = Neg(t{i}) " for i in range(6))
    engine = Engine(model(f"g (float[N] t0) => (float[N] t6) {{ {chain} }}"))
    alive: list[weakref.ref[Any]] = []
    counts = []

    def observe(node: Any, inputs: Any, outputs: Any) -> None:
        alive.append(weakref.ref(outputs[0]))
        counts.append(sum(ref() is not None for ref in alive))

    engine.run([np.ones(3, np.float32)], observe=observe)
    assert max(counts) <= 2


def test_observer_sees_every_node_with_its_values() -> None:
    seen = []
    engine = Engine(model("g (float[N] x) => (float[N] z) { y = Neg(x)  z = Abs(y) }"))
    engine.run([ONES], observe=lambda node, i, o: seen.append((node.op_type, i[0][0], o[0][0])))
    assert seen == [("Neg", 1, -1), ("Abs", -1, 1)]


def test_runs_are_led_side_by_side() -> None:
    engine = Engine(model("g (float[N] x) => (float[N] z) { y = Neg(x)  z = Abs(y) }"))
    pairs = zip(engine.walk([ONES]), engine.walk([ONES * 3]), strict=True)
    shown = [(a.step.node.op_type, float(a.inputs[0][0]), float(b.outputs[0][0])) for a, b in pairs]
    assert shown == [("Neg", 1, -3), ("Abs", -1, 3)]


def test_a_walk_goes_on_with_what_stands_around_its_steps() -> None:
    def doubled(step: Step, inputs: Sequence[Any], compute: Compute) -> Sequence[Any]:
        return [2 * v for v in compute()] if step.node.op_type == "Add" else compute()

    engine = Engine(model(LOOP))
    *_, last = engine.walk([np.array(3), ONES], doubled)
    assert last.step.node.op_type == "Loop"
    assert last.outputs[0][0] == 2 * (2 * (2 * (1 + 1) + 1) + 1)


def test_a_walk_holds_what_is_alive_and_fails_where_a_run_does() -> None:
    chain = "".join(f"t{i + 1} = Neg(t{i}) " for i in range(6))
    engine = Engine(model(f"g (float[N] t0) => (float[N] t6) {{ {chain} }}"))
    alive: list[weakref.ref[Any]] = []
    for visit in engine.walk([np.ones(3, np.float32)]):
        alive.append(weakref.ref(visit.outputs[0]))
        assert sum(ref() is not None for ref in alive) <= 2
    walk = Engine(model("g (float[N] x, float[M] y) => (float[N] z) { z = Add(x, y) }")).walk(
        [ONES, np.ones(5, np.float32)]
    )
    with pytest.raises(NodeError, match=r"Add \(node 0\)"):
        next(walk)


def test_omitted_outputs_do_not_leak_into_omitted_inputs() -> None:
    # The normalisation's second output is dropped, and Clip's lower bound is not given.
    engine = Engine(
        model(
            """g (float[1,2] x, float hi) => (float[1,2] z, float[1,1] s) <float[2] w = {1, 1}> {
            y, "", s = LayerNormalization(x, w)
            z = Clip(x, "", hi) }"""
        )
    )
    z, s = engine.run([np.array([[-50, 50]], np.float32), np.array(1, np.float32)])
    assert z.tolist() == [[-50, 1]]
    np.testing.assert_allclose(s, 1 / 50, rtol=1e-5)


def test_nodes_in_any_order_run() -> None:
    proto = model("g (float[N] x) => (float[N] z) { y = Neg(x)  z = Abs(y) }")
    proto.graph.node.reverse()
    assert Engine(proto).run([ONES])[0].tolist() == [1, 1]


IF = """g (bool c, float[N] x) => (float[N] z) {
    z = If(c) <then_branch = t () => (float[N] a) { a = Neg(late) },
               else_branch = e () => (float[N] b) { b = Identity(x) }>
    late = Add(x, x) }"""


@pytest.mark.parametrize(("choice", "expected"), [(True, -2), (False, 1)])
def test_branches_capture_values_made_later_in_the_file(choice: bool, expected: int) -> None:
    assert Engine(model(IF)).run([np.array(choice), ONES])[0].tolist() == [expected] * 2


LOOP = """g (int64 n, float[N] x) => (float[N] last, float[K,N] all) {
    last, all = Loop(n, "", x) <body = b (int64 i, bool go, float[N] v)
        => (bool c, float[N] w, float[N] s) {
            c = Identity(go)  w = Add(v, x)  s = Identity(v) }> }"""


@pytest.mark.parametrize("turns", [0, 1, 3])
def test_loop_carries_captures_and_stacks(turns: int) -> None:
    last, everything = Engine(model(LOOP)).run([np.array(turns), ONES])
    np.testing.assert_array_equal(last, ONES * (turns + 1))
    assert everything.dtype == np.float32
    if turns:
        np.testing.assert_array_equal(everything[:, 0], np.arange(1, turns + 1))
    else:
        assert everything.shape[0] == 0


def test_initializers_that_are_inputs_are_defaults() -> None:
    engine = Engine(model("g (float[2] x, float[2] w = {5, 5}) => (float[2] z) { z = Add(x, w) }"))
    assert engine.input_names == ["x"]
    assert engine.run({"x": ONES})[0].tolist() == [6, 6]
    assert engine.run({"x": ONES, "w": ONES})[0].tolist() == [2, 2]


def test_unknown_unused_domains_are_no_error() -> None:
    proto = model(ADD, imports=', "com.example.nothing" : 3, "ai.onnx.ml" : 2')
    assert Engine(proto).run([ONES, ONES])[0].tolist() == [2, 2]


def test_ai_onnx_is_the_default_domain() -> None:
    proto = model(ADD)
    proto.opset_import[0].domain = "ai.onnx"
    proto.graph.node[0].domain = "ai.onnx"
    assert Engine(proto).run([ONES, ONES])[0].tolist() == [2, 2]


def test_a_failing_node_is_named_with_its_inputs() -> None:
    proto = model("g (float[A,B] x, float[C,D] y) => (float[E,F] z) { z = MatMul(x, y) }")
    proto.graph.node[0].name = "attention/scores"
    x = np.zeros((2, 3), np.float32)
    with pytest.raises(
        NodeError, match=r"MatMul 'attention/scores' \(node 0\) on .*float32\[2, 3\]"
    ):
        Engine(proto).run([x, x])


def test_budgets_stop_what_small_files_ask_for() -> None:
    fill = model("g (int64[2] s) => (float[A,B] y) { y = ConstantOfShape(s) }")
    with pytest.raises(BudgetError, match="takes 40000000000 bytes"):
        Engine(fill, max_bytes=2**30).run([np.array([10**5, 10**5])])
    outer = model("g (float[A,1] x, float[1,B] y) => (float[A,B] z) { z = Add(x, y) }")
    long = np.zeros((10**5, 1), np.float32)
    with pytest.raises(BudgetError, match="Add"):
        Engine(outer, max_bytes=2**30).run([long, long.T])
    forever = np.array(2**62)
    with pytest.raises(BudgetError, match="turned as often as allowed"):
        Engine(model(LOOP), max_iterations=100).run([forever, ONES])
    with pytest.raises(BudgetError, match="time limit"):
        Engine(model(LOOP), time_limit=0.05).run([forever, ONES])


def test_an_engine_works_again_after_a_failure() -> None:
    engine = Engine(model(LOOP), max_iterations=100)
    with pytest.raises(BudgetError):
        engine.run([np.array(10**6), ONES])
    assert engine.run([np.array(1), ONES])[0].tolist() == [2, 2]


def test_threads_share_an_engine() -> None:
    engine = Engine(bert())
    feeds = [engine.generate_random_inputs(2, 9, seed=i) for i in range(4)]
    expected = [engine.run(f)[0] for f in feeds]
    right: list[bool] = []

    def work(i: int) -> None:
        right.extend(np.array_equal(engine.run(feeds[i])[0], expected[i]) for _ in range(5))

    threads = [threading.Thread(target=work, args=(i,), daemon=True) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert right == [True] * 20


def test_float64_rounds_nothing_and_exact_rounds_once() -> None:
    native, exact, referee = (
        Engine(bert(opset=11), precision=p) for p in ("native", "exact", "float64")
    )
    feeds = native.generate_random_inputs(3, 11)
    truth = referee.run(feeds)[0]
    assert truth.dtype == np.float64
    for engine in (native, exact):
        output = engine.run(feeds)[0]
        assert output.dtype == np.float32
        np.testing.assert_allclose(output, truth, atol=5e-6)


def test_exact_gives_the_same_bits_whatever_the_batch() -> None:
    engine = Engine(bert(), precision="exact")
    feeds = engine.generate_random_inputs(5, 12)
    together = engine.run(feeds)[0]
    alone = [engine.run([f[i : i + 1] for f in feeds])[0] for i in range(5)]
    np.testing.assert_array_equal(together, np.concatenate(alone))


HALVES = "g (float16[N] x) => (float16[N] z) { y = Add(x, x)  z = Sub(y, x) }"


def test_half_precision_is_carried_wide_or_rounded_after_each_node() -> None:
    x = np.array([40000.0], np.float16)  # twice that is beyond float16
    assert Engine(model(HALVES)).run([x])[0].tolist() == [40000]
    assert Engine(model(HALVES), optimize=False).run([x])[0].tolist() == [np.inf]
    assert Engine(model(HALVES), precision="exact").run([x])[0].tolist() == [np.inf]
    assert Engine(model(HALVES)).run([x])[0].dtype == np.float16


def test_random_inputs_are_what_a_tokenizer_could_make() -> None:
    ids, mask, types = Engine(bert()).generate_random_inputs(2, 7)
    assert ids.shape == (2, 7)
    assert ids.max() < 23
    assert len(np.unique(ids)) > 1
    assert mask.min() == 1
    assert types.max() == 0


@pytest.mark.parametrize("options", [{"precision": "half"}, {"batch_size": 0}, {"num_cores": -1}])
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        Engine(model(ADD), **options)


def test_num_cores_changes_nothing_but_threads() -> None:
    one, two = (Engine(bert(), num_cores=n) for n in (1, 2))
    feeds = one.generate_random_inputs(2, 8)
    np.testing.assert_allclose(one.run(feeds)[0], two.run(feeds)[0], atol=1e-6)


def test_repr_names_inputs_and_outputs() -> None:
    assert "input_ids: int64[batch, sequence]" in repr(Engine(bert()))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("g (float[N] x) => (float[N] z) { z = Neg(q) }", "reads 'q', which nothing makes"),
        ("g (float[N] x) => (float[N] q) { z = Neg(x) }", "output 'q' is made by nothing"),
        ("g (float[N] x) => (float[N] z) { z = Neg(x) z = Abs(x) }", "makes 'z', which is already"),
        ("g (float[N] x) => (float[N] x) { x = Neg(x) }", "makes 'x', which is already defined"),
        ("g (float[N] x) => (float[N] z) { z = Add(x, w) w = Neg(z) }", "cycle"),
        ("g (float[N] x) => (float[N] z) { z = Softmax<axes = 1>(x) }", "attribute 'axes'"),
        ("g (float[N] x) => (float[N] z) { z = Softmax<axis = 1.5>(x) }", "expected int"),
        ("g (float[N] x) => (float[N] z) { z = Concat(x, x) }", "lacks the attribute 'axis'"),
        ("g (float[N] x) => (float[N] z) { z = Add(x) }", "has 1 inputs and lacks input 1"),
        ("g (float[N] x) => (float[N] z) { z = Neg(x, x) }", "has 2 inputs and takes at most 1"),
    ],
)
def test_invalid_graphs_are_refused_when_loaded(text: str, message: str) -> None:
    with pytest.raises(ModelError, match=message):
        Engine(model(text))


@pytest.mark.parametrize("kind", ["Neg", "Sqrt", "Relu"])
def test_deep_graphs_neither_recurse_nor_take_long(kind: str) -> None:
    count = 4_000
    lines = "\n".join(f"v{i + 1} = {kind}(v{i})" for i in range(count))
    engine = Engine(model(f"g (float[N] v0) => (float[N] v{count}) {{ {lines} }}"))
    np.testing.assert_array_equal(engine.run([np.ones(2, np.float32)])[0], np.ones(2))


WEIGHTED = """g (float[M, 8] x, float[8, 8] w, float[1] one = {1}) => (float[M, 8] y) {
    m = MatMul(x, w)  y = Add(m, one) }"""


def weighted() -> Any:
    proto = model(WEIGHTED)
    proto.ir_version = 3  # at which every initializer is an input as well
    weight = np.arange(64, dtype=np.float32).reshape(8, 8)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(weight, "w"))
    return proto


def test_defaults_are_as_fast_as_constants_and_feeds_override_them() -> None:
    engine = Engine(weighted())
    x, other = np.ones((2, 8), np.float32), np.eye(8, dtype=np.float32)
    assert [step.matrix for step in engine.plan.steps] == ["w", ""]
    default = engine.run({"x": x})[0]
    np.testing.assert_array_equal(default[0], np.arange(64).reshape(8, 8).sum(0) + 1)
    np.testing.assert_array_equal(engine.run({"x": x, "w": other})[0], x + 1)
    fed = {"x": x, "w": other, "one": np.array([5], np.float32)}
    np.testing.assert_array_equal(engine.run(fed)[0], x + 5)
    np.testing.assert_array_equal(engine.run([x])[0], default)


def test_a_constant_of_a_formula_that_is_fed_is_no_constant() -> None:
    text = """g (float[N] x, float[1] one = {1}) => (float[N] y)
    <float root = {0.70710677}, float half = {0.5}> {
    a = Mul(x, root)  e = Erf(a)  f = Add(e, one)  g = Mul(x, f)  y = Mul(g, half) }"""
    fast, plain = (Engine(model(text), optimize=o) for o in (True, False))
    assert len(fast.plan.steps) == 1
    for feeds in ({"x": ONES}, {"x": ONES, "one": np.array([1.25], np.float32)}):
        np.testing.assert_allclose(fast.run(feeds)[0], plain.run(feeds)[0], rtol=1e-6)


def test_an_output_of_another_type_than_declared_is_refused() -> None:
    text = "g (x) => (float[N] y) { y = Neg(x) }"
    assert Engine(model(text)).run([ONES])[0].dtype == np.float32
    with pytest.raises(ModelError, match="output 'y' is declared as float32"):
        Engine(model(text)).run([np.ones(2)])


def test_loading_has_the_time_limit_too() -> None:
    bodies = "".join(
        f'<domain: "local", opset_import: ["" : 17, "local" : 1]> '
        f"f{i} (x) => (y) {{ h = local.f{i + 1}(x)  y = local.f{i + 1}(h) }}\n"
        for i in range(18)
    )
    bodies += '<domain: "local", opset_import: ["" : 17]> f18 (x) => (y) { y = Neg(x) }'
    proto = model(
        "g (float[N] x) => (float[N] y) { y = local.f0(x) }",
        functions=bodies, imports=', "local" : 1',
    )  # fmt: skip
    with pytest.raises(BudgetError, match="time limit"):
        Engine(proto, time_limit=0.01)


def test_sparse_bombs_are_refused_when_loaded() -> None:
    proto = model("g (float[N] x) => (float[N] y) { y = Add(x, w) }")
    sparse = proto.graph.sparse_initializer.add()
    sparse.values.CopyFrom(onnx.numpy_helper.from_array(np.ones(1, np.float32), "w"))
    sparse.indices.CopyFrom(onnx.numpy_helper.from_array(np.zeros(1, np.int64), "i"))
    sparse.dims.append(2**40)
    with pytest.raises(BudgetError, match="takes 4398046511104 bytes"):
        Engine(proto)


def saved(folder: Path) -> Path:
    path = folder / "model.onnx"
    onnx.save(bert(), path, save_as_external_data=True, location="weights", size_threshold=0)
    return path


@pytest.mark.parametrize("name", ["model.onnx", "weights"])
def test_a_file_that_is_written_to_is_refused_before_it_is_looked_at(
    name: str, tmp_path: Path
) -> None:
    engine = Engine(saved(tmp_path))
    feeds = engine.generate_random_inputs()
    before = engine.run(feeds)[0]
    replaced = tmp_path / "new"
    replaced.write_bytes((tmp_path / name).read_bytes())
    os.replace(replaced, tmp_path / name)  # the old file is still there for those who mapped it
    np.testing.assert_array_equal(engine.run(feeds)[0], before)
    engine = Engine(tmp_path / "model.onnx")
    os.truncate(tmp_path / name, 10)
    with pytest.raises(ModelError, match=f"{name} was written to after it was loaded"):
        engine.run(feeds)


def test_engines_pickle_as_path_digests_and_options(tmp_path: Path) -> None:
    path = saved(tmp_path)
    engine = Engine(path, precision="exact", num_cores=1)
    data = pickle.dumps(engine)
    assert len(data) < 2000
    copy, feeds = pickle.loads(data), engine.generate_random_inputs()
    assert (copy.precision, copy.num_cores) == ("exact", 1)
    np.testing.assert_array_equal(copy.run(feeds)[0], engine.run(feeds)[0])
    changed = bytearray(path.with_name("weights").read_bytes())
    changed[7] ^= 1
    path.with_name("weights").write_bytes(changed)
    with pytest.raises(ModelError, match="weights is not the file that it was"):
        pickle.loads(data)


def test_engines_of_bytes_pickle_as_graphs() -> None:
    engine = Engine(bert().SerializeToString(), optimize=False)
    copy, feeds = pickle.loads(pickle.dumps(engine)), engine.generate_random_inputs()
    np.testing.assert_array_equal(copy.run(feeds)[0], engine.run(feeds)[0])
    assert len(copy.plan.steps) == len(engine.plan.steps)


def test_rules_are_left_out_by_a_list_of_names() -> None:
    with pytest.raises(ConfigError, match=r"such as \['swish'\]"):
        Engine(bert(), skip_rules="swish")
