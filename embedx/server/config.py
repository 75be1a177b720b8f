"""What the server does, as frozen dataclasses, and the YAML, JSON or TOML file that says it."""

from __future__ import annotations

import logging
import math
import re
import typing
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from embedx.config_file import read_config, refuse_unknown
from embedx.errors import ConfigError
from embedx.text.deepsparse import TASKS

_IGNORED_BY_SERVER = (
    "integration", "engine_thread_pinning", "pytorch_num_threads", "loggers", "system_logging",
)  # fmt: skip
_IGNORED_BY_ENDPOINT = ("logging_config", "data_logging", "middlewares")
_IGNORED_KWARGS = ("engine_type", "model_size", "return_numpy", "scheduler", "context")
KWARGS = ("sequence_length", "extraction_strategy", "emb_extraction_layer")
_RESERVED = (
    "config docs embed embed_all health healthcheck info invocations metrics openapi.json ping "
    "redoc reload similarity status tokenize v1 v2"
).split()

_log = logging.getLogger("embedx.server")


@dataclass(frozen=True)
class EndpointConfig:
    """One model and how it is asked."""

    task: str = TASKS[0]
    model: str | None = None
    name: str | None = None
    """What clients call it; by default the route, or the task and a number."""
    route: str | None = None
    """A path of its own for DeepSparse's body; the first endpoint has /predict in any case."""
    batch_size: int | None = None
    """The most texts that run together; by default ``max_batch_tokens`` decides."""
    sequence_length: int | tuple[int, ...] | None = None
    """The most tokens of a text, or buckets; by default DeepSparse's 128 on its routes, and what
    the model folder says on the others."""
    extraction_strategy: str = "per_token"
    """As for ``Pipeline.create``. Routes that give one vector per text do what the model folder
    says, unless a strategy that does so is set."""
    emb_extraction_layer: int | str | None = -1


@dataclass(frozen=True)
class ServerConfig:
    """Everything that a server is started with."""

    endpoints: tuple[EndpointConfig, ...]
    num_cores: int | None = None
    """Threads of all inference together; by default one per processor."""
    num_workers: int | None = None
    """Batches that run at the same time; by default one per core."""
    host: str = "127.0.0.1"
    port: int = 5543
    api_key: str | None = None
    """Clients must send it as ``Authorization: Bearer``; health checks and the page need not."""
    cors_allow_origin: str | None = None
    max_concurrent_requests: int = 512
    max_client_batch_size: int = 32
    max_batch_tokens: int = 16384
    max_queued_tokens: int = 2**18
    max_text_characters: int = 100_000
    payload_limit: int = 2_000_000
    batch_wait_ms: float = 2.0
    """How long a text waits for others of its length before it runs."""
    timeout: float = 30.0
    """Seconds from a request's arrival until it is given up."""
    auto_truncate: bool = True
    """Whether too long texts are cut off where a request does not say."""
    hot_reload_config: bool = False
    admin: bool = False
    """Whether POST /reload exists."""
    log_level: str = "info"


def read_server_config(path: Path) -> ServerConfig:
    """The configuration in a file. Raises ConfigError naming the file, the endpoint and the key."""
    values = read_config(path)
    try:
        return server_config(values)
    except ConfigError as error:
        raise ConfigError(f"{path}: {error}") from error


def server_config(values: Mapping[str, Any]) -> ServerConfig:
    """The configuration that a mapping with DeepSparse's keys describes.

    Names and routes are normalised: ``route: minilm/`` is ``/minilm``. Raises ConfigError for
    unknown keys, wrong types, and endpoints that would answer for each other.

    >>> config = server_config({"endpoints": [{"task": "embedding_extraction", "model": "m"}]})
    >>> config.endpoints[0].name, config.endpoints[0].route, config.port
    ('embedding_extraction-0', '/predict', 5543)
    """
    settings = _known(values, ServerConfig, _IGNORED_BY_SERVER, "the server")
    endpoints = settings.pop("endpoints", None)
    if not isinstance(endpoints, list | tuple) or not endpoints:
        raise ConfigError("endpoints must be a list with at least one endpoint")
    typed = [
        e if isinstance(e, EndpointConfig) else _endpoint(e, i) for i, e in enumerate(endpoints)
    ]
    return ServerConfig(tuple(_named(typed)), **_typed(settings, ServerConfig, "the server"))


