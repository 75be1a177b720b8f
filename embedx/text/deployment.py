"""Model folders: where a name leads to, and what the files around a model say about using it.

Nothing in these files is executed or imported: classes are matched by name against closed lists.
"""

from __future__ import annotations

import json
import logging
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from embedx import ops
from embedx.errors import DeploymentError, InputError
from embedx.model.graph import Array
from embedx.text.safetensors import read_safetensors

_log = logging.getLogger("embedx")

MAX_JSON_BYTES = 64 * 2**20


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


@dataclass(frozen=True)
class Deployment:
    """A model file and what lies beside it."""

    model: Path
    folder: Path
    config: Mapping[str, Any]
    tokenizer: Path
    """The folder of the tokenizer's files, or a tokenizer.json."""
    tokenizer_config: Mapping[str, Any]
    """special_tokens_map.json, tokenizer_config.json, and what sentence-transformers adds."""
    adds_special_tokens: bool
    """Whether [CLS] and the like go around a text; static embeddings have none."""
    modules: tuple[Module, ...]
    """What follows the transformer, in order; empty if no file says."""
    prompts: Mapping[str, str]
    default_prompt_name: str | None
    similarity: str
    truncate_dim: int | None
    max_seq_length: int | None
    do_lower_case: bool


EMPTY_PROMPTS = ("query", "document")
"""Prompts that sentence-transformers knows for every model; empty unless a file says otherwise."""

Rule: TypeAlias = type | tuple[object, ...] | None
Table: TypeAlias = Mapping[str, Rule]
"""The keys of a file. A type is what a value must have that is read here (null is as good as
absent); a tuple holds the only values that are supported, as others change the embeddings; None
stands for a value that does not, or that is checked where it is read."""

_SENTENCE_CONFIG_NAMES = tuple(
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
)
"""In the order in which sentence-transformers looks; the first that says anything counts."""
_SENTENCE_CONFIG: Table = {
    "max_seq_length": None,
    "do_lower_case": bool,
    "tokenizer_args": dict,
    "processor_kwargs": dict,
    "processing_kwargs": dict,
    "modality_config": dict,
    "transformer_task": ("feature-extraction", None),
    "module_output_name": (TOKENS, None),
    **dict.fromkeys(
        ("tokenizer_name_or_path", "query_length", "document_length", "query_expansion"), (None,)
    ),
    # These are about the model in PyTorch, which the ONNX file stands for.
    **dict.fromkeys(("model_args", "model_kwargs", "config_args", "config_kwargs", "unpad_inputs")),
}
_MODALITIES: Table = {
    "text": ({"method": "forward", "method_output_name": "last_hidden_state"},),
    "message": (),  # would put a text into a chat template
}
_PROCESSING: Table = {
    "text": dict,
    "common": dict,
    **dict.fromkeys(("audio", "chat_template", "image", "video")),
}
_TOKENIZING: Table = {
    "max_length": None,
    "truncation": (True, "longest_first", "only_first", None),
    **dict.fromkeys(("padding", "padding_side", "pad_to_multiple_of", "return_tensors")),
}
_MODEL_CONFIG: Table = {
    "__version__": None,
    "requirements": None,
    "model_type": ("SentenceTransformer", None),
    "prompts": dict,
    "default_prompt_name": str,
    "similarity_fn_name": ("cosine", "dot", "euclidean", "manhattan", None),
    "truncate_dim": None,
}
_TOKENIZER_CONFIG: Table = {
    **dict.fromkeys(
        "add_prefix_space do_lower_case split_special_tokens strip_accents "
        "tokenize_chinese_chars".split(),
        bool,
    ),
    "added_tokens_decoder": dict,
    "tokenizer_class": str,
    "truncation_side": ("left", "right", None),
    "fix_mistral_regex": (None, False),
    "wordpieces_prefix": ("##", None),
    # Lengths and special tokens are checked where they are read; the rest is about decoding,
    # padding, chats, or tokenizers written in Python. What is put around a text is up to
    # tokenizer.json, from transformers 5 on.
    **dict.fromkeys(
        "add_bos_token add_eos_token additional_special_tokens auto_map backend bos_token "
        "chat_template clean_up_tokenization_spaces cls_token do_basic_tokenize eos_token "
        "errors extra_special_tokens from_slow full_tokenizer_file is_local language legacy "
        "local_files_only mask_token max_len max_length model_input_names model_max_length "
        "model_specific_special_tokens name_or_path never_split pad_to_multiple_of pad_token "
        "pad_token_type_id padding padding_side processor_class sep_token sp_model_kwargs "
        "spaces_between_special_tokens special_tokens_map_file stride tokenizer_file "
        "trim_offsets truncation truncation_strategy unk_token use_default_system_prompt "
        "use_fast vocab_file".split()
    ),
}
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
_POSITIONS_BEHIND_PADDING = frozenset(
    "camembert data2vec-text ibert lilt longformer mpnet roberta roberta-prelayernorm xlm-roberta "
    "xlm-roberta-xl xmod".split()
)
"""Models whose table of positions begins with two that no token has."""

