"""Where the name of a model leads to."""

from __future__ import annotations

import os
import re
from pathlib import Path

from embedx.errors import InputError

_DEFAULT_MODEL = Path(__file__).parents[1] / "default_model"


_MODEL_PLACES = ("model.onnx", "onnx/model.onnx", "deployment/model.onnx")


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
