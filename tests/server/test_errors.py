"""What is wrong, where and why, in each protocol's shape; never a 500."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.tiny import bert, deployment

BODIES = {
    "/predict": "inputs",
    "/invocations": "inputs",
    "/v2/models/tiny/infer": "inputs",
    "/embed": "inputs",
    "/embed_all": "inputs",
    "/tokenize": "inputs",
    "/v1/embeddings": "input",
}


@pytest.fixture
def client(client_of: Callable[..., Any]) -> Any:
    return client_of()


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


@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b'{"FIELD": []}', "is an empty list, expected at least one item"),
        (b'{"FIELD": 3}', "is a number, expected a list"),
        (b'{"FIELD": ["a", null]}', "item 1 is null, expected a text"),
        (rb'{"FIELD": ["a", "\ud800"]}', "item 1 has a lone surrogate at character 0"),
        (b"{}", "FIELD: Field required"),
        (b'{"FIELD": "a", "more": 1}', "more: is not known here"),
        (rb'{"FIELD": "a", "\udfff": 1}', "unable to parse raw data as a unicode string"),
        (b"[1]", "the body: "),
        (b"", "the body: Field required"),
        (b"{bad", "the body is not JSON"),
        (b'{"FIELD": "\xff"}', "error parsing the body"),
        (b"[" * 100_000, "error parsing the body"),
        (b'{"FIELD": ' + b"1" * 5000 + b"}", "error parsing the body"),
        (b'{"FIELD": NaN}', "is a number, expected a list"),
    ],
)
def test_bad_bodies(client: Any, path: str, body: bytes, message: str) -> None:
    field = BODIES[path]
    answer = client.post(
        path,
        content=body.replace(b"FIELD", field.encode()),
        headers={"Content-Type": "application/json"},
    )
    assert answer.status_code == 422
    assert message.replace("FIELD", field) in message_of(path, answer)


def test_a_body_that_is_no_json(client: Any) -> None:
    answer = client.post("/predict", content=b"inputs=a", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 422
    assert "Content-Type: application/json" in answer.json()["detail"]


def test_half_a_million_wrong_items_make_one_error(client: Any) -> None:
    answer = client.post("/v1/embeddings", json={"input": [1.5] * 400_000})
    assert answer.status_code == 422
    assert len(answer.content) < 500


@pytest.mark.parametrize(
    ("path", "status"),
    [("/nothing", 404), ("/v1/nothing", 404), ("/v2/models/other", 404), ("/embed", 405)],
)
def test_what_is_not_there(client: Any, path: str, status: int) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert message_of(path, answer)


def test_models_that_are_not_there(client: Any) -> None:
    answer = client.post("/v1/embeddings", json={"input": "a", "model": "other"})
    assert answer.status_code == 404
    assert "there is no model 'other'; this server has tiny" in message_of("/v1/", answer)


@pytest.mark.parametrize(
    ("path", "body", "status", "message"),
    [
        ("/embed", {"inputs": ["a"] * 33}, 422, "33 texts in one request; send at most 32"),
        ("/embed", {"inputs": "a" * 100_001}, 413, "text 0 has 100001 characters"),
        ("/predict", {"inputs": "a " * 500_000}, 413, "text 0 has 1000000 characters"),
        ("/tokenize", {"inputs": "a" * 100_001}, 413, "text 0 has 100001 characters"),
        ("/embed", {"inputs": "a", "dimensions": 99}, 422, "dimensions is 99"),
        ("/embed", {"inputs": "a", "dimensions": 0}, 422, "dimensions: "),
        ("/embed", {"inputs": "a", "truncation_direction": "left"}, 422, "truncation_direction"),
        ("/embed", {"inputs": [[2, 99, 3]]}, 422, "has the id 99, the model knows"),
        ("/embed", {"inputs": [[2] * 40]}, 413, "text 0 has 40 tokens, the model takes 32"),
        ("/embed", {"inputs": [[2, -1]]}, 422, "item 0 has no token id"),
        (
            "/similarity",
            {"inputs": {"source_sentence": "a", "sentences": []}},
            422,
            "an empty list",
        ),
        ("/v1/embeddings", {"input": "a", "encoding_format": "hex"}, 422, "'float' or 'base64'"),
    ],
)
def test_what_does_not_fit(
    client: Any, path: str, body: dict[str, Any], status: int, message: str
) -> None:
    answer = client.post(path, json=body)
    assert (answer.status_code, message in message_of(path, answer)) == (status, True), answer.text


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

    thread = threading.Thread(target=ask)
    thread.start()
    while "embedx_requests_in_flight 1" not in client.get("/metrics").text:
        pass
    refused = client.post("/embed", json={"inputs": "a"})
    assert client.get("/health").status_code == 200
    thread.join()
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


def test_a_model_that_gives_nan_fails_its_text_only(
    tmp_path: Path, client_of: Callable[..., Any]
) -> None:
    model = bert()
    for tensor in model.graph.initializer:
        if tensor.name.endswith("word_embeddings.weight"):
            table = numpy_helper.to_array(tensor).copy()
            table[7] = np.nan  # cat
            tensor.CopyFrom(numpy_helper.from_array(table, tensor.name))
    assert isinstance(model, onnx.ModelProto)
    folder = deployment(tmp_path, model)
    endpoint = {"model": str(folder), "kwargs": {"sequence_length": 8}}
    client = client_of([endpoint], batch_wait_ms=200)
    answers: dict[str, Any] = {}

    def ask(text: str) -> None:
        answers[text] = client.post("/embed", json={"inputs": ["a", text]})

    threads = [threading.Thread(target=ask, args=(text,)) for text in ("cat", "dog")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert answers["dog"].status_code == 200
    assert answers["cat"].status_code == 424
    assert answers["cat"].json() == {
        "error": "text 1: the model gives NaN or infinity for this text",
        "error_type": "Backend",
    }


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


def test_other_origins_are_let_in_only_when_asked(client_of: Callable[..., Any]) -> None:
    headers = {"Origin": "https://a.example"}
    assert "access-control-allow-origin" not in client_of().get("/health", headers=headers).headers
    open_one = client_of(cors_allow_origin="https://a.example")
    found = open_one.get("/health", headers=headers).headers["access-control-allow-origin"]
    assert found == "https://a.example"
