"""Sites are found by structure, and their values are what their names say."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import numpy_helper

import embedx
from embedx.errors import ConfigError
from embedx.model.graph import Array, Graph, Value
from embedx.model.onnx_file import read_model
from embedx.observe.sites import Site, absent_sites, canonical, find_sites, sites_as_text
from embedx.rewrite.layers import find_layers
from embedx.rewrite.normal import normal_form
from embedx.run.engine import Engine
from tests.models import model
from tests.test_models import FOLDERS, cases, is_quantized
from tests.tiny import HEADS, HIDDEN, INNER, bert

SIZE = HIDDEN // HEADS
ATTENTION = tuple(f"attention.{p}" for p in "q k v scores probs context output".split())
PARTS = (*ATTENTION, "mlp.hidden", "mlp.output", "output")


def loaded(proto: Any) -> Graph:
    return normal_form(read_model(proto))


def values(graph: Graph, feeds: Any) -> dict[str, Array]:
    """The sites' values in canonical order."""
    sites = find_sites(graph)
    edges = dict.fromkeys(site.edge for site in sites.values())
    engine = Engine(replace(graph, outputs=tuple(map(Value, edges))), optimize=False)
    found = dict(zip(edges, engine.run(None, feeds), strict=True))
    batch = next(iter(feeds.values())).shape[0]
    return {name: canonical(site, found[site.edge], batch) for name, site in sites.items()}


def some_feeds(graph: Graph, batch: int = 2, length: int = 5) -> dict[str, Array]:
    made = Engine(graph).generate_random_inputs(batch, length)
    return dict(zip((v.name for v in graph.feeds), made, strict=True))


