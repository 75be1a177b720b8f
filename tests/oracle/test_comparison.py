"""What a comparison says in a terminal and as JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.oracle.comparison import begins, called, closeness, counted, shortened
from embedx.oracle.verdicts import VERDICTS, Verdict, is_worse
from tests.oracle.comparisons import DETAIL, comparison, faulty, place


def test_the_report_says_first_what_matters_most() -> None:
    lines = str(faulty()).splitlines()
    assert lines[0] == "IMPOSSIBLE  (fails: up to quantization is allowed)"
    assert lines[1] == "  MatMul 'wrong': it is <too> far off"
    assert lines[-1] == "next: embedx bisect a b"
    begin = lines.index("it begins at MatMul wrong")
    assert "covers 2 nodes, before to wrong" in lines[begin + 1]
    assert lines[begin + 3].split() == ["[1,", "2]", "1.5", "1.5003", "0.0003", "300"]


@given(st.sampled_from(VERDICTS), st.text("ab/._'", min_size=1, max_size=90), st.integers(0, 40))
def test_no_line_is_longer_than_a_hundred_columns(verdict: Verdict, name: str, n: int) -> None:
    name = "x" + name
    places = [place(f"{name}{i}", verdict, op_type="LayerNormalization") for i in range(n)]
    output = replace(comparison().outputs[0], name=name, verdict=verdict, noise_ratio=1.5e-300)
    one = comparison(places, verdict, outputs=(output,), first=places[0] if places else None)
    assert max(map(len, str(one).splitlines())) <= 100


def test_long_lists_of_places_are_thinned_out_and_the_first_bad_one_stays() -> None:
    places = [place(f"node{i}") for i in range(500)]
    places[237] = replace(places[237], verdict="suspicious")
    report = str(comparison(places, first=places[237]))
    assert "500 places: 499 rounding, 1 suspicious (some of them here" in report
    assert "node237" in report
    assert len(report.splitlines()) < 40


def test_layers_stand_for_all_places() -> None:
    places = [
        place(f"n{i}", site=f"layers.{i // 3}.{('q', 'mlp', 'output')[i % 3]}") for i in range(18)
    ]
    shown = str(comparison(places))
    assert all(f"layers.{i}.output" in shown for i in range(6))
    assert "layers.0.mlp" not in shown


def test_the_document_is_json_whatever_the_numbers_are() -> None:
    output = replace(
        comparison().outputs[0], noise_ratio=float("inf"), metrics={"cosine": float("nan")}
    )
    seen = replace(DETAIL, deviation=float("inf"))
    document = comparison([place("n", detail=seen)], outputs=(output,)).document
    again = json.loads(json.dumps(document, allow_nan=False))
    assert again["outputs"][0]["noise_ratio"] == "inf"
    assert again["outputs"][0]["worst"][0] == {
        "index": [1, 2], "exact": 1.5, "candidate": 1.5003, "floor": 1e-6,
    }  # fmt: skip
    assert again["nodes"][0]["deviation"] == "inf"
    assert again["first"] is None


def test_the_document_names_the_first() -> None:
    first = faulty().document["first"]
    assert (first["node"], first["covers"], len(first["worst"])) == (
        "wrong",
        ["before", "wrong"],
        2,
    )


@pytest.mark.parametrize("verdict", VERDICTS)
@pytest.mark.parametrize("allow", VERDICTS)
def test_it_passes_up_to_what_is_allowed(verdict: Verdict, allow: Verdict) -> None:
    one = comparison(verdict=verdict, allow=allow)
    assert one.passed is not is_worse(verdict, allow)
    assert one.document["exit"] == (0 if one.passed else 1)


def test_decisions_in_a_sentence() -> None:
    assert begins([place("a")]) == "No decision fell the other way."
    assert begins([place("a", flips=1)]) == "One decision fell the other way, at MatMul a."
    two = [place("a"), place("b", flips=2, site="layers.1.output"), place("c", flips=5)]
    assert begins(two[:2]) == "2 decisions fell the other way, all at layers.1.output."
    assert (
        begins(two)
        == "7 decisions fell the other way, at 2 places, 2 of them first, at layers.1.output."
    )


def test_names_and_numbers() -> None:
    assert counted([place("a")]) == "1 place: 1 rounding."
    assert called(place("n" * 80), 30) == "MatMul " + shortened("n" * 80, 23)
    assert closeness(None) == "-"
    assert closeness(-0.5) == "-0.5"


@given(st.text(max_size=60), st.integers(12, 60))
def test_shortened_names_keep_both_ends(name: str, most: int) -> None:
    found = shortened(name, most)
    assert len(found) == min(len(name), most)
    assert found[:2] == name[:2]
    assert found[-2:] == name[-2:]
