"""The FastAPI application of one configuration."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import Response
from starlette.exceptions import HTTPException

import embedx
from embedx.errors import EmbedxError
from embedx.server.config import ServerConfig
from embedx.server.errors import error_body, status_of
from embedx.server.guard import Guard
from embedx.server.metrics import Metrics
from embedx.server.routes_openai import openai_routes
from embedx.server.routes_operations import health_routes, operation_routes
from embedx.server.routes_predict import oip_routes, predict_routes
from embedx.server.routes_tei import tei_routes
from embedx.server.service import Service

Reload = Callable[[], Awaitable[str | None]]

_SHOWN_ERRORS = 3


def create_app(config: ServerConfig) -> FastAPI:
    """The application, its models loaded; its lifespan ends the workers.

    Raises what loading a model raises.
    """
    return app_of(Service(config, Metrics()))


def app_of(service: Service, reload: Reload | None = None) -> FastAPI:
    """The application around a service; ``reload`` is what POST /reload does, if it may."""

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(service.close)

    app = FastAPI(
        title="embedx",
        version=embedx.__version__,
        description="Text embeddings by DeepSparse's, OpenAI's, text-embeddings-inference's and "
        "the Open Inference Protocol's names.",
        lifespan=lifespan,
        redoc_url=None,
    )
    app.state.service = service
    app.include_router(predict_routes(service))
    app.include_router(oip_routes(service))
    app.include_router(openai_routes(service))
    app.include_router(tei_routes(service))
    app.include_router(health_routes(service))
    app.include_router(operation_routes(service, reload))
    app.add_exception_handler(EmbedxError, _embedx_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(RequestValidationError, _invalid_body)
    app.add_middleware(Guard, service=service)
    if service.config.cors_allow_origin is not None:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=[service.config.cors_allow_origin],
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
        )
    return app


def _error(request: Request, status: int, message: str, **options: Any) -> Response:
    body = error_body(request.url.path, status, message)
    return Response(body, status, media_type="application/json", **options)


async def _embedx_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, EmbedxError)
    return _error(request, status_of(error), str(error))


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    # A body that no parser understands is a bad body like any other.
    status = 422 if error.status_code == 400 else error.status_code
    headers = {**(error.headers or {})}
    if headers.get("Allow") == "GET":
        headers["Allow"] = "GET, HEAD"
    return _error(request, status, str(error.detail), headers=headers)


async def _invalid_body(request: Request, error: Exception) -> Response:
    """What is wrong where; what the client sent is not repeated."""
    assert isinstance(error, RequestValidationError)
    kind = request.headers.get("content-type", "")
    if request.method == "POST" and "json" not in kind.lower():
        return _error(request, 422, "send JSON, with 'Content-Type: application/json'")
    found = [_described(e) for e in error.errors()[:_SHOWN_ERRORS]]
    return _error(request, 422, str(EmbedxError("; ".join(found))))


def _described(error: dict[str, Any]) -> str:
    if error["type"] == "json_invalid":
        return f"the body is not JSON: {error['ctx']['error']} at character {error['loc'][-1]}"
    tags = ("body", "deepsparse", "oip")
    place = ".".join(str(part) for part in error["loc"] if part not in tags)
    message = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        message = "is not known here"
    return f"{place[:100]}: {message}" if place else f"the body: {message}"