def check_attention(found: dict[str, Array], layer: str, tolerance: float = 1e-5) -> None:
    """What holds between the parts of any attention."""
    at = {part: found.get(f"{layer}.attention.{part}") for part in ("v", "scores", "probs")}
    probs, scores, values = at["probs"], at["scores"], at["v"]
    if probs is None:
        return
    np.testing.assert_allclose(probs.sum(-1), 1, atol=tolerance)
    if scores is not None:
        powers = np.exp(scores.astype(np.float64) - scores.max(-1, keepdims=True))
        np.testing.assert_allclose(powers / powers.sum(-1, keepdims=True), probs, atol=tolerance)
    context = found.get(f"{layer}.attention.context")
    if values is not None and context is not None:
        values = values.repeat(probs.shape[1] // values.shape[1], 1)
        mixed = (probs @ values).swapaxes(1, 2).reshape(context.shape)
        np.testing.assert_allclose(mixed, context, atol=tolerance * abs(mixed).max())


@pytest.mark.parametrize("opset", [11, 14, 17, 20])
@pytest.mark.parametrize("pre_norm", [False, True])
def test_every_site_of_a_plain_encoder_is_found(opset: int, pre_norm: bool) -> None:
    graph = loaded(bert(opset=opset, pre_norm=pre_norm))
    sites = find_sites(graph)
    assert absent_sites(graph) == {}
    names = [f"layers.{i}.{part}" for i in (0, 1) for part in PARTS]
    assert list(sites) == ["embeddings.output", *names]
    assert [sites[f"layers.{i}.output"].edge for i in (0, 1)] == find_layers(graph)
    found = values(graph, some_feeds(graph))
    shapes = {
        **dict.fromkeys("qkv", (2, HEADS, 5, SIZE)),
        **dict.fromkeys(("scores", "probs"), (2, HEADS, 5, 5)),
        "hidden": (2, 5, INNER),
    }
    for name, value in found.items():
        assert value.shape == shapes.get(name.rpartition(".")[2], (2, 5, HIDDEN)), name
    for i in (0, 1):
        check_attention(found, f"layers.{i}")
        q, k, scores = (found[f"layers.{i}.attention.{part}"] for part in ("q", "k", "scores"))
        np.testing.assert_allclose(q @ k.swapaxes(-1, -2) / SIZE**0.5, scores, atol=1e-5)


@pytest.mark.parametrize("pre_norm", [False, True])
def test_all_exports_of_the_same_weights_agree(pre_norm: bool) -> None:
    feeds = some_feeds(loaded(bert()))
    first, *others = (
        values(loaded(bert(opset=opset, pre_norm=pre_norm)), feeds) for opset in (17, 11, 14, 20)
    )
    for other in others:
        assert other.keys() == first.keys()
        for name, value in first.items():
            np.testing.assert_allclose(other[name], value, atol=2e-5, err_msg=name)


def test_projections_are_what_their_weights_make() -> None:
    proto = bert()
    weights = {w.name: numpy_helper.to_array(w) for w in proto.graph.initializer}
    graph = loaded(proto)
    found = values(graph, some_feeds(graph))
    x = found["embeddings.output"]
    for i in (0, 1):
        prefix = f"bert.encoder.layer.{i}."
        for part, name in zip("qkv", ("query", "key", "value"), strict=True):
            linear = f"{prefix}attention.self.{name}"
            expected = x @ weights[f"{linear}.weight"] + weights[f"{linear}.bias"]
            apart = expected.reshape(2, 5, HEADS, SIZE).swapaxes(1, 2)
            np.testing.assert_allclose(found[f"layers.{i}.attention.{part}"], apart, atol=1e-5)
        for name, linear, read in (
            ("attention.output", f"{prefix}attention.output.dense", "attention.context"),
            ("mlp.output", f"{prefix}output.dense", "mlp.hidden"),
        ):
            expected = found[f"layers.{i}.{read}"] @ weights[f"{linear}.weight"]
            expected = expected + weights[f"{linear}.bias"]
            np.testing.assert_allclose(found[f"layers.{i}.{name}"], expected, atol=1e-5)
        x = found[f"layers.{i}.output"]


def test_names_do_not_matter() -> None:
    proto = bert()
    plain = find_sites(loaded(proto))
    edges = {name: f"e{i}" for i, name in enumerate(n for x in proto.graph.node for n in x.output)}
    weights = {w.name: f"w{i}" for i, w in enumerate(proto.graph.initializer)}
    kept = {v.name for v in proto.graph.output}
    names = {k: v for k, v in {**edges, **weights}.items() if k not in kept}
    for weight in proto.graph.initializer:
        weight.name = names[weight.name]
    for node in proto.graph.node:
        node.name = ""
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    found = find_sites(loaded(proto))
    assert list(found) == list(plain)
    for name, site in plain.items():
        expected = replace(site, edge=names.get(site.edge, site.edge))
        assert found[name] == expected


SHAPES = {
    "E": (9, 8), "P": (9, 8), "q": (8, 8), "k": (8, 8), "v": (8, 8), "o": (8, 8), "up": (8, 12),
    "down": (12, 8), "qb": (8,), "kb": (8,), "vb": (8,), "kg": (8, 4), "vg": (8, 4), "qkv": (8, 24),
    "qkvb": (24,), "one": (8,), "zero": (8,), "u": (8,),
}  # fmt: skip
INTEGERS: dict[str, Any] = {
    "apart": [0, 0, 2, 4], "merged": [0, 0, 8], "stacked": [-1, 5, 4], "fours": [-1, 2, 5, 4],
    "first": [5, -1, 4], "last": [5, -1, 8], "three": [0, 0, 3, 2, 4], "mixed": [0, 0, 2, 12],
    "shared": [0, 0, 1, 4], "flat": [-1, 8], "zero_at": 0, "one_at": 1, "two_at": 2,
    "scale": np.float32(0.05), "point": np.uint8(3), "two_axes": [2], "axes": [-1],
    "grown": [1, 1, 2, 1, 1], "folded": [0, 2, -1, 4], "last_keys": np.int32(4),
    "total": np.int32(5), "lasts": np.array([4, 4], np.int32), "root": np.float32(0.5),
    "minus": [-1], "deep": [0, 0, 8, 1], "unit": [2, 5, 8], "narrow": [2], "dims": [1],
}  # fmt: skip
"""Weights by their shapes, and constants, for graphs of one layer in ONNX's text format."""

APART = """
    Q = MatMul(x, q)  Qb = Add(Q, qb)  Qr = Reshape(Qb, apart)
    Qt = Transpose<perm = [0, 2, 1, 3]>(Qr)
    K = MatMul(x, k)  Kb = Add(K, kb)  Kr = Reshape(Kb, apart)
    Kt = Transpose<perm = [0, 2, 3, 1]>(Kr)
    V = MatMul(x, v)  Vb = Add(V, vb)  Vr = Reshape(Vb, apart)
    Vt = Transpose<perm = [0, 2, 1, 3]>(Vr)
"""
MIX = """
    S = MatMul(Qt, Kt)  D = Mul(S, root)  W = Softmax<axis = -1>(D)  M = MatMul(W, Vt)
    Mt = Transpose<perm = [0, 2, 1, 3]>(M)  c = Reshape(Mt, merged)
"""
MLP = "u1 = MatMul(a, up)  r = Relu(u1)  m = MatMul(r, down)  y = Add(m, a)"
OUT = "O = MatMul(c, o)  a = Add(O, x)"


def one_layer(body: str, *, opset: int = 17, more: str = "") -> Graph:
    """A layer of two heads that reads ``x`` (2, 5, 8) and gives ``y``, and ``more`` outputs."""
    text = f"g (int64[2, 5] ids) => (float[2, 5, 8] y{more}) {{ x = Gather(E, ids) {body} }}"
    imports = ', "com.microsoft" : 1'
    proto = model(text, opset=opset, imports=imports)
    random = np.random.default_rng(0)
    used = {name for node in proto.graph.node for name in node.input}
    for name, shape in SHAPES.items():
        if name in used:
            value = random.normal(0, 0.5, shape).astype(np.float32)
            proto.graph.initializer.append(numpy_helper.from_array(value, name))
    for name, held in INTEGERS.items():
        if name in used:
            proto.graph.initializer.append(numpy_helper.from_array(np.asarray(held), name))
    return loaded(proto)


IDS = {"ids": np.arange(10).reshape(2, 5) % 9}

PLAIN = f"{APART} {MIX} {OUT} {MLP}"
SAME = {
    "heads before texts": """
        Q = MatMul(x, q)  Qb = Add(Q, qb)  Qr = Reshape(Qb, apart)
        Qp = Transpose<perm = [0, 2, 1, 3]>(Qr)  Qt = Reshape(Qp, stacked)
        K = MatMul(x, k)  Kb = Add(K, kb)  Kr = Reshape(Kb, apart)
        Kp = Transpose<perm = [0, 2, 1, 3]>(Kr)  Ks = Reshape(Kp, stacked)
        Kt = Transpose<perm = [0, 2, 1]>(Ks)
        V = MatMul(x, v)  Vb = Add(V, vb)  Vr = Reshape(Vb, apart)
        Vp = Transpose<perm = [0, 2, 1, 3]>(Vr)  Vt = Reshape(Vp, stacked)
        S = MatMul(Qt, Kt)  D = Mul(S, root)  W = Softmax<axis = -1>(D)  M = MatMul(W, Vt)
        M4 = Reshape(M, fours)  Mt = Transpose<perm = [0, 2, 1, 3]>(M4)  c = Reshape(Mt, merged)
    """,
    "scaled before": f"""
        Q = MatMul(x, q)  Qb = Add(Q, qb)  Qs = Mul(Qb, root)  Qr = Reshape(Qs, apart)
        Qt = Transpose<perm = [0, 2, 1, 3]>(Qr)
        {APART.split("Qt = Transpose<perm = [0, 2, 1, 3]>(Qr)")[1]}
        D = MatMul(Qt, Kt)  W = Softmax<axis = -1>(D)  M = MatMul(W, Vt)
        Mt = Transpose<perm = [0, 2, 1, 3]>(M)  c = Reshape(Mt, merged)
    """,
    "keys first": """
        Q = MatMul(x, q)  Qb = Add(Q, qb)  Qr = Reshape(Qb, apart)
        Qt = Transpose<perm = [0, 2, 3, 1]>(Qr)
        K = MatMul(x, k)  Kb = Add(K, kb)  Kr = Reshape(Kb, apart)
        Kt = Transpose<perm = [0, 2, 1, 3]>(Kr)
        V = MatMul(x, v)  Vb = Add(V, vb)  Vr = Reshape(Vb, apart)
        Vt = Transpose<perm = [0, 2, 3, 1]>(Vr)
        S = MatMul(Kt, Qt)  D = Mul(S, root)  W = Softmax<axis = -2>(D)  M = MatMul(Vt, W)
        Mt = Transpose<perm = [0, 3, 1, 2]>(M)  c = Reshape(Mt, merged)
    """,
    "products in letters": """
        Q = MatMul(x, q)  Qb = Add(Q, qb)  Qr = Reshape(Qb, apart)
        K = MatMul(x, k)  Kb = Add(K, kb)  Kr = Reshape(Kb, apart)
        V = MatMul(x, v)  Vb = Add(V, vb)  Vr = Reshape(Vb, apart)
        S = Einsum<equation = "bind,bjnd->bnij">(Qr, Kr)  D = Mul(S, root)
        W = Softmax<axis = -1>(D)  M = Einsum<equation = "bnij,bjnd->bind">(W, Vr)
        c = Reshape(M, merged)
    """,
    "transposed by the product": f"""
        {APART.replace("0, 2, 3, 1", "0, 2, 1, 3")}
        D = com.microsoft.FusedMatMul<transB = 1, alpha = 0.5>(Qt, Kt)
        W = Softmax<axis = -1>(D)  M = MatMul(W, Vt)
        Mt = Transpose<perm = [0, 2, 1, 3]>(M)  c = Reshape(Mt, merged)
    """,
}


@pytest.mark.parametrize("form", SAME)
def test_ways_to_write_attention_mean_the_same(form: str) -> None:
    graph = one_layer(f"{SAME[form]} {OUT} {MLP}")
    assert absent_sites(graph) == {}
    expected = values(one_layer(PLAIN), IDS)
    found = values(graph, IDS)
    assert list(found) == list(expected)
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-5, err_msg=name)


