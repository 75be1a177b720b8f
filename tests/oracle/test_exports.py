"""Comparisons in the formats of other tools."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from embedx.errors import ConfigError
from embedx.oracle.exports import METRICS, model_explorer, trace_events, verification_info
from tests.oracle.comparisons import DETAIL, comparison, faulty, place


def test_model_explorer_has_a_value_and_a_colour_for_each_covered_node() -> None:
    data = model_explorer(faulty(), "local")
    assert data.keys() == {"main_graph", "encoder"}
    assert data["main_graph"] == data["encoder"]
    results = data["main_graph"]["results"]
    assert results.keys() == {"table", "query", "before", "wrong", "end"}
    assert results["wrong"] == {"value": 300.0, "bgColor": "#c2185b"}
    assert results["before"] == results["wrong"]
    assert results["query"] == {"value": 1.0, "bgColor": "#14766a"}
    values = [t["value"] for t in data["main_graph"]["thresholds"]]
    assert values == sorted(values)
    assert 4.0 in values


def test_a_node_that_is_part_of_a_right_piece_is_right() -> None:
    wrong = place("wrong", "suspicious", covers=("shared", "wrong"))
    right = place("right", covers=("shared", "right"))
    for places in ([wrong, right], [right, wrong]):
        results = model_explorer(comparison(places))["main_graph"]["results"]
        assert results["shared"] == results["right"] != results["wrong"]


def test_integers_that_are_right_have_a_value() -> None:
    whole = place("whole", "identical", local=None, cumulative=None)
    data = model_explorer(comparison([whole]))["main_graph"]
    assert data["results"] == {"whole": {"value": 0.0, "bgColor": "#6f737c"}}


def test_what_has_come_together_is_coloured_by_its_size() -> None:
    results = model_explorer(faulty(), "cumulative")["main_graph"]["results"]
    assert results["end"] == {"value": 200.0, "bgColor": "#b8340b"}
    assert results["table"]["bgColor"] == "#6f737c"


@pytest.mark.parametrize("metric", METRICS)
def test_each_metric_is_json_without_nan(metric: str) -> None:
    places = [place("a", cumulative=float("inf"), local=None), place("b", detail=None)]
    json.dumps(model_explorer(comparison(places, graph=""), metric), allow_nan=False)  # type: ignore[arg-type]


def test_outputs_alone_have_values_too() -> None:
    data = model_explorer(comparison())["main_graph"]
    assert data["results"] == {"[value] vector": {"value": 1.25, "bgColor": "#14766a"}}
    assert "[value] vector" in model_explorer(faulty(), "deviation")["main_graph"]["results"]


def test_model_explorer_needs_a_metric_that_exists_and_is_known() -> None:
    with pytest.raises(ConfigError, match="level sites or nodes"):
        model_explorer(comparison(), "local")
    with pytest.raises(ConfigError, match="local, cumulative, deviation, flips, not 'size'"):
        model_explorer(faulty(), "size")  # type: ignore[arg-type]


def slices(comparison_events: list[dict[str, Any]], pid: int, tid: int) -> list[dict[str, Any]]:
    """The complete events of a thread."""
    return [
        e for e in comparison_events if e["ph"] == "X" and (e["pid"], e["tid"]) == (pid, tid)
    ]  # fmt: skip


def test_a_timeline_by_order_where_no_time_is_known() -> None:
    trace = json.loads(json.dumps(trace_events(faulty()), allow_nan=False))
    events = trace["traceEvents"]
    nodes = slices(events, 1, 1)
    assert [(e["ts"], e["dur"]) for e in nodes] == [(i, 1) for i in range(4)]
    assert [e["args"]["node"] for e in nodes] == ["table", "query", "wrong", "end"]
    assert nodes[2]["args"]["verdict"] == "impossible"
    assert [e["name"] for e in slices(events, 1, 2)] == ["embeddings", "layers.0"]
    assert [e["name"] for e in slices(events, 1, 3)] == [
        "identical", "rounding", "impossible", "rounding",
    ]  # fmt: skip
    (mark,) = [e for e in events if e["ph"] == "i"]
    assert mark["ts"] == 2
    assert not slices(events, 2, 1)
    assert trace["otherData"]["timed"] is False


def test_a_timeline_of_both_sides_where_times_are_known() -> None:
    places = [replace(p, seconds=(0.5, 0.25)) for p in faulty().places]
    events = trace_events(comparison(places))["traceEvents"]
    assert [(e["ts"], e["dur"]) for e in slices(events, 1, 1)] == [
        (5e5 * i, 5e5) for i in range(4)
    ]  # fmt: skip
    assert [e["ts"] for e in slices(events, 2, 1)] == [2.5e5 * i for i in range(4)]
    named = [e["args"]["name"] for e in events if e["name"] == "process_name"]
    assert named == ["reference: model.onnx", "candidate: onnxruntime:off"]


def test_a_timeline_of_nothing_is_empty() -> None:
    assert trace_events(comparison())["traceEvents"] == []


def test_verification_has_the_fields_of_torch() -> None:
    inner = place("n")
    again = place("vector", edge="vector")
    found = verification_info(comparison([inner, again]))
    assert [one["name"] for one in found] == ["vector", "n.out"]
    edges = [0.0, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 1e6]
    assert found[0] == {
        "name": "vector",
        "max_abs_diff": 3e-4,
        "max_rel_diff": 2e-4,
        "abs_diff_hist": [[3.0, 0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0], edges],
        "rel_diff_hist": [[3.0, 0.0, 1.0, 2.0, 0.0, 0.0, 0.0, 0.0, 0.0], edges],
        "expected_dtype": "torch.float32",
        "actual_dtype": "torch.float32",
    }
    other = replace(DETAIL, types=("float32", "float16"))
    (one,) = verification_info(comparison([place("n", detail=other)]))[1:]
    assert one["actual_dtype"] == "torch.float16"
