"""Requests made from the OpenAPI document, good ones and bad ones: no 500, no broken promise."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings

from tests.server.process import Server, serving

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # of its own dependencies
    schemathesis = pytest.importorskip("schemathesis")


@pytest.fixture(scope="module")
def server(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    arguments = ("--task", "embedding_extraction", "--sequence-length", "16", str(folder))
    with serving(tmp_path_factory.mktemp("server"), *arguments, "--admin") as made:
        yield made


@pytest.mark.parametrize(
    "cases", [pytest.param(120, id="few"), pytest.param(2000, id="many", marks=pytest.mark.load)]
)
@pytest.mark.filterwarnings("ignore")
def test_requests_from_the_document(server: Server, cases: int) -> None:
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    operations = [result.ok() for result in schema.get_all_operations()]
    # A document cannot say that a tensor's data fit its shape, or how many tokens a text has.
    accepted = schemathesis.checks.positive_data_acceptance
    varied = [operation for operation in operations if len(operation.body) > 0]
    modes = [(operation, mode) for operation in varied for mode in schemathesis.GenerationMode]
    sent = 0
    for operation, mode in [*modes, *((o, modes[0][1]) for o in operations if o not in varied)]:

        @settings(
            max_examples=-(-cases // len(modes)),
            deadline=None,
            database=None,
            derandomize=cases < 1000,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def check(case: Any) -> None:
            nonlocal sent
            sent += 1
            case.call_and_validate(excluded_checks=[accepted])

        check()
    assert sent >= cases
    log = server.log.read_text()
    assert "Traceback" not in log
    assert '"status": 5' not in log
