"""What a benchmark measured."""

from __future__ import annotations

import pytest

from embedx.run.engine import Engine
from tests.tiny import bert


def test_benchmark_times_runs() -> None:
    results = Engine(bert()).benchmark(
        num_iterations=3, num_warmup_iterations=1, include_outputs=True
    )
    assert len(results) == results.num_batches == 3
    assert results.outputs is not None
    assert results.batch_size == 1
    assert results.items_per_second == pytest.approx(1 / results.batch_times_mean)
    assert "3 runs of 1" in str(results)
