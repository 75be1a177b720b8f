"""Running a plan: a loop that knows no operator by name, and the Engine around it."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from embedx import feeds as feeding
from embedx.binding import Precision
from embedx.errors import BudgetError, ConfigError, EmbedxError, InputError, NodeError
from embedx.graph import Dim, Graph, Node, TensorType
from embedx.kernels.memory import Buffer
from embedx.onnx_file import read_model
from embedx.ops import Budget, OverBudgetError, spending
from embedx.plan import Plan, Step, make_plan
from embedx.precision import carry_halves_wide, to_float64
from embedx.rewrite import drop_dead, inline_functions, sort_nodes
from embedx.timing import BenchmarkResults
from embedx.workers import threads

if TYPE_CHECKING:
    from onnx import ModelProto

Observer: TypeAlias = Callable[[Node, Sequence[Any], Sequence[Any]], None]
"""Called after each node with its inputs and outputs, those of subgraphs included."""
Feeds: TypeAlias = "Mapping[str, Any] | Sequence[Any]"


def execute(
    plan: Plan, inputs: Sequence[Any], captured: Sequence[Any] = (), observe: Observer | None = None
) -> list[Any]:
    """The plan's outputs for its inputs, in order; ``None`` keeps an input's default.

    Raises NodeError naming the node that failed, BudgetError if the run spends too much.
    """
    values: list[Any] = list(plan.template)
    for slot, value in zip(plan.input_slots, inputs, strict=True):
        if value is not None:
            values[slot] = value
    for slot, value in zip(plan.capture_slots, captured, strict=True):
        values[slot] = value
    for step in plan.steps:
        arguments = [values[slot] for slot in step.inputs]
        try:
            if step.bodies:
                bodies = {
                    name: _Body(body, [values[slot] for slot in slots], observe)
                    for name, body, slots in step.bodies
                }
                result = step.call(*arguments, **bodies)
            elif (
                step.overwrites and observe is None and (out := _spare(step, arguments)) is not None
            ):
                result = step.call(*arguments, out=out)
            else:
                result = step.call(*arguments)
            results = result if isinstance(result, tuple) else (result,)
            if len(results) < len(step.outputs):
                raise ValueError(
                    f"{len(results)} outputs are made, the node names {len(step.outputs)}"
                )
        except EmbedxError:
            raise
        except (OverBudgetError, MemoryError) as error:
            raise BudgetError(
                f"{_described(step, arguments)}: {error or 'out of memory'}"
            ) from error
        except Exception as error:
            raise NodeError(f"{_described(step, arguments)}: {error}") from error
        for slot, value in zip(step.outputs, results, strict=False):
            values[slot] = value
        if observe is not None:
            observe(step.node, arguments, results[: len(step.outputs)])
        for slot in step.dead:
            values[slot] = None
    return [values[slot] for slot in plan.output_slots]


def _spare(step: Step, arguments: list[Any]) -> Any:
    """An input that nobody else refers to, into whose memory the step may write, or None."""
    for place in step.overwrites:
        if _references(arguments, place) in _ALONE:
            return arguments[place]
    return None


def _references(arguments: list[Any], place: int) -> tuple[int, int]:
    """How often the array is referred to, and the array whose memory it shows."""
    array = arguments[place]
    if not isinstance(array, np.ndarray) or not array.flags.writeable:
        return 0, 0
    if array.base is None or isinstance(array.base, Buffer):
        return sys.getrefcount(array), 0
    return sys.getrefcount(array), sys.getrefcount(array.base)


def _counts_when_alone() -> set[tuple[int, int]]:
    """The counts of arrays, and of views of arrays, to which only a run's own lists refer."""
    found = set()
    for values in ([np.empty(1)], [np.empty((1, 1)).reshape(1)]):
        arguments = [values[0]]
        found.add(_references(arguments, 0))
    return found


# Counted here and not known, as interpreters differ in which references they count.
_ALONE = _counts_when_alone()


class _Body:
    """A subgraph as a function, with the outer values that it captures."""

    def __init__(self, plan: Plan, captured: list[Any], observe: Observer | None) -> None:
        self._plan, self._captured, self._observe = plan, captured, observe
        self.inputs, self.outputs = (
            [
                (v.type.dtype, tuple(d if isinstance(d, int) else None for d in v.type.shape or ()))
                if isinstance(v.type, TensorType)
                else None
                for v in values
            ]
            for values in (plan.inputs, plan.outputs)
        )

    def __call__(self, *inputs: Any) -> tuple[Any, ...]:
        if len(inputs) != len(self._plan.inputs):
            raise ValueError(
                f"the subgraph takes {len(self._plan.inputs)} inputs, got {len(inputs)}"
            )
        return tuple(execute(self._plan, inputs, self._captured, self._observe))


