"""What stands before every route: ids, the log, the token, and the limits."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.server.messages import message_of


def test_head_is_get_without_the_body(client: Any) -> None:
    """RFC 9110, 9.3.2; what varies from request to request aside."""
    documented = client.get("/openapi.json").json()["paths"]
    known = [path.replace("{name}", "tiny") for path in documented if "get" in documented[path]]
    assert {"/health", "/metrics", "/v1/models", "/v2/models/tiny"} <= {*known}
    for path in (*known, "/", "/docs", "/v2/models/other", "/nothing", "/embed"):
        get, head = client.get(path), client.head(path)
        assert head.status_code == get.status_code, path
        assert head.content == b"", path
        varying = ("x-request-id", "content-length") if path == "/metrics" else ("x-request-id",)
        for answer in (get, head):
            for name in varying:
                answer.headers.pop(name)
        assert head.headers == get.headers, path
    assert client.post("/health").headers["allow"] == "GET, HEAD"
    assert 'method="HEAD",route="/v1/models",status="200"} 1' in client.get("/metrics").text


def test_head_needs_the_bearer_token_where_get_does(client_of: Callable[..., Any]) -> None:
    client = client_of(api_key="secret")
    answer = client.head("/v1/models")
    assert (answer.status_code, answer.content) == (401, b"")
    assert client.head("/health").status_code == 200


@pytest.mark.parametrize("extra", [0, 1])
def test_bodies_at_the_limit(client_of: Callable[..., Any], extra: int) -> None:
    client = client_of(payload_limit=1000)
    body = json.dumps({"inputs": "a"}).encode()
    body += b" " * (1000 - len(body) + extra)
    answer = client.post("/embed", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code == (413 if extra else 200)
    if extra:
        assert "larger than 1000 bytes" in message_of("/embed", answer)


def test_too_many_requests_at_once(client_of: Callable[..., Any]) -> None:
    """While one waits for its batch, another is sent away, and health checks are answered."""
    client = client_of(max_concurrent_requests=1, batch_wait_ms=500)
    first: list[Any] = []

    def ask() -> None:
        first.append(client.post("/embed", json={"inputs": "a"}))

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    deadline = time.monotonic() + 20
    while "embedx_requests_in_flight 1" not in client.get("/metrics").text:
        assert time.monotonic() < deadline
    refused = client.post("/embed", json={"inputs": "a"})
    assert client.get("/health").status_code == 200
    thread.join(20)
    assert (refused.status_code, refused.headers["retry-after"]) == (429, "1")
    assert refused.json()["error_type"] == "Overloaded"
    assert first[0].status_code == 200
    assert client.post("/embed", json={"inputs": "a"}).status_code == 200


def test_the_deadline(client_of: Callable[..., Any]) -> None:
    client = client_of(timeout=0.05, batch_wait_ms=1000)
    answer = client.post("/v1/embeddings", json={"input": "a"})
    assert answer.status_code == 503
    assert answer.json()["error"]["type"] == "server_error"
    assert 'embedx_dropped_requests_total{reason="deadline"} 1' in client.get("/metrics").text


def test_a_server_that_drains_says_so(client: Any) -> None:
    client.app.state.service.draining = True
    answer = client.get("/v2/health/ready")
    assert (answer.status_code, answer.headers["connection"]) == (503, "close")
    assert client.get("/v2/health/live").status_code == 200


def test_the_bearer_token(client_of: Callable[..., Any]) -> None:
    client = client_of(api_key="søcret")
    for headers in ({}, {"Authorization": "Bearer no"}, {"Authorization": "søcret"}):
        encoded = {k: v.encode() for k, v in headers.items()}
        answer = client.post("/v1/embeddings", json={"input": "a"}, headers=encoded)
        assert answer.status_code == 401
        assert "Authorization: Bearer" in message_of("/v1/", answer)
        assert answer.headers["www-authenticate"] == "Bearer"
    good = {"Authorization": "Bearer søcret".encode()}
    assert client.post("/v1/embeddings", json={"input": "a"}, headers=good).status_code == 200
    assert client.get("/v2/health/live").status_code == client.get("/").status_code == 200
    assert client.get("/config").status_code == 401
    assert client.get("/config", headers=good).json()["api_key"] == "***"


def test_a_bug_is_told_with_the_requests_id(
    client: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise ZeroDivisionError("inner words")

    monkeypatch.setattr(client.app.state.service, "tokens_of", fail)
    with caplog.at_level(logging.ERROR, "embedx.server"):
        answer = client.post("/embed", json={"inputs": "a"}, headers={"X-Request-Id": "r-1"})
    assert answer.status_code == 500
    assert "r-1" in answer.json()["error"]
    assert "inner words" not in answer.text
    assert "ZeroDivisionError" in caplog.text


def test_request_ids_and_the_access_log(client: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "embedx.access"):
        answer = client.post(
            "/embed", json={"inputs": ["a", "the cat"]}, headers={"X-Request-Id": "mine.1"}
        )
        other = client.get("/health", headers={"X-Request-Id": "not an id"})
    assert answer.headers["x-request-id"] == "mine.1"
    assert len(other.headers["x-request-id"]) == 32
    line = json.loads(caplog.records[0].message)
    assert (line["request_id"], line["status"], line["texts"], line["tokens"]) == (
        "mine.1",
        200,
        2,
        7,
    )
    assert "the cat" not in caplog.text
