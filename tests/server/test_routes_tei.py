"""text-embeddings-inference's routes, compared with the embedder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from embedx import load
from tests.server.texts import TEXTS, close, sentences
from tests.tiny import deployment


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
