"""Files of model folders, written for tests."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any


def write(path: Path, content: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def folder_with(tmp_path: Path, **files: Any) -> Path:
    """The model in a folder of these files: ``__`` in a name is a slash, ``.json`` is added."""
    write(tmp_path / "model.onnx", "")
    for name, content in files.items():
        write(tmp_path / f"{name.replace('__', '/')}.json", content)
    return tmp_path / "model.onnx"


def safetensors(path: Path, tensors: dict[str, Any], dtype: str = "F32") -> Path:
    """A file of these arrays; those of a kind that NumPy lacks are given as their bytes."""
    header, body = {}, b""
    for name, array in tensors.items():
        data = array.tobytes()
        offsets = [len(body), len(body) + len(data)]
        header[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": offsets}
        body += data
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(text)) + text + body)
    return path


MODELS = "sentence_transformers.models"


def modules(*kinds: str) -> list[dict[str, Any]]:
    """The modules.json of a transformer and modules that lie in folders of their own names."""
    listed = [("", "Transformer"), *((kind, kind) for kind in kinds)]
    return [
        {"idx": i, "name": str(i), "path": path, "type": f"{MODELS}.{kind}"}
        for i, (path, kind) in enumerate(listed)
    ]
