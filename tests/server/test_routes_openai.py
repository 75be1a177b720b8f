"""OpenAI's routes, compared with the embedder."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import numpy as np

from embedx import load
from embedx.text.pooling import normalize
from tests.server.texts import TEXTS, close, sentences


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
