"""A folder that shows a difference to those who can mend it: a small model, its data, a test.

The test needs nothing of embedx unless embedx is the engine at fault.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np

from embedx.errors import ConfigError, OutputError
from embedx.model.graph import Array, TensorType, Value
from embedx.model.onnx_writer import write_model
from embedx.ops import is_floating
from embedx.oracle.bisect import Bisection
from embedx.oracle.data_sets import write_data_set
from embedx.oracle.floor import Floors, difference, flipped_floors, floors, row_rms
from embedx.oracle.matching import coarseness
from embedx.oracle.noise import may_decide
from embedx.oracle.opened import opened
from embedx.oracle.own_files import check_own, list_own, remove_own
from embedx.oracle.pieces import Piece
from embedx.oracle.verdicts import LINE
from embedx.run.engine import Engine
from embedx.run.prepare import prepare

COMMAND = "bisect"
_ELEMENTS = 8
"""How many elements the report shows."""

PathLike = str | os.PathLike[str]


class _Evidence:
    """What a piece gives, what it should give, and where that is seen best."""

    def __init__(self, piece: Piece, engine: str) -> None:
        referee = Engine(prepare(piece.graph, "exact"), precision="exact")
        self.outputs = referee.mapped_run(piece.feeds)
        self.exact: Array = self.outputs[piece.output]
        with opened(
            piece.graph, piece.theirs, engine, [piece.feeds], None, inner=False
        ) as it:  # fmt: skip
            edge = piece.output
            if piece.theirs is not None:
                place = [v.name for v in piece.graph.outputs].index(piece.output)
                edge = piece.theirs.outputs[place].name
            self.found: Array = dict(it.candidate.values(piece.feeds, [edge], {}))[edge]
            self._coarse = coarseness(it.referee.graph, it.file, it.candidate.made)
        self.edge = edge
        self.place: tuple[int, ...] = ()
        self.allowed = 0.0
        """How far off the place may be, root mean square; nothing may be, if 0."""
        self.halved = False
        """Whether that is half of how far off it is: what rounding explains is more, of a row."""
        self.off = float("nan")
        if self.found.shape == self.exact.shape and is_floating(self.exact.dtype):
            self._measure(referee, piece)

    def _measure(self, referee: Engine, piece: Piece) -> None:
        off = row_rms(difference(self.found, self.exact))
        kinds: list[Callable[..., Floors]] = [floors]
        if any(map(may_decide, piece.graph.walk())):
            kinds.insert(0, flipped_floors)  # decisions may fall otherwise, if that explains less
        for kind in kinds:
            found = kind(referee, piece.feeds, {piece.output}, coarse=self._coarse)
            floor = found.by_edge[piece.output]
            row = int(np.argmax(floor.ratios(off)))
            self.off = float(off[row])
            self.allowed = LINE / float(floor.ratios(np.ones_like(off))[row])
            if self.off > self.allowed:
                break
        shape = self.exact.shape[:-1]
        self.place = tuple(int(i) for i in np.unravel_index(row, shape)) if shape else ()
        if self.off <= self.allowed:  # one number among many, perhaps, that judges them alone
            wrong = np.abs(difference(self.found, self.exact))
            with np.errstate(all="ignore"):
                times = np.where(wrong == 0, 0.0, wrong / floor.columns)
            index = np.unravel_index(np.argmax(times), wrong.shape)
            self.place = tuple(int(i) for i in index)
            self.off = float(wrong[index])
            self.halved = self.off / 2 < self.allowed
            self.allowed = min(self.allowed, self.off / 2)

    @property
    def bound(self) -> str:
        """What the number is that is allowed."""
        if not self.allowed:
            return "equal"
        if self.halved:
            return "half of how far off this element was when the test was written"
        return f"{LINE:g} times what rounding explains"


def check_place(folder: PathLike, *models: Any) -> None:
    """Refuse a folder that ``write_repro`` must not write into, before a long run.

    ``models`` are those that are read, if they have names. Raises ConfigError for a folder with
    files that no earlier repro wrote, or that have been changed, and for that of a model.
    """
    named = (Path(model) for model in models if isinstance(model, str | os.PathLike))
    check_own(Path(folder), COMMAND, [path / "model" if path.is_dir() else path for path in named])


def write_repro(found: Bisection, folder: PathLike) -> list[Path]:
    """Write what shows a bisection's difference into a folder; the files, in the order to read.

    ``report.md`` is a text for those who can mend it, ``test_repro.py`` fails as long as they have
    not, ``model.onnx`` is the piece, ``test_data_set_0`` what the candidate had there and what
    exact arithmetic makes of it. For another file ``candidate.onnx`` is its piece. What an earlier
    repro left there is replaced. Raises ConfigError if there is nothing to run, or for a folder
    with files of others (``check_place``), OutputError if the folder cannot be written.
    """
    piece = found.piece
    if piece is None:
        raise ConfigError(
            "there is no repro to write: "
            + (found.cause.why if found.cause else "the two do not part")
        )
    check_place(folder)
    evidence = _Evidence(piece, found.engine)
    place = Path(folder)
    report, test = place / "report.md", place / "test_repro.py"
    written = [report, test, place / "model.onnx"]
    remove_own(place, COMMAND)
    shaped = replace(piece.graph, outputs=tuple(_shaped(v, evidence) for v in piece.graph.outputs))
    write_model(shaped, place / "model.onnx")
    if piece.theirs is not None:
        written.append(place / "candidate.onnx")
        write_model(piece.theirs, place / "candidate.onnx")
    results = [evidence.outputs[v.name] for v in shaped.outputs]
    data = place / "test_data_set_0"
    write_data_set(data, shaped, piece.feeds, results)
    texts = {report: _report(found, piece, evidence), test: _test(found, piece, evidence)}
    for path, text in texts.items():
        try:
            path.write_text(text, "utf-8")
        except OSError as error:
            raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    list_own(place, COMMAND)
    return [*written, data]


def _shaped(output: Value, evidence: _Evidence) -> Value:
    """An output of which the file tells how many axes it has."""
    value = evidence.outputs[output.name]
    if isinstance(output.type, TensorType) and output.type.shape is not None:
        return output
    return Value(output.name, TensorType(value.dtype, (None,) * value.ndim))


def title(found: Bisection) -> str:
    """What a report about a bisection is called."""
    name = found.engine.partition(":")[0]
    version = found.environment.get("versions", {}).get(name, "")
    runtime = f"{name} {version}".strip() if name != "cmd" else "the program"
    where = "the model" if found.first is None else f"{found.first.op_type} {found.first.name!r}"
    names = [] if found.cause is None else [n for n in found.cause.names if repr(n) not in where]
    by = f" ({', '.join(names)})" if names else ""
    if found.cause is not None and found.cause.kind == "file":
        return f"{where} gives other results in the candidate's file{by}"
    return f"{runtime}: {where} is further off than rounding explains{by}"


def _report(found: Bisection, piece: Piece, evidence: _Evidence) -> str:
    return f"""# {title(found)}

