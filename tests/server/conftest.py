"""A tiny model folder, an application over it, and a client without a network."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from tests.tiny import bert, deployment

pytest.importorskip("fastapi", reason="the server needs its extra")
pytest.importorskip("uvicorn", reason="the server needs its extra")

POOLING = {"pooling_mode_mean_tokens": True}


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return deployment(tmp_path_factory.mktemp("tiny"), bert(head=True), pooling=POOLING)


@pytest.fixture
def client_of(folder: Path) -> Iterator[Callable[..., Any]]:
    """A client of an application over the tiny model; keywords are the server's settings."""
    from starlette.testclient import TestClient

    from embedx.server.app import create_app
    from embedx.server.config import server_config

    with ExitStack() as stack:

        def make(endpoints: list[dict[str, Any]] | None = None, **settings: Any) -> TestClient:
            kwargs = {"sequence_length": 32}
            default = {"task": "embedding_extraction", "name": "tiny", "kwargs": kwargs}
            listed = [{"model": str(folder), **e} for e in endpoints or [default]]
            app = create_app(server_config({"endpoints": listed, "num_workers": 1, **settings}))
            return stack.enter_context(TestClient(app))

        yield make


@pytest.fixture
def client(client_of: Callable[..., Any]) -> Any:
    return client_of()
