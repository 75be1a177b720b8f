"""What follows the transformer in a folder of sentence-transformers: modules.json and its folders.

Nothing in these files is executed or imported: classes are matched by name against closed lists.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from embedx import ops
from embedx.errors import DeploymentError
from embedx.model.graph import Array
from embedx.text.json_file import Table, check_keys, read_any, read_checked, read_json
from embedx.text.safetensors import read_safetensors

ACTIVATIONS: dict[str, Callable[[Array], Array]] = {
    "Identity": lambda x: x,
    "Tanh": np.tanh,
    "ReLU": lambda x: np.maximum(x, 0),
    "GELU": lambda x: ops.gelu(x),
    "SiLU": lambda x: ops.swish(x),
    "Sigmoid": lambda x: ops.sigmoid(x),
    "LogSigmoid": lambda x: -ops.softplus(-x),
    "Softplus": lambda x: ops.softplus(x),
    "Softsign": lambda x: ops.softsign(x),
    "Mish": lambda x: ops.mish(x),
    "ELU": lambda x: ops.elu(x),
    "CELU": lambda x: ops.celu(x),
    "SELU": lambda x: ops.selu(x),
    "LeakyReLU": lambda x: ops.leaky_relu(x),
    "ReLU6": lambda x: np.clip(x, 0, 6),
    "Hardtanh": lambda x: np.clip(x, -1, 1),
    "Hardsigmoid": lambda x: np.clip(x / 6 + 0.5, 0, 1),
    "Hardswish": lambda x: ops.hard_swish(x),
    "Hardshrink": lambda x: ops.shrink(x),
    "Softshrink": lambda x: ops.shrink(x, bias=0.5),
    "Tanhshrink": lambda x: x - np.tanh(x),
}
"""By their classes in torch.nn, with the parameters that these have by default."""


TOKENS, SENTENCE = "token_embeddings", "sentence_embedding"
"""What modules read and make, by sentence-transformers' names: the first is the transformer's."""


@dataclass(frozen=True)
class Dense:
    """A linear layer: ``activation(weight @ x + bias)``, plus its input with ``use_residual``.

    Where the width changes, the input is added as ``residual @ x``.
    """

    weight: Array
    bias: Array | None
    activation: str
    use_residual: bool = False
    residual: Array | None = None
    source: str = SENTENCE
    target: str = SENTENCE


@dataclass(frozen=True)
class Pooling:
    """How sentence-transformers reduces the token embeddings of this model."""

    modes: tuple[str, ...]
    include_prompt: bool = True
    source: str = TOKENS
    target: str = SENTENCE


@dataclass(frozen=True)
class LayerNorm:
    """Layer normalisation of the sentence embedding, with PyTorch's epsilon of 1e-5."""

    weight: Array
    bias: Array
    source: str = SENTENCE
    target: str = SENTENCE


@dataclass(frozen=True)
class Normalize:
    """Division by the L2 norm."""

    source: str = SENTENCE
    target: str = SENTENCE


Module: TypeAlias = Pooling | Dense | LayerNorm | Normalize


_MODULE: Table = {"idx": None, "name": None, "path": str, "type": str, "kwargs": None}


_POOLING_FLAGS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}
"""As sentence-transformers wrote them up to release 5, in the order of what it concatenates."""


_POOLING: Table = {
    **dict.fromkeys(_POOLING_FLAGS, bool),
    "pooling_mode": None,
    "include_prompt": bool,
    "embedding_dimension": None,
    "word_embedding_dimension": None,
}


_NORMALIZE: Table = {"module_input_name": str, "module_output_name": str}


_DENSE: Table = {
    **_NORMALIZE,
    "activation_function": str,
    "bias": bool,
    "use_residual": bool,
    "in_features": None,
    "out_features": None,
}


_LAYER_NORM: Table = {"dimension": None}


def module_entries(folder: Path) -> list[tuple[str, Path]]:
    """The class and the folder of each module, in order.

    Raises DeploymentError for a class that is not supported.
    """
    path = folder / "modules.json"
    if not path.exists():
        place = folder / "1_Pooling"
        return [("Pooling", place)] if (place / "config.json").exists() else []
    entries = read_any(path)
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise DeploymentError(f"{path} must be a list of modules")
    found: list[tuple[str, Path]] = []
    for entry in entries:
        check_keys(entry, str(path), _MODULE)
        place, name = Path(entry.get("path") or ""), entry.get("type") or ""
        if place.is_absolute() or ".." in place.parts:
            raise DeploymentError(f"{path}: the path {str(place)!r} leads out of the folder")
        package, _, kind = name.rpartition(".")
        if package.partition(".")[0] != "sentence_transformers" or kind not in READERS:
            raise DeploymentError(
                f"{path}: a module of type {name!r} is not supported; those of "
                f"sentence_transformers that are: {', '.join(READERS)}"
            )
        if kind in FIRST_MODULES and found:
            raise DeploymentError(f"{path}: {kind} can only be the first module")
        found.append((kind, folder / place))
    return found