def split(parts: str) -> str:
    return f"""
        F = MatMul(x, qkv)  Fb = Add(F, qkvb)  {parts}
        Qt = Transpose<perm = [0, 2, 1, 3]>(Qr)  Kt = Transpose<perm = [0, 2, 3, 1]>(Kr)
        Vt = Transpose<perm = [0, 2, 1, 3]>(Vr)  {MIX} {OUT} {MLP}
    """


FUSED = {
    "side by side": "Q, K, V = Split<axis = -1>(Fb)  Qr = Reshape(Q, apart)  Kr = Reshape(K, apart)"
    "  Vr = Reshape(V, apart)",
    "stacked": "F5 = Reshape(Fb, three)  Qr = Gather<axis = 2>(F5, zero_at)"
    "  Kr = Gather<axis = 2>(F5, one_at)  Vr = Gather<axis = 2>(F5, two_at)",
    "rounded first": "Fq = QuantizeLinear(Fb, scale, point)"
    "  Fd = DequantizeLinear(Fq, scale, point)"
    "  F5 = Reshape(Fd, three)  Qr = Gather<axis = 2>(F5, zero_at)"
    "  Kr = Gather<axis = 2>(F5, one_at)  Vr = Gather<axis = 2>(F5, two_at)",
    "interleaved": "F4 = Reshape(Fb, mixed)  Qr, Kr, Vr = Split<axis = -1>(F4)",
}


