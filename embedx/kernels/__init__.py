"""Fast stand-ins for operators, with the operators' signatures and, within a bound, their results.

``embedx.ops`` is what an operator means; a kernel is how it is computed where time matters. Each
says in its docstring how far it may be from its operator, and a property test holds it to that.
"""

from embedx.kernels import (  # each registers its kernels
    activations,
    attention,
    integers,
    normalization,
    products,
    quantization,
    tables,
    trees,
)
from embedx.kernels._blocks import blocks, fewest_rows, height_of_blocks, rows_of
from embedx.kernels._registry import FUSED, REPLACING, Constants, Kernel, Prepared
from embedx.kernels.exact import EXACT
from embedx.kernels.memory import fresh
from embedx.kernels.storage import Storage

__all__ = [
    "EXACT",
    "FUSED",
    "REPLACING",
    "Constants",
    "Kernel",
    "Prepared",
    "Storage",
    "activations",
    "attention",
    "integers",
    "normalization",
    "products",
    "quantization",
    "tables",
    "trees",
]
