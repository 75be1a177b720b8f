"""Ensembles of trees, their attributes converted once.

The attributes are long lists, and to make arrays of them takes a hundred times as long as to walk
from the roots to the leaves of one row. The walk is the operators' own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from embedx import ops
from embedx.kernels._registry import Constants, Preparation, Prepared, replaces
from embedx.kernels.storage import Storage
from embedx.model.graph import Array, Node, full
from embedx.ops.trees import predictor
from embedx.ops.trees_legacy import Nodes, Votes, classifier, numbers, regressor

Given = Mapping[str, Any]
_WIDE = tuple(np.dtype(kind) for kind in (np.float32, np.float64, np.int32, np.int64))


def _once(build: Callable[[Given], Callable[[Array], Any]]) -> Preparation:
    """A preparation that calls ``build`` with the attributes for a function of X."""

    def prepare(node: Node, constants: Constants, storage: Storage) -> Prepared | None:
        given = {name: full(value) for name, value in node.attributes.items()}
        try:
            predict = build(given)
        except (ValueError, IndexError):
            return None  # the operator refuses them, too, in a run, and the error names the node
        return Prepared(lambda x, /, **_: predict(x) if x.dtype in _WIDE else NotImplemented)

    return prepare


def _newest(given: Given) -> Callable[[Array], Array]:
    return predictor(**{name: given[name] for name in given if name != "nodes_hitrates"})


def _regressor(given: Given) -> Callable[[Array], Array]:
    nodes, votes, base = _tables(given, "target")
    aggregate = given.get("aggregate_function", "SUM")
    word = given.get("post_transform", "NONE")
    return regressor(nodes, votes, base, given.get("n_targets"), aggregate, word)


def _classifier(given: Given) -> Callable[[Array], ops.trees_legacy.TreeEnsembleClassifier]:
    labels = ops.prediction.labels_of(
        given.get("classlabels_int64s"), given.get("classlabels_strings")
    )
    return classifier(*_tables(given, "class"), labels, given.get("post_transform", "NONE"))


def _tables(given: Given, owner: str) -> tuple[Nodes, Votes, Array]:
    """The nodes, the votes and the base values, as the operators put them together."""

    def list_or_tensor(name: str) -> Array:
        return numbers(given.get(name), given.get(f"{name}_as_tensor"))

    nodes = Nodes(
        treeids=given.get("nodes_treeids"),
        nodeids=given.get("nodes_nodeids"),
        featureids=given.get("nodes_featureids"),
        modes=given.get("nodes_modes"),
        values=list_or_tensor("nodes_values"),
        falsenodeids=given.get("nodes_falsenodeids"),
        truenodeids=given.get("nodes_truenodeids"),
        missing=given.get("nodes_missing_value_tracks_true"),
    )
    votes = Votes(
        treeids=given.get(f"{owner}_treeids"),
        nodeids=given.get(f"{owner}_nodeids"),
        owners=given.get(f"{owner}_ids"),
        weights=list_or_tensor(f"{owner}_weights"),
    )
    return nodes, votes, list_or_tensor("base_values")


@replaces(ops.tree_ensemble, prepare=_once(_newest))
def tree_ensemble(x: Array, /, **attributes: Any) -> Array:
    """ai.onnx.ml TreeEnsemble-5, bit for bit."""
    return NotImplemented


@replaces(ops.tree_ensemble_regressor, prepare=_once(_regressor))
def tree_ensemble_regressor(x: Array, /, **attributes: Any) -> Array:
    """ai.onnx.ml TreeEnsembleRegressor-3, bit for bit."""
    return NotImplemented


@replaces(ops.tree_ensemble_classifier, prepare=_once(_classifier))
def tree_ensemble_classifier(
    x: Array, /, **attributes: Any
) -> ops.trees_legacy.TreeEnsembleClassifier:
    """ai.onnx.ml TreeEnsembleClassifier-3, bit for bit."""
    return NotImplemented
