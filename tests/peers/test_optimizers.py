"""The names of onnxruntime's optimizers, from its log."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest

from embedx.errors import ConfigError
from embedx.peers.optimizers import optimizers_of
from tests.oracle.faults import scaling
from tests.tiny import bert


@pytest.fixture
def model(tmp_path: Path) -> Path:
    onnx.save(bert(opset=13), tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def test_those_that_change_a_model_are_among_those_that_run(model: Path) -> None:
    found = optimizers_of(model, "all")
    assert set(found.changed) < set(found.ran)
    assert {"LayerNormFusionL2", "GeluFusionL2", "BiasGeluFusion"} <= set(found.changed)
    assert "EliminateIdentity" in found.changed


def test_a_disabled_one_changes_nothing(model: Path) -> None:
    disabled = ["GeluFusionL2", "EliminateIdentity", "NoopElimination"]
    found = optimizers_of(model, "all", disabled)
    assert not {*disabled, "BiasGeluFusion"} & set(found.changed)
    assert not set(disabled) & set(found.ran)


def test_a_lower_level_has_fewer(model: Path) -> None:
    basic = optimizers_of(model, "basic")
    assert "GeluFusionL2" not in basic.ran
    assert set(basic.ran) < set(optimizers_of(model, "all").ran)
    assert not optimizers_of(model, "off").changed


def test_a_model_that_cannot_be_run(tmp_path: Path) -> None:
    other = scaling()
    other.graph.node[0].op_type = "Nonsense"
    onnx.save(other, tmp_path / "other.onnx")
    with pytest.raises(ConfigError, match="onnxruntime cannot run"):
        optimizers_of(tmp_path / "other.onnx", "all")
