"""Where a transformer's layers end, found in the graph's structure alone.

Whatever way a layer is exported (decomposed, fused, quantized, under any names), the hidden state
between two layers is a bottleneck: every path from the token embeddings to the output runs through
it. Between two bottlenecks with an addition at the end and a matrix product inside lies a residual
block; the blocks that mix tokens begin the layers. A normalisation right behind a block belongs
to it, and the rest behind the last block is a head: a pooling, which reduces all that there is or
weighs it by something from outside such as the attention mask, or a projection.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from embedx.errors import ConfigError
from embedx.model.graph import Graph, Node, SparseTensor, TensorType, reads
from embedx.rewrite.normal import constants_as_initializers

_LOOKUPS = ("Gather", "GatherBlockQuantized")
_EMBEDDINGS = ("EmbedLayerNormalization", "QEmbedLayerNormalization")
_ADDITIONS = (
    "Add",
    "Sum",
    "QLinearAdd",
    "SkipLayerNormalization",
    "SkipSimplifiedLayerNormalization",
)
_PRODUCTS = ("MatMul", "Gemm", "Conv", "Attention", "Einsum", "DFT")
_MIXERS = ("Softmax", "Attention", "DFT")
_MEANS = ("ReduceMean", "Normalization")
_ARITHMETIC = ("Add", "Sub", "Mul", "Div", "Pow", "QLinearAdd", "QLinearMul")
_NORM_PARTS = frozenset(
    "ReduceMean ReduceSum Sub Pow Mul Add Sqrt Div Reciprocal Neg Cast Identity Transpose "
    "Reshape Squeeze Unsqueeze QuantizeLinear DequantizeLinear QLinearMul QLinearAdd".split()
)
_RELABELLINGS = frozenset(
    "Identity Cast Transpose Reshape Squeeze Unsqueeze Dropout RestorePadding "
    "QuantizeLinear DequantizeLinear".split()
)
_BETWEEN_LAYERS = frozenset(("Transpose", "QuantizeLinear", "DequantizeLinear"))
_HALVES = (10, 16)
"""float16 and bfloat16, as Cast names them."""
_SUM_OUTPUT = 3
"""Where SkipLayerNormalization and its kin put the sum that they normalise."""


@dataclass(frozen=True)
class _Block:
    """A residual block: the bottlenecks (places in the list of them) that it lies between."""

    start: int
    end: int
    mixes: bool


def find_layers(graph: Graph) -> list[str]:
    """The edges that carry each layer's output, first layer first; none if there are no layers.

    The last layer's output includes the final normalisation, if there is one. ``graph`` must be
    sorted and without local functions.
    """
    graph = constants_as_initializers(graph)
    source = _token_edge(graph)
    if source is None:
        return []
    path = _path(graph, source)
    outside = _outside(graph, path)
    cuts = _bottlenecks(path, source)
    blocks = _blocks(path, cuts)
    if not blocks:
        return []
    ends = [
        (block.end, following.start if following else len(cuts) - 1)
        for block, following in zip(blocks, [*blocks[1:], None], strict=True)
        if following is None or following.mixes or not any(b.mixes for b in blocks)
    ]
    return [
        _layer_output(graph, path, cuts, outside, end, limit, last=i == len(ends) - 1)
        for i, (end, limit) in enumerate(ends)
    ]


def edge_of(graph: Graph, layer: int | str) -> str | None:
    """The edge that ``layer`` names: an index into the layers, or a node's or an edge's name.

    ``None`` if -1 is asked of a graph without layers: its own output is the last there is. Raises
    ConfigError, listing what there is, for anything that does not exist.
    """
    if isinstance(layer, str):
        for node in graph.nodes:
            if node.name == layer or layer in node.outputs:
                return layer if layer in node.outputs else node.outputs[0]
        raise ConfigError(f"the model has no node or edge {layer!r}")
    layers = find_layers(graph)
    if not layers and layer == -1:
        return None
    if not -len(layers) <= layer < len(layers):
        raise ConfigError(f"layer {layer} does not exist; the model has {len(layers)} layers")
    return layers[layer]


def is_pooled(graph: Graph, output: str) -> bool:
    """Whether ``output`` is made of the last layer without weights, as a pooling is."""
    graph = constants_as_initializers(graph)
    reached = set(find_layers(graph)[-1:])
    behind = []
    for node in graph.nodes:
        if not reached.isdisjoint(reads(node)):
            reached.update(node.outputs)
            behind.append(node)
    needed = {output}
    for node in reversed(behind):
        if not needed.isdisjoint(node.outputs):
            needed.update(reads(node))
            shapes = [graph.initializers[n].shape for n in node.inputs if n in graph.initializers]
            if any(sum(size > 1 for size in shape) > 1 for shape in shapes):
                return False
    return output in reached


def _token_edge(graph: Graph) -> str | None:
    """The edge on which the embedded tokens, or an encoder's float input, arrive."""
    for node in graph.nodes:
        if node.op_type in _EMBEDDINGS:
            return node.outputs[0]
    makers = graph.producers()
    found: list[tuple[bool, int, str]] = []
    for node in graph.nodes:
        if node.op_type in _LOOKUPS and len(node.inputs) > 1:
            origin = _origin(makers, node.inputs[1], ("Cast", "Identity", "Reshape", "Flatten"))
            rows = _rows(
                graph, _origin(makers, node.inputs[0], ("DequantizeLinear", "Cast", "Identity"))
            )
            direct = any(v.name == origin for v in graph.feeds)
            if rows and (direct or origin not in graph.initializers):
                found.append((direct and origin == graph.feeds[0].name, rows, node.outputs[0]))
    if found:
        return max(found, key=lambda entry: entry[:2])[2]
    floats = (
        v.name for v in graph.feeds if isinstance(v.type, TensorType) and v.type.dtype.kind == "f"
    )
    return next(floats, None)


