"""The application: bodies that it cannot read, and what is not there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.server.messages import message_of

BODIES = {
    "/predict": "inputs",
    "/invocations": "inputs",
    "/v2/models/tiny/infer": "inputs",
    "/embed": "inputs",
    "/embed_all": "inputs",
    "/tokenize": "inputs",
    "/v1/embeddings": "input",
}


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


@pytest.mark.parametrize(
    ("path", "status"),
    [("/nothing", 404), ("/v1/nothing", 404), ("/v2/models/other", 404), ("/embed", 405)],
)
def test_what_is_not_there(client: Any, path: str, status: int) -> None:
    answer = client.get(path)
    assert answer.status_code == status
    assert message_of(path, answer)


def test_other_origins_are_let_in_only_when_asked(client_of: Callable[..., Any]) -> None:
    headers = {"Origin": "https://a.example"}
    assert "access-control-allow-origin" not in client_of().get("/health", headers=headers).headers
    open_one = client_of(cors_allow_origin="https://a.example")
    found = open_one.get("/health", headers=headers).headers["access-control-allow-origin"]
    assert found == "https://a.example"
