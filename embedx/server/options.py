"""The command line's options, which are the environment's as well: --port is EMBEDX_PORT."""

from __future__ import annotations

import argparse
import os
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from embedx.config_file import index_or_name
from embedx.errors import ConfigError
from embedx.server.config import KWARGS, ServerConfig, read_server_config, server_config
from embedx.text.deepsparse import TASKS

_ENDPOINT = ("task", "name", "route", "batch_size")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Give the parser the server's options; what the environment says is their default."""

    def add(name: str, help: str, **options: Any) -> None:
        default = os.environ.get(f"EMBEDX_{name.upper()}")
        parser.add_argument(f"--{name.replace('_', '-')}", default=default, help=help, **options)

    parser.add_argument(
        "model", nargs="?", default=os.environ.get("EMBEDX_MODEL"),
        help="a model folder, an .onnx file, or a cached name",
    )  # fmt: skip
    add("model_path", "the same, as DeepSparse spells it")
    add("config_file", "a YAML, JSON or TOML file with endpoints", type=Path)
    add("task", "embedding_extraction, by any of its names")
    add("name", "what clients call the model (default: the task)")
    add("route", "a path of its own (default: /predict)")
    add("sequence_length", "the most tokens of a text, or buckets: 16,128", type=_lengths)
    add("extraction_strategy", "as for Pipeline.create (default: per_token)")
    add("emb_extraction_layer", "an index or a name (default: -1)", type=index_or_name)
    add("batch_size", "the most texts that run together", type=int)
    add("host", "the address to listen on; 0.0.0.0 is every one (default: 127.0.0.1)")
    add("port", "default: 5543", type=int)
    add("num_cores", "threads of all inference together (default: all)", type=int)
    add("num_workers", "batches that run at the same time (default: one per core)", type=int)
    add("api_key", "a bearer token that clients must send; better in the environment")
    add("cors_allow_origin", "a web origin whose pages may ask, or * (default: none)")
    add("max_concurrent_requests", "requests in flight before 429 (default: 512)", type=int)
    add("max_client_batch_size", "texts of a request before 422 (default: 32)", type=int)
    add("max_batch_tokens", "tokens that run together (default: 16384)", type=int)
    add("max_queued_tokens", "tokens that wait before 429 (default: 262144)", type=int)
    add("max_text_characters", "characters of a text before 413 (default: 100000)", type=int)
    add("payload_limit", "bytes of a body before 413 (default: 2000000)", type=int)
    add("batch_wait_ms", "how long a text waits for others (default: 2)", type=float)
    add("timeout", "seconds until a request is given up with 503 (default: 30)", type=float)
    add("log_level", "debug, info, warning, error or critical (default: info)")
    add("integration", "accepted for DeepSparse's sake: every protocol is always on")
    add("hot_reload_config", "follow changes of the configuration file", action="store_true")
    add("admin", "answer POST /reload", action="store_true")


def config_of(options: argparse.Namespace) -> ServerConfig:
    """The configuration that the options, and the file that they may name, describe.

    Options about the server go before the file; those about a model go without one. Raises
    ConfigError.
    """
    given = {k: v for k, v in vars(options).items() if v is not None}
    model = given.get("model_path", given.get("model"))
    settings = {f.name: given[f.name] for f in fields(ServerConfig) if f.name in given}
    for name in ("hot_reload_config", "admin"):
        if isinstance(settings.get(name), str):
            settings[name] = _truth(f"EMBEDX_{name.upper()}", settings[name])
    if settings.get("hot_reload_config") and "config_file" not in given:
        raise ConfigError("--hot-reload-config needs a --config-file to follow")
    if "config_file" in given:
        stray = [k for k in ("model", "model_path", *_ENDPOINT, *KWARGS) if k in given]
        if stray:
            raise ConfigError(f"--{stray[0].replace('_', '-')} belongs into the configuration file")
        from_file = read_server_config(Path(given["config_file"]))
        checked = server_config({**settings, "endpoints": from_file.endpoints})
        return replace(from_file, **{name: getattr(checked, name) for name in settings})
    endpoint: dict[str, Any] = {k: given[k] for k in _ENDPOINT if k in given}
    if model is not None:
        endpoint["model"] = model
    endpoint.setdefault("name", given.get("task", TASKS[0]))
    endpoint["kwargs"] = {k: given[k] for k in KWARGS if k in given}
    return server_config({**settings, "endpoints": [endpoint]})


def _lengths(text: str) -> int | list[int]:
    lengths = [int(part) for part in text.split(",")]
    return lengths if len(lengths) > 1 else lengths[0]


def _truth(variable: str, text: str) -> bool:
    if text.lower() in ("1", "true", "yes", "on"):
        return True
    if text.lower() in ("", "0", "false", "no", "off"):
        return False
    raise ConfigError(f"{variable} is {text!r}, expected true or false")
