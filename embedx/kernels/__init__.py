"""Fast stand-ins for operators, with the operators' signatures and, within a bound, their results.

``embedx.ops`` is what an operator means; a kernel is how it is computed where time matters. Each
says in its docstring how far it may be from its operator, and a property test holds it to that.
"""

from embedx.kernels import (  # each registers its kernels
    activations,
    attention,
    convolution,
    elementwise,
    integers,
    normalization,
    products,
    pruned,
    quantization,
    quantized_linear,
    recurrent,
    tables,
    trees,
    views,
)
from embedx.kernels._blocks import FEWEST_ROWS, blocks, rows_of
from embedx.kernels._registry import FUSED, REPLACING, Constants, Kernel, Prepared
from embedx.kernels.dense import height_of_blocks
from embedx.kernels.exact import EXACT
from embedx.kernels.memory import fresh
from embedx.kernels.storage import Storage

__all__ = [
    "EXACT",
    "FEWEST_ROWS",
    "FUSED",
    "REPLACING",
    "Constants",
    "Kernel",
    "Prepared",
    "Storage",
    "activations",
    "attention",
    "blocks",
    "convolution",
    "elementwise",
    "fresh",
    "height_of_blocks",
    "integers",
    "normalization",
    "products",
    "pruned",
    "quantization",
    "quantized_linear",
    "recurrent",
    "rows_of",
    "tables",
    "trees",
    "views",
]