def _endpoint(values: Any, index: int) -> EndpointConfig:
    where = f"endpoint {index}"
    if not isinstance(values, Mapping):
        raise ConfigError(f"{where} is {type(values).__name__}, expected a mapping")
    given = dict(values)
    kwargs = given.pop("kwargs", None) or {}
    bucketing = given.pop("bucketing", None) or {}
    if not isinstance(kwargs, Mapping) or not isinstance(bucketing, Mapping):
        raise ConfigError(f"{where}: kwargs and bucketing are mappings")
    if "model_path" in given:
        given.setdefault("model", given.pop("model_path"))
    plain = [f.name for f in fields(EndpointConfig) if f.name not in KWARGS]
    for name in KWARGS:
        if name in given:
            raise ConfigError(f"{where}: {name} belongs under kwargs")
    refuse_unknown(given, [*plain, "kwargs", "bucketing", *_IGNORED_BY_ENDPOINT], where)
    refuse_unknown(kwargs, [*KWARGS, *_IGNORED_KWARGS], f"{where}, kwargs,")
    refuse_unknown(bucketing, ["sequence_lengths"], f"{where}, bucketing,")
    if "sequence_lengths" in bucketing:
        given["sequence_length"] = bucketing["sequence_lengths"]
    given |= kwargs
    if isinstance(given.get("sequence_length"), list):
        given["sequence_length"] = tuple(given["sequence_length"])
    known = _known(given, EndpointConfig, (*_IGNORED_BY_ENDPOINT, *_IGNORED_KWARGS), where)
    return EndpointConfig(**_typed(known, EndpointConfig, where))


def _known(
    values: Mapping[str, Any], kind: type, ignored: Sequence[str], where: str
) -> dict[str, Any]:
    """The values without those that DeepSparse has and embedx does without."""
    known = [f.name for f in fields(kind)]
    refuse_unknown(values, [*known, *ignored], where)
    unused = [key for key in values if key in ignored]
    if unused:
        _log.warning("%s: %s has no effect", where, ", ".join(unused))
    return {key: value for key, value in values.items() if key in known}


def _typed(values: dict[str, Any], kind: type, where: str) -> dict[str, Any]:
    hints = typing.get_type_hints(kind)
    for field in fields(kind):
        if field.name not in values:
            continue
        value, hint = values[field.name], hints[field.name]
        allowed = {typing.get_origin(t) or t for t in typing.get_args(hint) or (hint,)}
        if type(value) is int and float in allowed:
            value = values[field.name] = float(value)
        if type(value) not in allowed:
            names = " or ".join(sorted("none" if t is type(None) else t.__name__ for t in allowed))
            raise ConfigError(f"{where}: {field.name} is {value!r}, expected {names}")
        if type(value) not in (int, float) or "layer" in field.name:
            continue
        if field.name == "port":
            if not 0 <= value < 2**16:
                raise ConfigError(f"{where}: port is {value}, expected 0 (any free one) to 65535")
            continue
        least = 0 if type(value) is float else 1
        if not least <= value < math.inf:
            raise ConfigError(f"{where}: {field.name} is {value}, expected at least {least}")
    return values


def _named(endpoints: Sequence[EndpointConfig]) -> Iterable[EndpointConfig]:
    """The endpoints with a name and, if clients may ask for one, a route; both unique."""
    names: dict[str, int] = {}
    routes: dict[str, int] = {}
    for i, endpoint in enumerate(endpoints):
        route = None if endpoint.route is None else _route(endpoint.route, i)
        if i == 0 and route is None:
            route = "/predict"
        default = f"{endpoint.task}-{i}" if endpoint.route is None else (route or "").strip("/")
        name = re.sub(r"[\s/]+", "-", (endpoint.name or default).strip("/ "))
        if not re.fullmatch(r"[\w.:-]+", name):
            raise ConfigError(f"endpoint {i}: the name {name!r} has characters that no URL wants")
        if route is not None:
            _claim(routes, route, i, "route")
        _claim(names, name, i, "name")
        yield replace(endpoint, name=name, route=route)


def _route(route: str, index: int) -> str:
    path = "/" + "/".join(part for part in route.strip().split("/") if part)
    if not re.fullmatch(r"(/[\w.~-]+)+", path):
        raise ConfigError(f"endpoint {index}: {route!r} is no path such as /minilm")
    if path.split("/")[1].lower() in _RESERVED:
        raise ConfigError(f"endpoint {index}: the server itself answers on {path}")
    return path


def _claim(taken: dict[str, int], what: str, index: int, kind: str) -> None:
    key = what.casefold()
    if key in taken:
        raise ConfigError(f"endpoints {taken[key]} and {index} have the same {kind} {what!r}")
    taken[key] = index
