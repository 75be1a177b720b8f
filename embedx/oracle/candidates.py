"""Candidates: whatever gives values for a model's edges, and is to be judged."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from embedx.errors import ConfigError, InputError, ModelError, NodeError
from embedx.model.graph import Array, Graph, TensorType, Value
from embedx.model.onnx_file import read_model
from embedx.model.onnx_writer import write_model
from embedx.oracle.data_sets import load_tensors
from embedx.peers.known import PEERS, TEXTS_ONLY, check_peers
from embedx.peers.process import Runtime, write_arrays
from embedx.peers.side import LEVELS
from embedx.rewrite.element_types import element_types
from embedx.rewrite.normal import normal_form
from embedx.run.engine import Engine

ENGINES = (
    "embedx, embedx:exact, embedx:plain, onnxruntime, onnxruntime:off|basic|extended|all, "
    "onnx.reference, openvino, cmd:PROGRAM {model} {inputs} {outputs}"
)
"""What can run a candidate."""

_AT_ONCE = 2**26
"""Bytes of values that are taken from another process together."""


class Candidate:
    """What gives values for a model's edges."""

    stepwise = False
    """Whether each value is made when it is asked for, so that its time can be told."""

    def __init__(self, name: str, graph: Graph | None = None) -> None:
        self.name = name
        """What messages call it."""
        self.graph = graph
        """Whose edges it has, in normal form; None if only their names are known."""
        self.made: Graph | None = None
        """What an optimizing runtime makes of the graph, where it may round more for it."""

    def shown(self) -> set[str]:
        """The edges of which it can give values."""
        return set(self.graph.producers()) if self.graph is not None else set()

    def values(
        self, feeds: Mapping[str, Any], edges: Sequence[str], sizes: Mapping[str, int]
    ) -> Iterator[tuple[str, Any]]:
        """The values of edges of its own graph, in the order in which they are made.

        ``sizes`` are the bytes that they take, as far as is known. What it lacks is left out.
        """
        raise NotImplementedError

    def close(self) -> None:
        """End what has been started."""


def candidate_of(
    model: Path, graph: Graph, engine: str, folder: Path, *, inner: bool, threads: int = 1,
    disabled: Sequence[str] = (),
) -> Candidate:  # fmt: skip
    """The model of a file in an engine (see ``ENGINES``); ``graph`` is in normal form.

    ``folder`` is for temporary files. With ``inner`` values of inner edges are wanted, which an
    optimizing runtime has of the graph that it makes. Raises ConfigError for an engine that does
    not exist, is not installed, or cannot run the model.
    """
    name, _, rest = engine.partition(":")
    if name == "cmd":
        return _Program(model, graph, rest, folder)
    if name == "embedx":
        options: dict[str, dict[str, Any]] = {
            "": {}, "exact": {"precision": "exact"}, "plain": {"optimize": False},
        }  # fmt: skip
        if rest not in options:
            raise ConfigError(f"embedx runs as embedx, embedx:exact or embedx:plain, not {engine}")
        return _Embedx(engine, Engine(graph, num_cores=threads, **options[rest]))
    levels = (*LEVELS, "all") if name == "onnxruntime" else ()
    if name not in PEERS or name == TEXTS_ONLY or (rest and rest not in levels):
        raise ConfigError(f"no engine {engine!r}; there are {ENGINES}")
    check_peers([name], with_texts=False)
    level = {"level": rest or "all", "disabled": list(disabled)} if name == "onnxruntime" else {}
    job = {"model": str(model), "threads": threads, **level}
    found = _Peer(engine, graph, job, folder)
    rounded = any(node.op_type == "DequantizeLinear" for node in graph.walk())
    if level and level["level"] != "off" and (inner or rounded):
        saved = folder / "optimized.onnx"
        Runtime(name, {**job, "saved": str(saved)}).__exit__()
        try:
            optimized = normal_form(read_model(saved))
        except (InputError, ModelError) as error:
            raise ConfigError(f"{engine} does not show its graph: {error}") from error
        if inner:
            job = {**job, "model": str(saved), "level": "off"}
            found = _Peer(engine, optimized, job, folder)
        found.made = optimized
    return found


