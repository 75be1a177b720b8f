"""What the documentation says about bodies."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from embedx.server.schemas import (
    EmbedRequest,
    InferRequest,
    OipRequest,
    OpenAIRequest,
    PredictRequest,
    TokenizeRequest,
)


def test_the_documentation_shows_bodies_with_examples(client: Any) -> None:
    document = client.get("/openapi.json").json()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            assert operation.get("summary"), path
            if method == "post":
                assert "requestBody" in operation, path
                answer = operation["responses"]["200"]["content"]["application/json"]["schema"]
                assert answer, path
    schemas = document["components"]["schemas"]
    assert schemas["OpenAIRequest"]["properties"]["input"]["examples"]


INFER: TypeAdapter[Any] = TypeAdapter(InferRequest)


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        ({"inputs": "a"}, PredictRequest),
        ({"inputs": ["a", "b"]}, PredictRequest),
        (
            {"inputs": [{"name": "x", "shape": [1], "datatype": "BYTES", "data": ["a"]}]},
            OipRequest,
        ),
    ],
)
def test_two_protocols_share_a_route(body: dict[str, Any], kind: type) -> None:
    assert type(INFER.validate_python(body)) is kind


@pytest.mark.parametrize("body", [{}, [], None, {"inputs": []}, {"inputs": [{}]}, {"inputs": 3}])
def test_what_is_neither_is_refused(body: Any) -> None:
    with pytest.raises(ValidationError):
        INFER.validate_python(body)


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        (OpenAIRequest, {"input": "a"}),
        (EmbedRequest, {"inputs": "a"}),
        (PredictRequest, {"inputs": "a"}),
        (TokenizeRequest, {"inputs": "a"}),
    ],
)
def test_numbers_are_no_texts_and_misspelt_fields_no_fields(
    kind: type[BaseModel], body: dict[str, Any]
) -> None:
    (field,) = body
    assert getattr(kind.model_validate(body), field) == ["a"]
    for wrong in ({field: 3}, {**body, "trunkate": True}, {}):
        with pytest.raises(ValidationError):
            kind.model_validate(wrong)
