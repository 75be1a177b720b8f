"""Routes for those who run the server: health, facts, metrics, and the page."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from dataclasses import asdict, replace
from importlib import resources
from typing import Any

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response

import embedx
from embedx.server.errors import RefusedError
from embedx.server.refusals import Detail, OipError
from embedx.server.schemas import Health, Info
from embedx.server.service import Service
from embedx.server.views import Endpoint
from embedx.text.modules import Pooling

_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def health_routes(service: Service) -> APIRouter:
    """Whether the process lives, and whether it takes requests."""
    router = APIRouter(tags=["operations"])

    async def health() -> bool:
        """True, as soon as the models are loaded."""
        return True

    for path in ("/health", "/healthcheck", "/ping", "/status"):
        router.add_api_route(path, health, methods=["GET"], response_model=bool)

    @router.get("/v2/health/live")
    async def live() -> Health:
        """Whether the process answers."""
        return Health(live=True)

    @router.get("/v2/health/ready", responses={503: {"model": OipError}})
    async def ready() -> Health:
        """Whether new requests are welcome."""
        if service.draining:
            raise RefusedError(503, "the server is shutting down")
        return Health(ready=True)

    return router


def operation_routes(
    service: Service, reload: Callable[[], Awaitable[str | None]] | None
) -> APIRouter:
    """Facts, metrics and the page; POST /reload where ``reload`` is given."""
    router = APIRouter(tags=["operations"])

    @router.get("/info")
    async def info() -> Info:
        """The first endpoint's model and the server's limits, as text-embeddings-inference says."""
        return _info(service)

    @router.get("/config")
    async def config() -> dict[str, Any]:
        """What the server was started with, and why a newer file was refused, if one was."""
        hidden = replace(service.config, api_key=service.config.api_key and "***")
        return {**asdict(hidden), "reload_error": service.reload_error}

    @router.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> PlainTextResponse:
        """Counts and distributions in Prometheus' text format."""
        return PlainTextResponse(_metrics(service), media_type="text/plain; version=0.0.4")

    @router.get("/", response_class=HTMLResponse, include_in_schema=False)
    async def page() -> Response:
        """A page to try the model on."""
        html = resources.files("embedx.server").joinpath("page/index.html").read_text("utf-8")
        return HTMLResponse(html, headers={"Content-Security-Policy": _POLICY})

    if reload is not None:
        router.add_api_route(
            "/reload", _reloading(reload), methods=["POST"], responses={409: {"model": Detail}}
        )
    return router


def _reloading(reload: Callable[[], Awaitable[str | None]]) -> Callable[[], Awaitable[Response]]:
    async def reload_now() -> Response:
        """Take over the configuration file as it is now; a broken one changes nothing."""
        error = await reload()
        if error is not None:
            raise RefusedError(409, error)
        return JSONResponse({"reloaded": True})

    return reload_now


def _info(service: Service) -> Info:
    config, endpoint = service.config, service.default
    return Info(
        model_id=endpoint.name,
        model_dtype=_dtype(endpoint),
        model_type={"embedding": {"pooling": _pooling(endpoint)}},
        max_concurrent_requests=config.max_concurrent_requests,
        max_input_length=endpoint.sentence[None].max_length,
        max_batch_tokens=config.max_batch_tokens,
        max_client_batch_size=config.max_client_batch_size,
        auto_truncate=config.auto_truncate,
        version=embedx.__version__,
        models=[e.name for e in service.endpoints],
    )


def _metrics(service: Service) -> str:
    return service.metrics.page(
        requests_in_flight=service.in_flight,
        queued_texts=service.batcher.queued_texts,
        queued_tokens=service.batcher.queued_tokens,
    )


def _dtype(endpoint: Endpoint) -> str:
    """The type of most of the weights."""
    sizes: dict[str, int] = {}
    for value in endpoint.sentence[None].model.engine.graph.initializers.values():
        sizes[str(value.dtype)] = sizes.get(str(value.dtype), 0) + math.prod(value.shape)
    return max(sizes, key=lambda name: sizes[name], default="float32")


def _pooling(endpoint: Endpoint) -> str:
    if endpoint.config.extraction_strategy not in ("per_token", "auto"):
        return endpoint.config.extraction_strategy
    modes = [m.modes for m in endpoint.embedder.modules if isinstance(m, Pooling)]
    return "+".join(modes[0]) if modes else "none"
