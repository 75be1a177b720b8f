"""Classical learners: ai.onnx.ml, on tables of rows and features."""

from __future__ import annotations

from typing import Any

import numpy as np

from .base import NAN, Array, Case, Model, f32, f64, i64, some, words

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


def old_trees(kind: str, ids: list[int], weights: list[float], **more: Any) -> dict[str, Any]:
    """A root with a leaf and a child, and a stump, as before opset 5; each leaf votes for ids."""
    leaves = [(0, 1), (0, 3), (0, 4), (5, 1), (5, 2)]
    return {
        "nodes_treeids": [0, 0, 0, 0, 0, 5, 5, 5],
        "nodes_nodeids": [0, 1, 2, 3, 4, 0, 1, 2],
        "nodes_featureids": [0, 0, 1, 0, 0, 1, 0, 0],
        "nodes_modes": [
            "BRANCH_LEQ",
            "LEAF",
            "BRANCH_GT",
            "LEAF",
            "LEAF",
            "BRANCH_LT",
            "LEAF",
            "LEAF",
        ],
        "nodes_values": [0.5, 0.0, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0],
        "nodes_truenodeids": [1, 0, 3, 0, 0, 1, 0, 0],
        "nodes_falsenodeids": [2, 0, 4, 0, 0, 2, 0, 0],
        "nodes_missing_value_tracks_true": [0, 0, 1, 0, 0, 1, 0, 0],
        f"{kind}_treeids": [tree for tree, _ in leaves for _ in ids],
        f"{kind}_nodeids": [node for _, node in leaves for _ in ids],
        f"{kind}_ids": ids * len(leaves),
        f"{kind}_weights": weights,
        **more,
    }


def doubled(attributes: dict[str, Any], kind: str) -> dict[str, Any]:
    """The same with numbers in float64, which are tensors."""
    wide = ("nodes_values", f"{kind}_weights", "base_values")
    return {
        f"{name}_as_tensor" if name in wide else name: f64(*value) if name in wide else value
        for name, value in attributes.items()
    }


