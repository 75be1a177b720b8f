"""What clients are told when something is wrong, in the words of the protocol they speak."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from embedx.errors import BudgetError, EmbedxError, InputError, NodeError

_TEI_ROUTES = ("/embed", "/embed_all", "/similarity", "/tokenize")
_TEI_TYPES = {
    400: "Validation", 401: "Unauthorized", 404: "Validation", 413: "Validation",
    422: "Validation", 424: "Backend", 429: "Overloaded", 500: "Backend", 503: "Unhealthy",
}  # fmt: skip
_OPENAI_TYPES = {401: "authentication_error", 429: "rate_limit_error"}


class RefusedError(EmbedxError):
    """A request that is not answered, and the HTTP status that says so."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def status_of(error: EmbedxError) -> int:
    """The HTTP status for one of embedx's errors while answering a request.

    >>> status_of(InputError("no text"))
    422
    """
    if isinstance(error, RefusedError):
        return error.status
    if isinstance(error, InputError):
        return 422
    if isinstance(error, BudgetError):
        return 503
    return 424 if isinstance(error, NodeError) else 500


def error_body(path: str, status: int, message: str) -> bytes:
    """The JSON that says it: TEI's shape on its routes, OpenAI's on /v1, OIP's on /v2, else ours.

    >>> error_body("/predict", 422, "no")
    b'{"detail":"no"}'
    """
    body: Mapping[str, Any]
    if path in _TEI_ROUTES:
        body = {"error": message, "error_type": _TEI_TYPES.get(status, "Validation")}
    elif path.startswith("/v1/"):
        kind = "server_error" if status >= 500 else "invalid_request_error"
        kind = _OPENAI_TYPES.get(status, kind)
        body = {"error": {"message": message, "type": kind, "param": None, "code": str(status)}}
    elif path.startswith("/v2/"):
        body = {"error": message}
    else:
        body = {"detail": message}
    # ASCII, as what a client sent may hold surrogates that UTF-8 cannot.
    return json.dumps(body, separators=(",", ":")).encode("ascii")