@pytest.mark.parametrize("form", FUSED)
def test_parts_of_one_projection_are_told_apart(form: str) -> None:
    graph = one_layer(split(FUSED[form]))
    sites = find_sites(graph)
    assert len({sites[f"layers.0.attention.{part}"].edge for part in "qkv"}) == 3
    found = values(graph, IDS)
    check_attention(found, "layers.0")
    q, k, scores = (found[f"layers.0.attention.{part}"] for part in ("q", "k", "scores"))
    np.testing.assert_allclose(q @ k.swapaxes(-1, -2) * 0.5, scores, atol=1e-5)


def test_fewer_heads_of_keys_are_found_before_they_are_repeated() -> None:
    body = f"""
        Q = MatMul(x, q)  Qr = Reshape(Q, apart)  Qt = Transpose<perm = [0, 2, 1, 3]>(Qr)
        K = MatMul(x, kg)  Kr = Reshape(K, shared)  Kp = Transpose<perm = [0, 2, 1, 3]>(Kr)
        Ku = Unsqueeze(Kp, two_axes)  Ke = Expand(Ku, grown)  Kf = Reshape(Ke, folded)
        Kt = Transpose<perm = [0, 1, 3, 2]>(Kf)
        V = MatMul(x, vg)  Vr = Reshape(V, shared)  Vp = Transpose<perm = [0, 2, 1, 3]>(Vr)
        Vu = Unsqueeze(Vp, two_axes)  Ve = Expand(Vu, grown)  Vt = Reshape(Ve, folded)
        {MIX} {OUT} {MLP}
    """
    found = values(one_layer(body), IDS)
    assert (
        found["layers.0.attention.k"].shape == found["layers.0.attention.v"].shape == (2, 1, 5, 4)
    )
    check_attention(found, "layers.0")


