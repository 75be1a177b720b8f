"""What is compared: a model, a candidate, and the feeds of both, from whatever they lie in."""

from __future__ import annotations

import functools
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from embedx.errors import ConfigError, InputError
from embedx.model.graph import Graph
from embedx.model.onnx_file import read_model
from embedx.model.onnx_writer import write_model
from embedx.oracle.candidates import Candidate, Stored, candidate_of
from embedx.oracle.data_sets import feeds_from, load_tensors, read_data_sets
from embedx.oracle.inputs import made_up_feeds, text_feeds
from embedx.oracle.matching import matched, named_alike, sketched
from embedx.rewrite.normal import normal_form
from embedx.run.engine import Engine, Source
from embedx.run.fold import fold_constants
from embedx.run.prepare import checked, loading, prepare
from embedx.text.locate import find_model

Feeds: TypeAlias = "str | os.PathLike[str] | Mapping[str, Any] | Sequence[Mapping[str, Any]]"


@dataclass(frozen=True, eq=False)
class Opened:
    """A model and a candidate that can be run on the same feeds."""

    reference: Model
    referee: Engine
    candidate: Candidate
    theirs: Graph | None
    """The graph of the candidate's values, if it is of another file."""
    file: Graph | None
    """That file's own graph, from which a runtime may have made another."""
    feeds: Sequence[Mapping[str, Any]]

    def pairs(self, *, inner: bool = True) -> dict[str, str]:
        """The edges of the referee's graph that the candidate shows, and what it calls them.

        Without ``inner`` they are outputs at least.
        """
        return self._inner_pairs if inner else _pairs(self, inner)

    @functools.cached_property
    def _inner_pairs(self) -> dict[str, str]:
        return _pairs(self, inner=True)  # of two files it takes a run of each


@contextmanager
def opened(
    model: Source | None, candidate: Source | Mapping[str, Any] | None, engine: str,
    inputs: Feeds | None, texts: Sequence[str] | None, *, inner: bool,
    disabled: Sequence[str] = (),
) -> Iterator[Opened]:  # fmt: skip
    """What :func:`compare` compares; with ``inner`` the candidate has values inside, too."""
    with tempfile.TemporaryDirectory(prefix="embedx-") as name:
        folder = Path(name)
        with loading():
            reference = read_source(model, folder / "reference.onnx")
            referee = Engine(prepare(reference.graph, "exact"), precision="exact")
            other, theirs, file = _candidate(reference, candidate, engine, folder, inner, disabled)
        with closing(other):
            feeds = _feeds(reference, referee, inputs, texts, candidate)
            if isinstance(other, Stored) and len(other.runs) != len(feeds):
                runs = len(other.runs)
                raise InputError(f"{other.name} has {runs} runs, the inputs are {len(feeds)}")
            yield Opened(reference, referee, other, theirs, file, feeds)


@dataclass(frozen=True, eq=False)
class Model:
    """A model's file and its graph in normal form."""

    name: str
    path: Path
    graph: Graph


def read_source(source: Source | None, place: Path) -> Model:
    """A model as a file, written to ``place`` unless it is one."""
    if source is None or isinstance(source, str | os.PathLike):
        path = find_model(source)
        return Model(str(path), path, normal_form(read_model(path)))
    graph = normal_form(source if isinstance(source, Graph) else read_model(source))
    if isinstance(source, bytes):
        place.write_bytes(source)
    elif isinstance(source, Graph):
        write_model(graph, place)
    else:
        place.write_bytes(source.SerializeToString())
    return Model(graph.name or "the model", place, graph)


def _candidate(
    reference: Model, source: Any, engine: str, folder: Path, inner: bool,
    disabled: Sequence[str],
) -> tuple[Candidate, Graph | None, Graph | None]:  # fmt: skip
    """The candidate; if it is of another file, the graph of its values, and the file's."""
    options: dict[str, Any] = {"inner": inner, "disabled": disabled}
    if source is None:
        return candidate_of(reference.path, reference.graph, engine, folder, **options), None, None
    if isinstance(source, Mapping):
        return Stored("the given values", [source]), None, None
    if isinstance(source, str | os.PathLike):
        place = Path(source).expanduser()
        if place.suffix in (".npz", ".npy", ".pb"):
            return Stored(str(place), [load_tensors(place)]), None, None
        if place.is_dir() and _is_of_data_sets(place):
            sets = read_data_sets(place, reference.graph)
            return Stored(str(place), [one.outputs for one in sets]), None, None
    model = read_source(source, folder / "candidate.onnx")
    checked(model.graph)
    found = candidate_of(model.path, model.graph, engine, folder, **options)
    found.name = f"{model.name} in {found.name}"
    file, shown = (fold_constants(g or model.graph, "exact") for g in (model.graph, found.graph))
    return found, shown, file


def _is_of_data_sets(place: Path) -> bool:
    return any(place.glob("test_data_set_*")) or any(place.glob("input_*.pb"))


def _feeds(
    reference: Model, referee: Engine, inputs: Feeds | None, texts: Sequence[str] | None,
    candidate: Any,
) -> list[Mapping[str, Any]]:  # fmt: skip
    if inputs is not None and texts is not None:
        raise ConfigError("give inputs or texts, not both")
    if texts is not None:
        return [*text_feeds(reference.path, texts)]
    if isinstance(inputs, str | os.PathLike):
        return [*feeds_from(inputs, reference.graph)]
    if inputs is not None:
        return [inputs] if isinstance(inputs, Mapping) else [*inputs]
    if isinstance(candidate, str | os.PathLike) and _is_of_data_sets(Path(candidate)):
        return [*feeds_from(candidate, reference.graph)]
    if isinstance(candidate, Mapping) or str(candidate).endswith((".npz", ".npy", ".pb")):
        raise ConfigError("values are compared for the inputs that they came from; give these, too")
    return [*made_up_feeds(referee)]


def _pairs(it: Opened, inner: bool) -> dict[str, str]:
    """The edges of the referee's graph that the candidate shows, and what it calls them."""
    graph, shown = it.referee.graph, it.candidate.shown()
    if it.theirs is None:
        return {name: name for name in graph.producers() if name in shown}
    if not inner:
        pairs = named_alike(graph, it.theirs)
        return {edge: other for edge, other in pairs.items() if other in shown}
    edges = [name for name in it.theirs.producers() if name in shown]
    feeds = it.feeds[0]
    ours = sketched(
        pair
        for visit in it.referee.walk(feeds)
        for pair in zip(visit.step.node.outputs, visit.outputs, strict=False)
    )
    theirs = sketched(it.candidate.values(feeds, edges, {}))
    pairs = matched(graph, it.theirs, ours, theirs)
    return {edge: other for edge, other in pairs.items() if other in shown}
