"""Every protocol's requests and answers, compared with the pipeline and the embedder."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from embedx import Pipeline, load
from embedx.text.pooling import normalize
from tests.tiny import HIDDEN, bert, deployment

TEXTS = ["the cat sat on the mat", "a big red dog ran far away", "a"]


@pytest.fixture
def client(client_of: Callable[..., Any]) -> Any:
    return client_of()


def close(found: Any, wanted: Any) -> None:
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-5)


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
    import json

    body = json.dumps({"inputs": [{"name": "x", **tensor}]}).encode()
    headers = {"Content-Type": "application/json"}
    answer = client.post("/v2/models/tiny/infer", content=body, headers=headers)
    assert answer.status_code == 422
    assert message in answer.json()["error"]


def sentences(folder: Path, texts: Any = TEXTS) -> Any:
    return load(folder, max_seq_length=32).encode(texts, normalize_embeddings=True)


def test_openai(client: Any, folder: Path) -> None:
    answer = client.post("/v1/embeddings", json={"input": TEXTS, "model": "tiny"}).json()
    assert (answer["object"], answer["model"]) == ("list", "tiny")
    assert [item["index"] for item in answer["data"]] == [0, 1, 2]
    close([item["embedding"] for item in answer["data"]], sentences(folder))
    counted = sum(len(t.ids) for t in load(folder).tokenize(TEXTS))
    assert answer["usage"] == {"prompt_tokens": counted, "total_tokens": counted}


def test_openai_base64_dimensions_and_ids(client: Any, folder: Path) -> None:
    body = {"input": TEXTS[0], "encoding_format": "base64", "dimensions": 4}
    (item,) = client.post("/v1/embeddings", json=body).json()["data"]
    found = np.frombuffer(base64.b64decode(item["embedding"]), "<f4")
    close(found, normalize(sentences(folder)[0][:4]))
    (tokens,) = load(folder).tokenize([TEXTS[0]])
    for given in (tokens.ids, [tokens.ids]):
        (item,) = client.post("/v1/embeddings", json={"input": given}).json()["data"]
        close(item["embedding"], sentences(folder)[0])


def test_embed(client: Any, folder: Path) -> None:
    close(client.post("/embed", json={"inputs": TEXTS}).json(), sentences(folder))
    plain = load(folder, max_seq_length=32).encode(TEXTS)
    body = {"inputs": TEXTS, "normalize": False, "dimensions": 5}
    close(client.post("/embed", json=body).json(), plain[:, :5])


def test_embed_all(client: Any, folder: Path) -> None:
    found = client.post("/embed_all", json={"inputs": TEXTS}).json()
    wanted = load(folder).encode(TEXTS, output_value="token_embeddings")
    for one, other in zip(found, wanted, strict=True):
        close(one, other)


def test_similarity(client: Any, folder: Path) -> None:
    body = {"inputs": {"source_sentence": TEXTS[0], "sentences": TEXTS[1:]}}
    vectors = sentences(folder)
    close(client.post("/similarity", json=body).json(), vectors[1:] @ vectors[0])


def test_prompts(tmp_path: Path, client_of: Callable[..., Any]) -> None:
    folder = deployment(
        tmp_path, pooling={"pooling_mode_mean_tokens": True, "include_prompt": False}
    )
    (folder / "config_sentence_transformers.json").write_text(
        '{"prompts": {"query": "the cat sat : "}}'
    )
    client = client_of([{"model": str(folder), "kwargs": {"sequence_length": 32}}])
    found = client.post("/embed", json={"inputs": "a dog", "prompt_name": "query"}).json()
    wanted = load(folder).encode("a dog", prompt_name="query", normalize_embeddings=True)
    close(found[0], wanted)
    refused = client.post("/embed", json={"inputs": "a dog", "prompt_name": "other"})
    assert refused.status_code == 422
    assert "there is no prompt 'other'; the model has query" in refused.json()["error"]


def test_tokenize_shows_the_cut(client_of: Callable[..., Any]) -> None:
    client = client_of([{"kwargs": {"sequence_length": 4}}])
    ((*pieces,),) = client.post("/tokenize", json={"inputs": "The cat sat"}).json()
    assert [p["text"] for p in pieces] == ["[CLS]", "the", "cat", "sat", "[SEP]"]
    assert [p["kept"] for p in pieces] == [True, True, True, False, True]
    assert (pieces[2]["start"], pieces[2]["stop"]) == (4, 7)
    assert (pieces[0]["start"], pieces[0]["special"]) == (None, True)
    body = {"inputs": "the cat", "add_special_tokens": False}
    assert [p["text"] for p in client.post("/tokenize", json=body).json()[0]] == ["the", "cat"]


def test_tokenize_shows_a_cut_on_the_left(client_of: Callable[..., Any], tmp_path: Path) -> None:
    folder = deployment(tmp_path, bert())
    config = folder / "tokenizer_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "truncation_side": "left"}))
    client = client_of([{"model": str(folder), "kwargs": {"sequence_length": 4}}])
    ((*pieces,),) = client.post("/tokenize", json={"inputs": "the cat sat"}).json()
    assert [p["kept"] for p in pieces] == [True, False, True, True, True]


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


def test_health_and_facts(client: Any) -> None:
    for path in ("/health", "/healthcheck", "/ping", "/status"):
        assert client.get(path).json() is True
    for path in ("/v2/health/live", "/v2/health/ready"):
        assert client.get(path).json()["status"] == "OK"
    info = client.get("/info").json()
    assert info["model_type"] == {"embedding": {"pooling": "mean"}}
    assert (info["model_dtype"], info["max_input_length"]) == ("float32", 32)
    assert client.get("/config").json()["endpoints"][0]["name"] == "tiny"
    assert "text/html" in client.get("/").headers["content-type"]
    assert client.get("/docs").status_code == 200
    assert client.post("/reload").status_code == 404


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


def test_metrics_count_what_happens(client: Any) -> None:
    client.post("/embed", json={"inputs": ["a", "the cat"]})
    client.post("/embed", json={"inputs": []})
    page = client.get("/metrics").text
    assert 'embedx_requests_total{method="POST",route="/embed",status="200"} 1' in page
    assert 'embedx_requests_total{method="POST",route="/embed",status="422"} 1' in page
    assert "embedx_texts_total 2" in page
    assert "embedx_requests_in_flight 0" in page


def test_head_is_get_without_the_body(client: Any) -> None:
    """RFC 9110, 9.3.2; what varies from request to request aside."""
    documented = client.get("/openapi.json").json()["paths"]
    known = [path.replace("{name}", "tiny") for path in documented if "get" in documented[path]]
    assert {"/health", "/metrics", "/v1/models", "/v2/models/tiny"} <= {*known}
    for path in (*known, "/", "/docs", "/v2/models/other", "/nothing", "/embed"):
        get, head = client.get(path), client.head(path)
        assert head.status_code == get.status_code, path
        assert head.content == b"", path
        varying = ("x-request-id", "content-length") if path == "/metrics" else ("x-request-id",)
        for answer in (get, head):
            for name in varying:
                answer.headers.pop(name)
        assert head.headers == get.headers, path
    assert client.post("/health").headers["allow"] == "GET, HEAD"
    assert 'method="HEAD",route="/v1/models",status="200"} 1' in client.get("/metrics").text


def test_head_needs_the_bearer_token_where_get_does(client_of: Callable[..., Any]) -> None:
    client = client_of(api_key="secret")
    answer = client.head("/v1/models")
    assert (answer.status_code, answer.content) == (401, b"")
    assert client.head("/health").status_code == 200
