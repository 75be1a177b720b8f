"""What is known of operators' outputs without running them: their element types.

Operators that are missing here are not understood, and nothing is concluded about them.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from embedx.graph import Graph, Node, SparseTensor, TensorType
from embedx.ops import dtype_of

_ELEMENTWISE = (
    "Abs Add Ceil Celu Clip Cos Div Elu Erf Exp Floor Gelu HardSigmoid HardSwish Identity "
    "LeakyRelu Log Max Mean Min Mish Mod Mul Neg PRelu Pow Reciprocal Relu Round Selu Sigmoid "
    "Sign Sin Softplus Softsign Sqrt Sub Sum Swish Tanh ThresholdedRelu"
).split()
_LOGICAL = "And Equal Greater GreaterOrEqual IsInf IsNaN Less LessOrEqual Not Or Xor".split()
_WHOLE = (
    "CumSum Dropout Flatten Gather GatherElements GatherND Gemm InstanceNormalization "
    "LayerNormalization LogSoftmax MatMul RMSNormalization ScatterElements ScatterND Softmax "
    "Transpose Trilu Conv BatchNormalization Einsum"
).split()
_RESHAPING = (
    "Concat Expand Pad ReduceMax ReduceMean ReduceMin ReduceSum Reshape Slice Split Squeeze Tile "
    "Unsqueeze"
).split()

AS_FIRST_INPUT = frozenset((*_ELEMENTWISE, *_WHOLE, *_RESHAPING))
"""The standard's operators whose first output has the element type of their first input."""


def element_types(graph: Graph) -> dict[str, np.dtype[np.generic]]:
    """The element types of those edges of a sorted graph of which they can be told."""
    known = {v.name: v.type.dtype for v in graph.inputs if isinstance(v.type, TensorType)}
    for name, weight in graph.initializers.items():
        known[name] = (weight.values if isinstance(weight, SparseTensor) else weight).dtype
    for node in graph.nodes:
        found = _first_output(node, known)
        if found is not None:
            known[node.outputs[0]] = found
            if node.op_type == "Split":
                known.update(dict.fromkeys(node.outputs, found))
    return known


def _first_output(
    node: Node, known: Mapping[str, np.dtype[np.generic]]
) -> np.dtype[np.generic] | None:
    if node.domain:
        return None
    if node.op_type == "Cast":
        return dtype_of(node.attributes["to"])
    if node.op_type in _LOGICAL:
        return np.dtype(bool)
    if node.op_type in ("Shape", "Size"):
        return np.dtype(np.int64)
    if node.op_type == "Where":
        return known.get(node.inputs[1], known.get(node.inputs[2]))
    return known.get(node.inputs[0]) if node.op_type in AS_FIRST_INPUT and node.inputs else None
