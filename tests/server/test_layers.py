"""The server's modules import one way, and those that the command line needs are cheap."""

from __future__ import annotations

import pytest

from tests.server.process import ROOT
from tests.test_imports import imports_of, loaded_by

# From left to right; a module imports only from what stands before it.
ORDER = (
    "config metrics errors inputs views batching service vectors answers refusals schemas "
    "tokenizing routes_predict routes_openai routes_tei routes_operations guard app reload options "
    "run __main__"
).split()


def test_every_module_has_a_place() -> None:
    found = {path.stem for path in (ROOT / "embedx" / "server").glob("*.py")}
    assert found - {"__init__"} == set(ORDER)


@pytest.mark.parametrize("name", ORDER)
def test_modules_import_from_the_left_only(name: str) -> None:
    imported = imports_of(ROOT / "embedx" / "server" / f"{name}.py")
    parts = [m.split(".") for m in imported if m.startswith("embedx.server.")]
    assert {p[2] for p in parts} <= set(ORDER[: ORDER.index(name)])


def test_the_command_line_loads_no_web_framework() -> None:
    loaded = loaded_by("import embedx.cli.main; embedx.cli.main._parser()")
    assert not {"fastapi", "starlette", "uvicorn", "pydantic", "onnx"} & loaded
