"""A model that runs on arrays."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from embedx.errors import ConfigError, InputError, ModelError
from embedx.kernels import Storage
from embedx.model.external_data import digests, refuse_changed
from embedx.model.graph import Dim, Graph, Node, TensorType
from embedx.model.onnx_file import read_model
from embedx.ops import Budget, spending
from embedx.rewrite.cut import reshaped
from embedx.rewrite.normal import normal_form
from embedx.run import feeds as feeding
from embedx.run.benchmark import BenchmarkResults
from embedx.run.binding import Precision
from embedx.run.execute import Compute, advance, execute, started
from embedx.run.execute import Observer as Around
from embedx.run.limits import free_bytes
from embedx.run.plan import make_plan
from embedx.run.prepare import checked, loading, prepare
from embedx.run.random_feeds import random_feeds
from embedx.run.step import Plan, Step
from embedx.workers import threads

if TYPE_CHECKING:
    from onnx import ModelProto

Observer: TypeAlias = Callable[[Node, Sequence[Any], Sequence[Any]], None]
"""Called after each node with its inputs and outputs, those of subgraphs included."""
Feeds: TypeAlias = "Mapping[str, Any] | Sequence[Any]"
Source: TypeAlias = "str | os.PathLike[str] | bytes | ModelProto | Graph"
"""A model: its file's path, the file's bytes, or what has been read of it."""


class Visit(NamedTuple):
    """A step that has run, what it took, and what it gave."""

    step: Step
    inputs: Sequence[Any]
    outputs: Sequence[Any]


class Engine:
    """An ONNX model that runs on arrays.

    ``model`` is a path, the file's bytes, a ModelProto, or a Graph. ``precision`` is ``"native"``
    (each operator in its own dtype), ``"exact"`` (floats compute in float64 and round once at each
    operator's output: the same bits whatever the batch, the threads and the machine) or
    ``"float64"`` (nothing is rounded, and the outputs are float64). In native precision the graph
    is rewritten to run faster, which may change results by rounding; ``skip_rules`` leaves some of
    the rewrites out (``embedx.run.prepare.RULES`` has them), ``optimize=False`` all of them.
    ``storage`` is how the optimized graph keeps constant matrices: ``"dense"``, ``"sparse"`` (in
    compressed rows), or ``"auto"``, the fastest form by how their zeros lie and, product by
    product, by the number of rows; the plan's steps say which. Two forms of a matrix may differ by
    rounding.
    ``batch_size`` and ``input_shapes`` replace declared dimensions; ``num_cores`` limits the
    threads. With ``per_text`` the first axis of all inputs is one of texts, and a dynamically
    quantized text has a scale of its own, as if it ran alone, where the graph allows that: the
    plan's QuantizedLinear steps say so.

    ``max_bytes`` bounds the values that are alive at the same time in a run, weights not counted
    (default: half of what the machine, the control group and the address space leave free now);
    ``time_limit`` (seconds, default: none) bounds loading, and each run, where it is looked at
    between nodes and in loops; ``max_iterations`` bounds all turns of a run's loops together.

    A model file is mapped, not read. Each run looks first whether it is still what was loaded.

    Raises ModelError or UnsupportedOpError, naming all that is missing, if the model cannot run.
    """

    def __init__(
        self,
        model: Source,
        batch_size: int | None = None,
        num_cores: int | None = None,
        *,
        input_shapes: Sequence[Sequence[int]] | None = None,
        precision: Precision = "native",
        optimize: bool = True,
        skip_rules: Sequence[str] = (),
        storage: Storage = "auto",
        per_text: bool = False,
        max_bytes: int | None = None,
        time_limit: float | None = None,
        max_iterations: int = 10_000_000,
    ) -> None:
        if precision not in ("native", "exact", "float64"):
            raise ConfigError(f"precision is native, exact or float64, not {precision!r}")
        if storage not in ("auto", "dense", "sparse"):
            raise ConfigError(f"storage is auto, dense or sparse, not {storage!r}")
        if isinstance(skip_rules, str):
            raise ConfigError(f"skip_rules is a list of names, such as [{skip_rules!r}]")
        for name, number in (("batch_size", batch_size), ("num_cores", num_cores)):
            if number is not None and number < 1:
                raise ConfigError(f"{name} must be at least 1, not {number}")
        self.precision: Precision = precision
        self.batch_size = batch_size
        self.num_cores = num_cores
        self._options: dict[str, Any] = {
            "batch_size": batch_size, "num_cores": num_cores, "input_shapes": input_shapes,
            "precision": precision, "optimize": optimize, "skip_rules": tuple(skip_rules),
            "storage": storage, "per_text": per_text, "max_bytes": max_bytes,
            "time_limit": time_limit, "max_iterations": max_iterations,
        }  # fmt: skip
        self._max_bytes = _half(free_bytes()) if max_bytes is None else max_bytes
        self._path = model if isinstance(model, str | os.PathLike) else None
        self._plans: dict[frozenset[str], Plan] = {}
        with loading(), spending(self._budget()):
            graph = normal_form(model if isinstance(model, Graph) else read_model(model))
            self.graph = reshaped(graph, batch_size, input_shapes)
            checked(self.graph, precision)
            self.plan = self._plan(frozenset())

    def _plan(self, fed: frozenset[str]) -> Plan:
        """The plan for feeds that override the defaults of ``fed``."""
        if fed not in self._plans:
            optimize = self._options["optimize"]
            graph = prepare(
                self.graph, self.precision,
                optimize=optimize, skip=self._options["skip_rules"], fed=fed,
                per_text=self._options["per_text"],
            )  # fmt: skip
            self._plans[fed] = make_plan(
                graph, self.precision, kernels=optimize, storage=self._options["storage"]
            )
        return self._plans[fed]

    def _budget(self) -> Budget:
        limit = self._options["time_limit"]
        deadline = None if limit is None else time.monotonic() + limit
        return Budget(self._max_bytes, self._options["max_iterations"], deadline)

    @property
    def input_names(self) -> list[str]:
        """The names of the inputs that must be fed, in graph order."""
        return [v.name for v in self.graph.feeds]

    @property
    def input_shapes(self) -> list[tuple[Dim, ...] | None]:
        """Their declared shapes: sizes, names of sizes, or None for what is not declared."""
        return [v.type.shape if isinstance(v.type, TensorType) else None for v in self.graph.feeds]

    @property
    def input_dtypes(self) -> list[np.dtype[Any] | None]:
        """Their element types; None for what is no tensor."""
        return [v.type.dtype if isinstance(v.type, TensorType) else None for v in self.graph.feeds]

    @property
    def output_names(self) -> list[str]:
        """The names of the outputs, in graph order."""
        return [v.name for v in self.graph.outputs]

    @property
    def output_shapes(self) -> list[tuple[Dim, ...] | None]:
        """Their declared shapes, which a file may get wrong."""
        return [
            v.type.shape if isinstance(v.type, TensorType) else None for v in self.graph.outputs
        ]

    def run(
        self, first: Feeds | Sequence[str] | None, feeds: Feeds | None = None, /, *,
        observe: Observer | None = None,
    ) -> list[Any]:  # fmt: skip
        """The outputs, in order, for ``run(feeds)`` or ``run(output_names, feeds)``.

        Feeds are a dict by name, or a list in graph order; ``output_names`` of None asks for all.
        The outputs are writable arrays of their own. ``observe`` sees every node.

        Raises InputError for feeds that do not fit, NodeError for a node that fails, BudgetError.
        """
        wanted = None if feeds is None else first
        outputs = self._run(first if feeds is None else feeds, observe)
        if wanted is None:
            return outputs
        by_name = dict(zip(self.output_names, outputs, strict=True))
        unknown = [name for name in wanted if name not in by_name]
        if unknown:
            raise InputError(f"no output {unknown[0]!r}; the model has {', '.join(by_name)}")
        return [by_name[name] for name in wanted]

    __call__ = run

    def mapped_run(self, feeds: Feeds, *, observe: Observer | None = None) -> dict[str, Any]:
        """The outputs by name."""
        return dict(zip(self.output_names, self._run(feeds, observe), strict=True))

    def timed_run(self, feeds: Feeds) -> tuple[list[Any], float]:
        """The outputs, and the wall-clock seconds that the run took."""
        start = time.perf_counter()
        outputs = self._run(feeds, None)
        return outputs, time.perf_counter() - start

    def benchmark(
        self,
        feeds: Feeds | None = None,
        num_iterations: int = 20,
        num_warmup_iterations: int = 5,
        include_outputs: bool = False,
    ) -> BenchmarkResults:
        """Times of repeated runs, on ``generate_random_inputs()`` unless told otherwise."""
        if num_iterations < 1 or num_warmup_iterations < 0:
            raise ConfigError("a benchmark needs at least one iteration")
        feeds = self.generate_random_inputs() if feeds is None else feeds
        for _ in range(num_warmup_iterations):
            self._run(feeds, None)
        runs = [self.timed_run(feeds) for _ in range(num_iterations)]
        first = next(iter(feeds.values() if isinstance(feeds, Mapping) else feeds))
        return BenchmarkResults(
            batch_size=len(first) if np.ndim(first) else 1,
            batch_times=[seconds for _, seconds in runs],
            outputs=[outputs for outputs, _ in runs] if include_outputs else None,
        )

    def generate_random_inputs(
        self, batch_size: int = 1, sequence_length: int = 32, seed: int = 0
    ) -> list[Any]:
        """Feeds that a tokenizer could have made: known ids, masks of ones, ascending positions."""
        size = self.batch_size or batch_size
        return random_feeds(self.graph, size, sequence_length, seed, self._max_bytes)

    def walk(self, feeds: Feeds, around: Around | None = None) -> Iterator[Visit]:
        """The run step by step, so that several runs can be led side by side.

        Each step of the outer graph is shown when it has run. ``around`` stands around every step,
        those of subgraphs included, and what it gives is what the run goes on with. The steps are
        the plan's: with ``optimize=False``, and in exact precision, they are the file's nodes.

        Raises what ``run`` raises, when it gets there.
        """
        plan, inputs = self._ready(feeds)
        values, budget = started(plan, inputs), self._budget()
        budget.holders.append(values)
        seen: list[Visit] = []

        def watching(step: Step, given: Sequence[Any], compute: Compute) -> Sequence[Any]:
            outputs = compute() if around is None else around(step, given, compute)
            seen[:] = [Visit(step, given, outputs)]  # the outer step's comes last
            return outputs

        for place in range(len(plan.steps)):
            with self._computing(budget):
                advance(plan, place, values, budget, watching)
            yield seen.pop()

    def _run(self, feeds: Any, observe: Observer | None) -> list[Any]:
        plan, inputs = self._ready(feeds)
        budget = self._budget()
        around = None if observe is None else _after(observe)
        with self._computing(budget):
            outputs = execute(plan, inputs, (), budget, around)
        self._check_outputs(outputs)
        return _owned(outputs, [*inputs, *plan.template])

    def _ready(self, feeds: Any) -> tuple[Plan, list[Any]]:
        """The plan for these feeds, and its inputs."""
        for file in self.graph.files:
            file.check()
        given = feeding.checked_feeds(
            self.graph.inputs, self.graph.initializers.keys(), feeds,
            widen=self.precision == "float64",
        )  # fmt: skip
        defaults = self.graph.initializers.keys()
        fed = frozenset(k for k, v in given.items() if v is not None and k in defaults)
        plan = self._plan(fed) if fed else self.plan
        return plan, [given[v.name] for v in plan.inputs]

    @contextmanager
    def _computing(self, budget: Budget) -> Iterator[None]:
        with np.errstate(all="ignore"), spending(budget), threads(self.num_cores):
            yield

    def _check_outputs(self, outputs: list[Any]) -> None:
        """Refuse outputs of another element type than the file declares."""
        if self.precision == "float64":
            return
        for value, output in zip(outputs, self.graph.outputs, strict=True):
            declared = output.type.dtype if isinstance(output.type, TensorType) else None
            if declared is not None and getattr(value, "dtype", declared) != declared:
                raise ModelError(
                    f"the output {output.name!r} is declared as {output.type}, it is {value.dtype}"
                )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled are the path, the files' digests and the options, or else the graph itself."""
        if self._path is None:
            return _unpickled, (replace(self.graph, files=()), {}, self._options)
        return _unpickled, (os.path.abspath(self._path), digests(self.graph.files), self._options)

    def __repr__(self) -> str:
        inputs = ", ".join(f"{v.name}: {v.type}" for v in self.graph.feeds)
        outputs = ", ".join(f"{v.name}: {v.type}" for v in self.graph.outputs)
        return f"Engine({inputs} -> {outputs}; {len(self.plan.steps)} steps, {self.precision})"


def _unpickled(model: Any, expected: dict[str, str], options: dict[str, Any]) -> Engine:
    engine = Engine(model, **options)
    refuse_changed(digests(engine.graph.files), expected)
    return engine


def _after(observe: Observer) -> Around:
    """What stands around a step and tells ``observe`` of it."""

    def around(step: Any, inputs: Sequence[Any], compute: Any) -> Any:
        outputs = compute()
        observe(step.node, inputs, outputs)
        return outputs

    return around


def _owned(outputs: list[Any], others: Sequence[Any]) -> list[Any]:
    """Copies of those outputs that are views, not contiguous, or also belong to somebody else."""
    taken = {id(value) for value in others}
    result = []
    for value in outputs:
        if isinstance(value, list):
            value = _owned(value, others)
        elif isinstance(value, dict):
            value = dict(value)
        elif value is not None:
            array = np.asarray(value)
            shared = array.base is not None or id(value) in taken or not array.flags.writeable
            value = array.copy() if shared or not array.flags.c_contiguous else array
            taken.add(id(value))
        result.append(value)
    return result


def _half(size: int | None) -> int | None:
    return None if size is None else size // 2