class _Embedx(Candidate):
    """embedx itself, as any other: its road through a whole run, or step by step."""

    stepwise = True

    def __init__(self, name: str, engine: Engine) -> None:
        super().__init__(name, engine.graph)
        self._engine = engine

    def shown(self) -> set[str]:
        """The edges between the steps of its plan."""
        return {name for step in self._engine.plan.steps for name in step.node.outputs if name}

    def values(
        self, feeds: Mapping[str, Any], edges: Sequence[str], sizes: Mapping[str, int]
    ) -> Iterator[tuple[str, Any]]:
        feeds = _taken(feeds, self._engine.graph)
        if set(edges) <= set(self._engine.output_names):
            yield from ((k, v) for k, v in self._engine.mapped_run(feeds).items() if k in edges)
            return
        wanted = set(edges)
        for visit in self._engine.walk(feeds):
            for edge, value in zip(visit.step.node.outputs, visit.outputs, strict=False):
                if edge in wanted:
                    yield edge, value


class _Peer(Candidate):
    """A runtime in a process of its own."""

    def __init__(self, name: str, graph: Graph, job: Mapping[str, Any], folder: Path) -> None:
        super().__init__(name, graph)
        self._engine = name.partition(":")[0]
        self._job, self._folder = job, folder
        self._opened: dict[tuple[str, ...], Runtime] = {}

    def values(
        self, feeds: Mapping[str, Any], edges: Sequence[str], sizes: Mapping[str, int]
    ) -> Iterator[tuple[str, Any]]:
        assert self.graph is not None
        plain = _plain(_taken(feeds, self.graph))
        for group in _groups(edges, sizes):
            found = self._runtime(group).values(plain, group, self._folder)
            yield from ((edge, found[edge]) for edge in group if edge in found)

    def _runtime(self, edges: Sequence[str]) -> Runtime:
        """The runtime with a model that has these outputs."""
        assert self.graph is not None
        model = self._job["model"]
        inner = [e for e in edges if e not in {v.name for v in self.graph.outputs}]
        key = tuple(inner)
        if key not in self._opened:
            if inner:
                self.close()  # models with other outputs take memory for nothing
                model = str(with_outputs(self.graph, edges, self._folder))
            self._opened[key] = Runtime(self._engine, {**self._job, "model": model})
        return self._opened[key]

    def close(self) -> None:
        for runtime in self._opened.values():
            runtime.__exit__()
        self._opened.clear()


