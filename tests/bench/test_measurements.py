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
    (model,) = document["models"]
    assert document["measurements"][3]["inputs"][model]["input_ids"] == [2, 8]
    assert document["measurements"][6]["tokens"] == {model: 4 + 8 + 3}
    assert document["machine"]["versions"]["embedx"]


def test_sides_are_compared(document: dict[str, Any]) -> None:
    for measurement in document["measurements"]:
        if measurement["kind"] == "operators":
            continue
        ours, *peers = measurement["sides"]
        assert ours["side"] == "embedx"
        assert list(dict.fromkeys(p["side"] for p in peers)) == [*PEERS]
        assert "embedx_speed" not in ours
        for peer in peers:
            for speed, seconds in (
                ("embedx_speed", "wall_seconds"),
                ("embedx_cpu_speed", "cpu_seconds"),
            ):
                assert math.isclose(peer[speed], peer[seconds] / ours[seconds])
        if measurement["kind"] in ("run", "texts"):
            assert all(p["max_abs_difference"] < 1e-5 for p in peers)
            assert all(s["load_seconds"] > 0 and s["texts_per_second"] > 0 for s in (ours, *peers))
            assert ours["peak_bytes"] is None or ours["peak_bytes"] > 2**20
        if measurement["kind"].endswith("busy process"):
            assert all(s["slowdown"] > 0 for s in (ours, *peers))


def test_peers_have_their_batches_in_two_ways(document: dict[str, Any]) -> None:
    for measurement in document["measurements"]:
        ways = [(s["side"], s["batches"]) for s in measurement.get("sides", ())]
        if measurement["kind"] == "texts":
            peers = [(p, batches) for p in PEERS for batches in ("sorted", "naive")]
            assert ways == [("embedx", None), *peers]
        else:
            assert all(batches is None for _, batches in ways)


def test_a_process_that_starts_computes_for_longer_than_a_run(document: dict[str, Any]) -> None:
    cold = document["measurements"][-1]["sides"]
    run = document["measurements"][0]["sides"]
    assert all(c["cpu_seconds"] > r["cpu_seconds"] for c, r in zip(cold, run, strict=True))


def test_models_are_measured_together_on_each_number_of_threads(of_two: dict[str, Any]) -> None:
    models = list(of_two["models"])
    assert len(models) == 2
    once = ["run", "operators", "operators", "texts", "cold start"]
    told = [(m["kind"], m["threads"]) for m in of_two["measurements"]]
    assert told == [(kind, threads) for threads in (1, 2) for kind in once]
    for measurement in of_two["measurements"]:
        sides = measurement.get("sides", ())
        assert measurement["kind"] == "operators" or {s["model"] for s in sides} == {*models}
        for model in models:
            rows = [s for s in sides if s["model"] == model]
            for row in rows[1:]:
                ratio = row["wall_seconds"] / rows[0]["wall_seconds"]
                assert math.isclose(row["embedx_speed"], ratio)
                # The peer's numbers are those of its own model.
                assert row.get("max_abs_difference", 0) < 1e-5


def test_shapes() -> None:
    assert parsed_shapes("1x16, 8x128") == [(1, 16), (8, 128)]
