"""The versions of embedx and of what it runs on."""

from __future__ import annotations

import argparse
import sys
from typing import Any

import embedx
from embedx.cli.output import say

_REQUIRED = ("numpy", "scipy", "onnx", "tokenizers", "threadpoolctl", "tqdm")


_OPTIONAL = ("onnxruntime", "fastapi", "uvicorn", "PyYAML", "huggingface_hub")


class Version(argparse.Action):
    """Prints one version a line, which argparse's own action would wrap into a paragraph."""

    def __call__(self, parser: argparse.ArgumentParser, *_: Any) -> None:
        """Print them, and end."""
        say(versions())
        parser.exit()


def versions() -> str:
    """embedx' own version and those of what it runs on."""
    from importlib import metadata

    def of(name: str) -> str:
        try:
            return f"{name} {metadata.version(name)}"
        except metadata.PackageNotFoundError:
            return f"{name} (not installed)"

    python = ".".join(map(str, sys.version_info[:3]))
    return "\n".join(
        [
            f"embedx {embedx.__version__}",
            f"python {python}",
            *map(of, _REQUIRED),
            *map(of, _OPTIONAL),
        ]
    )
