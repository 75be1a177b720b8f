"""Nodes that depend on constants alone are computed once, and not in every run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from embedx.model.graph import Array, Graph, Node, SparseTensor
from embedx.ops import Budget, resolve, spending
from embedx.rewrite.normal import drop_dead
from embedx.rewrite.rule import rule
from embedx.run.binding import Precision, bind

_SMALL_BYTES = 2**20
_GROWTH = 8
"""A value may be so many times as large as what it is made from, as in a cast to float64."""


@rule(
    """g (float[B, T, 4] x) => (float[B, T, 4] y, int64[2] s) <float[4] w = {1, 2, 3, 4}> {
    t = Constant<value = float {2}>()  r = Sqrt(t)  v = Mul(w, r)  s = Shape(u)  u = Unsqueeze(w, a)
    a = Constant<value_ints = [0]>()  y = Add(x, v) }""",
)
def fold_constants(graph: Graph, precision: Precision = "native") -> Graph:
    """Each node that depends on constants alone is replaced by its value.

    The operator must give equal results for equal inputs. A value much larger than what it is made
    from is left to the run, and so is whatever fails.
    """
    known = dict(graph.constants)
    folded: dict[str, Array] = {}
    kept: list[Node] = []
    for node in graph.nodes:
        values = _evaluated(node, known, precision)
        if values is None:
            kept.append(node)
            continue
        made = {name: v for name, v in zip(node.outputs, values, strict=False) if name}
        known.update(made)
        folded.update(made)
    if not folded:
        return graph
    return drop_dead(
        replace(graph, nodes=tuple(kept), initializers={**graph.initializers, **folded})
    )


def _evaluated(
    node: Node, known: Mapping[str, Array | SparseTensor], precision: Precision
) -> tuple[Array, ...] | None:
    arrays = [known.get(name) if name else None for name in node.inputs]
    unknown = any(
        name and not isinstance(a, np.ndarray) for name, a in zip(node.inputs, arrays, strict=True)
    )
    if unknown or node.subgraphs or node.literal is not None:
        return None
    if not resolve(node.op_type, node.opset, node.domain).pure:
        return None
    room = _GROWTH * sum(a.nbytes for a in arrays if isinstance(a, np.ndarray)) + _SMALL_BYTES
    try:
        with spending(Budget(max_bytes=room)), np.errstate(all="ignore"):
            result = bind(node, precision)(*arrays)
    except Exception:  # whatever it is, the run says so, and names the node
        return None
    values = result if isinstance(result, tuple) else (result,)
    if not all(isinstance(v, np.ndarray) for v in values) or len(values) < len(node.outputs):
        return None
    if sum(v.nbytes for v in values) > room:
        return None
    return tuple(map(_fixed, values))


def _fixed(value: Array) -> Array:
    """The value as nothing can change it, nor count it as memory of a run."""
    own = value if value.base is None and value.flags.owndata else value.copy()
    own.flags.writeable = False
    return own
