"""Model folders: where a name leads to, and what the files around a model say about using it.

Nothing in these files is executed or imported: classes are matched by name against closed lists.
"""

from __future__ import annotations

import json
import math
import os
import re
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from embedx.errors import DeploymentError, InputError
from embedx.graph import Array

MAX_JSON_BYTES = 64 * 2**20
_DEFAULT_MODEL = Path(__file__).parent / "default_model"
_MODEL_PLACES = ("model.onnx", "onnx/model.onnx", "deployment/model.onnx")
_ACTIVATIONS = ("Identity", "Tanh", "ReLU", "Sigmoid", "GELU", "SiLU")


@dataclass(frozen=True)
class Dense:
    """A linear layer behind the pooling: ``activation(weight @ x + bias)``."""

    weight: Array
    bias: Array | None
    activation: str


@dataclass(frozen=True)
class Pooling:
    """How sentence-transformers reduces the token embeddings of this model."""

    modes: tuple[str, ...]
    include_prompt: bool = True


@dataclass(frozen=True)
class Normalize:
    """Division by the L2 norm."""


@dataclass(frozen=True)
class Deployment:
    """A model file and what lies beside it."""

    model: Path
    folder: Path
    config: Mapping[str, Any]
    tokenizer_config: Mapping[str, Any]
    modules: tuple[Pooling | Dense | Normalize, ...]
    """What follows the transformer, in order; empty if no file says."""
    prompts: Mapping[str, str]
    default_prompt_name: str | None
    similarity: str
    max_seq_length: int | None
    do_lower_case: bool


def find_model(name: str | os.PathLike[str] | None, file_name: str | None = None) -> Path:
    """The model file that a path, a ``hf:`` or ``org/name``, or a ``zoo:`` stub leads to.

    None leads to the small model that comes with embedx. A folder may hold model.onnx,
    onnx/model.onnx or deployment/model.onnx; ``file_name`` names another file in it. Names are
    looked up in the local caches of huggingface_hub and SparseZoo; nothing is downloaded. Raises
    InputError saying where was looked.
    """
    if name is None:
        return _in_folder(_DEFAULT_MODEL, file_name)
    text = os.fspath(name)
    if not text:
        raise InputError("the model's name is empty")
    if text.startswith("zoo:"):
        return _in_folder(_zoo_folder(text), file_name)
    path = Path(text).expanduser()
    if not text.startswith("hf:") and path.exists():
        return path if path.is_file() else _in_folder(path, file_name)
    repository = text.removeprefix("hf:")
    if re.fullmatch(r"[\w.-]+(/[\w.-]+)?", repository) and not repository.endswith(".onnx"):
        return _in_folder(_hub_folder(repository), file_name)
    raise InputError(f"no such file or folder: {text}")


def _in_folder(folder: Path, file_name: str | None) -> Path:
    if file_name is not None:
        for chosen in (folder / file_name, folder / "onnx" / file_name):
            if chosen.is_file():
                return chosen
        raise InputError(f"{folder} has no file {file_name}")
    for place in _MODEL_PLACES:
        if (folder / place).is_file():
            return folder / place
    found: list[Path] = sorted([*folder.glob("*.onnx"), *folder.glob("onnx/*.onnx")])
    if len(found) == 1:
        return found[0]
    listed = ", ".join(str(f.relative_to(folder)) for f in found) or "none"
    raise InputError(
        f"{folder} has no model.onnx (ONNX files in it: {listed}); name the file itself"
    )


def _hub_folder(repository: str) -> Path:
    home = Path(os.environ.get("HF_HOME", "~/.cache/huggingface")).expanduser()
    cache = Path(os.environ.get("HF_HUB_CACHE", home / "hub")).expanduser()
    folder = cache / f"models--{repository.replace('/', '--')}"
    snapshots = sorted((folder / "snapshots").glob("*/"), key=lambda p: p.stat().st_mtime)
    reference = folder / "refs" / "main"
    if reference.is_file():
        wanted = folder / "snapshots" / reference.read_text().strip()
        if wanted.is_dir():
            return wanted
    if snapshots:
        return snapshots[-1]
    raise InputError(
        f"{repository!r} is neither a path nor in the Hugging Face cache ({cache}); fetch it with "
        f"'hf download {repository}', or give the folder's path"
    )