def _origin(makers: dict[str, Node], edge: str, through: Sequence[str]) -> str:
    while edge in makers and makers[edge].op_type in through:
        edge = makers[edge].inputs[0]
    return edge


def _rows(graph: Graph, edge: str) -> int:
    table = graph.initializers.get(edge)
    return table.shape[0] if table is not None and len(table.shape) == 2 else 0


def _path(graph: Graph, source: str) -> list[Node]:
    """The nodes between the source and the output that most of them lead to, in order."""
    reached = {source}
    nodes = []
    for node in graph.nodes:
        # A shape is no data: it would link layers that share nothing but their size.
        if node.op_type not in ("Shape", "Size") and not reached.isdisjoint(reads(node)):
            reached.update(name for name in node.outputs if name)
            nodes.append(node)
    reached.discard(source)
    best: list[Node] = []
    for output in graph.outputs:
        needed, found = {output.name}, list[Node]()
        for node in reversed(nodes):
            if not needed.isdisjoint(node.outputs):
                needed.update(reads(node))
                found.append(node)
        if len(found) > len(best) and source in needed:
            best = found
    return best[::-1]


def _outside(graph: Graph, path: list[Node]) -> set[str]:
    """What is made of the feeds' values beside the path, such as the attention mask."""
    found = {value.name for value in graph.feeds}
    for node in graph.nodes:
        if node.op_type not in ("Shape", "Size") and not found.isdisjoint(reads(node)):
            found.update(name for name in node.outputs if name)
    return found.difference(name for node in path for name in node.outputs)


def _bottlenecks(path: list[Node], source: str) -> list[int]:
    """The places of the nodes through which every path runs: those that no edge leaps over."""
    maker = {name: i for i, node in enumerate(path) for name in node.outputs}
    furthest = [0] * len(path)
    start = 0
    for i, node in enumerate(path):
        for name in reads(node):
            if name in maker:
                furthest[maker[name]] = i
            elif name == source:
                start = i
    cuts, reach = [], start
    for i in range(len(path)):
        if reach <= i:
            cuts.append(i)
        reach = max(reach, furthest[i])
    return cuts


def _blocks(path: list[Node], cuts: list[int]) -> list[_Block]:
    blocks = []
    for k, (a, b) in enumerate(zip([-1, *cuts], cuts, strict=False)):
        inner = [node.op_type for node in path[a + 1 : b]]
        has_product = any(part in kind for kind in inner for part in _PRODUCTS)
        if has_product and path[b].op_type in _ADDITIONS:
            mixes = any(part in kind for kind in inner for part in _MIXERS)
            blocks.append(_Block(k - 1, k, mixes))
    return blocks


