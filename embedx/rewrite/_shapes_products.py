"""Shapes of products, attention and recurrent layers."""

from __future__ import annotations

from collections.abc import Iterable

from embedx.model.graph import Node
from embedx.rewrite._shape_registry import at, rule
from embedx.rewrite.edges import Edges
from embedx.rewrite.sizes import Shape, Size


def _product(edges: Edges, a: Shape, b: Shape) -> Shape:
    """The shape of a product of matrices, of which vectors are the rows and the columns."""
    if a is None or b is None or not a or not b:
        return None
    sizes = edges.sizes
    sizes.same(b[-2] if len(b) > 1 else b[0], a[-1])
    stack = sizes.broadcast(a[:-2], b[:-2])
    assert stack is not None
    return (*stack, *a[-2:-1], *(b[-1:] if len(b) > 1 else ()))


@rule(
    "MatMul MatMulInteger com.microsoft::DynamicQuantizeMatMul com.microsoft::MatMulInteger16 "
    "com.microsoft::MatMulIntegerToFloat"
)
def _matmul(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    return [_product(edges, shapes[0], at(shapes, 1))]


@rule("QLinearMatMul")
def _quantized_matmul(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    return [_product(edges, shapes[0], at(shapes, 3))]


@rule("com.microsoft::FusedMatMul com.microsoft::TransposeMatMul")
def _fused_matmul(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    if node.attributes.get("transBatchA") or node.attributes.get("transBatchB"):
        return []
    turned = [
        (*shape[:-2], shape[-1], shape[-2])
        if node.attributes.get(name) and shape is not None and len(shape) > 1
        else shape
        for name, shape in zip(("transA", "transB"), shapes, strict=False)
    ]
    return [_product(edges, *turned)]


@rule("Gemm com.microsoft::FusedGemm")
def _gemm(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    turned = [
        None if shape is None or len(shape) != 2 else shape[:: -1 if node.attributes.get(t) else 1]
        for shape, t in zip(shapes, ("transA", "transB"), strict=False)
    ]
    y = _product(edges, *turned)
    return [y if y is None or at(shapes, 2) is None else edges.sizes.broadcast(y, shapes[2])]


@rule("com.microsoft::MatMulNBits com.microsoft::MatMulBnb4")
def _packed_matmul(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    weight = (int(node.attributes.get("K", 0)), int(node.attributes.get("N", 0)))
    return [_product(edges, shapes[0], weight)]


@rule("LSTM GRU RNN")
def _recurrent(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    x, w, r = shapes[0], at(shapes, 1), at(shapes, 2)
    if x is None or w is None or r is None or (len(x), len(w), len(r)) != (3, 3, 3):
        return []
    sizes = edges.sizes
    sizes.same(w[2], x[2])
    by_batch = node.attributes.get("layout", 0)
    steps, batch = (x[1], x[0]) if by_batch else (x[0], x[1])
    state = (batch, w[0], r[2]) if by_batch else (w[0], batch, r[2])
    for place in (5, 6):
        given = at(shapes, place)
        if given is not None and len(given) == 3:
            sizes.equal(state, given)
    lengths = at(shapes, 4)
    if lengths is not None and len(lengths) == 1:
        sizes.same(batch, lengths[0])
    whole = (batch, steps, w[0], r[2]) if by_batch else (steps, w[0], batch, r[2])
    return [whole, state, state]


@rule("Einsum")
def _einsum(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    equation = node.attributes.get("equation", "")
    text = equation.decode() if isinstance(equation, bytes) else str(equation)
    terms, arrow, result = text.replace(" ", "").partition("->")
    labels = terms.split(",")
    if not arrow or "." in terms or len(labels) != len(shapes):
        return []
    known: dict[str, Size] = {}
    for term, shape in zip(labels, shapes, strict=True):
        if shape is not None and len(term) == len(shape):
            for label, size in zip(term, shape, strict=True):
                met = edges.sizes.broadcast((known.get(label, 1),), (size,))
                known[label] = met[0] if met else size
    return [tuple(known[label] for label in result)] if set(result) <= set(known) else []


@rule("com.microsoft::EmbedLayerNormalization")
def _embedded(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    ids, words = shapes[0], at(shapes, 2)
    if ids is None or words is None or len(ids) != 2:
        return []
    for place in (1, 7, 8):
        other = at(shapes, place)
        if other is not None and len(other) == 2:
            edges.sizes.broadcast(ids, other)
    return [(*ids, words[-1])]


@rule("com.microsoft::Attention com.microsoft::QAttention")
def _attention(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    x, weight = shapes[0], at(shapes, 1)
    if x is None or weight is None or len(x) != 3 or len(weight) != 2:
        return []
    edges.sizes.same(weight[0], x[2])
    width = edges.sizes.of(weight[1])
    split = node.attributes.get("qkv_hidden_sizes")
    value = split[2] if split else width // 3 if isinstance(width, int) else edges.sizes.new()
    return [(*x[:2], value)]


@rule("com.microsoft::MultiHeadAttention")
def _multi_head_attention(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    query, key, value = (at(shapes, i) for i in range(3))
    if query is None or len(query) != 3:
        return []
    sizes = edges.sizes
    if key is not None and len(key) == 3:
        sizes.same(query[0], key[0])
        sizes.same(query[2], key[2])
        if value is not None and len(value) == 3:
            sizes.same(key[0], value[0])
            sizes.same(key[1], value[1])
            return [(*query[:2], value[2])]
    return [query] if value is None and key is not None else []


@rule("com.microsoft::GroupQueryAttention")
def _grouped_attention(edges: Edges, node: Node, shapes: list[Shape]) -> Iterable[Shape]:
    query, key = shapes[0], at(shapes, 1)
    heads = int(node.attributes.get("num_heads", 0))
    shared = int(node.attributes.get("kv_num_heads", 0))
    if query is None or len(query) != 3 or not heads or not shared:
        return []
    sizes = edges.sizes
    width = sizes.of(query[2])
    packed = not (len(node.inputs) > 1 and node.inputs[1])
    parts = heads + 2 * shared if packed else heads
    head = width // parts if isinstance(width, int) else sizes.new()
    if key is not None and len(key) == 3:
        sizes.equal(key, (query[0], query[1], sizes.product([shared, head])))
    caches = [shape for shape in shapes[3:5] if shape is not None and len(shape) == 4]
    for cache in caches:
        sizes.equal((query[0], shared, caches[0][2], head), cache)
    present = (query[0], shared, sizes.new(), head)
    return [(*query[:2], sizes.product([heads, head])), present, present]