def _pooling(folder: Path) -> Pooling:
    path = folder / "config.json"
    if not path.exists():
        raise DeploymentError(f"{path} is missing, so nothing says how to pool")
    config = read_json(path)
    others: Table = {key: (False, None) for key in config if key.startswith("pooling_mode_")}
    check_keys(config, str(path), {**others, **_POOLING})
    named = config.get("pooling_mode")
    flagged = [mode for flag, mode in _POOLING_FLAGS.items() if config.get(flag)] or ["mean"]
    listed = named if isinstance(named, list) else flagged if named is None else [named]
    modes = [mode for mode in listed if mode in _POOLING_FLAGS.values()]
    if not listed or modes != listed:
        raise DeploymentError(
            f"{path}: 'pooling_mode' is {named!r}, which is none of "
            f"{', '.join(_POOLING_FLAGS.values())}"
        )
    ours = tuple(mode.removesuffix("_tokens") for mode in modes)
    return Pooling(ours, config.get("include_prompt") is not False)


def _dense(folder: Path) -> Dense:
    path = folder / "config.json"
    config = read_checked(path, _DENSE)
    name = str(config.get("activation_function", "torch.nn.modules.activation.Tanh"))
    package, _, activation = name.rpartition(".")
    if package.partition(".")[0] != "torch" or activation not in ACTIVATIONS:
        raise DeploymentError(
            f"{path}: 'activation_function' is {name!r}, which is none of torch.nn's classes "
            f"(by their full names) {', '.join(ACTIVATIONS)}"
        )
    tensors = _tensors(folder, "linear.weight", optional=("linear.bias", "residual.weight"))
    weight, bias = tensors["linear.weight"], tensors.get("linear.bias")
    residual = tensors.get("residual.weight")
    if (
        weight.ndim != 2
        or config.get("out_features", len(weight)) != len(weight)
        or config.get("in_features", weight.shape[1]) != weight.shape[1]
        or (bias is not None and bias.shape != weight.shape[:1])
        or (residual is not None and residual.shape != weight.shape)
        or config.get("bias", bias is not None) != (bias is not None)
    ):
        shapes = ", ".join(f"{name} {tensor.shape}" for name, tensor in tensors.items())
        raise DeploymentError(f"{path} and the weights beside it do not fit together: {shapes}")
    use_residual = bool(config.get("use_residual"))
    if (residual is not None) != (use_residual and weight.shape[0] != weight.shape[1]):
        raise DeploymentError(f"{path}: 'use_residual' is {use_residual}, unlike in the weights")
    return Dense(weight, bias, activation, use_residual, residual, *_edges(config))


def _layer_norm(folder: Path) -> LayerNorm:
    read_checked(folder / "config.json", _LAYER_NORM)
    tensors = _tensors(folder, "norm.weight", "norm.bias")
    return LayerNorm(tensors["norm.weight"], tensors["norm.bias"])


def _normalize(folder: Path) -> Normalize:
    return Normalize(*_edges(read_checked(folder / "config.json", _NORMALIZE)))


def _edges(config: Mapping[str, Any]) -> tuple[str, str]:
    source = config.get("module_input_name") or SENTENCE
    return source, config.get("module_output_name") or source


FIRST_MODULES = ("Transformer", "StaticEmbedding")


READERS: dict[str, Callable[[Path], Module] | None] = {
    **dict.fromkeys((*FIRST_MODULES, "Dropout")),
    "Pooling": _pooling,
    "Dense": _dense,
    "LayerNorm": _layer_norm,
    "Normalize": _normalize,
}


def _tensors(folder: Path, *names: str, optional: Sequence[str] = ()) -> dict[str, Array]:
    path = folder / "model.safetensors"
    if not path.is_file():
        raise DeploymentError(
            f"{path} is missing; other weight formats are not read, as they can run code"
        )
    tensors = read_safetensors(path)
    missing = [name for name in names if name not in tensors]
    unknown = [name for name in tensors if name not in (*names, *optional)]
    if missing or unknown:
        raise DeploymentError(
            f"{path} must hold {', '.join(names)};"
            + f" missing: {', '.join(missing)}" * bool(missing)
            + f" not known: {', '.join(unknown)}" * bool(unknown)
        )
    return tensors
