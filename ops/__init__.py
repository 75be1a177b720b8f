"""ONNX operators as plain functions: inputs by position, attributes by keyword.

A function's bare name is the current behaviour; ``name_<since>`` is what it was from that opset
on. onnxruntime's own operators are in :mod:`embedx.ops.microsoft`. They need NumPy, and SciPy in
the few places that say so, and know nothing of graphs or files:

>>> import numpy as np
>>> softmax(np.array([0.0, 0.0]))
array([0.5, 0.5])
"""

# ruff: noqa: I001 - one name a line would take 500 lines
# fmt: off
from . import microsoft
from ._budget import Budget, OverBudgetError, check_time, reserve, spending
from ._registry import Op, qualified, registered, resolve, widened
from ._typing import Array, Body, Value, code_of, dtype_of, is_floating
from .activation import (
    celu, elu, gelu, hard_sigmoid, hard_swish, leaky_relu, mish, prelu, prelu_1, relu, selu,
    shrink, sigmoid, softplus, softsign, swiglu, swish, thresholded_relu,
)
from .arithmetic import (
    abs_, add, div, max_, mean, min_, mod, mul, neg, pow_, reciprocal, sign, sqrt, sub, sum_,
)
from .attention import attention, rotary_embedding
from .bitwise import bit_cast, bit_shift, bitwise_and, bitwise_not, bitwise_or, bitwise_xor
from .casting import cast, cast_like, dropout, dropout_10, dropout_7
from .channel_normalization import (
    batch_normalization, batch_normalization_1, batch_normalization_7, batch_normalization_9,
    group_normalization, group_normalization_18, instance_normalization, lrn,
    mean_variance_normalization, mean_variance_normalization_1,
)
from .comparison import (
    and_, equal, greater, greater_or_equal, isinf, isnan, less, less_or_equal, not_, or_, where,
    xor,
)
from .control import if_, loop, scan, scan_8
from .conv import col2im, conv, conv_transpose, deform_conv
from .creation import constant, constant_of_shape, eye_like, nonzero, one_hot, range_, trilu
from .cumulative import cumprod, cumsum
from .detection import max_roi_pool, non_max_suppression, roi_align, roi_align_10
from .elementary import (
    acos, acosh, asin, asinh, atan, atanh, ceil, clip, clip_6, cos, cosh, erf, exp, floor, log,
    round_, sin, sinh, tan, tanh,
)
from .experimental import (
    affine, crop, dynamic_slice, image_scaler, parametric_softplus, scale, scaled_tanh,
)
from .indexing import (
    compress, gather, gather_elements, gather_nd, reverse_sequence, scatter, scatter_elements,
    scatter_nd, tensor_scatter,
)
from .integer import conv_integer, matmul_integer, qlinear_conv, qlinear_matmul
from .joining import concat, concat_1, split, split_13, split_2
from .legacy import (
    add_1, and_1, div_1, dropout_1, equal_1, gemm_1, greater_1, less_1, max_1, mean_1, min_1,
    mul_1, or_1, pow_1, sub_1, sum_1, xor_1,
)
from .linear_attention import causal_conv_with_state, flex_attention, linear_attention
from .loss import negative_log_likelihood_loss, softmax_cross_entropy_loss
from .maps import cast_map, dict_vectorizer, zip_map
from .matmul import det, einsum, gemm, matmul
from .normalization import layer_normalization, lp_normalization, rms_normalization
from .pool import (
    average_pool, global_average_pool, global_lp_pool, global_lp_pool_1, global_max_pool,
    lp_pool, lp_pool_1, max_pool, max_unpool,
)
from .prediction import linear_classifier, linear_regressor
from .preprocessing import (
    array_feature_extractor, binarizer, category_mapper, feature_vectorizer, imputer,
    label_encoder, label_encoder_1, normalizer, one_hot_encoder, scaler,
)
from .quantization import dequantize_linear, dynamic_quantize_linear, quantize_linear
from .random import (
    bernoulli, multinomial, random_normal, random_normal_like, random_uniform,
    random_uniform_like,
)
from .recurrent import gru, gru_3, lstm, lstm_1, rnn, rnn_1
from .reduction import (
    reduce_l1, reduce_l2, reduce_log_sum, reduce_log_sum_exp, reduce_max, reduce_mean,
    reduce_min, reduce_prod, reduce_sum, reduce_sum_square,
)
from .reduction_legacy import (
    reduce_l1_1, reduce_l2_1, reduce_log_sum_1, reduce_log_sum_exp_1, reduce_max_1,
    reduce_mean_1, reduce_min_1, reduce_prod_1, reduce_sum_1, reduce_sum_square_1,
)
from .resize import resize, resize_10, upsample, upsample_1, upsample_7
from .sampling import affine_grid, grid_sample, grid_sample_16
from .searching import argmax, argmin, top_k, top_k_1, unique
from .sequence import (
    concat_from_sequence, optional, optional_get_element, optional_has_element, sequence_at,
    sequence_construct, sequence_empty, sequence_erase, sequence_insert, sequence_length,
    sequence_map, split_to_sequence,
)
from .shape import (
    depth_to_space, expand, flatten, identity, reshape, reshape_1, shape, size, space_to_depth,
    squeeze, squeeze_1, transpose, unsqueeze, unsqueeze_1,
)
from .signal import (
    blackman_window, dft, dft_17, hamming_window, hann_window, mel_weight_matrix, stft,
)
from .slicing import (
    center_crop_pad, pad, pad_2, slice_, slice_1, tile, tile_1,
)
from .softmax import hardmax, hardmax_1, log_softmax, log_softmax_1, softmax, softmax_1
from .support_vectors import svm_classifier, svm_regressor
from .text import (
    regex_full_match, string_concat, string_normalizer, string_split, tf_idf_vectorizer,
)
from .training import adagrad, adam, momentum
from .trees import tree_ensemble
from .trees_legacy import tree_ensemble_classifier, tree_ensemble_regressor

