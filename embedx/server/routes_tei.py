"""The routes of text-embeddings-inference; they ask the first endpoint."""

from __future__ import annotations

from fastapi import APIRouter
from fastapi.responses import Response

from embedx.server.answers import array_json, arrays_json, json_response
from embedx.server.refusals import TeiError, refusals
from embedx.server.schemas import (
    EmbedAllRequest,
    EmbedRequest,
    SimilarityParameters,
    SimilarityRequest,
    TokenInfo,
    TokenizeRequest,
)
from embedx.server.service import Service, prompted
from embedx.server.tokenizing import pieces_of
from embedx.server.vectors import shortened, unit_vectors


def tei_routes(service: Service) -> APIRouter:
    """POST /embed, /embed_all, /similarity and /tokenize."""
    router = APIRouter(tags=["text-embeddings-inference"])
    refused = refusals(TeiError)

    @router.post("/embed", response_model=list[list[float]], responses=refused)
    async def embed(body: EmbedRequest) -> Response:
        """One vector per text."""
        view = prompted(service.default.sentence, body.prompt_name)
        answer = await service.embed(view, body.inputs, truncate=body.truncate)
        finish = unit_vectors if body.normalize else shortened
        vectors = finish(answer.arrays, body.dimensions)
        return json_response(await arrays_json(service, [*vectors]))

    @router.post("/embed_all", response_model=list[list[list[float]]], responses=refused)
    async def embed_all(body: EmbedAllRequest) -> Response:
        """One vector per token, special ones included, as the model gives them: not normalized."""
        view = prompted(service.default.tokens, body.prompt_name)
        answer = await service.embed(view, body.inputs, truncate=body.truncate)
        return json_response(await arrays_json(service, answer.arrays))

    @router.post("/similarity", response_model=list[float], responses=refused)
    async def similarity(body: SimilarityRequest) -> Response:
        """The similarity of one sentence to each of the others, by the model's own measure."""
        given = body.parameters or SimilarityParameters()
        view = prompted(service.default.sentence, given.prompt_name)
        texts = [body.inputs.source_sentence, *body.inputs.sentences]
        answer = await service.embed(view, texts, truncate=given.truncate)
        vectors = shortened(answer.arrays, None)
        (row,) = service.default.embedder.similarity(vectors[:1], vectors[1:])
        return json_response(array_json(row))

    @router.post("/tokenize", response_model=list[list[TokenInfo]], responses=refused)
    async def tokenize(body: TokenizeRequest) -> list[list[TokenInfo]]:
        """The tokens of each text, where they stand in it, and which of them are cut off."""
        service.check_texts(body.inputs)
        view = prompted(service.default.sentence, body.prompt_name)
        return await service.help(
            lambda: [pieces_of(view, text, body.add_special_tokens) for text in body.inputs]
        )

    return router
