"""The runtimes to compare with, and what each needs."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import NamedTuple

from embedx.errors import ConfigError

TEXTS_ONLY = "sentence-transformers"
"""The peer that makes batches itself, and takes nothing but texts."""


class Peer(NamedTuple):
    """What a runtime needs to be compared with."""

    modules: tuple[str, ...]
    install: str
    """What pip is told to install."""


PEERS = {
    "onnxruntime": Peer(("onnxruntime",), "onnxruntime"),
    "onnx.reference": Peer(("onnx",), "onnx"),
    "openvino": Peer(("openvino",), "openvino"),
    TEXTS_ONLY: Peer(
        ("sentence_transformers", "optimum", "onnxruntime"), '"sentence-transformers[onnx]"'
    ),
}


def check_peers(peers: Sequence[str], *, with_texts: bool) -> None:
    """Raise ConfigError for peers that are unknown, not installed, or have nothing to do."""
    for name in peers:
        if name not in PEERS:
            raise ConfigError(f"no runtime {name!r} to compare with; known: {', '.join(PEERS)}")
    missing = [name for name in peers if not all(map(find_spec, PEERS[name].modules))]
    if missing:
        packages = " ".join(PEERS[name].install for name in missing)
        raise ConfigError(f"not installed: {', '.join(missing)}; try: pip install {packages}")
    if TEXTS_ONLY in peers and not with_texts:
        raise ConfigError(f"{TEXTS_ONLY} takes texts, not token ids; try: --texts FILE")
