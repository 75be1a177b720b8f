"""The goldens as a test suite for any runtime: ``python -m embedx.oracle.suite RUNTIME``.

RUNTIME is ``module:factory``. ``factory(path)`` opens a model file (``factory(bytes)`` with
``--bytes``), and what it makes has ``run(output_names, feeds)``, as in onnxruntime. A runtime that
lacks an operator says so by an exception of the factory's, or by a NotImplementedError (or one
whose name or words mean the same).
``onnxruntime``, ``onnx.reference``, ``embedx``, ``embedx:plain`` (without its fast kernels) and
``embedx:exact`` need no factory.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, Literal, TypeAlias

import numpy as np

import embedx
from embedx.difference import ROUNDING, Tolerance, compare
from embedx.errors import ConfigError, EmbedxError, ToleranceError
from embedx.model.graph import Graph, Node, SequenceType, TensorType, Type, Value
from embedx.model.onnx_file import read_model
from embedx.model.onnx_writer import model_bytes
from embedx.ops import Value as Content
from embedx.ops import resolve
from embedx.oracle.data_sets import DataSet, read_data_sets
from embedx.oracle.golden import Case, read_cases, tolerance_of

SCHEMA = "embedx.suite/1"
GOLDEN = Path(__file__).parents[2] / "golden"
"""Where the goldens lie in a source tree; an installed embedx has none."""

Factory: TypeAlias = Callable[[Any], Any]
Status: TypeAlias = Literal["passed", "failed", "unsupported"]
_STANDARD = 17
"""The opset of the standard that is imported beside a domain of its own."""
_IR_VERSION = 10
_LACKING = re.compile(
    r"not[ _]?impl|unsupported|not[ _]?supported|no corresponding numpy type", re.IGNORECASE
)
"""What exceptions are called, or say, that mean the same as a NotImplementedError."""


@dataclass(frozen=True)
class Outcome:
    """What a runtime made of one case."""

    id: str
    opset: int
    oracle: str
    status: Status
    why: str = ""
    """The first difference, or the runtime's own words."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the suite; 0 if nothing failed and something passed, else 1, or an error's own code."""
    options = _parser().parse_args(arguments)
    try:
        factory = factory_of(options.runtime)
        files = golden_files(options.golden, _names(options.operators))
        results = {}
        for path in files:
            results[path.stem] = [
                run_case(case, factory, options.golden, as_bytes=options.bytes)
                for case in read_cases(path)
            ]
            if not options.json:
                print(_line(path.stem, results[path.stem]), flush=True)
    except EmbedxError as error:
        print(f"embedx.oracle.suite: {error}", file=sys.stderr)
        return error.exit_code
    counts = count([outcome for outcomes in results.values() for outcome in outcomes])
    if options.json:
        print(json.dumps(document(options.runtime, results)))
    else:
        print(f"{_counted(counts)}: {len(results)} operators in {options.runtime}")
    return int(counts["failed"] > 0 or not counts["passed"])


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m embedx.oracle.suite",
        description="Try embedx's golden cases on a runtime, one small model each.",
        epilog="The exit code is 1 if a case fails, or if none passes.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "runtime", metavar="RUNTIME",
        help=f"{', '.join(_KNOWN)}, or module:factory, which makes of a model's path something "
        "with run(output_names, feeds)",
    )  # fmt: skip
    parser.add_argument(
        "--operators", nargs="+", metavar="NAME", help="only these, such as com.microsoft.Gelu"
    )
    parser.add_argument("--bytes", action="store_true", help="give the factory bytes, no path")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument(
        "--golden", type=Path, default=GOLDEN, metavar="FOLDER",
        help="the folder golden/ of embedx's source tree (default: the one beside this package)",
    )  # fmt: skip
    return parser


def _names(given: Sequence[str] | None) -> list[str] | None:
    return [name for word in given for name in word.split(",") if name] if given else None


def factory_of(runtime: str) -> Factory:
    """The factory that a name stands for. Raises ConfigError if there is none."""
    if runtime in _KNOWN:
        return _KNOWN[runtime]
    module, colon, path = runtime.partition(":")
    try:
        found: Any = import_module(module)
        for name in (path if colon else "factory").split("."):
            found = getattr(found, name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(
            f"no runtime {runtime!r} ({error}); known are {', '.join(_KNOWN)}, and module:factory"
        ) from error
    if not callable(found):
        raise ConfigError(f"{runtime!r} is {type(found).__name__}, and cannot be called")
    factory: Factory = found
    return factory


def _onnxruntime(model: str | bytes) -> Any:
    runtime = import_module("onnxruntime")
    options = runtime.SessionOptions()
    options.log_severity_level = 4
    return runtime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _reference(model: str | bytes) -> Any:
    return import_module("onnx.reference").ReferenceEvaluator(model)


_KNOWN: Mapping[str, Factory] = {
    "onnxruntime": _onnxruntime,
    "onnx.reference": _reference,
    "embedx": lambda model: embedx.Engine(model),
    "embedx:plain": lambda model: embedx.Engine(model, optimize=False),
    "embedx:exact": lambda model: embedx.Engine(model, precision="exact"),
}


def golden_files(folder: Path, operators: Sequence[str] | None = None) -> list[Path]:
    """The golden files of these operators, or all. Raises ConfigError for what is not there."""
    files = {path.stem: path for path in sorted(folder.glob("ops/*.json"))}
    if not files:
        raise ConfigError(
            f"{folder} holds no goldens, which lie in the folder golden/ of embedx's source tree; "
            "clone its repository or unpack its sdist, and name the folder with --golden FOLDER"
        )
    for name in operators or ():
        if name not in files:
            raise ConfigError(
                f"no golden cases of an operator {name!r}; names are as in Softmax and "
                "com.microsoft.Gelu"
            )
    return [files[name] for name in operators or files]


def run_case(case: Case, factory: Factory, golden: Path, *, as_bytes: bool = False) -> Outcome:
    """What a runtime makes of one case, within the tolerance of its operator."""

    def outcome(status: Status, why: str = "") -> Outcome:
        return Outcome(case.id, case.opset, case.oracle, status, why)

    model, runs, tolerance = _trial(case, golden)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        path.write_bytes(model)
        try:
            session = factory(model if as_bytes else str(path))
        except Exception as error:
            return outcome("unsupported", _words(error))
        for run in runs:
            names = [name for name, expected in run.outputs.items() if expected is not None]
            try:
                with np.errstate(all="ignore"):
                    results = dict(zip(names, session.run(names, dict(run.inputs)), strict=True))
            except Exception as error:
                words = _words(error)
                lacking = isinstance(error, NotImplementedError) or _LACKING.search(words)
                return outcome("unsupported" if lacking else "failed", words)
            try:
                for place, (name, expected) in enumerate(run.outputs.items()):
                    if expected is not None:
                        what = f"output {place}"
                        compare(_plain(results[name]), expected, tolerance, what)
            except ToleranceError as error:
                return outcome("failed", str(error))
    return outcome("passed")


def _words(error: Exception) -> str:
    """What an exception says, in one line."""
    return str(EmbedxError(f"{type(error).__name__}: {' '.join(str(error).split())}"[:300]))


def _plain(value: Any) -> Any:
    """A runtime's value with texts as embedx has them."""
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "UT":
        return np.asarray(value).astype(object)
    return value


