"""Where each protocol puts what is wrong."""

from __future__ import annotations

from typing import Any


def message_of(path: str, answer: Any) -> str:
    """The message, from where the route's protocol puts it, and only there."""
    body = answer.json()
    if path.startswith("/v1"):
        assert set(body) == {"error"}
        assert set(body["error"]) == {"message", "type", "param", "code"}
        return str(body["error"]["message"])
    if path.startswith("/v2"):
        assert set(body) == {"error"}
        return str(body["error"])
    if path in ("/embed", "/embed_all", "/tokenize", "/similarity"):
        assert set(body) == {"error", "error_type"}
        return str(body["error"])
    assert set(body) == {"detail"}
    return str(body["detail"])
