"""What the files around a model say about using it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from embedx.errors import DeploymentError, InputError
from embedx.text.json_file import Table, check_keys, read_checked, read_json
from embedx.text.modules import FIRST_MODULES, READERS, TOKENS, Module, module_entries


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
_POSITIONS_BEHIND_PADDING = frozenset(
    "camembert data2vec-text ibert lilt longformer mpnet roberta roberta-prelayernorm xlm-roberta "
    "xlm-roberta-xl xmod".split()
)
"""Models whose table of positions begins with two that no token has."""

_UNLIMITED = 2**31


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
    entries = module_entries(folder)
    place = tokenizer or _transformer_folder(folder, entries)
    files = place.parent if place.is_file() else place
    config = read_json(folder / "config.json") or read_json(files / "config.json")
    sentence, sentence_path = _sentence_config(files)
    own = read_checked(files / "tokenizer_config.json", _TOKENIZER_CONFIG)
    added = {**(sentence.get("tokenizer_args") or {}), **(sentence.get("processor_kwargs") or {})}
    check_keys(added, f"{sentence_path}: tokenizer_args", _TOKENIZER_CONFIG)
    path = folder / "config_sentence_transformers.json"
    prompting = read_checked(path, _MODEL_CONFIG)
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
        modules=tuple(read(place) for kind, place in entries if (read := READERS[kind])),
        prompts=_prompts(prompting, path),
        default_prompt_name=prompting.get("default_prompt_name"),
        similarity=prompting.get("similarity_fn_name") or "cosine",
        truncate_dim=_length(prompting, "truncate_dim", path),
        max_seq_length=next((n for n in lengths if n is not None), None),
        do_lower_case=bool(sentence.get("do_lower_case")),
    )


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
    config = read_checked(path, _SENTENCE_CONFIG)
    if config.get("modality_config") is not None:
        modalities = {"text": None, **config["modality_config"]}
        table = {**dict.fromkeys(modalities), **_MODALITIES}
        check_keys(modalities, f"{path}: modality_config", table)
    return config, path


def _tokenizing(sentence: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """What sentence-transformers hands to its tokenizer with every text."""
    processing = sentence.get("processing_kwargs") or {}
    check_keys(processing, f"{path}: processing_kwargs", _PROCESSING)
    given = {**(processing.get("text") or {}), **(processing.get("common") or {})}
    table = {**dict.fromkeys(given, (None,)), **_TOKENIZING}
    check_keys(given, f"{path}: processing_kwargs", table)
    return given


def _prompts(config: Mapping[str, Any], path: Path) -> dict[str, str]:
    prompts = config.get("prompts") or {}
    check_keys(prompts, f"{path}: prompts", dict.fromkeys(prompts, str))
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


def _transformer_folder(folder: Path, entries: Sequence[tuple[str, Path]]) -> Path:
    place = entries[0][1] if entries and entries[0][0] in FIRST_MODULES else folder
    names = ("tokenizer.json", "tokenizer_config.json", "vocab.txt")
    return place if any((place / name).exists() for name in names) else folder