{fill(_paragraph(found, piece, evidence), 100, break_long_words=False, break_on_hyphens=False)}

## How to see it

    python -m pytest test_repro.py

`test_data_set_0` has the inputs, and as `output_0.pb` what exact arithmetic gives.

## Values

{_values(evidence)}

## Environment

{_environment(found.environment)}
"""


def _paragraph(found: Bisection, piece: Piece, evidence: _Evidence) -> str:
    """What is wrong, where, and what makes it."""
    nodes = piece.graph.nodes
    file = "model.onnx" if piece.theirs is None else "candidate.onnx"
    size = f"{len(nodes)} node{'s' * (len(nodes) > 1)}"
    operators = ", ".join(dict.fromkeys(node.operator for node in nodes))
    sentences = [
        f"`{file}`, run by {found.engine}, gives an output that exact arithmetic, rounded once at "
        f"each operator, does not give: {_wrong(evidence)}.",
        f"The model has {size} ({operators}), fed with the values that came in there.",
    ]
    if piece.theirs is not None:
        sentences[1] = f"`model.onnx` has what should be there: {size} ({operators})."
    if found.first is not None:
        site = f" ({found.first.site})" * bool(found.first.site)
        source = Path(found.comparison.reference).name
        sentences.append(
            f"It is cut out of {source}, around {found.first.op_type} {found.first.name!r}{site}."
        )
    if found.cause is not None:
        sentences.append(f"What makes it: {found.cause.why}.")
        if found.cause.kind == "optimizers" and found.cause.names:
            sentences.append(f"With `disabled_optimizers={[*found.cause.names]}` it is right.")
    return " ".join(sentences)


def _at(evidence: _Evidence) -> str:
    if not evidence.place:
        return f"`{evidence.edge}`"
    what = "row" if len(evidence.place) == evidence.exact.ndim - 1 else "element"
    return f"{what} {list(evidence.place)} of `{evidence.edge}`"


def _wrong(evidence: _Evidence) -> str:
    """What is wrong with the output, in words."""
    exact, found, edge = evidence.exact, evidence.found, f"`{evidence.edge}`"
    if found.shape != exact.shape:
        return f"{edge} has the shape {list(found.shape)} instead of {list(exact.shape)}"
    if not evidence.allowed:
        places = _differing(evidence)
        if not places:
            return f"{edge} has the type {found.dtype} instead of {exact.dtype}"
        one = f"{_number(found[places[0]])} instead of {_number(exact[places[0]])}"
        if not exact.ndim:
            return f"{edge} is {one}"
        count = f"{len(places)} of the {exact.size} elements of {edge}"
        return f"{count} differ; element {list(places[0])} is {one}"
    off = f"{_at(evidence)} is off by {evidence.off:.3g}"
    if evidence.halved:
        return f"{off}, which rounding may explain of a whole row, but not of this element alone"
    return f"{off}, where rounding explains {evidence.allowed / LINE:.3g}"


def _values(evidence: _Evidence) -> str:
    """The elements that differ, those furthest off first, as a table; and what is allowed."""
    exact, found = evidence.exact, evidence.found
    if found.shape != exact.shape:
        return f"Expected is the shape {list(exact.shape)}, actual {list(found.shape)}."
    places = _differing(evidence)
    shown = places[:_ELEMENTS]
    first = f", the {len(shown)} furthest off first" if len(shown) < len(places) else ""
    lines = [
        f"{len(places)} of the {exact.size} elements of `{evidence.edge}` differ{first}:",
        "",
        "| element | expected | actual |",
        "|---|---|---|",
        *(f"| {list(i)} | `{_number(exact[i])}` | `{_number(found[i])}` |" for i in shown),
    ]
    if evidence.allowed:
        square = ", root mean square" if len(evidence.place) < exact.ndim else ""
        lines += ["", f"{_at(evidence)} may be off by {evidence.allowed:.6g}{square}:"]
        lines.append(f"{evidence.bound}.")
    return "\n".join(lines)


def _differing(evidence: _Evidence) -> list[tuple[int, ...]]:
    """Where the elements that differ are, those furthest off first."""
    exact, found = evidence.exact, evidence.found
    off = np.asarray(exact != found, np.float64)
    if is_floating(exact.dtype) or exact.dtype.kind in "iu":
        size = np.abs(np.asarray(difference(found, exact), np.float64))
        off = size if is_floating(exact.dtype) else np.maximum(off, size)
    order = np.argsort(-off, axis=None, kind="stable")[: np.count_nonzero(off)]
    return [tuple(int(i) for i in np.unravel_index(flat, off.shape)) for flat in order]


def _number(value: Any) -> str:
    value = np.asarray(value)
    return f"{float(value):.9g}" if is_floating(value.dtype) else str(value)


def _environment(facts: Mapping[str, Any]) -> str:
    lines = []
    for name, value in facts.items():
        if isinstance(value, Mapping):
            lines += [f"- {k}: {v}" for k, v in value.items()]
        else:
            lines.append(f"- {name}: {' '.join(value) if isinstance(value, list) else value}")
    return "\n".join(lines)


_TEST = '''\
"""{title}.

