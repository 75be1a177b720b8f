"""What is measured. How long anything takes is not tested."""

from __future__ import annotations

import math
from typing import Any

from embedx.bench import parsed_shapes
from tests.bench.conftest import PEERS


def test_every_kind_is_measured(document: dict[str, Any]) -> None:
    kinds = [m["kind"] for m in document["measurements"]]
    shape = ["run", "run beside a busy process", "operators"]
    assert kinds == [*shape, *shape, "texts", "cold start"]
    assert document["measurements"][3]["inputs"]["input_ids"] == [2, 8]
    assert document["machine"]["versions"]["embedx"]


def test_sides_are_compared(document: dict[str, Any]) -> None:
    for measurement in document["measurements"]:
        if measurement["kind"] == "operators":
            continue
        ours, *peers = measurement["sides"]
        assert [ours["side"], *(p["side"] for p in peers)] == ["embedx", *PEERS]
        assert "embedx_speed" not in ours
        for peer in peers:
            ratio = peer["median_seconds"] / ours["median_seconds"]
            assert math.isclose(peer["embedx_speed"], ratio)
        if measurement["kind"] in ("run", "texts"):
            assert all(p["max_abs_difference"] < 1e-5 for p in peers)
            assert all(s["load_seconds"] > 0 and s["texts_per_second"] > 0 for s in (ours, *peers))
            assert ours["peak_bytes"] is None or ours["peak_bytes"] > 2**20
        if measurement["kind"].endswith("busy process"):
            assert all(s["slowdown"] > 0 for s in (ours, *peers))


def test_shapes() -> None:
    assert parsed_shapes("1x16, 8x128") == [(1, 16), (8, 128)]
