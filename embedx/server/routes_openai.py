"""OpenAI's routes."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from embedx.server.answers import array_json, base64_json, json_response, list_json, object_json
from embedx.server.refusals import OpenAIError, refusals
from embedx.server.schemas import (
    OpenAIModel,
    OpenAIModels,
    OpenAIRequest,
    OpenAIResponse,
)
from embedx.server.service import Service
from embedx.server.vectors import unit_vectors


def openai_routes(service: Service) -> APIRouter:
    """POST /v1/embeddings and GET /v1/models."""
    router = APIRouter(prefix="/v1", tags=["OpenAI"])

    @router.post("/embeddings", response_model=OpenAIResponse, responses=refusals(OpenAIError, 404))
    async def embeddings(body: OpenAIRequest) -> Response:
        """A vector of length 1 for each text; token ids are the model's own, special ones too."""
        endpoint = service.find(body.model)
        answer = await service.embed(endpoint.sentence[None], body.input)
        vectors = unit_vectors(answer.arrays, body.dimensions)
        written = base64_json if body.encoding_format == "base64" else array_json
        data = list_json(
            object_json({"object": "embedding", "index": i}, {"embedding": written(vector)})
            for i, vector in enumerate(vectors)
        )
        usage = {"prompt_tokens": answer.tokens, "total_tokens": answer.tokens}
        return json_response(
            object_json({"object": "list", "model": endpoint.name, "usage": usage}, {"data": data})
        )

    @router.get("/models", response_model=OpenAIModels)
    async def models() -> OpenAIModels:
        """The endpoints."""
        created = int(service.started)
        return OpenAIModels(
            data=[OpenAIModel(id=e.name, created=created) for e in service.endpoints]
        )

    return router
