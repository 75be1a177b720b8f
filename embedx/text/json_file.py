"""JSON files of a model folder, whose keys are checked against closed tables."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeAlias

from embedx.errors import DeploymentError

_log = logging.getLogger("embedx")

MAX_JSON_BYTES = 64 * 2**20
"""Far above the largest tokenizer.json; what is longer is not read."""


Rule: TypeAlias = type | tuple[object, ...] | None


Table: TypeAlias = Mapping[str, Rule]
"""The keys of a file. A type is what a value must have that is read here (null is as good as
absent); a tuple holds the only values that are supported, as others change the embeddings; None
stands for a value that does not, or that is checked where it is read."""


_reported: set[tuple[str, str]] = set()


def read_json(path: Path) -> dict[str, Any]:
    """The object in a JSON file, empty if there is none. Raises DeploymentError otherwise."""
    value = read_any(path)
    if not isinstance(value, dict):
        raise DeploymentError(f"{path} holds {type(value).__name__}, expected an object")
    return value


def read_any(path: Path) -> Any:
    """The value in a JSON file, an empty dict if there is none. Raises DeploymentError."""
    if not path.exists():
        return {}
    try:
        if not path.is_file() or path.stat().st_size > MAX_JSON_BYTES:
            raise DeploymentError(f"{path} is no regular file of at most 64 MiB")
        return json.loads(path.read_text("utf-8-sig"))
    except (OSError, ValueError, RecursionError) as error:
        raise DeploymentError(f"{path}: not readable as JSON ({error})") from error


def read_checked(path: Path, table: Table) -> dict[str, Any]:
    """The object in a JSON file, as :func:`read_json` has it, checked by :func:`check_keys`."""
    data = read_json(path)
    check_keys(data, str(path), table)
    return data


def check_keys(data: Mapping[str, Any], where: str, table: Table) -> None:
    """Raise DeploymentError for a value that the table does not allow.

    A key that is not in the table is logged, once for each ``where``.
    """
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