def _trial(case: Case, golden: Path) -> tuple[bytes, list[DataSet], Tolerance]:
    """The model of a case, what goes into it and comes out, and how exactly."""
    if case.model is not None:
        folder = golden / "models" / case.model
        path = folder / "model.onnx"
        return path.read_bytes(), read_data_sets(folder, read_model(path)), ROUNDING
    inputs = {f"x{i}": x for i, x in enumerate(case.inputs) if x is not None}
    outputs = {f"y{i}": y for i, y in enumerate(case.outputs)}
    # NumPy lacks some types, and so do runtimes' interfaces, but no file does.
    fixed = {k: x for k, x in inputs.items() if isinstance(x, np.ndarray) and x.dtype.kind == "V"}
    fed = {k: x for k, x in inputs.items() if k not in fixed}
    node = Node(
        case.name,
        tuple("" if x is None else f"x{i}" for i, x in enumerate(case.inputs)),
        tuple("" if y is None else f"y{i}" for i, y in enumerate(case.outputs)),
        case.attributes,
        case.domain,
        opset=case.opset,
    )
    graph = Graph(
        case.name,
        tuple(Value(name, _type(x)) for name, x in fed.items()),
        tuple(Value(name, _type(y, ranked=False)) for name, y in outputs.items() if y is not None),
        (node,),
        fixed,
        {"": _STANDARD, case.domain: case.opset},
        ir_version=_IR_VERSION,
    )
    tolerance = tolerance_of(resolve(case.name, case.opset, case.domain))
    return model_bytes(graph), [DataSet(case.id, fed, outputs)], tolerance


def _type(value: Content, *, ranked: bool = True) -> Type:
    if isinstance(value, list):
        return SequenceType(_type(value[0], ranked=False)) if value else None
    assert isinstance(value, np.ndarray)
    return TensorType(value.dtype, value.shape if ranked else None)


def count(outcomes: Sequence[Outcome]) -> dict[str, int]:
    """How many cases passed, failed, and are not supported."""
    statuses = [outcome.status for outcome in outcomes]
    return {status: statuses.count(status) for status in ("passed", "failed", "unsupported")}


def document(runtime: str, results: Mapping[str, Sequence[Outcome]]) -> dict[str, Any]:
    """All results, as ``--json`` prints them."""
    return {
        "schema": SCHEMA,
        "runtime": runtime,
        "embedx": embedx.__version__,
        **count([outcome for outcomes in results.values() for outcome in outcomes]),
        "operators": [
            {"operator": name, **count(outcomes), "cases": [asdict(o) for o in outcomes]}
            for name, outcomes in results.items()
        ],
    }


def _counted(counts: Mapping[str, int]) -> str:
    return "{passed} passed, {failed} failed, {unsupported} not supported".format(**counts)


def _line(operator: str, outcomes: Sequence[Outcome]) -> str:
    """The counts of an operator, and the first case that fails, or else that is not supported."""
    lines = [f"{operator}: {_counted(count(outcomes))}"]
    for status in ("failed", "unsupported"):
        first = next((outcome for outcome in outcomes if outcome.status == status), None)
        if first is not None:
            lines.append(f"    {first.id!r} (opset {first.opset}, by {first.oracle}): {first.why}")
            break
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
