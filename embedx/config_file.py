"""Configuration files: JSON, TOML, or YAML with the parts that surprise left out."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from embedx.errors import ConfigError

MAX_CONFIG_BYTES = 2**20


def read_config(path: Path) -> dict[str, Any]:
    """The mapping in a .json, .toml or .yaml file. Raises ConfigError naming the file."""
    try:
        if path.stat().st_size > MAX_CONFIG_BYTES:
            raise ConfigError(f"{path} is larger than 1 MiB")
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"cannot read {path}: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8") from error
    try:
        data = _PARSERS.get(path.suffix, parse_yaml)(text)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error
    except ValueError as error:
        raise ConfigError(f"{path}: not {path.suffix[1:].upper()} ({error})") from error
    if not isinstance(data, dict):
        raise ConfigError(f"{path} holds {type(data).__name__}, expected a mapping")
    return data


def _parse_toml(text: str) -> Any:
    try:
        import tomllib
    except ImportError as error:
        raise ConfigError("reading TOML needs Python 3.11; write the file as YAML") from error
    return tomllib.loads(text)


_PARSERS: dict[str, Callable[[str], Any]] = {".json": json.loads, ".toml": _parse_toml}


def index_or_name(text: str) -> int | str:
    """A layer as a command line gives it: its index, or else its name."""
    try:
        return int(text)
    except ValueError:
        return text


def parse_yaml(text: str) -> Any:
    """The value of a YAML document without aliases, tags and repeated keys, in JSON's types.

    Aliases can unfold to gigabytes, tags can construct objects, of repeated keys the last would
    silently win, and 22:30, 010 and 2024-01-01 are not what they look like (YAML 1.1: the numbers
    1350 and 8, and a date). Raises ConfigError with the line.
    """
    try:
        import yaml
    except ImportError as error:
        raise ConfigError(
            "reading YAML needs PyYAML; install it, or write the file as JSON"
        ) from error

    class Loader(yaml.SafeLoader):  # type: ignore[misc]
        def compose_node(self, parent: Any, index: Any) -> Any:
            if self.check_event(yaml.AliasEvent):
                raise ConfigError(
                    f"line {self.peek_event().start_mark.line + 1}: aliases are not read"
                )
            return super().compose_node(parent, index)

        def construct_object(self, node: Any, deep: bool = False) -> Any:
            value = super().construct_object(node, deep)
            if isinstance(node, yaml.ScalarNode) and not isinstance(value, str | bool | None):
                plain = isinstance(value, int | float)
                if not plain or re.search(r":|^[-+]?0[\d_]", node.value):
                    raise ConfigError(
                        f"line {node.start_mark.line + 1}: YAML reads {node.value} as {value}; "
                        "write a plain number, or put quotes around a text"
                    )
            return value

        def construct_mapping(self, node: Any, deep: bool = False) -> Any:
            seen = {"<<"}  # merges keys, and so may repeat them
            for key, _ in node.value:
                line = f"line {key.start_mark.line + 1}"
                if not isinstance(key, yaml.ScalarNode):
                    raise ConfigError(f"{line}: a key must be plain text")
                if key.value in seen:
                    raise ConfigError(f"{line}: the key {key.value!r} is repeated")
                seen.add(key.value)
            return super().construct_mapping(node, deep)

    try:
        return yaml.load(text, Loader)  # a SafeLoader
    except yaml.YAMLError as error:
        raise ConfigError(f"not YAML ({' '.join(str(error).split())})") from error
    except RecursionError as error:
        raise ConfigError("nested too deeply") from error


def refuse_unknown(given: Iterable[str], known: Iterable[str], where: str) -> None:
    """Raise ConfigError for a key that is not known, with the nearest that is.

    >>> refuse_unknown(["ruote"], ["name", "route"], "an endpoint")
    Traceback (most recent call last):
    ...
    embedx.errors.ConfigError: an endpoint has no 'ruote'; did you mean 'route'?
    """
    names = list(known)
    for key in given:
        if key not in names:
            near = difflib.get_close_matches(str(key), names, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"it has {', '.join(names)}"
            raise ConfigError(f"{where} has no {key!r}; {hint}")
