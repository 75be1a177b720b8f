"""The modules behind a transformer, as sentence-transformers 6.2 reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedx.errors import DeploymentError
from embedx.text.deployment import read_deployment
from embedx.text.modules import SENTENCE, TOKENS, Dense, LayerNorm, Normalize, Pooling
from tests.text.files import MODELS, folder_with, modules, safetensors


@pytest.mark.parametrize(
    ("config", "modes"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, ("cls",)),
        (
            {"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True,
             "pooling_mode_lasttoken": True, "pooling_mode_max_tokens": True},
            ("cls", "max", "mean", "lasttoken"),
        ),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, ("mean_sqrt_len",)),
        ({"pooling_mode_mean_tokens": False}, ("mean",)),
        ({"pooling_mode": "weightedmean"}, ("weightedmean",)),
        ({"pooling_mode": "mean_sqrt_len_tokens"}, ("mean_sqrt_len",)),
        ({"pooling_mode": ["max"]}, ("max",)),
        ({"pooling_mode": ["lasttoken", "cls", "mean"]}, ("lasttoken", "cls", "mean")),
        ({"pooling_mode": "max", "pooling_mode_mean_tokens": True}, ("max",)),
        ({"pooling_mode": None, "pooling_mode_max_tokens": True}, ("max",)),
        ({}, ("mean",)),
    ],
)  # fmt: skip
def test_pooling_modes(tmp_path: Path, config: dict[str, Any], modes: tuple[str, ...]) -> None:
    """As sentence-transformers 6.2 reads them, the files of its earlier releases included."""
    path = folder_with(tmp_path, **{"1_Pooling__config": config})
    assert read_deployment(path).modules == (Pooling(modes),)


@pytest.mark.parametrize(
    ("config", "included"),
    [({}, True), ({"include_prompt": True}, True), ({"include_prompt": False}, False)],
)
def test_prompts_are_pooled_unless_a_file_says_otherwise(
    tmp_path: Path, config: dict[str, Any], included: bool
) -> None:
    path = folder_with(tmp_path, **{"1_Pooling__config": config})
    assert read_deployment(path).modules == (Pooling(("mean",), include_prompt=included),)


WIDE, SQUARE = [[1, 2, 3], [4, 5, 6]], [[1, 2], [3, 4]]


def with_dense(tmp_path: Path, config: dict[str, Any], **tensors: Any) -> Path:
    arrays = {name.replace("_", "."): np.array(t, np.float32) for name, t in tensors.items()}
    safetensors(tmp_path / "Dense" / "model.safetensors", arrays)
    return folder_with(tmp_path, modules=modules("Dense"), Dense__config=config)


def test_dense_layers_are_read(tmp_path: Path) -> None:
    config = {
        "in_features": 3,
        "out_features": 2,
        "bias": True,
        "activation_function": "torch.nn.modules.linear.Identity",
        "module_input_name": TOKENS,
        "use_residual": True,
    }
    path = with_dense(
        tmp_path, config, linear_weight=WIDE, linear_bias=[7, 8], residual_weight=WIDE
    )
    (dense,) = read_deployment(path).modules
    assert isinstance(dense, Dense)
    assert dense.activation == "Identity"
    assert (dense.source, dense.target, dense.use_residual) == (TOKENS, TOKENS, True)
    assert dense.bias is not None
    assert dense.residual is not None
    np.testing.assert_array_equal(dense.weight, WIDE)
    np.testing.assert_array_equal(dense.bias, [7, 8])
    np.testing.assert_array_equal(dense.residual, WIDE)


@pytest.mark.parametrize(
    ("written", "activation"),
    [
        (None, "Tanh"),
        ("torch.nn.modules.activation.Tanh", "Tanh"),
        ("torch.nn.modules.activation.GELU", "GELU"),
        ("torch.nn.modules.linear.Identity", "Identity"),
        ("torch.nn.ReLU", "ReLU"),
    ],
)
def test_activations_go_by_their_classes(
    tmp_path: Path, written: str | None, activation: str
) -> None:
    config = {} if written is None else {"activation_function": written}
    (dense,) = read_deployment(with_dense(tmp_path, config, linear_weight=WIDE)).modules
    assert isinstance(dense, Dense)
    assert dense.activation == activation
    assert (dense.source, dense.target, dense.use_residual) == (SENTENCE, SENTENCE, False)


@pytest.mark.parametrize(
    ("config", "tensors", "message"),
    [
        ({"activation_function": "torch.nn.modules.activation.PReLU"}, {}, "PReLU.*none of torch"),
        ({"activation_function": "torch.nn.functional.relu"}, {}, "relu.*none of torch"),
        ({"activation_function": "os.system"}, {}, "activation_function.*none of torch"),
        ({"activation_function": "Tanh"}, {}, "activation_function.*none of torch"),
        ({"activation_function": 3}, {}, "'activation_function' is 3, expected str"),
        ({"bias": True}, {}, "do not fit together"),
        ({"bias": False}, {"linear_bias": [1, 2]}, "do not fit together"),
        ({"in_features": 4}, {}, "do not fit together"),
        ({"out_features": 3}, {}, "do not fit together"),
        ({}, {"linear_bias": [1, 2, 3]}, "do not fit together"),
        ({}, {"linear_weight": [1, 2]}, "do not fit together"),
        ({"use_residual": True}, {}, "'use_residual' is True, unlike in the weights"),
        ({"use_residual": True}, {"residual_weight": SQUARE}, "do not fit together"),
        ({}, {"residual_weight": WIDE}, "'use_residual' is False, unlike in the weights"),
        ({}, {"linear_other": WIDE}, "not known: linear.other"),
    ],
)
def test_dense_layers_that_make_no_sense_are_refused(
    tmp_path: Path, config: dict[str, Any], tensors: dict[str, Any], message: str
) -> None:
    with pytest.raises(DeploymentError, match=message):
        read_deployment(with_dense(tmp_path, config, **{"linear_weight": WIDE, **tensors}))


def test_weights_that_could_run_code_are_not_read(tmp_path: Path) -> None:
    path = folder_with(tmp_path, modules=modules("Dense"), Dense__config={})
    (tmp_path / "Dense" / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(DeploymentError, match=r"model\.safetensors is missing"):
        read_deployment(path)


def test_other_modules_are_read(tmp_path: Path) -> None:
    norm = {"norm.weight": np.ones(3, np.float32), "norm.bias": np.zeros(3, np.float32)}
    safetensors(tmp_path / "LayerNorm" / "model.safetensors", norm)
    path = folder_with(
        tmp_path,
        modules=modules("Dropout", "LayerNorm", "Normalize"),
        LayerNorm__config={"dimension": 3},
        Dropout__config={"dropout": 0.1},
        Normalize__config={"module_input_name": TOKENS, "module_output_name": TOKENS},
    )
    layer_norm, normalize = read_deployment(path).modules
    assert isinstance(layer_norm, LayerNorm)
    np.testing.assert_array_equal(layer_norm.weight, np.ones(3))
    np.testing.assert_array_equal(layer_norm.bias, np.zeros(3))
    assert normalize == Normalize(TOKENS, TOKENS)


@pytest.mark.parametrize(
    "name",
    [
        "sentence_transformers.models.Pooling",
        "sentence_transformers.models.Pooling.Pooling",
        "sentence_transformers.sentence_transformer.modules.pooling.Pooling",
    ],
)
def test_classes_are_known_by_all_their_names(tmp_path: Path, name: str) -> None:
    listed = [*modules(), {"path": "1_Pooling", "type": name}]
    path = folder_with(tmp_path, modules=listed, **{"1_Pooling__config": {}})
    assert read_deployment(path).modules == (Pooling(("mean",)),)


@pytest.mark.parametrize(
    "name",
    [
        *(f"{MODELS}.{kind}" for kind in ("Asym", "BoW", "CLIPModel", "CNN", "LSTM", "Router")),
        *(f"{MODELS}.{kind}" for kind in ("WeightedLayerPooling", "WordEmbeddings", "WordWeights")),
        "sentence_transformers.sparse_encoder.models.SpladePooling",
        "pylate.models.Dense.Dense",
        "custom.Transformer",
        "",
    ],
)
def test_modules_that_would_change_the_embeddings_are_refused_by_name(
    tmp_path: Path, name: str
) -> None:
    path = folder_with(tmp_path, modules=[*modules(), {"path": "", "type": name}])
    with pytest.raises(DeploymentError, match=rf"modules\.json: a module of type '{name}' is not"):
        read_deployment(path)
