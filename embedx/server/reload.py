"""A new configuration file for a running server, taken over as a whole or not at all."""

from __future__ import annotations

import asyncio
import gc
import logging
from collections.abc import Callable
from pathlib import Path

from starlette.types import Receive, Scope, Send

from embedx.errors import EmbedxError
from embedx.server.app import app_of
from embedx.server.config import ServerConfig
from embedx.server.metrics import Metrics
from embedx.server.service import Service

_log = logging.getLogger("embedx.server")
_POLL_SECONDS = 0.5


class Reloading:
    """An ASGI application that can be exchanged while it runs.

    ``read`` gives the configuration anew; ``watched`` is the file whose change makes that happen.
    Requests that have begun end in the application in which they began. Models whose file has not
    changed are kept.
    """

    def __init__(self, read: Callable[[], ServerConfig], watched: Path | None = None) -> None:
        self._read, self._watched = read, watched
        self._metrics = Metrics()
        self._lock = asyncio.Lock()
        self._closing: set[asyncio.Task[None]] = set()
        self._take_over(Service(read(), self._metrics))

    def _take_over(self, service: Service) -> None:
        self.service = service
        self._app = app_of(service, self.reload if service.config.admin else None)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer by the application of the moment."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        else:
            await self._app(scope, receive, send)

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        _settle_memory()
        watching = asyncio.create_task(self._watch())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        watching.cancel()
        await asyncio.gather(*self._closing, asyncio.to_thread(self.service.close))
        await send({"type": "lifespan.shutdown.complete"})

    async def reload(self) -> str | None:
        """Take over the configuration as it is now; what is wrong with it otherwise."""
        async with self._lock:
            try:
                service = await asyncio.to_thread(
                    lambda: Service(self._read(), self._metrics, self.service.models)
                )
            except EmbedxError as error:
                self.service.reload_error = str(error)
                self._metrics.reloads.add(1, "refused")
                _log.error("the configuration stays as it was: %s", error)
                return str(error)
            old = self.service
            self._take_over(service)
            self._metrics.reloads.add(1, "done")
            names = ", ".join(endpoint.name for endpoint in service.endpoints)
            _log.info("the configuration is reloaded: %s", names)
            task = asyncio.create_task(_close(old))
            self._closing.add(task)
            task.add_done_callback(self._closing.discard)
            return None

    async def _watch(self) -> None:
        seen = self._stamp()
        while self._watched is not None:
            await asyncio.sleep(_POLL_SECONDS)
            found = self._stamp()
            if found is not None and found != seen:
                seen = found
                await self.reload()

    def _stamp(self) -> tuple[int, int] | None:
        try:
            stat = self._watched.stat() if self._watched else None
        except OSError:  # editors replace files; the next look will see the new one
            return None
        return None if stat is None else (stat.st_mtime_ns, stat.st_size)


async def _close(service: Service) -> None:
    """End a service that gets no new requests, once it has answered those that it has."""
    while service.requests:
        await asyncio.sleep(0.05)
    await asyncio.to_thread(service.close)
    del service  # what is referred to is not collected
    _settle_memory()


def _settle_memory() -> None:
    """Let garbage collections pass over what stays: all of it takes a tenth of a second."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
