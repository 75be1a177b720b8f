"""The bodies of errors, and which routes can answer with them, as /docs shows them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel


class Detail(BaseModel):
    """An error on DeepSparse's routes."""

    detail: str


class TeiError(BaseModel):
    """An error on text-embeddings-inference's routes."""

    error: str
    error_type: str


class OipError(BaseModel):
    """An error on /v2."""

    error: str


class OpenAIErrorDetail(BaseModel):
    """What is wrong."""

    message: str
    type: str
    param: str | None
    code: str | None


class OpenAIError(BaseModel):
    """An error on /v1."""

    error: OpenAIErrorDetail


def refusals(kind: type[BaseModel], *more: int) -> dict[int | str, dict[str, Any]]:
    """The statuses that a route that embeds can answer with, for the docs."""
    meanings = {
        401: "The bearer token is missing or wrong.",
        404: "There is no such model.",
        408: "The body did not arrive in time.",
        413: "The body or a text is too large.",
        422: "The body is not what the route takes.",
        424: "The model fails on this text.",
        429: "Too many requests are in flight.",
        503: "The server is too busy to answer in time, or shuts down.",
    }
    return {
        status: {"model": kind, "description": text}
        for status, text in meanings.items()
        if status != 404 or 404 in more
    }
