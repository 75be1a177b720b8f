"""Classical learners: ai.onnx.ml, on tables of rows and features."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import NAN, Array, Case, f32, f64, i64, some, words

TABLE = f32([1, -2, 4], [0, 0, 0], [0.5, 0.25, -0.125])
LINEAR: dict[str, Any] = {
    "coefficients": [0.5, -1.0, 0.25, 2.0, 0.125, -0.5],
    "intercepts": [0.25, -0.5],
}
TRANSFORMS = ("NONE", "SOFTMAX", "LOGISTIC", "SOFTMAX_ZERO")


def tree(modes: list[int], **more: Any) -> dict[str, Array | Any]:
    """Two trees on features 0 and 1: a root with a leaf and a child, and a stump."""
    return {
        "leaf_targetids": [0, 1, 0, 1, 0],
        "leaf_weights": f32(1, 2, 4, 8, 16),
        "n_targets": 2,
        "nodes_falseleafs": [0, 1, 1],
        "nodes_falsenodeids": [1, 2, 4],
        "nodes_featureids": [0, 1, 1],
        "nodes_modes": np.array(modes, np.uint8),
        "nodes_splits": f32(1, 0, -2),
        "nodes_trueleafs": [1, 1, 1],
        "nodes_truenodeids": [0, 1, 3],
        "tree_roots": [0, 2],
        **more,
    }


ML: dict[str, list[Case]] = {
    "ArrayFeatureExtractor": [
        Case("columns", 1, [TABLE, i64(2, 0)]),
        Case("vector", 1, [f64(5, 6, 7), i64([1, 1])]),
        Case("strings", 1, [words(["a", "b"], ["c", "d"]), i64(1)]),
    ],
    "Binarizer": [Case("float32", 1, [TABLE]), Case("threshold", 1, [TABLE], {"threshold": 0.5})],
    "FeatureVectorizer": [
        Case("two", 1, [TABLE, TABLE[:, :1].copy()], {"inputdimensions": [3, 1]}),
        Case("integers", 1, [i64([1, 2]), i64([3])], {"inputdimensions": [2, 1]}),
        Case("more_axes", 1, [some(2, 1, 3), some(2, 2, 2, seed=1)], {"inputdimensions": [3, 4]}),
        Case("vectors", 1, [f32(1, 2), f32([[3], [4]])], {"inputdimensions": [2, 2]}),
    ],
    "Imputer": [
        Case("floats", 1, [TABLE], {"imputed_value_floats": [9.0], "replaced_value_float": 0.0}),
        Case("each", 1, [TABLE], {"imputed_value_floats": [7.0, 8.0, 9.0]}),
        Case("int64", 1, [i64([0, 1])], {"imputed_value_int64s": [5], "replaced_value_int64": 1}),
    ],
    "LabelEncoder": [
        Case("opset1_to_int", 1, [words("b", "z")], {"classes_strings": ["a", "b"]}),
        Case("opset1_to_string", 1, [i64(1, 5)], {"classes_strings": ["a", "b"]}),
        Case("opset2", 2, [i64(7, 8)], {"keys_int64s": [8, 7], "values_floats": [0.5, 2.0]}),
        Case("opset2_default", 2, [f32(0.5, 3)], {
            "keys_floats": [0.5], "values_strings": ["half"], "default_string": "other",
        }),
    ],
    "LinearClassifier": [
        *[
            Case(word.lower(), 1, [TABLE], {
                **LINEAR, "classlabels_ints": [7, 9], "post_transform": word,
            }, (True, True))
            for word in TRANSFORMS
        ],
        Case("strings", 1, [TABLE], {
            **LINEAR, "classlabels_strings": ["no", "yes"]
        }, (True, True)),
    ],
    "LinearRegressor": [
        *[
            Case(word.lower(), 1, [TABLE], {**LINEAR, "targets": 2, "post_transform": word})
            for word in TRANSFORMS
        ],
        Case("one", 1, [TABLE], {"coefficients": [1.0, 2.0, 4.0]}),
    ],
    "Normalizer": [Case(norm.lower(), 1, [TABLE], {"norm": norm}) for norm in ("MAX", "L1", "L2")],
    "OneHotEncoder": [
        Case("int64", 1, [i64([2, 5], [0, 2])], {"cats_int64s": [0, 2, 3]}),
        Case("strings", 1, [words("b", "z")], {"cats_strings": ["a", "b"]}),
    ],
    "Scaler": [
        Case("all", 1, [TABLE], {"offset": [1.0], "scale": [0.5]}),
        Case("each", 1, [TABLE], {"offset": [1.0, 2.0, 3.0], "scale": [0.5, 2.0, 4.0]}),
        Case("int64", 1, [i64([1, 2])], {"offset": [1.0, 2.0], "scale": [0.5, 2.0]}),
    ],
    "TreeEnsemble": [
        *[Case(f"mode{mode}", 5, [TABLE], tree([mode] * 3)) for mode in range(6)],
        *[
            Case(f"aggregate{way}", 5, [TABLE], tree([0, 3, 1], aggregate_function=way))
            for way in range(3)
        ],
        Case("missing", 5, [f32([NAN, 1, 0], [0, NAN, 0])], tree(
            [0, 3, 1], nodes_missing_value_tracks_true=[0, 1, 1]
        )),
    ],
}  # fmt: skip

CASES: dict[str, list[Case]] = {f"ai.onnx.ml.{name}": cases for name, cases in ML.items()}