HOLES = f32([1, -2, 4], [0, 0, 0], [NAN, 1, 0], [1, NAN, 0])
TWO = [0.5, 2.0, 1.0, -0.25, -1.0, 4.0, 0.125, 1.0, 2.0, 8.0]
THREE = [0.5, 0.0, 1.0, 0.25, 1.0, -1.0, 0.125, 1.0, 2.0, 0.0, -0.5, 0.75, 2.0, 1.0, 0.5]
KERNEL: dict[str, Any] = {
    "kernel_params": [0.25, 0.5, 2.0], "support_vectors": [1.0, 0.5, -1.0, 0.0, 2.0, 1.0]
}  # fmt: skip
DUELS: dict[str, Any] = {
    "coefficients": [0.5, -0.25, 1.0, -1.0, 0.75, -0.5], "rho": [0.25, -0.5, 0.125],
    "vectors_per_class": [1, 1, 1], "classlabels_ints": [7, 9, 8], **KERNEL,
}  # fmt: skip
PAIRS = TABLE[:, :2].copy()

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
    "CategoryMapper": [
        Case("to_int", 1, [words("b", "z")], {"cats_strings": ["a", "b"], "cats_int64s": [5, 7]}),
        Case("to_string", 1, [i64([7, 5], [6, 7])], {
            "cats_strings": ["a", "b"], "cats_int64s": [5, 7], "default_string": "other",
        }),
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
    "SVMClassifier": [
        *[
            Case(f"{name.lower()}_two", 1, [PAIRS], {
                **KERNEL, "kernel_type": name, "coefficients": [0.5, -0.25, -1.0], "rho": [0.25],
                "vectors_per_class": [2, 1], "classlabels_strings": ["no", "yes"],
            }, (True, True))
            for name in ("LINEAR", "POLY", "RBF", "SIGMOID")
        ],
        Case("two_logistic", 1, [PAIRS], {
            **KERNEL, "coefficients": [0.5, -0.25, -1.0], "rho": [0.25],
            "vectors_per_class": [2, 1], "classlabels_ints": [3, 2], "post_transform": "LOGISTIC",
        }, (True, True)),
        Case("three", 1, [PAIRS], DUELS, (True, True)),
        Case("no_vectors", 1, [PAIRS], {
            "coefficients": [0.5, -0.25, 1.0, -1.0, 0.75, -0.5], "rho": [0.25],
            "classlabels_ints": [7, 9, 8], "kernel_params": [0.0, 0.0, 0.0],
            "post_transform": "SOFTMAX",
        }, (True, True)),
    ],
    "SVMRegressor": [
        *[
            Case(name.lower(), 1, [PAIRS], {
                **KERNEL, "kernel_type": name, "coefficients": [0.5, 0.25, 1.0], "n_supports": 3,
                "rho": [0.25],
            })
            for name in ("LINEAR", "POLY", "RBF", "SIGMOID")
        ],
        Case("one_class", 1, [PAIRS], {
            **KERNEL, "coefficients": [0.5, 0.25, 1.0], "n_supports": 3, "rho": [0.25],
            "one_class": 1,
        }),
        Case("no_vectors", 1, [PAIRS], {
            "coefficients": [0.5, 0.25], "rho": [0.25], "kernel_params": [0.0, 0.0, 0.0]
        }),
    ],
    "TreeEnsembleClassifier": [
        *[
            Case(f"three_{word.lower()}", 1, [HOLES], old_trees(
                "class", [0, 1, 2], THREE, classlabels_int64s=[7, 5, 6], post_transform=word,
                base_values=[0.5, 0.0, 0.25],
            ), (True, True))
            for word in TRANSFORMS
        ],
        Case("two_probabilities", 1, [HOLES], old_trees(
            "class", [0], [0.25, 0.5, 0.0, 0.125, 0.5], classlabels_strings=["no", "yes"],
        ), (True, True)),
        Case("two_scores", 1, [HOLES], old_trees(
            "class", [0], [0.25, 0.5, -1.0, 0.125, 0.5], classlabels_int64s=[0, 1],
        ), (True, True)),
        Case("two_logistic", 1, [HOLES], old_trees(
            "class", [0], [0.25, 0.5, -1.0, 0.125, 0.5], classlabels_int64s=[0, 1],
            base_values=[0.5], post_transform="LOGISTIC",
        ), (True, True)),
        Case("opset3_float64", 3, [HOLES.astype(np.float64)], doubled(old_trees(
            "class", [0, 1, 2], THREE, classlabels_int64s=[7, 5, 6]
        ), "class"), (True, True)),
    ],
    "TreeEnsembleRegressor": [
        *[
            Case(word.lower(), 1, [HOLES], old_trees(
                "target", [0, 1], TWO, n_targets=2, aggregate_function=word,
                base_values=[0.5, -0.25],
            ))
            for word in ("SUM", "AVERAGE", "MIN", "MAX")
        ],
        Case("softmax", 1, [HOLES], old_trees(
            "target", [0, 1], TWO, n_targets=2, post_transform="SOFTMAX"
        )),
        Case("one_target", 1, [HOLES], old_trees(
            "target", [0], [1.0, 2.0, 4.0, 8.0, 16.0], n_targets=1
        )),
        Case("opset3_float64", 3, [HOLES.astype(np.float64)], doubled(old_trees(
            "target", [0, 1], TWO, n_targets=2, base_values=[0.5, -0.25]
        ), "target")),
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

# Maps are no tensors, so that their operators have whole models.
_MAPS = """
    <ir_version: 8, opset_import: ["" : 17, "ai.onnx.ml" : 1]>
"""

MODELS: dict[str, list[Model]] = {
    "ai.onnx.ml.ZipMap": [
        Model("zip_map_strings", _MAPS + """
            labelled (float[n, 2] x) => (seq(map(string, float)) rows) {
                rows = ai.onnx.ml.ZipMap <classlabels_strings = ["no", "yes"]> (x)
            }
        """, [f32([0.25, 0.75], [1, 0])]),
        Model("zip_map_integers", _MAPS + """
            labelled (float[2] x) => (seq(map(int64, float)) rows) {
                rows = ai.onnx.ml.ZipMap <classlabels_int64s = [7, -5]> (x)
            }
        """, [f32(0.25, 0.75)]),
    ],
    "ai.onnx.ml.DictVectorizer": [
        Model("dict_vectorizer", _MAPS + """
            vector (map(string, float) x) => (float[1, 4] y) {
                y = ai.onnx.ml.DictVectorizer <string_vocabulary = ["a", "c", "b", "z"]> (x)
            }
        """, [{"c": 8.5, "a": 4.0}]),
    ],
    "ai.onnx.ml.CastMap": [
        Model("cast_map_dense", _MAPS + """
            row (map(int64, float) x) => (int64[1, n] y) {
                y = ai.onnx.ml.CastMap <cast_to = "TO_INT64"> (x)
            }
        """, [{7: 8.5, 2: 4.0, 4: -1.5}]),
        Model("cast_map_sparse", _MAPS + """
            row (map(int64, float) x) => (float[1, 5] y) {
                y = ai.onnx.ml.CastMap <map_form = "SPARSE", max_map = 5> (x)
            }
        """, [{4: 8.5, 2: 4.0}]),
        Model("cast_map_texts", _MAPS + """
            row (map(int64, float) x) => (string[1, n] y) {
                y = ai.onnx.ml.CastMap <cast_to = "TO_STRING"> (x)
            }
        """, [{4: 8.5, 2: 4.0}]),
    ],
}  # fmt: skip
