"""One call of each operator for images, signals, texts, tables, and from before opset 7."""

from __future__ import annotations

import numpy as np

from tests.ops.samples import IMAGE, B, Sample, X, f32, i64

VOLUME = np.arange(24, dtype=np.float32).reshape(1, 2, 3, 4) % 5
FILTERS = np.arange(12, dtype=np.float32).reshape(3, 2, 1, 2) % 3
STATISTICS = [f32(1, 2), f32(0, 1), f32(1, 0), f32(1, 4)]
WEIGHTS = {
    gates: [
        np.ones((2, 1, 3), np.float32),
        np.ones((1, 2 * gates, 3), np.float32),
        np.ones((1, 2 * gates, 2), np.float32),
    ]
    for gates in (1, 3, 4)
}
WORDS = np.array(["a b", "c"], object)
TIME = np.ones((1, 3, 4), np.float32)
TREE = {
    "leaf_targetids": (0, 0),
    "leaf_weights": f32(1, 2),
    "n_targets": 1,
    "nodes_falseleafs": (1,),
    "nodes_falsenodeids": (1,),
    "nodes_featureids": (0,),
    "nodes_modes": np.array([0], np.uint8),
    "nodes_splits": f32(0.5),
    "nodes_trueleafs": (1,),
    "nodes_truenodeids": (0,),
    "tree_roots": (0,),
}
OLD_TREE = {
    "nodes_featureids": (0, 0, 0),
    "nodes_falsenodeids": (2, 0, 0),
    "nodes_modes": ("BRANCH_LEQ", "LEAF", "LEAF"),
    "nodes_nodeids": (0, 1, 2),
    "nodes_treeids": (0, 0, 0),
    "nodes_truenodeids": (1, 0, 0),
    "nodes_values": (0.5, 0.0, 0.0),
}
VOTES = {"treeids": (0, 0), "nodeids": (1, 2), "ids": (0, 0), "weights": (0.25, 1.0)}
GRAMS = {
    "max_gram_length": 1,
    "max_skip_count": 0,
    "min_gram_length": 1,
    "mode": "TF",
    "ngram_counts": (0,),
    "ngram_indexes": (0, 1),
}
ONE, RATE = np.array(1), np.array(1, np.float32)
ARITHMETIC = "Add Div Max Mean Min Mul Pow Sub Sum".split()
ML = "ai.onnx.ml::"
TRAINING = "ai.onnx.preview.training::"