def _described(step: Step, arguments: Sequence[Any]) -> str:
    shown = ", ".join(_kind(value) for value in arguments)
    return f"{step.node} on ({shown})"


def _kind(value: Any) -> str:
    if isinstance(value, np.ndarray | np.generic):
        return str(TensorType(value.dtype, value.shape))
    return "nothing" if value is None else f"{len(value)} tensors"


class Engine:
    """An ONNX model that runs on arrays.

    ``model`` is a path, the file's bytes, a ModelProto, or a Graph. ``precision`` is ``"native"``
    (each operator in its own dtype), ``"exact"`` (floats compute in float64 and round once at each
    operator's output: the same bits whatever the batch, the threads and the machine) or
    ``"float64"`` (nothing is rounded, and the outputs are float64). ``batch_size`` and
    ``input_shapes`` replace declared dimensions; ``num_cores`` limits the threads.
    ``max_bytes`` (default: half of the machine's memory) and ``time_limit`` (seconds, default:
    none) bound a run, ``max_iterations`` all turns of its loops together.

    Raises ModelError or UnsupportedOpError, naming all that is missing, if the model cannot run.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes | ModelProto | Graph,
        batch_size: int | None = None,
        num_cores: int | None = None,
        *,
        input_shapes: Sequence[Sequence[int]] | None = None,
        precision: Precision = "native",
        optimize: bool = True,
        max_bytes: int | None = None,
        time_limit: float | None = None,
        max_iterations: int = 10_000_000,
    ) -> None:
        if precision not in ("native", "exact", "float64"):
            raise ConfigError(f"precision is native, exact or float64, not {precision!r}")
        for name, number in (("batch_size", batch_size), ("num_cores", num_cores)):
            if number is not None and number < 1:
                raise ConfigError(f"{name} must be at least 1, not {number}")
        graph = model if isinstance(model, Graph) else read_model(model)
        graph = drop_dead(sort_nodes(inline_functions(graph)))
        graph = feeding.reshaped(graph, batch_size, input_shapes)
        if precision == "float64":
            graph = to_float64(graph)
        tolerance = None
        if precision == "native" and optimize:
            wide = carry_halves_wide(graph)
            tolerance = 2**-20 if wide is graph else 2**-10
            graph = wide
        self.graph = graph
        self.precision = precision
        self.plan = make_plan(self.graph, precision, tolerance)
        self.batch_size = batch_size
        self.num_cores = num_cores
        self._max_bytes = _half_of_memory() if max_bytes is None else max_bytes
        self._time_limit = time_limit
        self._max_iterations = max_iterations

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
        return feeding.random_feeds(self.graph, size, sequence_length, seed)

    def _run(self, feeds: Any, observe: Observer | None) -> list[Any]:
        inputs = feeding.checked_feeds(self.graph.inputs, self.graph.initializers.keys(), feeds)
        deadline = None if self._time_limit is None else time.monotonic() + self._time_limit
        budget = Budget(self._max_bytes, self._max_iterations, deadline)
        with np.errstate(all="ignore"), spending(budget), threads(self.num_cores):
            outputs = execute(self.plan, inputs, (), observe)
        return _owned(outputs, [*inputs, *self.plan.template])

    def __repr__(self) -> str:
        inputs = ", ".join(f"{v.name}: {v.type}" for v in self.graph.feeds)
        outputs = ", ".join(f"{v.name}: {v.type}" for v in self.graph.outputs)
        return f"Engine({inputs} -> {outputs}; {len(self.plan.steps)} steps, {self.precision})"


def _owned(outputs: list[Any], others: Sequence[Any]) -> list[Any]:
    """Copies of those outputs that are views, not contiguous, or also belong to somebody else."""
    taken = {id(value) for value in others}
    result = []
    for value in outputs:
        if isinstance(value, list):
            value = _owned(value, others)
        elif value is not None:
            array = np.asarray(value)
            shared = array.base is not None or id(value) in taken or not array.flags.writeable
            value = array.copy() if shared or not array.flags.c_contiguous else array
            taken.add(id(value))
        result.append(value)
    return result


def _half_of_memory() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2
    except (AttributeError, ValueError, OSError):
        return None
