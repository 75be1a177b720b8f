"""What a reload keeps, and what it lets go."""

from __future__ import annotations

import asyncio
import gc
import weakref
from pathlib import Path
from typing import Any

import pytest

from embedx.server.config import server_config
from embedx.server.reload import Reloading


@pytest.fixture(autouse=True)
def _thawed() -> Any:
    yield
    gc.unfreeze()


def test_models_stay_and_old_endpoints_go(folder: Path) -> None:
    endpoint: dict[str, Any] = {"model": str(folder), "kwargs": {"sequence_length": 16}}
    endpoints = [endpoint]

    async def main() -> None:
        app = Reloading(lambda: server_config({"endpoints": endpoints, "num_workers": 1}))
        old = weakref.ref(app.service.default)
        model = app.service.default.predict.model
        endpoints.append({**endpoint, "name": "second"})
        assert await app.reload() is None
        await asyncio.gather(*app._closing)
        assert [e.name for e in app.service.endpoints][1:] == ["second"]
        assert app.service.default.predict.model is model
        assert old() is None
        endpoints[0] = {**endpoint, "model": "/nowhere"}
        service = app.service
        error = await app.reload()
        assert error is not None
        assert "no such file or folder: /nowhere" in error
        assert (app.service, app.service.reload_error) == (service, error)
        app.service.close()

    asyncio.run(asyncio.wait_for(main(), 60))