class _Program(Candidate):
    """Any program that reads a model and its inputs, and writes outputs."""

    def __init__(self, model: Path, graph: Graph, command: str, folder: Path) -> None:
        super().__init__(f"cmd:{command}", graph)
        self._model, self._command, self._folder = model, command, folder
        if "{inputs}" not in command or "{outputs}" not in command:
            raise ConfigError(
                "a program is given as cmd:PROGRAM {model} {inputs} {outputs}: it reads an ONNX "
                "file and an .npz of inputs by name, and writes an .npz of outputs by name"
            )

    def values(
        self, feeds: Mapping[str, Any], edges: Sequence[str], sizes: Mapping[str, int]
    ) -> Iterator[tuple[str, Any]]:
        assert self.graph is not None
        if set(edges) <= {v.name for v in self.graph.outputs}:
            model = self._copy()
        else:
            model = with_outputs(self.graph, edges, self._folder)
        given, made = self._folder / "inputs.npz", self._folder / "outputs.npz"
        made.unlink(missing_ok=True)
        write_arrays(given, _plain(_taken(feeds, self.graph)))
        places = {"{model}": str(model), "{inputs}": str(given), "{outputs}": str(made)}
        words = [
            re.sub(r"\{(model|inputs|outputs)\}", lambda m: places[m[0]], word)
            for word in shlex.split(self._command)
        ]
        try:
            done = subprocess.run(words, capture_output=True, text=True, errors="replace")
        except OSError as error:
            raise ConfigError(f"cannot run {words[0]}: {error.strerror or error}") from error
        if done.returncode:
            told = (done.stderr.strip() or done.stdout.strip()).splitlines()[-1:]
            how = f"code {done.returncode}"
            if done.returncode < 0:
                how = f"signal {signal.Signals(-done.returncode).name}"
            raise NodeError(": ".join([f"{words[0]} ended with {how}", *told]))
        if not made.exists():
            raise NodeError(f"{words[0]} has not written {{outputs}}, an .npz of outputs by name")
        found = load_tensors(made)
        yield from ((edge, found[edge]) for edge in edges if edge in found)

    def _copy(self) -> Path:
        """The model where the program may do with it what it likes."""
        assert self.graph is not None
        place = self._folder / "model" / self._model.name
        if not place.exists():
            place.parent.mkdir(exist_ok=True)
            for path in {self._model, *(file.path for file in self.graph.files)}:
                target = place.parent / os.path.relpath(path, self._model.parent)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, target)
        return place


class Stored(Candidate):
    """Values that somebody has computed, one mapping for each run, in order."""

    def __init__(self, name: str, runs: Sequence[Mapping[str, Any]]) -> None:
        super().__init__(name)
        self.runs = tuple(runs)
        self._next = 0

    def shown(self) -> set[str]:
        """The edges of which there are values in all runs."""
        return set.intersection(*(set(run) for run in self.runs)) if self.runs else set()

    def values(
        self, feeds: Mapping[str, Any], edges: Sequence[str], sizes: Mapping[str, int]
    ) -> Iterator[tuple[str, Any]]:
        """The values of the next run."""
        run = self.runs[self._next]
        self._next += 1
        yield from ((edge, run[edge]) for edge in edges if edge in run)


def with_outputs(graph: Graph, edges: Sequence[str], folder: Path) -> Path:
    """A file of the graph in which ``edges`` are the outputs, for a runtime to give them."""
    known = {v.name: v for v in graph.outputs}
    types = element_types(graph)
    outputs = [
        known.get(edge) or Value(edge, TensorType(types[edge], None) if edge in types else None)
        for edge in edges
    ]
    nodes = tuple(replace(node, name=f"node_{i}") for i, node in enumerate(graph.nodes))
    path = folder / "inner.onnx"
    large = sum(v.nbytes for v in graph.initializers.values() if isinstance(v, np.ndarray))
    named = replace(graph, nodes=nodes, outputs=tuple(outputs))  # functions' nodes share names
    write_model(named, path, external_data=large > 2**30)
    return path


def _groups(edges: Sequence[str], sizes: Mapping[str, int]) -> Iterator[list[str]]:
    """The edges in order, in groups of values that may be held together."""
    group: list[str] = []
    held = 0
    for edge in edges:
        size = sizes.get(edge, 0)
        if group and held + size > _AT_ONCE:
            yield group
            group, held = [], 0
        group.append(edge)
        held += size
    if group:
        yield group


def _taken(feeds: Mapping[str, Any], graph: Graph) -> dict[str, Any]:
    """Those of the feeds that a graph has inputs for: exports differ in what they keep."""
    names = {v.name for v in graph.inputs}
    return {name: value for name, value in feeds.items() if name in names}


def _plain(feeds: Mapping[str, Any]) -> dict[str, Array]:
    odd = [name for name, value in feeds.items() if not isinstance(value, np.ndarray)]
    if odd:
        raise InputError(f"the input {odd[0]!r} is no tensor, and other runtimes take no other")
    return dict(feeds)