This test fails as long as that is so: python -m pytest test_repro.py
"""

{imports}

HERE = Path(__file__).parent
DATA = HERE / "test_data_set_0"
MODEL = HERE / "{model}"

OUTPUT = {output}  # which of the outputs
PLACE = {place}  # where it is seen best
ALLOWED = {allowed!r}  # {bound}


def read(path):
    """The name and the array in a file of ONNX's test data."""
    tensor = onnx.TensorProto()
    tensor.ParseFromString(path.read_bytes())
    return tensor.name, numpy_helper.to_array(tensor)


{run}


def test_repro():
    feeds = dict(map(read, sorted(DATA.glob("input_*.pb"))))
    _, expected = read(DATA / f"output_{{OUTPUT}}.pb")
    found = run(feeds)[OUTPUT]
    assert found.shape == expected.shape
{check}
'''

_ROUNDED = '''\
    found = np.asarray(found[PLACE], np.float64)
    expected = np.asarray(expected[PLACE], np.float64)
    with np.errstate(all="ignore"):
        off = np.where(found == expected, 0, found - expected)
        off = np.sqrt(np.mean(off**2))
    assert off <= ALLOWED, f"off by {off:.3g}, root mean square; allowed: {ALLOWED:.3g}"'''

_EQUAL = "    np.testing.assert_array_equal(found, expected)"

_RUNS = {
    "onnxruntime": """\
def run(feeds):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.{level}
    providers = ["CPUExecutionProvider"]
    return onnxruntime.InferenceSession(MODEL, options, providers=providers).run(None, feeds)""",
    "onnx.reference": """\
def run(feeds):
    return ReferenceEvaluator(str(MODEL)).run(None, feeds)""",
    "openvino": """\
def run(feeds):
    options = {{"INFERENCE_PRECISION_HINT": "f32"}}
    compiled = openvino.Core().compile_model(MODEL, "CPU", options)
    return list(compiled(feeds).values())""",
    "embedx": """\
def run(feeds):
    return Engine(MODEL{options}).run(None, feeds)""",
    "cmd": """\
COMMAND = {command}


def run(feeds):
    with tempfile.TemporaryDirectory() as folder:
        places = {{
            "{{model}}": str(MODEL),
            "{{inputs}}": f"{{folder}}/inputs.npz",
            "{{outputs}}": f"{{folder}}/outputs.npz",
        }}
        np.savez(places["{{inputs}}"], **feeds)
        words = [
            re.sub(r"\\{{(model|inputs|outputs)\\}}", lambda m: places[m[0]], word)
            for word in shlex.split(COMMAND)
        ]
        subprocess.run(words, check=True)
        with np.load(places["{{outputs}}"]) as file:
            return [file[v.name] for v in onnx.load(MODEL).graph.output]""",
}

_IMPORTS = {
    "onnxruntime": "import onnxruntime",
    "onnx.reference": "from onnx.reference import ReferenceEvaluator",
    "openvino": "import openvino",
    "embedx": "from embedx import Engine",
}


def _test(found: Bisection, piece: Piece, evidence: _Evidence) -> str:
    """The source of ``test_repro.py``."""
    name, _, rest = found.engine.partition(":")
    levels = {"off": "DISABLE_ALL", "basic": "ENABLE_BASIC", "extended": "ENABLE_EXTENDED"}
    run = _RUNS[name].format(
        level=f"ORT_{levels.get(rest, 'ENABLE_ALL')}",
        options={"exact": ', precision="exact"', "plain": ", optimize=False"}.get(rest, ""),
        command=json.dumps(rest),
    )
    standard = ["from pathlib import Path"]
    if name == "cmd":
        standard = [f"import {m}" for m in ("re", "shlex", "subprocess", "tempfile")] + standard
    foreign = ["import numpy as np", "import onnx", "from onnx import numpy_helper"]
    if name in _IMPORTS:
        foreign.insert(2 if _IMPORTS[name].startswith("import") else 3, _IMPORTS[name])
    return _TEST.format(
        title=re.sub(r'[\\"]', "'", title(found)),
        imports="\n".join([*standard, "", *foreign]),
        model="model.onnx" if piece.theirs is None else "candidate.onnx",
        output=[v.name for v in piece.graph.outputs].index(piece.output),
        place=evidence.place,
        allowed=evidence.allowed,
        bound=evidence.bound,
        run=run,
        check=_ROUNDED if evidence.allowed else _EQUAL,
    )
