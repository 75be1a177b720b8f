"""Where a candidate first parts from the referee, on which input, and what makes it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeAlias

from embedx.errors import ConfigError, EmbedxError, ModelError
from embedx.machine import machine
from embedx.model.graph import Graph
from embedx.model.onnx_writer import write_model
from embedx.oracle.candidates import Stored
from embedx.oracle.changes import Change, changes, put_back
from embedx.oracle.compare import compare
from embedx.oracle.comparison import Comparison, Place
from embedx.oracle.inputs import made_up_feeds
from embedx.oracle.minimal import minimal
from embedx.oracle.opened import Feeds, Opened, opened, read_source
from embedx.oracle.pieces import Piece, smallest, whole
from embedx.oracle.verdicts import Verdict, is_worse
from embedx.peers.optimizers import optimizers_of
from embedx.run.engine import Engine, Source
from embedx.run.fold import fold_constants
from embedx.run.prepare import prepare

Kind: TypeAlias = Literal["file", "optimizers", "kernel", "engine", "values"]


@dataclass(frozen=True)
class Cause:
    """What makes a difference."""

    kind: Kind
    """
    - ``file``: what the candidate's file has otherwise
    - ``optimizers``: what onnxruntime's optimizers make of the model
    - ``kernel``: onnxruntime's operator itself, with all optimizers off
    - ``engine``: the engine, into which nobody here can look
    - ``values``: unknown, since the candidate is not run
    """
    names: tuple[str, ...]
    """The smallest set found that has to be put back, or disabled, for the difference to go."""
    why: str


@dataclass(frozen=True)
class Bisection:
    """What a bisection has found; ``str()`` of it is a report."""

    comparison: Comparison
    engine: str
    first: Place | None = None
    """The first place that is worse than allowed; None if none is, alone."""
    cause: Cause | None = None
    """None if the two do not part."""
    others: tuple[Place, ...] = ()
    """Further places that are worse than allowed by themselves."""
    piece: Piece | None = None
    """The smallest part of the model that was found to show it."""
    trials: int = 0
    """How often a piece was run."""
    environment: Mapping[str, Any] = field(default_factory=dict)

    @property
    def parted(self) -> bool:
        """Whether the candidate is worse than allowed."""
        return not self.comparison.passed

    @property
    def document(self) -> dict[str, Any]:
        """The bisection as JSON can hold it (schema ``embedx.bisect/1``)."""
        found = self.comparison.document
        run = 0 if self.first is None else self.first.run
        return {
            "schema": "embedx.bisect/1",
            "parted": self.parted,
            "exit": 1 if self.parted else 0,
            "verdict": found["verdict"],
            "why": found["why"],
            "reference": found["reference"],
            "candidate": found["candidate"],
            "engine": self.engine,
            "inputs": len(self.comparison.inputs),
            "input": {"index": run, "feeds": dict(self.comparison.inputs[run])}
            if self.parted
            else None,
            "first": found["first"],
            "cause": None
            if self.cause is None
            else {
                "kind": self.cause.kind, "names": list(self.cause.names), "why": self.cause.why,
            },
            "others": [
                {"node": p.name, "op_type": p.op_type, "site": p.site, "why": p.why}
                for p in self.others
            ],
            "piece": None if self.piece is None else [_called(n) for n in self.piece.graph.nodes],
            "trials": self.trials,
            "environment": dict(self.environment),
        }  # fmt: skip

    def __str__(self) -> str:
        told = self.comparison
        lines = [f"reference  {told.reference}", f"candidate  {told.candidate}"]
        if not self.parted:
            inputs = f"{len(told.inputs)} input" + "s" * (len(told.inputs) > 1)
            return "\n".join([f"They do not part on {inputs}: {told.why}", "", *lines])
        if self.first is None:
            lines += ["", "first      no node by itself; they part at the outputs"]
        else:
            site = f" ({self.first.site})" * bool(self.first.site)
            lines += ["", f"first      {self.first.op_type} {self.first.name!r}{site}"]
            if len(self.first.covers) > 1:
                lines.append(f"covers     {', '.join(self.first.covers)}")
        lines.append(f"why        {self.first.why if self.first else told.why}")
        if len(told.inputs) > 1 and self.first is not None:
            lines.append(
                f"input      number {self.first.run + 1} of {len(told.inputs)} shows it best"
            )
        if self.cause is not None:
            lines.append(f"made by    {self.cause.why}")
        if self.piece is not None:
            size = len(self.piece.graph.nodes)
            alone = "node shows it alone" if size == 1 else "nodes show it alone"
            lines.append(f"piece      {size} {alone}")
        if self.others:
            names = ", ".join(p.name for p in self.others[:8])
            more = f" and {len(self.others) - 8} more" * (len(self.others) > 8)
            lines.append(f"also at    {names}{more}")
        return "\n".join([f"They part ({told.verdict}).", "", *lines])


def bisect(
    model: Source | None,
    candidate: Source | Mapping[str, Any] | None = None,
    *,
    with_: str = "onnxruntime",
    inputs: Feeds | None = None,
    texts: Sequence[str] | None = None,
    seeds: int = 1,
    samples: int = 8,
    allow: Verdict = "quantization",
) -> Bisection:
    """The first place at which a candidate parts from exact arithmetic, and what makes it.

    Model, candidate, ``with_``, ``inputs`` and ``texts`` are those of ``compare``; ``seeds`` is how
    many inputs are made up where none are given. Over all of them the place that comes first in the
    order of execution counts, on the input that shows it best. The model is then cut down to the
    nodes that show it alone, on what the candidate had there. On this piece the cause is sought by
    delta debugging: for another file what has to be put back to the reference's, for onnxruntime
    which optimizers have to be disabled.

    Raises what ``compare`` raises.
    """
    if seeds < 1:
        raise ConfigError(f"seeds must be at least 1, not {seeds}")
    if seeds > 1:
        if inputs is not None or texts is not None:
            raise ConfigError("seeds are for inputs that are made up; give these or inputs")
        inputs = _made_up(model, seeds)
    comparison = compare(
        model, candidate, with_=with_, inputs=inputs, texts=texts, level="nodes", samples=samples,
        allow=allow,
    )  # fmt: skip
    first = comparison.first
    found = Bisection(comparison, with_, first, environment=machine())
    if comparison.passed:
        return found
    worse = (p for p in comparison.places if is_worse(p.verdict, allow))
    found = replace(found, others=tuple(p for p in worse if p is not first))
    trial = Trial(with_, allow)
    with opened(model, candidate, with_, inputs, texts, inner=True) as it:
        if isinstance(it.candidate, Stored):
            why = f"{it.candidate.name} holds values, which tell no cause"
            return replace(found, cause=Cause("values", (), why))
        piece = _piece(it, comparison, trial)
    if piece is None:
        cause = Cause("engine", (), f"{with_}: no piece shows it, only the model with all it has")
    else:
        cause = _cause(piece, trial)
    return replace(found, cause=cause, piece=piece, trials=trial.count)


class Trial:
    """Whether pieces part from exact arithmetic in an engine."""

    def __init__(self, engine: str, allow: Verdict) -> None:
        self.engine, self._allow = engine, allow
        self.count = 0

    def shows(self, piece: Piece, *, level: str = "") -> bool:
        """Whether a piece does; ``level`` is another one than the engine's, in onnxruntime."""
        engine = f"onnxruntime:{level}" if level else self.engine
        return self._passes(piece, engine, ()) is False

    def heals(self, piece: Piece, *, disabled: Sequence[str] = ()) -> bool:
        """Whether a piece runs and does not, with some optimizers of onnxruntime disabled."""
        return self._passes(piece, self.engine, disabled) is True

    def _passes(self, piece: Piece, engine: str, disabled: Sequence[str]) -> bool | None:
        """Whether a piece is as good as allowed; None for one that does not run."""
        self.count += 1
        try:
            return compare(
                piece.graph, piece.theirs, with_=engine, inputs=[piece.feeds], level="nodes",
                samples=4, allow=self._allow, disabled_optimizers=disabled,
            ).passed  # fmt: skip
        except EmbedxError:
            return None


