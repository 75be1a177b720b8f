"""What stands before every route: request ids, the log, the bearer token, and the limits.

Plain ASGI: a request's body is read here, within its bounds of size and time, and replayed to the
routes; meanwhile the connection is watched, so that work for a client that has gone is given up.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import re
import time
import uuid
from typing import Any

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from embedx.server.errors import RefusedError, error_body
from embedx.server.service import Facts, Service, facts

BODY_SECONDS = 10.0
"""How long a body may take to arrive."""
_OPEN = ("/", "/health", "/healthcheck", "/ping", "/status", "/v2/health/live", "/v2/health/ready")
"""What is answered without a bearer token."""

_access = logging.getLogger("embedx.access")
_log = logging.getLogger("embedx.server")


class Guard:
    """The middleware around the routes of one service."""

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app, self._service = app, service
        key = service.config.api_key
        self._key = None if key is None else f"Bearer {key}".encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, through the routes or with a refusal."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        await _Exchange(self._app, self._service, scope, receive, send).run(self._key)


class _Exchange:
    """One request and its answer."""

    def __init__(
        self, app: ASGIApp, service: Service, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._app, self._service = app, service
        self._method = scope["method"]
        # HEAD is a GET whose answer ends behind the headers.
        self._scope = {**scope, "method": "GET" if self._method == "HEAD" else self._method}
        self._receive, self._raw_send = receive, send
        self._headers = Headers(scope=scope)
        given = self._headers.get("x-request-id", "")
        self._id = given if re.fullmatch(r"[A-Za-z0-9_.:-]{1,64}", given) else uuid.uuid4().hex
        self._started = time.perf_counter()
        self._status = 499  # what logs call a client that went away
        self._begun = self._complete = False
        limit = service.config.timeout
        self._facts = Facts(asyncio.get_running_loop().time() + limit)

    async def run(self, key: bytes | None) -> None:
        """Answer it, and say so in the log and the metrics."""
        service = self._service
        facts.set(self._facts)
        service.requests += 1
        try:
            if key is not None and self._scope["path"] not in _OPEN:
                self._authorize(key)
            body = await self._body()
            if self._method == "POST":
                await self._admitted(body)
            else:
                await self._answer(body)
        except RefusedError as refused:
            await self._refuse(refused.status, str(refused))
        except Exception:
            _log.exception("request %s failed", self._id)
            if not self._begun:
                await self._refuse(500, f"this is a bug in embedx; the log has request {self._id}")
        finally:
            service.requests -= 1
            self._report()

    async def _admitted(self, body: bytes) -> None:
        """Answer it, unless too many others are being answered; slow bodies do not count."""
        service = self._service
        if service.in_flight >= service.config.max_concurrent_requests:
            raise RefusedError(429, "too many requests are in flight; try again in a moment")
        service.in_flight += 1
        try:
            await self._answer(body)
        finally:
            service.in_flight -= 1

    def _authorize(self, key: bytes) -> None:
        given = self._headers.get("authorization", "").encode("latin-1")
        if not hmac.compare_digest(given, key):
            raise RefusedError(401, "send the server's key as 'Authorization: Bearer KEY'")

    async def _body(self) -> bytes:
        """The whole body. Raises RefusedError with 413 or 408."""
        limit = self._service.config.payload_limit
        parts: list[bytes] = []
        size = 0
        loop = asyncio.get_running_loop()
        deadline = loop.time() + BODY_SECONDS
        while True:
            try:
                message = await asyncio.wait_for(self._receive(), deadline - loop.time())
            except asyncio.TimeoutError:
                raise RefusedError(
                    408, f"the body took more than {BODY_SECONDS:g} seconds"
                ) from None
            if message["type"] == "http.disconnect":
                raise _ClientGoneError
            part = message.get("body", b"")
            size += len(part)
            if size <= limit:
                parts.append(part)
            # A client that still sends does not read; so what is not wildly large is swallowed.
            done = not message.get("more_body", False)
            if size > limit and (done or size > 16 * limit):
                raise RefusedError(413, f"the body is larger than {limit} bytes; send it in parts")
            if done:
                return b"".join(parts)

    async def _answer(self, body: bytes) -> None:
        """Let the routes answer, unless the client goes away."""
        messages = [{"type": "http.request", "body": body, "more_body": False}]

        async def replay() -> Message:
            return messages.pop() if messages else await self._receive()

        answering = asyncio.ensure_future(self._app(self._scope, replay, self._send))
        watching = asyncio.create_task(self._gone())
        try:
            await asyncio.wait((answering, watching), return_when=asyncio.FIRST_COMPLETED)
            if not answering.done() and not self._complete:
                answering.cancel()
            await answering
        except asyncio.CancelledError:
            answering.cancel()
            if not watching.done():
                raise
        finally:
            watching.cancel()

    async def _gone(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._begun = True
            self._status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-Id"] = self._id
            if self._facts.truncated:
                headers["X-Embedx-Truncated"] = str(self._facts.truncated)
            if self._status in (429, 503):
                headers["Retry-After"] = "1"
            if self._service.draining or self._status in (401, 408, 413):
                headers["Connection"] = "close"
        else:
            self._complete = not message.get("more_body", False)
            if self._method == "HEAD":
                message = {**message, "body": b""}
        await self._raw_send(message)

    async def _refuse(self, status: int, message: str) -> None:
        body = error_body(self._scope["path"], status, message)
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(body))]
        if status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        await self._send({"type": "http.response.start", "status": status, "headers": headers})
        await self._send({"type": "http.response.body", "body": body})

    def _report(self) -> None:
        seconds = time.perf_counter() - self._started
        route: Any = getattr(self._scope.get("route"), "path", "other")
        metrics = self._service.metrics
        known = self._method if self._method in ("GET", "POST", "HEAD", "OPTIONS") else "other"
        metrics.requests.add(1, known, route, str(self._status))
        metrics.latency.observe(seconds, route)
        if _access.isEnabledFor(logging.INFO):
            client = self._scope.get("client")
            line = {
                "time": round(time.time(), 3),
                "request_id": self._id,
                "client": client[0] if client else None,
                "method": self._method,
                "path": self._scope["path"],
                "status": self._status,
                "ms": round(1000 * seconds, 1),
                "texts": self._facts.texts,
                "tokens": self._facts.tokens,
                "truncated": self._facts.truncated,
            }
            _access.info("%s", json.dumps(line))


class _ClientGoneError(RefusedError):
    def __init__(self) -> None:
        super().__init__(499, "the client has gone")
