"""DeepSparse's routes, the Open Inference Protocol's, and SageMaker's."""

from __future__ import annotations

import math
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import APIRouter
from fastapi.responses import Response

import embedx
from embedx.server.answers import array_json, arrays_json, json_response, list_json, object_json
from embedx.server.errors import RefusedError
from embedx.server.inputs import checked_ids, checked_items, checked_text
from embedx.server.refusals import Detail, OipError, refusals
from embedx.server.schemas import (
    InferRequest,
    OipModel,
    OipReady,
    OipRequest,
    OipResponse,
    OipServer,
    OipTensor,
    PredictRequest,
    PredictResponse,
    TensorInfo,
)
from embedx.server.service import Service
from embedx.server.views import Endpoint

Handler = Callable[[PredictRequest], Coroutine[Any, Any, Response]]


def predict_routes(service: Service) -> APIRouter:
    """POST /predict, each endpoint's own route, and SageMaker's /invocations."""
    router = APIRouter(tags=["DeepSparse"])
    routes = {e.config.route: e for e in service.endpoints if e.config.route is not None}
    routes.setdefault("/predict", service.default)
    routes["/invocations"] = service.default
    for path, endpoint in routes.items():
        router.add_api_route(
            path,
            _predict(service, endpoint.name),
            methods=["POST"],
            response_model=PredictResponse,
            responses=refusals(Detail),
            summary=f"Embeddings by {endpoint.name}",
            description=f"A flat list of floats per text: {endpoint.config.extraction_strategy}.",
        )
    return router


def _predict(service: Service, name: str) -> Handler:
    async def predict(body: PredictRequest) -> Response:
        return await _deepsparse_answer(service, service.find(name), body)

    return predict


async def _deepsparse_answer(
    service: Service, endpoint: Endpoint, body: PredictRequest
) -> Response:
    answer = await service.embed(endpoint.predict, body.inputs)
    embeddings = await arrays_json(service, [a.reshape(-1) for a in answer.arrays])
    return json_response(object_json({}, {"embeddings": embeddings}))


def oip_routes(service: Service) -> APIRouter:
    """GET /v2 and /v2/models/NAME, POST /v2/models/NAME/infer."""
    router = APIRouter(prefix="/v2", tags=["Open Inference Protocol"])
    missing: dict[int | str, dict[str, Any]] = {404: {"model": OipError}}

    @router.get("", response_model=OipServer)
    async def server() -> OipServer:
        """What this server is."""
        return OipServer(name="embedx", version=embedx.__version__, extensions=[])

    @router.get("/models/{name}", response_model=OipModel, responses=missing)
    async def model(name: str) -> OipModel:
        """What the model takes and gives."""
        endpoint = service.find(name)
        return OipModel(
            name=endpoint.name,
            versions=[],
            platform="onnx_embedx",
            inputs=[TensorInfo(name="texts", datatype="BYTES", shape=[-1])],
            outputs=[TensorInfo(name="embeddings", datatype="FP32", shape=[-1, -1])],
        )

    @router.get("/models/{name}/ready", response_model=OipReady, responses=missing)
    async def ready(name: str) -> OipReady:
        """Whether the model answers."""
        return OipReady(name=service.find(name).name, ready=not service.draining)

    @router.post(
        "/models/{name}/infer",
        response_model=PredictResponse | OipResponse,
        responses=refusals(OipError, 404),
    )
    async def infer(name: str, body: InferRequest) -> Response:
        """Embeddings, in the protocol of the request."""
        endpoint = service.find(name)
        if isinstance(body, PredictRequest):
            return await _deepsparse_answer(service, endpoint, body)
        return await _oip_answer(service, endpoint, body)

    return router


async def _oip_answer(service: Service, endpoint: Endpoint, body: OipRequest) -> Response:
    answer = await service.embed(endpoint.predict, _oip_inputs(body.inputs))
    vectors = [a.reshape(-1) for a in answer.arrays]
    widths = {len(v) for v in vectors}
    if len(widths) > 1:
        raise RefusedError(
            422,
            f"the texts fall into buckets whose vectors have lengths {sorted(widths)}, which no "
            "tensor holds; send them one by one",
        )
    # The protocol's data is flat.
    data = await service.help(lambda: list_json(array_json(v)[1:-1] for v in vectors))
    shape = [len(vectors), widths.pop()]
    tensor = object_json({"name": "embeddings", "datatype": "FP32", "shape": shape}, {"data": data})
    known = {"model_name": endpoint.name} | ({} if body.id is None else {"id": body.id})
    return json_response(object_json(known, {"outputs": list_json([tensor])}))


def _oip_inputs(tensors: list[OipTensor]) -> list[str | list[int]]:
    """The texts, or the token ids where the mask is 1. Raises RefusedError with 422."""
    rows = {tensor.name: _rows(tensor) for tensor in tensors}
    if len(tensors) == 1 and tensors[0].datatype == "BYTES":
        return [text for row in rows[tensors[0].name] for text in row]
    for tensor in tensors:
        if tensor.name not in ("input_ids", "attention_mask") or tensor.datatype != "INT64":
            raise RefusedError(
                422,
                f"inputs: {tensor.name!r} of {tensor.datatype}; send one BYTES tensor of texts, or "
                "input_ids and attention_mask as INT64",
            )
    ids = rows.get("input_ids", [])
    mask = rows.get("attention_mask", [[1] * len(row) for row in ids])
    if not ids or [*map(len, ids)] != [*map(len, mask)]:
        raise RefusedError(422, "inputs: attention_mask must have the shape of input_ids")
    kept = [
        [i for i, m in zip(row, marks, strict=True) if m]
        for row, marks in zip(ids, mask, strict=True)
    ]
    if not all(kept):
        raise RefusedError(422, "inputs: attention_mask leaves a row without tokens")
    return [*kept]


def _rows(tensor: OipTensor) -> list[list[Any]]:
    """The values of a tensor row by row; BYTES are texts and INT64 token ids."""
    values: list[Any] = tensor.data
    while values and isinstance(values[0], list):
        if not all(isinstance(v, list) for v in values):
            raise RefusedError(422, f"inputs: {tensor.name!r} mixes lists and values")
        values = [value for row in values for value in row]
    if math.prod(tensor.shape) != len(values):
        raise RefusedError(
            422, f"inputs: {tensor.name!r} has {len(values)} values for its shape {tensor.shape}"
        )
    texts = tensor.datatype == "BYTES"
    try:
        if texts:
            values = [checked_text(v, f"value {i}") for i, v in enumerate(checked_items(values))]
        else:
            values = checked_ids(values)
    except ValueError as error:
        raise RefusedError(422, f"inputs: {tensor.name!r}: {error}") from error
    width = tensor.shape[1] if len(tensor.shape) == 2 else 1 if texts else len(values)
    return [values[i : i + width] for i in range(0, len(values), width)]