def test_what_rotates_queries_comes_behind_them() -> None:
    rotated = APART.replace(
        "Qt = Transpose<perm = [0, 2, 1, 3]>(Qr)",
        """Qp = Transpose<perm = [0, 2, 1, 3]>(Qr)  Qh, Qi = Split<axis = -1>(Qp)  Qn = Neg(Qi)
        Qc = Concat<axis = -1>(Qn, Qh)  Ca = Mul(Qp, root)  Sa = Mul(Qc, scale)
        Qt = Add(Ca, Sa)""",
    )
    found = values(one_layer(f"{rotated} {MIX} {OUT} {MLP}"), IDS)
    expected = values(one_layer(PLAIN), IDS)
    np.testing.assert_array_equal(found["layers.0.attention.q"], expected["layers.0.attention.q"])


def test_what_is_added_to_queries_that_are_read_twice_is_no_bias() -> None:
    twice = APART.replace("Qr = Reshape(Qb, apart)", "Qu = Add(Qb, u)  Qr = Reshape(Qu, apart)")
    twice = twice.replace("Qb = Add(Q, qb)", "Qb = Identity(Q)")
    body = f"{twice} n = Relu(Qb)  z = ReduceMean<axes = [-1]>(n)  {MIX} {OUT.replace('x)', 'xz)')}"
    graph = one_layer(body.replace("O = MatMul", "xz = Add(x, z)  O = MatMul") + MLP)
    assert find_sites(graph)["layers.0.attention.q"].edge in ("Q", "Qb")


def test_quantized_products_are_seen_once_they_are_scaled() -> None:
    integers = APART.replace(
        "Q = MatMul(x, q)",
        """xi, xs, xp = DynamicQuantizeLinear(x)  wi, ws, wp = DynamicQuantizeLinear(q)
        Qi = MatMulInteger(xi, wi, xp, wp)  Qf = Cast<to = 1>(Qi)  s = Mul(xs, ws)
        Q = Mul(Qf, s)""",
    )
    found = values(one_layer(f"{integers} {MIX} {OUT} {MLP}"), IDS)
    expected = values(one_layer(PLAIN), IDS)
    assert list(found) == list(expected)
    q = expected["layers.0.attention.q"]
    np.testing.assert_allclose(found["layers.0.attention.q"], q, atol=0.05 * abs(q).max())


FUSED_NODES = {
    "com.microsoft::Attention": "c = com.microsoft.Attention<num_heads = 2>(x, qkv, qkvb)",
    "com.microsoft::MultiHeadAttention": """Q = MatMul(x, q)  K = MatMul(x, k)  V = MatMul(x, v)
        c = com.microsoft.MultiHeadAttention<num_heads = 2>(Q, K, V, qkvb)""",
}


@pytest.mark.parametrize("operator", FUSED_NODES)
def test_what_a_fused_node_hides_is_said_to_be_inside_it(operator: str) -> None:
    skip = "com.microsoft.SkipLayerNormalization"
    body = f"""{FUSED_NODES[operator]} O = MatMul(c, o)  a = {skip}(O, x, one, zero, qb)
        u1 = MatMul(a, up)  r = Relu(u1)  m = MatMul(r, down)  y = {skip}(m, a, one, zero)"""
    graph = one_layer(body)
    absent = absent_sites(graph)
    assert list(find_sites(graph)) == [
        "embeddings.output",
        *(f"layers.0.{part}" for part in ("attention.context", *PARTS[-3:])),
    ]
    for part in ("q", "k", "v", "scores", "probs"):
        assert f"inside {operator} 'c'" in absent[f"layers.0.attention.{part}"]
    assert "its bias is added inside" in absent["layers.0.attention.output"]
    assert values(graph, IDS)["layers.0.attention.context"].shape == (2, 5, 8)
    assert "absent  layers.0.attention.q" in sites_as_text(find_sites(graph), absent)


def test_a_fused_node_without_biases_is_given_queries_keys_and_values() -> None:
    body = f"""Q = MatMul(x, q)  Qb = Add(Q, qb)  K = MatMul(x, k)  Kb = Add(K, kb)
        V = MatMul(x, v)  Vb = Add(V, vb)
        c = com.microsoft.MultiHeadAttention<num_heads = 2>(Qb, Kb, Vb) {OUT} {MLP}"""
    found, expected = values(one_layer(body), IDS), values(one_layer(PLAIN), IDS)
    assert expected.keys() - found.keys() == {
        f"layers.0.attention.{p}" for p in ("scores", "probs")
    }
    for name, value in found.items():
        np.testing.assert_allclose(value, expected[name], atol=1e-5, err_msg=name)


