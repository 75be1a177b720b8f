"""Which status an error has, and in which protocol's words it is told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.errors import BudgetError, EmbedxError, InputError, ModelError, NodeError
from embedx.server.errors import RefusedError, error_body, status_of
from tests.server.messages import message_of


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (RefusedError(413, "too large"), 413),
        (InputError("no text"), 422),
        (NodeError("NaN"), 424),
        (BudgetError("too long"), 503),
        (ModelError("broken"), 500),
        (EmbedxError("?"), 500),
    ],
)
def test_whose_fault_it_is(error: EmbedxError, status: int) -> None:
    assert status_of(error) == status


class Answer:
    def __init__(self, body: bytes) -> None:
        self.body = body

    def json(self) -> Any:
        return json.loads(self.body)


@given(
    st.sampled_from(["/predict", "/mine", "/v1/embeddings", "/v2/models/a", "/embed", "/tokenize"]),
    st.sampled_from([401, 404, 413, 422, 424, 429, 500, 503]),
    st.text(st.characters(), max_size=20),  # lone surrogates are among them
)
def test_any_message_arrives_in_each_shape(path: str, status: int, message: str) -> None:
    body = error_body(path, status, message)
    assert body.isascii()
    assert message_of(path, Answer(body)) == message


@pytest.mark.parametrize(
    ("status", "openai", "tei"),
    [
        (401, "authentication_error", "Unauthorized"),
        (404, "invalid_request_error", "Validation"),
        (413, "invalid_request_error", "Validation"),
        (422, "invalid_request_error", "Validation"),
        (424, "invalid_request_error", "Backend"),
        (429, "rate_limit_error", "Overloaded"),
        (503, "server_error", "Unhealthy"),
    ],
)
def test_types_are_those_of_the_protocols(status: int, openai: str, tei: str) -> None:
    error = json.loads(error_body("/v1/embeddings", status, "no"))["error"]
    assert (error["type"], error["code"], error["param"]) == (openai, str(status), None)
    assert json.loads(error_body("/embed", status, "no"))["error_type"] == tei