__all__ = [
    "Array", "Body", "Budget", "Op", "OverBudgetError", "Value", "abs_", "acos", "acosh",
    "adagrad", "adam", "add", "add_1", "affine", "affine_grid", "and_", "and_1", "argmax",
    "argmin", "array_feature_extractor", "asin", "asinh", "atan", "atanh", "attention",
    "average_pool", "batch_normalization", "batch_normalization_1", "batch_normalization_7",
    "batch_normalization_9", "bernoulli", "binarizer", "bit_cast", "bit_shift", "bitwise_and",
    "bitwise_not", "bitwise_or", "bitwise_xor", "blackman_window", "cast", "cast_like",
    "cast_map", "category_mapper", "causal_conv_with_state", "ceil", "celu", "center_crop_pad",
    "check_time", "clip", "clip_6", "code_of", "col2im", "compress", "concat", "concat_1",
    "concat_from_sequence", "constant", "constant_of_shape", "conv", "conv_integer",
    "conv_transpose", "cos", "cosh", "crop", "cumprod", "cumsum", "deform_conv",
    "depth_to_space", "dequantize_linear", "det", "dft", "dft_17", "dict_vectorizer", "div",
    "div_1", "dropout", "dropout_1", "dropout_7", "dropout_10", "dtype_of",
    "dynamic_quantize_linear", "dynamic_slice", "einsum", "elu", "equal", "equal_1", "erf",
    "exp", "expand", "eye_like", "feature_vectorizer", "flatten", "flex_attention", "floor",
    "gather", "gather_elements", "gather_nd", "gelu", "gemm", "gemm_1", "global_average_pool",
    "global_lp_pool", "global_lp_pool_1", "global_max_pool", "greater", "greater_1",
    "greater_or_equal", "grid_sample", "grid_sample_16", "group_normalization",
    "group_normalization_18", "gru", "gru_3", "hamming_window", "hann_window", "hard_sigmoid",
    "hard_swish", "hardmax", "hardmax_1", "identity", "if_", "image_scaler", "imputer",
    "instance_normalization", "is_floating", "isinf", "isnan", "label_encoder",
    "label_encoder_1", "layer_normalization", "leaky_relu", "less", "less_1", "less_or_equal",
    "linear_attention", "linear_classifier", "linear_regressor", "log", "log_softmax",
    "log_softmax_1", "loop", "lp_normalization", "lp_pool", "lp_pool_1", "lrn", "lstm",
    "lstm_1", "matmul", "matmul_integer", "max_", "max_1", "max_pool", "max_roi_pool",
    "max_unpool", "mean", "mean_1", "mean_variance_normalization",
    "mean_variance_normalization_1", "mel_weight_matrix", "microsoft", "min_", "min_1", "mish",
    "mod", "momentum", "mul", "mul_1", "multinomial", "neg", "negative_log_likelihood_loss",
    "non_max_suppression", "nonzero", "normalizer", "not_", "one_hot", "one_hot_encoder",
    "optional", "optional_get_element", "optional_has_element", "or_", "or_1", "pad", "pad_2",
    "parametric_softplus", "pow_", "pow_1", "prelu", "prelu_1", "qlinear_conv",
    "qlinear_matmul", "qualified", "quantize_linear", "random_normal", "random_normal_like",
    "random_uniform", "random_uniform_like", "range_", "reciprocal", "reduce_l1", "reduce_l1_1",
    "reduce_l2", "reduce_l2_1", "reduce_log_sum", "reduce_log_sum_1", "reduce_log_sum_exp",
    "reduce_log_sum_exp_1", "reduce_max", "reduce_max_1", "reduce_mean", "reduce_mean_1",
    "reduce_min", "reduce_min_1", "reduce_prod", "reduce_prod_1", "reduce_sum", "reduce_sum_1",
    "reduce_sum_square", "reduce_sum_square_1", "regex_full_match", "registered", "relu",
    "reserve", "reshape", "reshape_1", "resize", "resize_10", "resolve", "reverse_sequence",
    "rms_normalization", "rnn", "rnn_1", "roi_align", "roi_align_10", "rotary_embedding",
    "round_", "scale", "scaled_tanh", "scaler", "scan", "scan_8", "scatter", "scatter_elements",
    "scatter_nd", "selu", "sequence_at", "sequence_construct", "sequence_empty",
    "sequence_erase", "sequence_insert", "sequence_length", "sequence_map", "shape", "shrink",
    "sigmoid", "sign", "sin", "sinh", "size", "slice_", "slice_1", "softmax", "softmax_1",
    "softmax_cross_entropy_loss", "softplus", "softsign", "space_to_depth", "spending", "split",
    "split_2", "split_13", "split_to_sequence", "sqrt", "squeeze", "squeeze_1", "stft",
    "string_concat", "string_normalizer", "string_split", "sub", "sub_1", "sum_", "sum_1",
    "svm_classifier", "svm_regressor", "swiglu", "swish", "tan", "tanh", "tensor_scatter",
    "tf_idf_vectorizer", "thresholded_relu", "tile", "tile_1", "top_k", "top_k_1", "transpose",
    "tree_ensemble", "tree_ensemble_classifier", "tree_ensemble_regressor", "trilu", "unique",
    "unsqueeze", "unsqueeze_1", "upsample", "upsample_1", "upsample_7", "where", "widened",
    "xor", "xor_1", "zip_map",
]