@pytest.mark.parametrize(("mode", "part"), [(2, "scores"), (3, "probs")])
def test_onnx_attention_may_show_its_scores(mode: int, part: str) -> None:
    shown = f"<q_num_heads = 2, kv_num_heads = 2, qk_matmul_output_mode = {mode}>"
    body = f"""Q = MatMul(x, q)  Qb = Add(Q, qb)  K = MatMul(x, k)  Kb = Add(K, kb)
        V = MatMul(x, v)  Vb = Add(V, vb)
        c, pk, pv, w = Attention{shown}(Qb, Kb, Vb) {OUT} {MLP}"""
    found, expected = values(one_layer(body, opset=24), IDS), values(one_layer(PLAIN), IDS)
    name = f"layers.0.attention.{part}"
    np.testing.assert_allclose(found[name], expected[name], atol=1e-5)
    assert len(found) == len(expected) - 1


def test_layers_that_mix_by_a_fourier_transform_say_so() -> None:
    body = f"""x4 = Unsqueeze(x, minus)  f = DFT<axis = 1>(x4)  re = Gather<axis = -1>(f, zero_at)
        a = Add(x, re) {MLP}"""
    graph = one_layer(body)
    assert list(find_sites(graph)) == [
        "embeddings.output",
        *(f"layers.0.{part}" for part in PARTS[-3:]),
    ]
    assert find_sites(graph)["embeddings.output"].edge == "x"
    reasons = {name: why for name, why in absent_sites(graph).items() if "attention" in name}
    assert len(reasons) == len(ATTENTION)
    assert all("Fourier transform, DFT" in why for why in reasons.values())


def test_attention_beside_the_mlp_is_told_from_it() -> None:
    parallel = "u1 = MatMul(x, up)  r = Relu(u1)  m = MatMul(r, down)  b = Add(O, m)  y = Add(b, x)"
    graph = one_layer(f"{APART} {MIX} O = MatMul(c, o) {parallel}")
    sites = find_sites(graph)
    assert absent_sites(graph) == {}
    assert sites["layers.0.attention.output"].edge == "O"
    assert (sites["layers.0.mlp.hidden"].edge, sites["layers.0.mlp.output"].edge) == ("r", "m")


def test_flattened_batches_are_cut_where_their_number_is_told() -> None:
    flat = """af = Reshape(a, flat)  u1 = MatMul(af, up)  r = Relu(u1)  m = MatMul(r, down)
        s = Add(m, af)  y = Reshape(s, unit)"""
    graph = one_layer(f"{APART} {MIX} {OUT} {flat}")
    site = find_sites(graph)["layers.0.mlp.hidden"]
    assert site.axes == ("batch*token", "hidden")
    value = np.arange(120.0).reshape(10, 12)
    np.testing.assert_array_equal(canonical(site, value, 2), value.reshape(2, 5, 12))
    with pytest.raises(ConfigError, match=r"nothing tells how to cut its axis batch\*token"):
        canonical(site, value)