def _zoo_folder(stub: str) -> Path:
    cache = Path(os.environ.get("SPARSEZOO_MODELS_PATH", "~/.cache/sparsezoo")).expanduser()
    name = stub.removeprefix("zoo:").partition("?")[0].strip("/")
    parts = name.split("/")
    folders = [
        p for base in (cache, cache / "neuralmagic") if base.is_dir() for p in base.iterdir()
    ]
    if (cache / name).is_dir():
        return cache / name
    for folder in sorted(folders):
        # nlp/TASK/MODEL/pytorch/huggingface/DATASET/TAG-... lies in MODEL-DATASET-TAG.
        old = len(parts) == 7 and folder.name.startswith(
            f"{parts[2]}-{parts[5]}-{parts[6].partition('-')[0]}"
        )
        if folder.is_dir() and (folder.name == parts[-1] or old):
            return folder
    raise InputError(
        f"{stub} is not in the SparseZoo cache ({cache}), and SparseZoo has been shut down; give "
        "the path of a deployment folder with model.onnx and tokenizer.json"
    )


def read_deployment(model: Path) -> Deployment:
    """What the files around ``model`` say. Raises DeploymentError naming the file and the field."""
    folder = model.parent
    if folder.name == "onnx" and not (folder / "tokenizer.json").exists():
        folder = folder.parent
    config = read_json(folder / "config.json")
    tokenizer_config = read_json(folder / "tokenizer_config.json")
    sentence = read_json(folder / "sentence_bert_config.json")
    prompting = read_json(folder / "config_sentence_transformers.json")
    prompts = _field(prompting, "prompts", dict, folder / "config_sentence_transformers.json") or {}
    return Deployment(
        model=model,
        folder=folder,
        config=config,
        tokenizer_config=tokenizer_config,
        modules=_modules(folder),
        prompts={str(k): str(v) for k, v in prompts.items()},
        default_prompt_name=prompting.get("default_prompt_name"),
        similarity=str(prompting.get("similarity_fn_name") or "cosine"),
        max_seq_length=_max_length(folder, config, tokenizer_config, sentence),
        do_lower_case=bool(sentence.get("do_lower_case", False)),
    )


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file, empty if there is none. Raises DeploymentError otherwise."""
    value = _json(path)
    if not isinstance(value, dict):
        raise DeploymentError(f"{path} holds {type(value).__name__}, expected an object")
    return value


def _json(path: Path) -> Any:
    if not path.exists():
        return {}
    try:
        if not path.is_file() or path.stat().st_size > MAX_JSON_BYTES:
            raise DeploymentError(f"{path} is no regular file of at most 64 MiB")
        return json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DeploymentError(f"{path}: not readable as JSON ({error})") from error


def _field(data: Mapping[str, Any], key: str, kind: type, path: Path) -> Any:
    value = data.get(key)
    if value is not None and (
        not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool)
    ):
        raise DeploymentError(f"{path}: {key!r} is {value!r}, expected {kind.__name__}")
    return value


def _max_length(
    folder: Path,
    config: Mapping[str, Any],
    tokenizer: Mapping[str, Any],
    sentence: Mapping[str, Any],
) -> int | None:
    own = _length(sentence, "max_seq_length", folder / "sentence_bert_config.json")
    if own is not None:
        return own
    positions = _length(config, "max_position_embeddings", folder / "config.json")
    if positions is not None and config.get("model_type") in (
        "roberta",
        "xlm-roberta",
        "camembert",
        "mpnet",
    ):
        positions -= 2  # these tables begin behind the padding position
    limits = [positions, _length(tokenizer, "model_max_length", folder / "tokenizer_config.json")]
    return min((n for n in limits if n is not None), default=None)


def _length(data: Mapping[str, Any], key: str, path: Path) -> int | None:
    value = data.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 1:
        raise DeploymentError(f"{path}: {key!r} is {value!r}, expected a length")
    # "No limit" is written as 1e30.
    return int(value) if math.isfinite(value) and value < 1e9 else None


def _modules(folder: Path) -> tuple[Pooling | Dense | Normalize, ...]:
    path = folder / "modules.json"
    if not path.exists():
        pooling = folder / "1_Pooling"
        return (_pooling(pooling),) if (pooling / "config.json").exists() else ()
    entries = _json(path)
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise DeploymentError(f"{path} must be a list of modules")
    modules: list[Pooling | Dense | Normalize] = []
    for entry in entries:
        kind = str(entry.get("type", "")).rpartition(".")[2]
        place = str(entry.get("path", ""))
        if Path(place).is_absolute() or ".." in Path(place).parts:
            raise DeploymentError(f"{path}: the path {place!r} leads out of the folder")
        if kind == "Pooling":
            modules.append(_pooling(folder / place))
        elif kind == "Dense":
            modules.append(_dense(folder / place))
        elif kind == "Normalize":
            modules.append(Normalize())
        elif kind not in ("Transformer", "Dropout"):
            raise DeploymentError(f"{path}: a module of type {kind!r} is not supported")
    return tuple(modules)


_POOLING_MODES = {
    "cls_token": "cls",
    "max_tokens": "max",
    "mean_tokens": "mean",
    "mean_sqrt_len_tokens": "mean_sqrt_len",
    "weightedmean_tokens": "weightedmean",
    "lasttoken": "lasttoken",
}


def _pooling(folder: Path) -> Pooling:
    path = folder / "config.json"
    config = read_json(path)
    flags = {key: _field(config, f"pooling_mode_{key}", bool, path) for key in _POOLING_MODES}
    named = config.get("pooling_mode")
    if named is not None and named not in _POOLING_MODES.values():
        raise DeploymentError(
            f"{path}: 'pooling_mode' is {named!r}, none of {[*_POOLING_MODES.values()]}"
        )
    modes = tuple(mode for key, mode in _POOLING_MODES.items() if flags[key])
    return Pooling(modes or (named or "mean",), config.get("include_prompt", True) is not False)


def _dense(folder: Path) -> Dense:
    path = folder / "config.json"
    config = read_json(path)
    activation = str(config.get("activation_function", "Tanh")).rpartition(".")[2]
    if activation not in _ACTIVATIONS:
        raise DeploymentError(
            f"{path}: the activation {activation!r} is none of {', '.join(_ACTIVATIONS)}"
        )
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise DeploymentError(
            f"{weights} is missing; other weight formats are not read, as they can run code"
        )
    tensors = read_safetensors(weights)
    weight, bias = tensors.get("linear.weight"), tensors.get("linear.bias")
    if weight is None or weight.ndim != 2:
        raise DeploymentError(f"{weights} has no matrix 'linear.weight'")
    return Dense(weight, bias, activation)


_SAFETENSORS_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}


def read_safetensors(path: Path) -> dict[str, Array]:
    """The float tensors of a safetensors file, in float32.

    Source: the format description of safetensors. Raises DeploymentError for a header or offsets
    that do not fit the file.
    """
    try:
        data = path.read_bytes()
        (length,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + length])
        body = data[8 + length :]
        tensors = {}
        for name, entry in header.items():
            if name == "__metadata__":
                continue
            begin, end = entry["data_offsets"]
            dtype = np.dtype(_SAFETENSORS_DTYPES[entry["dtype"]])
            if not 0 <= begin <= end <= len(body):
                raise ValueError(f"tensor {name!r} lies outside the file")
            array = np.frombuffer(body[begin:end], dtype).reshape(entry["shape"])
            tensors[name] = array.astype(np.float32)
    except (OSError, KeyError, TypeError, ValueError, AttributeError, struct.error) as error:
        raise DeploymentError(f"{path}: not a safetensors file of floats ({error})") from error
    return tensors