MORE_SAMPLES: dict[str, Sample] = {
    # conv
    "Conv-1": ([VOLUME, FILTERS, f32(1, 2, 3)], {"pads": (0, 1, 0, 0)}),
    "ConvTranspose-1": ([VOLUME, np.swapaxes(FILTERS, 0, 1).copy()], {"strides": (1, 2)}),
    "Col2Im-18": ([f32([1, 2], [3, 4])[None], i64(1, 3), i64(1, 2)], {}),
    "DeformConv-19": ([VOLUME, FILTERS, np.zeros((1, 4, 3, 3), np.float32)], {}),
    # pool
    "MaxPool-1": ([VOLUME], {"kernel_shape": (2, 2)}),
    "AveragePool-1": ([VOLUME], {"kernel_shape": (2, 2), "pads": (1, 0, 0, 0)}),
    "LpPool-1": ([VOLUME], {"kernel_shape": (2, 2)}),
    "LpPool-2": ([VOLUME], {"kernel_shape": (2, 2), "p": 1}),
    "GlobalAveragePool-1": ([VOLUME], {}),
    "GlobalLpPool-1": ([VOLUME], {}),
    "GlobalLpPool-2": ([VOLUME], {"p": 1}),
    "GlobalMaxPool-1": ([VOLUME], {}),
    "MaxUnpool-9": ([f32([[1, 2]]), i64(1, 2).reshape(1, 1, 2)], {"kernel_shape": (2,)}),
    # detection
    "MaxRoiPool-1": ([VOLUME, f32([0, 1, 0, 2, 2])], {"pooled_shape": (2, 1)}),
    "NonMaxSuppression-10": (
        [f32([[0, 0, 1, 1], [0, 0, 1, 2]]), f32([[1, 2]]), i64(5), f32(0.5), f32(1)],
        {},
    ),
    "RoiAlign-10": ([VOLUME, f32([0, 0, 2, 2]), i64(0)], {"output_height": 2}),
    "RoiAlign-16": ([VOLUME, f32([0, 0, 2, 2]), i64(0)], {"output_width": 2}),
    # channel_normalization
    "BatchNormalization-1": ([IMAGE[:, :2], *STATISTICS], {"is_test": 1}),
    "BatchNormalization-7": ([IMAGE[:, :2], *STATISTICS], {}),
    "BatchNormalization-9": ([IMAGE[:, :2], *STATISTICS], {}),
    "BatchNormalization-14": ([IMAGE[:, :2], *STATISTICS], {"training_mode": 1}),
    "GroupNormalization-18": ([IMAGE, *STATISTICS[:2]], {"num_groups": 2}),
    "GroupNormalization-21": ([VOLUME, *STATISTICS[:2]], {"num_groups": 1}),
    "InstanceNormalization-1": ([VOLUME, *STATISTICS[:2]], {}),
    "LRN-1": ([VOLUME], {"size": 2}),
    "MeanVarianceNormalization-9": ([VOLUME], {}),
    # resize, sampling
    "Resize-10": ([X, f32(1, 2)], {}),
    "Resize-11": ([X, f32(), f32(1, 2)], {}),
    "Upsample-1": ([VOLUME], {"height_scale": 1.0, "width_scale": 2.0}),
    "Upsample-7": ([X], {"scales": (1.0, 2.0)}),
    "Upsample-9": ([X, f32(1, 2)], {}),
    "AffineGrid-20": ([f32([[1, 0, 0], [0, 1, 1]]), i64(1, 1, 2, 3)], {}),
    "GridSample-16": ([VOLUME, f32([[[0, 0], [1, 2]]])], {"mode": "nearest"}),
    "GridSample-20": ([VOLUME, f32([[[0, 0], [1, 2]]])], {"mode": "nearest"}),
    # recurrent
    "RNN-1": (WEIGHTS[1], {}),
    "RNN-7": (WEIGHTS[1], {}),
    "GRU-3": (WEIGHTS[3], {}),
    "GRU-7": (WEIGHTS[3], {}),
    "LSTM-1": (WEIGHTS[4], {}),
    "LSTM-7": (WEIGHTS[4], {}),
    # signal
    "DFT-17": ([X[None, ..., None]], {}),
    "DFT-20": ([X[..., None]], {"onesided": 1}),
    "STFT-17": ([X[..., None], ONE, f32(1, 2)], {}),
    "HannWindow-17": ([np.array(3)], {}),
    "HammingWindow-17": ([np.array(3)], {}),
    "BlackmanWindow-17": ([np.array(3)], {}),
    "MelWeightMatrix-17": ([*map(np.array, (2, 8, 64)), RATE, np.array(2, np.float32)], {}),
    # linear_attention
    "CausalConvWithState-27": ([VOLUME[0], f32([[1, 2]], [[3, 4]], [[0, 1]])], {}),
    "LinearAttention-27": (
        [TIME, TIME, TIME], {"kv_num_heads": 2, "q_num_heads": 2, "update_rule": "linear"}
    ),
    "ai.onnx.preview::FlexAttention-1": ([VOLUME, VOLUME, VOLUME], {}),
    # loss, text
    "NegativeLogLikelihoodLoss-12": ([X, i64(0, 2), f32(1, 2, 3)], {}),
    "SoftmaxCrossEntropyLoss-12": ([X, i64(0, 2), f32(1, 2, 3)], {}),
    "RegexFullMatch-20": ([WORDS], {"pattern": "[ab ]*"}),
    "StringConcat-20": ([WORDS, WORDS], {}),
    "StringNormalizer-10": ([WORDS], {"case_change_action": "UPPER"}),
    "StringSplit-20": ([WORDS], {}),
    "TfIdfVectorizer-9": ([i64(5, 7, 5)], {**GRAMS, "pool_int64s": (5, 6)}),
    # preprocessing, prediction, training
    f"{ML}ArrayFeatureExtractor-1": ([X, i64(2, 0)], {}),
    f"{ML}Binarizer-1": ([X], {"threshold": 1.0}),
    f"{ML}CategoryMapper-1": ([i64(1, 0)], {"cats_int64s": (1, 2), "cats_strings": ("1", "a")}),
    f"{ML}FeatureVectorizer-1": ([X, X], {}),
    f"{ML}Imputer-1": ([X], {"imputed_value_floats": (9.0,), "imputed_value_int64s": (9,)}),
    f"{ML}LabelEncoder-1": ([i64(1, 0)], {"classes_strings": ("a", "b")}),
    f"{ML}LabelEncoder-2": ([i64(1, 0)], {"keys_int64s": (1,), "values_strings": ("a",)}),
    f"{ML}Normalizer-1": ([X], {"norm": "L1"}),
    f"{ML}OneHotEncoder-1": ([i64(1, 0)], {"cats_int64s": (1, 2)}),
    f"{ML}Scaler-1": ([X], {"offset": (1.0,), "scale": (2.0,)}),
    f"{ML}LinearClassifier-1": (
        [X], {"coefficients": (1.0, 2.0, 0.0), "classlabels_ints": (3, 4)}
    ),
    f"{ML}LinearRegressor-1": ([X], {"coefficients": (1.0, 2.0, 0.0)}),
    f"{ML}SVMClassifier-1": (
        [X],
        {
            "coefficients": (1.0, -1.0), "support_vectors": (1.0, 2.0, 0.0, 0.0, 1.0, 1.0),
            "rho": (0.5,), "vectors_per_class": (1, 1), "classlabels_ints": (3, 4),
        },
    ),
    f"{ML}SVMRegressor-1": ([X], {"coefficients": (1.0, 2.0, 0.0), "rho": (0.5,)}),
    f"{ML}TreeEnsemble-5": ([X], TREE),
    f"{ML}TreeEnsembleClassifier-1": (
        [X],
        {
            **OLD_TREE, **{f"class_{k}": v for k, v in VOTES.items()}, "classlabels_int64s": (3, 4)
        },
    ),
    f"{ML}TreeEnsembleRegressor-1": (
        [X], {**OLD_TREE, **{f"target_{k}": v for k, v in VOTES.items()}}
    ),
    f"{TRAINING}Adagrad-1": ([RATE, ONE, X, X, X], {}),
    f"{TRAINING}Adam-1": ([RATE, ONE, X, X, X, X], {}),
    f"{TRAINING}Momentum-1": (
        [RATE, ONE, X, X, X],
        {"alpha": 0.5, "beta": 1.0, "mode": "nesterov", "norm_coefficient": 0.0},
    ),
    # random
    "Bernoulli-15": ([f32(0, 1)], {}),
    "Multinomial-7": ([f32([0, 1], [2, 0])], {"seed": 1.0}),
    # experimental
    "Affine-1": ([X], {"alpha": 2.0}),
    "Crop-1": ([IMAGE], {"border": (0, 1, 0, 0)}),
    "DynamicSlice-1": ([X, i64(1), i64(2)], {}),
    "ImageScaler-1": ([IMAGE], {"bias": (1.0, 2.0, 0.0, 1.0)}),
    "MeanVarianceNormalization-1": ([IMAGE], {}),
    "ParametricSoftplus-1": ([X], {"alpha": 1.0, "beta": 2.0}),
    "Scale-1": ([X], {"scale": 2.0}),
    "ScaledTanh-1": ([X], {"alpha": 1.0, "beta": 2.0}),
    # legacy
    **{f"{name}-1": ([X + 1, X + 1], {}) for name in ARITHMETIC},
    **{f"{name}-1": ([X, X[::-1]], {}) for name in "Equal Greater Less".split()},
    **{f"{name}-1": ([B, B[::-1]], {}) for name in "And Or Xor".split()},
    "Dropout-1": ([X], {"is_test": 1}),
    "Gemm-1": ([X, X.T, f32([1, 2], [3, 4])], {}),
}  # fmt: skip