def test_tokens_that_come_first_are_brought_behind_the_batch() -> None:
    body = """xt = Transpose<perm = [1, 0, 2]>(x)
        Q = MatMul(xt, q)  Qb = Add(Q, qb)  Qr = Reshape(Qb, first)
        Qt = Transpose<perm = [1, 0, 2]>(Qr)
        K = MatMul(xt, k)  Kb = Add(K, kb)  Kr = Reshape(Kb, first)
        Kt = Transpose<perm = [1, 2, 0]>(Kr)
        V = MatMul(xt, v)  Vb = Add(V, vb)  Vr = Reshape(Vb, first)
        Vt = Transpose<perm = [1, 0, 2]>(Vr)
        S = MatMul(Qt, Kt)  D = Mul(S, root)  W = Softmax<axis = -1>(D)  M = MatMul(W, Vt)
        Mt = Transpose<perm = [1, 0, 2]>(M)  c = Reshape(Mt, last)
        O = MatMul(c, o)  a = Add(O, xt)  u1 = MatMul(a, up)  r = Relu(u1)  m = MatMul(r, down)
        z = Add(m, a)  y = Transpose<perm = [1, 0, 2]>(z)"""
    graph = one_layer(body)
    found, expected = values(graph, IDS), values(one_layer(PLAIN), IDS)
    assert list(found) == list(expected)
    assert find_sites(graph)["layers.0.mlp.hidden"].axes == ("token", "batch", "hidden")
    for name, value in expected.items():
        np.testing.assert_allclose(found[name], value, atol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    ("axes", "heads", "shape", "expected"),
    [
        (("batch", "token", "head*head_size"), 3, (2, 5, 12), (2, 3, 5, 4)),
        (("batch*head", "token", "head_size"), 3, (6, 5, 4), (2, 3, 5, 4)),
        (("token", "batch", "1", "head", "head_size"), None, (5, 2, 1, 3, 4), (2, 3, 5, 4)),
        (("batch", "head", "group", "head_size", "token"), None, (2, 3, 2, 4, 5), (2, 6, 5, 4)),
        (("batch", "token", "head_size"), None, (2, 5, 4), (2, 1, 5, 4)),
    ],
)
def test_axes_are_brought_to_one_order(
    axes: tuple[str, ...], heads: int | None, shape: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    value = np.zeros(shape)
    assert canonical(Site("layers.0.attention.q", "e", axes, heads), value).shape == expected
    with pytest.raises(ConfigError, match="axes, the value has 1"):
        canonical(Site("layers.0.attention.q", "e", axes, heads), np.zeros(3))


def test_axes_that_nothing_tells_apart_are_refused() -> None:
    site = Site("layers.0.attention.probs", "e", ("batch*head", "query", "key"), 4)
    with pytest.raises(ConfigError, match=r"probs: nothing tells how to cut its axis batch\*head"):
        canonical(site, np.zeros((6, 5, 5)))


def test_a_graph_without_layers_says_so() -> None:
    graph = loaded(model("g (float[N] x) => (float[N] y) { y = Relu(x) }"))
    assert find_sites(graph) == {}
    assert absent_sites(graph) == {"layers.0.output": "no residual stream runs through layers"}


def test_long_chains_are_followed_without_recursion() -> None:
    steps = ((i, i + 1, max(i - 3, 0)) for i in range(1500))
    chain = "".join(f"p{i} = MatMul(x{i}, q)  x{j} = Add(p{i}, x{k})  " for i, j, k in steps)
    moved = "".join(f"t{i + 1} = Transpose<perm = [0, 1, 2]>(t{i})  " for i in range(1500))
    graph = one_layer(f"x0 = Identity(x)  {chain} t0 = Add(x1500, x0)  {moved} y = Identity(t1500)")
    assert find_sites(graph)["embeddings.output"].edge == "x"


def test_outputs_behind_the_last_layer_have_names() -> None:
    assert find_sites(loaded(bert(head=True)))["logits"].axes == ("batch", "token", "label")
    body = f"""{PLAIN.replace("y = Add(m, a)", "l = Add(m, a)")} g0 = Gather<axis = 1>(l, zero_at)
        p = MatMul(g0, o)  pt = Tanh(p)  e = ReduceMean<axes = [1], keepdims = 0>(l)
        y = Identity(l)"""
    sites = find_sites(one_layer(body, more=", float[2, 8] pt, float[2, 8] e"))
    assert sites["pooler"] == Site("pooler", "pt", ("batch", "hidden"))
    assert sites["sentence_embedding"] == Site("sentence_embedding", "e", ("batch", "hidden"))


def test_the_model_that_embedx_brings_has_all_sites() -> None:
    graph = loaded(Path(embedx.__file__).parent / "default_model" / "model.onnx")
    sites = find_sites(graph)
    layers = len(find_layers(graph))
    missing = {f"layers.{i}.{part}" for i in range(layers) for part in PARTS} - sites.keys()
    assert missing <= absent_sites(graph).keys()


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_sites_of_sample_models_are_found_or_explained(folder: Path) -> None:
    graph = loaded(folder / "model.onnx")
    sites, absent = find_sites(graph), absent_sites(graph)
    layers = len(find_layers(graph))
    names = {f"layers.{i}.{part}" for i in range(layers) for part in PARTS}
    assert names | {"embeddings.output"} <= sites.keys() | absent.keys() or not layers
    assert not sites.keys() & absent.keys()
    if not layers:
        return
    feeds, _ = next(cases(folder, "out"))
    found = values(graph, feeds)
    for i in range(layers):
        check_attention(found, f"layers.{i}", 0.2 if is_quantized(graph) else 2e-3)
