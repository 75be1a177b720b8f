"""Libraries that come with an extra of embedx, imported when an operator needs them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

_EXTRAS = {"re2": ("google-re2", "text")}
"""From the module's name to its package, and to the extra that installs it."""


def library(name: str) -> Any:
    """The module ``name``. Raises ImportError with the extra to install if it is missing."""
    try:
        return import_module(name)
    except ImportError as error:
        package, extra = _EXTRAS[name]
        raise ImportError(
            f"this operator needs {package}: pip install 'embedx[{extra}]'"
        ) from error
