"""The operators as a table, and one operator as a card: all of it read off the functions."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from embedx.errors import ConfigError
from embedx.ops import Op, qualified, registered


def families() -> dict[tuple[str, str], list[Op]]:
    """Each operator's behaviours, oldest first, by domain and name."""
    found: dict[tuple[str, str], list[Op]] = {}
    for entry in registered():
        found.setdefault((entry.domain, entry.name), []).append(entry)
    return found


def table() -> str:
    """A Markdown table: operator, since when, the function, what comes out."""
    rows = ["| operator | since opset | function | gives |", "|---|---|---|---|"]
    for (domain, name), versions in families().items():
        newest = versions[-1].formula
        title = qualified(domain, name)
        since = ", ".join(str(entry.since) for entry in versions)
        rows.append(f"| {title} | {since} | `{_public(newest)}` | {summary(newest)} |")
    return "\n".join(rows)


def _public(function: Callable[..., Any]) -> str:
    """Where a function can be had: ``ops.softmax``, ``ops.microsoft.gelu``."""
    package = function.__module__.removeprefix("embedx.").rpartition(".")[0]
    return f"{package}.{function.__name__}"


def summary(function: Callable[..., Any]) -> str:
    """The first sentence of a function's docstring, on one line."""
    first = (inspect.getdoc(function) or "").partition("\n\n")[0]
    return " ".join(first.split()).replace("|", "\\|")


def facts(name: str) -> list[dict[str, Any]]:
    """What is known of an operator, newest behaviour first. Raises ConfigError if there is none."""
    domain, _, bare = name.replace("::", ".").rpartition(".")
    wanted = bare.lower()
    found = [
        entry
        for versions in families().values()
        for entry in reversed(versions)
        if wanted in (entry.name.lower(), entry.formula.__name__.rstrip("_"))
        and domain in ("", entry.domain or "ai.onnx")
    ]
    if not found:
        raise ConfigError(f"there is no operator {name!r}; 'embedx ops' lists them")
    return [
        {
            "operator": entry.title,
            "function": f"embedx.{_public(entry.formula)}",
            "signature": str(inspect.signature(entry.formula)),
            "doc": inspect.getdoc(entry.formula),
            "source": inspect.getsource(entry.formula),
        }
        for entry in found
    ]


def card(name: str) -> str:
    """An operator's signature, documentation and source, for reading."""
    parts = []
    for entry in facts(name):
        head = f"{entry['operator']}   {entry['function']}"
        parts.append(f"{head}\n{'=' * len(head)}\n{entry['source'].rstrip()}")
    return "\n\n\n".join(parts)