_UNLIMITED = 2**31

_reported: set[tuple[str, str]] = set()


def read_deployment(model: Path, tokenizer: Path | None = None) -> Deployment:
    """What the files around ``model`` say.

    With ``tokenizer`` (a folder, or a tokenizer.json) what concerns tokens is read there: the
    tokenizer's own files, and the maximal length and lower case of sentence-transformers.

    Raises DeploymentError naming the file and the key; also for a value that would change the
    embeddings in a way that is not supported. A key that is not known is logged, once.
    """
    folder = model.parent
    if folder.name == "onnx" and not (folder / "tokenizer.json").exists():
        folder = folder.parent
    if tokenizer is not None and not tokenizer.exists():
        raise InputError(f"no such file or folder: {tokenizer}")
    entries = _module_entries(folder)
    place = tokenizer or _transformer_folder(folder, entries)
    files = place.parent if place.is_file() else place
    config = read_json(folder / "config.json") or read_json(files / "config.json")
    sentence, sentence_path = _sentence_config(files)
    own = _read(files / "tokenizer_config.json", _TOKENIZER_CONFIG)
    added = {**(sentence.get("tokenizer_args") or {}), **(sentence.get("processor_kwargs") or {})}
    _check(added, f"{sentence_path}: tokenizer_args", _TOKENIZER_CONFIG)
    path = folder / "config_sentence_transformers.json"
    prompting = _read(path, _MODEL_CONFIG)
    static = any(kind == "StaticEmbedding" for kind, _ in entries)
    lengths = [
        _UNLIMITED if static else None,
        _length(_tokenizing(sentence, sentence_path), "max_length", sentence_path),
        _length(added, "model_max_length", sentence_path),
        _length(sentence, "max_seq_length", sentence_path),
        _inferred_length(config, own, folder, files),
    ]
    return Deployment(
        model=model,
        folder=folder,
        config=config,
        tokenizer=place,
        tokenizer_config={
            "tokenizer_class": config.get("tokenizer_class"),
            **read_json(files / "special_tokens_map.json"),
            **own,
            **added,
        },
        adds_special_tokens=not static,
        modules=tuple(read(place) for kind, place in entries if (read := _MODULES[kind])),
        prompts=_prompts(prompting, path),
        default_prompt_name=prompting.get("default_prompt_name"),
        similarity=prompting.get("similarity_fn_name") or "cosine",
        truncate_dim=_length(prompting, "truncate_dim", path),
        max_seq_length=next((n for n in lengths if n is not None), None),
        do_lower_case=bool(sentence.get("do_lower_case")),
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


def _read(path: Path, table: Table) -> dict[str, Any]:
    data = read_json(path)
    _check(data, str(path), table)
    return data


def _check(data: Mapping[str, Any], where: str, table: Table) -> None:
    for key, value in data.items():
        rule = table.get(key)
        if isinstance(rule, tuple) and value not in rule:
            listed = ", ".join(repr(v) for v in rule if v is not None)
            raise DeploymentError(
                f"{where}: {key!r} is {value!r}, which changes the result in a way that is not "
                f"supported; supported is {listed or 'to leave it out'}"
            )
        if isinstance(rule, type) and value is not None and not _is(value, rule):
            raise DeploymentError(f"{where}: {key!r} is {value!r}, expected {rule.__name__}")
        if key not in table and (Path(where).name, key) not in _reported:
            _reported.add((Path(where).name, key))
            _log.warning("%s: the key %r is not known here, and not used", where, key)


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))


def files_beside(deployment: Deployment) -> list[Path]:
    """The files of a deployment, other than the model's own, that may decide its vectors."""
    patterns = ("*.json", "*.txt", "*/*.json", "*/*.safetensors")
    found = {path for pattern in patterns for path in deployment.folder.glob(pattern)}
    if deployment.tokenizer.is_file():
        found.add(deployment.tokenizer)
    else:
        found.update(p for pattern in patterns[:2] for p in deployment.tokenizer.glob(pattern))
    return sorted(path.absolute() for path in found if path.is_file())


def _sentence_config(folder: Path) -> tuple[dict[str, Any], Path]:
    paths = [folder / name for name in _SENTENCE_CONFIG_NAMES]
    path = next((p for p in paths if read_json(p)), paths[0])
    config = _read(path, _SENTENCE_CONFIG)
    if config.get("modality_config") is not None:
        modalities = {"text": None, **config["modality_config"]}
        table = {**dict.fromkeys(modalities), **_MODALITIES}
        _check(modalities, f"{path}: modality_config", table)
    return config, path