def _layer_output(
    graph: Graph,
    path: list[Node],
    cuts: list[int],
    outside: set[str],
    end: int,
    limit: int,
    *,
    last: bool,
) -> str:
    """The edge behind the block that ends at bottleneck ``end``, or behind its normalisation."""
    join = path[cuts[end]]
    if "Normalization" in join.op_type:
        best, place = _stream(join, path, last), end
    else:
        place = _normalised(graph, path, cuts, outside, end, limit)
        best = path[cuts[place]].outputs[0]
    shown = True
    for k in range(place + 1, limit + 1):
        node = path[cuts[k]]
        to_the_end = all(_relabels(n, last) for n in path[cuts[k] + 1 :])
        # XLM multiplies by its padding mask behind every layer, a pooling in front of a sum.
        masks = node.op_type == "Mul" and _weighs(node, outside) and (to_the_end or not last)
        if cuts[k] != cuts[k - 1] + 1 or not (_relabels(node, last) or masks):
            break
        shown = (last and to_the_end) or _keeps_form(graph, node, shown)
        if node.op_type != "QuantizeLinear" and shown:
            best = node.outputs[0]  # what only a following product reads is quantized for it
    return best


def _keeps_form(graph: Graph, node: Node, before: bool) -> bool:
    """Whether a layer is shown behind a node: unrounded, features as the last of three axes.

    A head may transpose, flatten, widen or round what it reads, and that is no layer's form.
    """
    if node.op_type == "Transpose" and len(node.attributes.get("perm", ())) == 3:
        return before ^ bool(node.attributes["perm"][2] != 2)
    if node.op_type in ("Squeeze", "Unsqueeze"):
        return node.op_type == "Squeeze"
    if node.op_type == "Cast":
        return before and node.attributes.get("to") not in _HALVES
    if node.op_type == "Reshape" and len(node.inputs) > 1:
        sizes = graph.initializers.get(node.inputs[1])
        parts = graph.producers().get(node.inputs[1])
        made = len(parts.inputs) if parts is not None and parts.op_type == "Concat" else 3
        return made == 3 if sizes is None else sizes.shape == (3,)
    return before


def _normalised(
    graph: Graph, path: list[Node], cuts: list[int], outside: set[str], end: int, limit: int
) -> int:
    """The bottleneck where the normalisation behind a block ends, or else the block itself."""
    place, normalised = end, False
    for k in range(end + 1, limit + 1):
        segment = path[cuts[k - 1] + 1 : cuts[k] + 1]
        if not all(n.op_type in _NORM_PARTS or "Normalization" in n.op_type for n in segment):
            break
        if segment[-1].op_type.startswith("Reduce") or any(_weighs(n, outside) for n in segment):
            break
        # MobileBERT's layers end in a scale and a shift without statistics.
        affine = k < limit and all(_is_affine(graph, path[cuts[j]]) for j in (k, k + 1))
        standard = any(mean in n.op_type for n in segment for mean in _MEANS)
        normalised = normalised or affine or standard
        integer = path[cuts[place]].op_type.startswith("QLinear")
        if (
            standard
            or (normalised and _is_affine(graph, path[cuts[k]]))
            or (integer and path[cuts[k]].op_type == "DequantizeLinear")
        ):
            place = k
    return place


def _relabels(node: Node, last: bool) -> bool:
    """Whether a node only shows the same numbers differently.

    Between layers some models keep their tokens transposed; that is not how a layer is shown.
    """
    return node.op_type in _RELABELLINGS and (last or node.op_type not in _BETWEEN_LAYERS)


def _weighs(node: Node, outside: set[str]) -> bool:
    """Whether a node calculates with something from outside."""
    return node.op_type in _ARITHMETIC and not outside.isdisjoint(node.inputs)


def _stream(join: Node, path: list[Node], last: bool) -> str:
    has_sum = len(join.outputs) > _SUM_OUTPUT and join.outputs[_SUM_OUTPUT]
    if last or not has_sum or not any(join.outputs[_SUM_OUTPUT] in node.inputs for node in path):
        return join.outputs[0]
    return join.outputs[_SUM_OUTPUT]


def _is_affine(graph: Graph, node: Node) -> bool:
    """Whether the node scales or shifts by a weight of more than one number."""
    if node.op_type not in ("Mul", "Add", "QLinearMul", "QLinearAdd"):
        return False
    weights = (graph.initializers.get(name) for name in node.inputs)
    return any(
        isinstance(w, np.ndarray | SparseTensor) and len(w.shape) > 0 and max(w.shape) > 1
        for w in weights
    )
