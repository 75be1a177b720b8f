"""embedx: ONNX transformer encoders in NumPy, from one operator to the embeddings of a text.

Importing it imports NumPy and nothing else; each name below loads what it needs when it is used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from embedx.errors import (
    BudgetError,
    ConfigError,
    DeploymentError,
    EmbedxError,
    ExternalDataError,
    InputError,
    ModelError,
    NodeError,
    OutputError,
    ToleranceError,
    UnsupportedOpError,
)

if TYPE_CHECKING:
    from embedx.oracle.compare import compare
    from embedx.run.engine import Engine
    from embedx.text.embedder import load
    from embedx.text.pipeline import Pipeline

__version__ = "0.1.0"

_HOMES = {
    "Engine": "run.engine", "Pipeline": "text.pipeline", "compare": "oracle.compare",
    "load": "text.embedder",
}  # fmt: skip

__all__ = [
    "BudgetError",
    "ConfigError",
    "DeploymentError",
    "EmbedxError",
    "Engine",
    "ExternalDataError",
    "InputError",
    "ModelError",
    "NodeError",
    "OutputError",
    "Pipeline",
    "ToleranceError",
    "UnsupportedOpError",
    "__version__",
    "compare",
    "load",
]


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"embedx.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'embedx' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