def _tokenizing(sentence: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """What sentence-transformers hands to its tokenizer with every text."""
    processing = sentence.get("processing_kwargs") or {}
    _check(processing, f"{path}: processing_kwargs", _PROCESSING)
    given = {**(processing.get("text") or {}), **(processing.get("common") or {})}
    table = {**dict.fromkeys(given, (None,)), **_TOKENIZING}
    _check(given, f"{path}: processing_kwargs", table)
    return given


def _prompts(config: Mapping[str, Any], path: Path) -> dict[str, str]:
    prompts = config.get("prompts") or {}
    _check(prompts, f"{path}: prompts", dict.fromkeys(prompts, str))
    name = config.get("default_prompt_name")
    if name is not None and name not in (*EMPTY_PROMPTS, *prompts):
        raise DeploymentError(
            f"{path}: 'default_prompt_name' is {name!r}, which is none of the prompts "
            f"({', '.join(prompts) or 'there are none'})"
        )
    return {key: text or "" for key, text in prompts.items()}


def _inferred_length(
    config: Mapping[str, Any], tokenizer: Mapping[str, Any], folder: Path, files: Path
) -> int | None:
    positions = None
    if config.get("max_position_embeddings") != -1:  # how XLNet says that there is no limit
        positions = _length(config, "max_position_embeddings", folder / "config.json")
    if positions is not None and str(config.get("model_type")) in _POSITIONS_BEHIND_PADDING:
        positions -= 2
    path = files / "tokenizer_config.json"
    named = [_length(tokenizer, key, path) for key in ("model_max_length", "max_len")]
    return min((n for n in (positions, *named) if n is not None), default=None)


def _length(data: Mapping[str, Any], key: str, path: Path) -> int | None:
    value = data.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 1:
        raise DeploymentError(f"{path}: {key!r} is {value!r}, expected a length")
    # "No limit" is written as 1e30.
    return int(value) if math.isfinite(value) and value < 1e9 else None


def _module_entries(folder: Path) -> list[tuple[str, Path]]:
    """The class and the folder of each module."""
    path = folder / "modules.json"
    if not path.exists():
        place = folder / "1_Pooling"
        return [("Pooling", place)] if (place / "config.json").exists() else []
    entries = _json(path)
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise DeploymentError(f"{path} must be a list of modules")
    found: list[tuple[str, Path]] = []
    for entry in entries:
        _check(entry, str(path), _MODULE)
        place, name = Path(entry.get("path") or ""), entry.get("type") or ""
        if place.is_absolute() or ".." in place.parts:
            raise DeploymentError(f"{path}: the path {str(place)!r} leads out of the folder")
        package, _, kind = name.rpartition(".")
        if package.partition(".")[0] != "sentence_transformers" or kind not in _MODULES:
            raise DeploymentError(
                f"{path}: a module of type {name!r} is not supported; those of "
                f"sentence_transformers that are: {', '.join(_MODULES)}"
            )
        if kind in _FIRST_MODULES and found:
            raise DeploymentError(f"{path}: {kind} can only be the first module")
        found.append((kind, folder / place))
    return found


def _transformer_folder(folder: Path, entries: Sequence[tuple[str, Path]]) -> Path:
    place = entries[0][1] if entries and entries[0][0] in _FIRST_MODULES else folder
    names = ("tokenizer.json", "tokenizer_config.json", "vocab.txt")
    return place if any((place / name).exists() for name in names) else folder


def _pooling(folder: Path) -> Pooling:
    path = folder / "config.json"
    if not path.exists():
        raise DeploymentError(f"{path} is missing, so nothing says how to pool")
    config = read_json(path)
    others: Table = {key: (False, None) for key in config if key.startswith("pooling_mode_")}
    _check(config, str(path), {**others, **_POOLING})
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
    config = _read(path, _DENSE)
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
    _read(folder / "config.json", _LAYER_NORM)
    tensors = _tensors(folder, "norm.weight", "norm.bias")
    return LayerNorm(tensors["norm.weight"], tensors["norm.bias"])


def _normalize(folder: Path) -> Normalize:
    return Normalize(*_edges(_read(folder / "config.json", _NORMALIZE)))


def _edges(config: Mapping[str, Any]) -> tuple[str, str]:
    source = config.get("module_input_name") or SENTENCE
    return source, config.get("module_output_name") or source


_FIRST_MODULES = ("Transformer", "StaticEmbedding")
_MODULES: dict[str, Callable[[Path], Module] | None] = {
    **dict.fromkeys((*_FIRST_MODULES, "Dropout")),
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
