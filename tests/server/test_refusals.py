"""The errors in the documentation are those that are sent."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from embedx.server.errors import error_body
from embedx.server.refusals import Detail, OipError, OpenAIError, TeiError, refusals

SHAPES: dict[str, type[BaseModel]] = {
    "/predict": Detail,
    "/embed": TeiError,
    "/v2/models/tiny/infer": OipError,
    "/v1/embeddings": OpenAIError,
}


@pytest.mark.parametrize("path", SHAPES)
@pytest.mark.parametrize("status", refusals(Detail, 404))
def test_what_is_sent_has_the_shape_that_is_shown(path: str, status: int) -> None:
    body = error_body(path, status, "no")
    shown = SHAPES[path].model_validate_json(body, strict=True, extra="forbid")
    assert shown.model_dump_json().encode() == body


def test_404_is_for_routes_that_name_a_model() -> None:
    assert set(refusals(Detail, 404)) - set(refusals(Detail)) == {404}


def test_the_documentation_shows_them(client_of: Callable[..., Any]) -> None:
    paths = client_of().get("/openapi.json").json()["paths"]
    for path, kind in SHAPES.items():
        shown = path.replace("tiny", "{name}")
        answers = paths[shown]["post"]["responses"]
        for status in ("401", "413", "422", "424", "429", "503"):
            schema = answers[status]["content"]["application/json"]["schema"]
            assert schema["$ref"].endswith(f"/{kind.__name__}"), (path, status)
