"""DeepSparse's and the Open Inference Protocol's routes, compared with the pipeline."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedx import Pipeline, load
from tests.server.texts import TEXTS, close
from tests.tiny import HIDDEN


@pytest.mark.parametrize("path", ["/predict", "/v2/models/tiny/infer", "/invocations"])
def test_the_seeds_body(client: Any, folder: Path, path: str) -> None:
    pipeline = Pipeline.create(model_path=folder, sequence_length=32)
    for inputs in ("the cat", TEXTS):
        answer = client.post(path, json={"inputs": inputs})
        assert answer.status_code == 200
        assert list(answer.json()) == ["embeddings"]
        close(answer.json()["embeddings"], pipeline(inputs).embeddings)


def test_endpoints_share_weights_and_have_routes_of_their_own(
    client_of: Callable[..., Any], folder: Path
) -> None:
    mean: dict[str, Any] = {"extraction_strategy": "reduce_mean"}
    buckets = {"sequence_length": [8, 16]}
    client = client_of(
        [
            {"name": "first", "kwargs": {"sequence_length": 32}},
            {"route": "/means", "kwargs": {"sequence_length": 32, **mean}},
            {"route": "buckets", "kwargs": buckets},
        ]
    )
    service = client.app.state.service
    assert service.endpoints[0].predict.model is service.endpoints[1].predict.model
    for path in ("/means", "/v2/models/means/infer"):
        (found,) = client.post(path, json={"inputs": "a cat"}).json()["embeddings"]
        pipeline = Pipeline.create(model_path=folder, sequence_length=32, **mean)
        close(found, pipeline("a cat").embeddings[0])
    found = client.post("/buckets", json={"inputs": [TEXTS[0], "a " * 12]}).json()["embeddings"]
    assert [len(f) for f in found] == [8 * HIDDEN, 16 * HIDDEN]
    assert [m["id"] for m in client.get("/v1/models").json()["data"]] == [
        "first",
        "means",
        "buckets",
    ]


def test_open_inference_protocol(client: Any, folder: Path) -> None:
    wanted = Pipeline.create(model_path=folder, sequence_length=32)(TEXTS).embeddings
    tensor = {"name": "texts", "shape": [3], "datatype": "BYTES", "data": TEXTS}
    answer = client.post("/v2/models/tiny/infer", json={"id": "7", "inputs": [tensor]}).json()
    (output,) = answer["outputs"]
    assert (answer["model_name"], answer["id"], output["datatype"]) == ("tiny", "7", "FP32")
    close(np.reshape(output["data"], output["shape"]), wanted)
    assert client.get("/v2/models/tiny").json()["inputs"][0]["datatype"] == "BYTES"
    assert client.get("/v2/models/tiny/ready").json() == {"name": "tiny", "ready": True}
    assert client.get("/v2").json()["name"] == "embedx"


def test_open_inference_protocol_with_token_ids(client: Any, folder: Path) -> None:
    tokens = load(folder).tokenize(["the cat", "a"])
    width = max(len(t.ids) for t in tokens)
    ids = [[*t.ids, *[0] * (width - len(t.ids))] for t in tokens]
    mask = [[1] * len(t.ids) + [0] * (width - len(t.ids)) for t in tokens]
    inputs = [
        {"name": "input_ids", "shape": [2, width], "datatype": "INT64", "data": ids},
        {
            "name": "attention_mask",
            "shape": [2, width],
            "datatype": "INT64",
            "data": [m for row in mask for m in row],
        },
    ]
    answer = client.post("/v2/models/tiny/infer", json={"inputs": inputs}).json()
    wanted = client.post("/predict", json={"inputs": ["the cat", "a"]}).json()["embeddings"]
    close(np.reshape(answer["outputs"][0]["data"], answer["outputs"][0]["shape"]), wanted)


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        ({"shape": [2], "datatype": "BYTES", "data": ["a"]}, "1 values for its shape [2]"),
        ({"shape": [1], "datatype": "BYTES", "data": [3]}, "value 0 is a number, expected a text"),
        ({"shape": [1], "datatype": "BYTES", "data": ["\ud800"]}, "lone surrogate"),
        ({"shape": [1, 0], "datatype": "BYTES", "data": [[]]}, "an empty list"),
        ({"shape": [1, 1], "datatype": "INT64", "data": [[1]]}, "send one BYTES tensor of texts"),
        ({"shape": [1], "datatype": "FP32", "data": [0.5]}, "'BYTES' or 'INT64'"),
    ],
)
def test_tensors_that_do_not_fit(client: Any, tensor: dict[str, Any], message: str) -> None:

    body = json.dumps({"inputs": [{"name": "x", **tensor}]}).encode()
    headers = {"Content-Type": "application/json"}
    answer = client.post("/v2/models/tiny/infer", content=body, headers=headers)
    assert answer.status_code == 422
    assert message in answer.json()["error"]
