"""The process: uvicorn with a patient shutdown and an impatient view of slow clients."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from embedx.errors import ConfigError
from embedx.server.config import ServerConfig
from embedx.server.reload import Reloading

HEADER_SECONDS = 5.0
"""How long a new connection may take to send its first request's headers."""
HEADER_BYTES = 16 * 1024
DRAIN_SECONDS = 30
_GRACE_SECONDS = 0.5
_LEVELS = {"warn": "warning", "fatal": "critical"}

_log = logging.getLogger("embedx.server")


def serve(read: Callable[[], ServerConfig], config_file: Path | None = None) -> None:
    """Serve until SIGTERM or SIGINT, then finish what was accepted.

    ``read`` gives the configuration, now and whenever it is to be reloaded. Raises what loading the
    models raises, ConfigError if the address is taken, KeyboardInterrupt after SIGINT.
    """
    config = read()
    level = _LEVELS.get(config.log_level.lower(), config.log_level.lower())
    if level not in ("debug", "info", "warning", "error", "critical"):
        raise ConfigError(f"log_level is {config.log_level!r}, expected debug, info, ...")
    _log_to_stderr(level)
    listening = _listen(config.host, config.port)
    app = Reloading(read, config_file if config.hot_reload_config else None)
    host, port = listening.getsockname()[:2]
    names = ", ".join(f"{e.name} ({e.pipeline.text_model.path})" for e in app.service.endpoints)
    _log.info("serving %s on http://%s:%d, documentation on /docs", names, host, port)
    # uvicorn raises the signal again once it has shut down; ending well is no death by signal.
    signal.signal(signal.SIGTERM, lambda *_: None)
    _Server(
        uvicorn.Config(
            app,
            http=_Protocol,
            ws="none",
            lifespan="on",
            access_log=False,
            log_config=None,
            server_header=False,
            h11_max_incomplete_event_size=HEADER_BYTES,
            timeout_graceful_shutdown=DRAIN_SECONDS,
            backlog=2048,
        ),
        app,
    ).run(sockets=[listening])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, app: Reloading) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, but connected clients get a moment to send what is on its way.

        From now on each answer ends its connection; uvicorn would close those that are idle just
        when the next request comes.
        """
        self._app.service.draining = True
        for server in self.servers:
            server.close()
        await asyncio.sleep(_GRACE_SECONDS)
        await super().shutdown(sockets)


class _Protocol(H11Protocol):
    """HTTP that hangs up on a connection which sends no request in time."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._impatience = self.loop.call_later(HEADER_SECONDS, self._hang_up)

    def connection_lost(self, exc: Exception | None) -> None:
        self._impatience.cancel()
        super().connection_lost(exc)

    def _hang_up(self) -> None:
        if self.cycle is None:
            self.transport.close()


def _listen(host: str, port: int) -> socket.socket:
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listening = socket.socket(family, kind, protocol)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(address)
        listening.set_inheritable(True)
    except (OSError, OverflowError) as error:
        raise ConfigError(f"cannot listen on {host}:{port}: {error}") from error
    return listening


def _log_to_stderr(level: str) -> None:
    plain = logging.StreamHandler()
    plain.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    lines = logging.StreamHandler()
    lines.setFormatter(logging.Formatter("%(message)s"))
    handlers: dict[str, Any] = {"embedx": plain, "uvicorn": plain, "embedx.access": lines}
    for name, handler in handlers.items():
        logger = logging.getLogger(name)
        logger.handlers, logger.propagate = [handler], False
        logger.setLevel(level.upper())