def _made_up(model: Source | None, count: int) -> list[Mapping[str, Any]]:
    with tempfile.TemporaryDirectory(prefix="embedx-") as folder:
        graph = read_source(model, Path(folder) / "model.onnx").graph
        engine = Engine(prepare(graph, "exact"), precision="exact")
        return [feeds for seed in range(count) for feeds in made_up_feeds(engine, seed)]


def _piece(it: Opened, comparison: Comparison, trial: Trial) -> Piece | None:
    """The smallest piece found; the whole model if it takes that, and shows at an output."""
    first, run = comparison.first, 0
    if first is not None:
        found, run = smallest(it, first.edge, first.run, trial.shows), first.run
        if found is not None:
            return found
    worse = [o.name for o in comparison.outputs if is_worse(o.verdict, comparison.allow)]
    return whole(it, worse[0], run) if worse else None


def _cause(piece: Piece, trial: Trial) -> Cause:
    if piece.theirs is not None:
        ours = replace(piece, theirs=None)
        if trial.heals(ours):
            return _in_file(piece, piece.theirs, trial)
        piece = ours
    name, _, level = trial.engine.partition(":")
    if name != "onnxruntime":
        return Cause("engine", (), f"{trial.engine} itself, on the same model")
    if level == "off" or trial.shows(piece, level="off"):
        return Cause("kernel", (), "onnxruntime's kernel itself: it shows with all optimizers off")
    return _of_optimizers(piece, level or "all", trial)


def _in_file(piece: Piece, theirs: Graph, trial: Trial) -> Cause:
    """What in the candidate's file has to be put back."""
    ours, other = (fold_constants(graph, "exact") for graph in (piece.graph, theirs))
    if len(ours.outputs) != 1 or len(other.outputs) != 1:
        return Cause("file", (), "the candidate's file: the reference's shows nothing")

    def heals(some: Sequence[Change]) -> bool:
        try:
            back = put_back(ours, other, some)
        except ModelError:  # not everything can be put back alone
            return False
        return trial.heals(replace(piece, theirs=back))

    found = changes(ours, other)
    if not found or not heals(found):
        return Cause("file", (), "the candidate's file, in more than can be put back")
    few = minimal(found, heals)
    return Cause("file", tuple(c.name for c in few), "; ".join(c.why for c in few))


def _of_optimizers(piece: Piece, level: str, trial: Trial) -> Cause:
    """Which optimizers have to be disabled."""

    def heals(names: Sequence[str]) -> bool:
        return trial.heals(piece, disabled=names)

    with tempfile.TemporaryDirectory(prefix="embedx-") as folder:
        path = Path(folder) / "piece.onnx"
        write_model(piece.graph, path)
        found = optimizers_of(path, level)
    for names in (found.changed, found.ran):
        if names and heals(names):
            few = minimal(names, heals)
            return Cause("optimizers", tuple(few), f"onnxruntime's {' and '.join(few)}")
    why = f"onnxruntime's optimization at level {level!r}, by none that can be disabled alone"
    return Cause("optimizers", (), why)


def _called(node: Any) -> str:
    return str(node.name or node.outputs[0])
