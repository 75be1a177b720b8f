"""The operators of the domain com.microsoft, which onnxruntime's optimizers and exporters write."""

# ruff: noqa: I001 - one name a line would take 500 lines
# fmt: off
from .activation import bias_gelu, bias_split_gelu, fast_gelu, gelu, quick_gelu
from .attention import attention, multi_head_attention, packed_attention
from .blockwise import gather_block_quantized, matmul_bnb4, matmul_nbits
from .convolution import (
    fused_conv, qlinear_average_pool, qlinear_conv, qlinear_global_average_pool,
)
from .decoding import decoder_masked_multi_head_attention
from .embedding import embed_layer_normalization, qembed_layer_normalization
from .exported import cdist, expand_dims, grid_sample, inverse, trilu
from .grouped_attention import group_query_attention
from .matmul import fused_gemm, fused_matmul, sparse_to_dense_matmul, transpose_matmul
from .normalization import (
    simplified_layer_normalization, skip_layer_normalization,
    skip_simplified_layer_normalization,
)
from .packing import remove_padding, restore_padding
from .position import gated_relative_position_bias, relative_position_bias, rotary_embedding
from .qlinear import (
    qgemm, qlinear_add, qlinear_concat, qlinear_leaky_relu, qlinear_mul, qlinear_reduce_mean,
    qlinear_sigmoid, qlinear_softmax, qlinear_where,
)
from .quantized import (
    dequantize_linear, dynamic_quantize_matmul, matmul_integer16, matmul_integer_to_float,
    qattention, quantize_linear,
)
from .recurrent import dynamic_quantize_lstm
from .tokens import tokenizer

__all__ = [
    "attention", "bias_gelu", "bias_split_gelu", "cdist", "decoder_masked_multi_head_attention",
    "dequantize_linear", "dynamic_quantize_lstm", "dynamic_quantize_matmul",
    "embed_layer_normalization", "expand_dims", "fast_gelu", "fused_conv", "fused_gemm",
    "fused_matmul", "gated_relative_position_bias", "gather_block_quantized", "gelu",
    "grid_sample", "group_query_attention", "inverse", "matmul_bnb4", "matmul_integer16",
    "matmul_integer_to_float", "matmul_nbits", "multi_head_attention", "packed_attention",
    "qattention", "qembed_layer_normalization", "qgemm", "qlinear_add", "qlinear_average_pool",
    "qlinear_concat", "qlinear_conv", "qlinear_global_average_pool", "qlinear_leaky_relu",
    "qlinear_mul", "qlinear_reduce_mean", "qlinear_sigmoid", "qlinear_softmax", "qlinear_where",
    "quantize_linear", "quick_gelu", "relative_position_bias", "remove_padding",
    "restore_padding", "rotary_embedding", "simplified_layer_normalization",
    "skip_layer_normalization", "skip_simplified_layer_normalization", "sparse_to_dense_matmul",
    "tokenizer", "transpose_matmul", "trilu",
]
