"""The way of a request: names, limits, and what is cut off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.server.messages import message_of


def test_truncation_is_told_or_refused(client_of: Callable[..., Any]) -> None:
    client = client_of([{"kwargs": {"sequence_length": 4}}])
    long, short = {"inputs": ["a", "the cat sat on"]}, {"inputs": "a"}
    assert client.post("/embed", json=long).headers["x-embedx-truncated"] == "1"
    assert "x-embedx-truncated" not in client.post("/embed", json=short).headers
    refused = client.post("/embed", json={**long, "truncate": False})
    assert refused.status_code == 413
    assert "text 1 has 6 tokens, the model takes 4" in refused.json()["error"]
    careful = client_of([{"kwargs": {"sequence_length": 4}}], auto_truncate=False)
    assert careful.post("/embed", json=long).status_code == 413
    assert careful.post("/embed", json={**long, "truncate": True}).status_code == 200


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
