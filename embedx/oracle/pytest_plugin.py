"""pytest plug-in: models held against the referee, and against goldens, in tests.

    def test_export(embedx_oracle):
        embedx_oracle("model.onnx").check(with_="onnxruntime", level="nodes")
        embedx_oracle("model.onnx").golden("greetings", texts=["hello", "good morning"])

pytest loads this module in every run, so what it needs is imported when a test asks for it.
"""

from __future__ import annotations

import inspect
import json
import os
import tempfile
from collections.abc import Generator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from embedx.errors import ConfigError, EmbedxError, ToleranceError

if TYPE_CHECKING:
    from embedx.oracle.compare import Level
    from embedx.oracle.comparison import Comparison
    from embedx.oracle.verdicts import Verdict

FIXTURE = "embedx_oracle"
SCHEMA = "embedx.pytest/1"
_MOST_NAMES = 8


@dataclass
class _Seen:
    """What a process has seen of the tests; the workers of pytest-xdist send theirs."""

    documents: list[dict[str, Any]] = field(default_factory=list)
    used: list[str] = field(default_factory=list)
    """The goldens' folders that tests have used."""
    recorded: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Which tests recorded the goldens, by their folders, and the lists of what they wrote."""
    clashes: list[str] = field(default_factory=list)
    """What tests in several workers recorded under one name."""
    folders: list[str] = field(default_factory=list)
    """Those with test files in them."""
    unsure: list[str] = field(default_factory=list)
    """Those with tests that might use a golden, and did not run to their end."""
    partial: bool = False
    """Whether tests are known to be missing."""
    collected: int = 0
    ran: int = 0
    trouble: str = ""
    """What kept the results from being written."""

    def add(self, other: _Seen) -> None:
        """Take in what a worker has seen: all of the tests, of which it ran some."""
        self.documents += other.documents
        self.used += other.used
        for folder, (test, wrote) in other.recorded.items():
            first, was = self.recorded.setdefault(folder, (test, wrote))
            if was != wrote:
                self.clashes.append(_clash(folder, first, test))
        self.folders += other.folders
        self.unsure += other.unsure
        self.partial |= other.partial
        self.collected = max(self.collected, other.collected)
        self.ran += other.ran


_SEEN = pytest.StashKey[_Seen]()


def pytest_addoption(parser: pytest.Parser) -> None:
    """The plug-in's options."""
    group = parser.getgroup("embedx")
    group.addoption(
        "--embedx-update", action="store_true", help="record the goldens of the tests that run anew"
    )
    group.addoption(
        "--embedx-json", metavar="FILE", help="write all of embedx's comparisons to a JSON file"
    )
    parser.addini(
        "embedx_goldens",
        "the folder of embedx's goldens, beside each test file (default: embedx_goldens)",
        default="embedx_goldens",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Begin to count."""
    config.stash[_SEEN] = _Seen()


class Oracle:
    """A model that a test wants to know the truth about."""

    def __init__(self, model: Any, request: pytest.FixtureRequest) -> None:
        self._model = model
        self._request = request
        self._seen = request.config.stash[_SEEN]

    def check(
        self,
        candidate: Any = None,
        *,
        with_: str = "embedx",
        level: Level = "outputs",
        inputs: Any = None,
        texts: Sequence[str] | None = None,
        allow: Verdict = "quantization",
    ) -> Comparison:
        """Hold a candidate against the referee, as :func:`embedx.oracle.compare.compare` does.

        Raises ToleranceError, an AssertionError, for a verdict that is worse than ``allow``; it
        names the node, which a comparison of nodes finds where none was asked for.
        """
        __tracebackhide__ = True
        from embedx.oracle.compare import compare

        candidate = _beside(self._request, candidate)
        inputs = _beside(self._request, inputs)
        options: dict[str, Any] = {"with_": with_, "inputs": inputs, "texts": texts, "allow": allow}
        found = compare(self._model, candidate, level=level, **options)
        if not found.passed and found.first is None and level == "outputs":
            found = _located(self._model, candidate, options, found)
        self._judge("check", found)
        return found

    def golden(
        self,
        name: str,
        *,
        with_: str | None = None,
        inputs: Any = None,
        texts: Sequence[str] | None = None,
        allow: Verdict = "quantization",
    ) -> None:
        """Hold the model, and an engine if one is named, against what was recorded.

        The golden lies in a folder of that name in ``embedx_goldens`` beside the test file, and is
        recorded by embedx in exact precision when pytest runs with ``--embedx-update``. Raises
        ToleranceError if it is missing, was recorded for other inputs, is worse than ``allow``, or
        if another call records something else under its name.
        """
        __tracebackhide__ = True
        from embedx.model.onnx_file import read_model
        from embedx.oracle.recording import check, feeds_of, golden_model, is_of
        from embedx.rewrite.normal import normal_form

        folder = _goldens(self._request.config, self._request.path) / name
        if not name or Path(name).is_absolute() or ".." in Path(name).parts:
            raise ConfigError(f"a golden's name is that of a folder, not {name!r}")
        inputs = _beside(self._request, inputs)
        self._seen.used.append(str(folder))
        if self._request.config.getoption("embedx_update"):
            self._update(folder, _caller(), inputs=inputs, texts=texts)
        if not folder.is_dir():
            raise ToleranceError(
                f"there is no golden {folder}; run pytest with --embedx-update to record it"
            )
        path = golden_model(folder, self._model)
        if inputs is not None or texts is not None:
            graph = normal_form(read_model(path))
            if not is_of(folder, feeds_of(path, graph, inputs=inputs, texts=texts), graph):
                raise ToleranceError(
                    f"the golden {folder} was recorded for other inputs than the test has now; run "
                    "pytest with --embedx-update to record it anew"
                )
        for found in check(folder, path, with_=with_, allow=allow):
            self._judge("golden", found, name)

    def _update(self, folder: Path, line: int, **source: Any) -> None:
        """Record a golden, or see that what was recorded under its name is the same."""
        __tracebackhide__ = True
        from embedx.oracle.own_files import LIST
        from embedx.oracle.recording import record

        place, earlier = f"{self._request.node.nodeid}, line {line}", self._seen.recorded
        with tempfile.TemporaryDirectory(prefix="embedx-") as elsewhere:
            target = Path(elsewhere) if str(folder) in earlier else folder
            record(self._model, target, copy_model=False, **source)
            wrote = (target / LIST).read_text("utf-8")
        first, was = earlier.setdefault(str(folder), (place, wrote))
        if was != wrote:
            raise ToleranceError(_clash(str(folder), first, place))

    def _judge(self, kind: str, found: Comparison, golden: str | None = None) -> None:
        """Keep what was found, and raise ToleranceError if it is worse than allowed."""
        __tracebackhide__ = True
        document = found.document
        test = {"test": self._request.node.nodeid, "kind": kind, "golden": golden}
        self._seen.documents.append({**test, **document})
        properties = self._request.node.user_properties
        properties.append(("verdict", found.verdict))
        properties.append(("noise_ratio", _noise_ratio(document)))
        if found.first is not None:
            properties.append(("node", found.first.name))
        if not found.passed:
            raise ToleranceError(_message(found, golden))


@pytest.fixture
def embedx_oracle(request: pytest.FixtureRequest) -> Any:
    """``embedx_oracle("model.onnx")`` has ``check(...)`` and ``golden(name, ...)``.

    A relative path is looked for beside the test file, then in the current folder.
    """

    def oracle(model: Any = None) -> Oracle:
        return Oracle(_beside(request, model), request)

    return oracle


def _caller() -> int:
    """The line of the test, or of what it calls, that calls the method that calls this."""
    frame = inspect.currentframe()
    for _ in range(2):
        frame = frame and frame.f_back
    return frame.f_lineno if frame else 0


def _clash(folder: str, first: str, second: str) -> str:
    return (
        f"{first} and {second} record different values as the golden {folder}; give each a name of "
        "its own"
    )


def _beside(request: pytest.FixtureRequest, path: Any) -> Any:
    """A path as it is seen from the test file, if it leads to something from there."""
    if not isinstance(path, str | os.PathLike):
        return path
    beside = request.path.parent / path
    return beside if beside.exists() else path


def _located(model: Any, candidate: Any, options: dict[str, Any], found: Comparison) -> Comparison:
    """The comparison node by node, if it tells more; a candidate may show nothing but outputs."""
    from embedx.oracle.compare import compare

    try:
        nodes = compare(model, candidate, level="nodes", **options)
    except EmbedxError:
        return found
    return nodes if nodes.first is not None and not nodes.passed else found


def _message(found: Comparison, golden: str | None) -> str:
    """What failed, where, on which side, why, and what to do next."""
    parts = [f"{found.verdict}: {found.candidate} against {found.reference}"]
    if golden is not None:
        parts[0] += f" (golden {golden!r})"
    if found.first is not None:
        site = f", site {found.first.site}" if found.first.site else ""
        parts.append(f"first at {found.first.op_type} {found.first.name!r}{site}")
        if len(found.first.covers) > 1:
            parts[-1] += f", or before it in {', '.join(found.first.covers[:_MOST_NAMES])}"
    parts.append(found.why)
    if found.first is not None and found.first.why not in found.why:
        parts.append(found.first.why)
    if found.next:
        parts.append(f"next: {found.next}")
    if golden is not None:
        parts.append("if the new values are meant, record them with --embedx-update")
    return "; ".join(part.rstrip(".") for part in parts)


def _noise_ratio(document: dict[str, Any]) -> Any:
    """The largest of all outputs, ``"inf"`` for what is beyond numbers; None if there is none."""
    ratios = [o["noise_ratio"] for o in document["outputs"] if o["noise_ratio"] is not None]
    return max(ratios, key=float, default=None)


def _goldens(config: pytest.Config, test_file: Path) -> Path:
    return test_file.parent / str(config.getini("embedx_goldens"))


# Which goldens no test used. That can be said of a folder only if all tests in it ran.


def pytest_collection_finish(session: pytest.Session) -> None:
    """Note where test files are."""
    seen = session.config.stash[_SEEN]
    seen.collected = len(session.items)
    seen.folders = sorted({str(_goldens(session.config, item.path)) for item in session.items})


def pytest_deselected(items: Sequence[pytest.Item]) -> None:
    """Note which folders have tests that do not run."""
    for item in items:
        seen = item.config.stash[_SEEN]
        seen.unsure.append(str(_goldens(item.config, item.path)))


# The old kind of wrappers, which all versions of pytest know: this module is loaded everywhere.


@pytest.hookimpl(hookwrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, None]:
    """Note test files that cannot be read, or skip themselves."""
    outcome = yield
    if not outcome.get_result().passed:
        config = collector.config
        config.stash[_SEEN].unsure.append(str(_goldens(config, collector.path)))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, Any, None]:
    """Note tests that might have used a golden, and did not come to it."""
    outcome = yield
    report = outcome.get_result()
    seen = item.config.stash[_SEEN]
    seen.ran += report.when == "teardown"
    if not report.passed and FIXTURE in getattr(item, "fixturenames", ()):
        seen.unsure.append(str(_goldens(item.config, item.path)))


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: Any) -> None:
    """Take in what a worker of pytest-xdist has seen."""
    seen = node.config.stash[_SEEN]
    sent = getattr(node, "workeroutput", {}).get("embedx")
    if sent is None or error:
        seen.partial = True
    if sent is not None:
        seen.add(_Seen(**json.loads(sent)))


def unused(config: pytest.Config, seen: _Seen) -> list[Path]:
    """The goldens that no test used, of the folders all of whose tests ran."""
    option = config.option
    if (
        seen.partial
        or seen.ran < seen.collected
        or option.keyword
        or getattr(option, "lf", False)
        or getattr(option, "ignore", None)
        or getattr(option, "ignore_glob", None)
        or option.collectonly
    ):
        return []
    roots = [config.invocation_params.dir / argument for argument in config.args]
    if not all(root.is_dir() for root in roots):
        return []  # a file's tests are not all that a folder has
    used = {Path(folder) for folder in seen.used}
    used.update(parent for folder in seen.used for parent in Path(folder).parents)
    folders = set(seen.folders) - set(seen.unsure)
    found = {first.parent for f in folders for first in Path(f).glob("**/test_data_set_0")}
    return sorted(found - used)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write what was found; a worker sends it instead."""
    config = session.config
    seen = config.stash[_SEEN]
    if hasattr(config, "workeroutput"):
        config.workeroutput["embedx"] = json.dumps(asdict(seen))
        return
    if seen.clashes:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    seen.partial |= bool(session.shouldstop or session.shouldfail)
    seen.documents.sort(key=lambda document: str(document["test"]))
    try:
        if config.option.embedx_json:
            from embedx.output_file import writing

            document = {"schema": SCHEMA, "documents": seen.documents}
            with writing(config.invocation_params.dir / config.option.embedx_json) as file:
                file.write(json.dumps(document, indent=1).encode())
        if "GITHUB_STEP_SUMMARY" in os.environ and seen.documents:
            with open(os.environ["GITHUB_STEP_SUMMARY"], "a", encoding="utf-8") as page:
                page.write(_markdown(seen.documents))
    except (OSError, EmbedxError) as error:
        seen.trouble = str(error)


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """List the goldens that no test used or several fought for, and what was not written."""
    seen = config.stash[_SEEN]
    goldens = unused(config, seen)
    told = [*seen.clashes, *filter(None, [seen.trouble])]
    if goldens or told:
        terminalreporter.section("embedx")
    for line in told:
        terminalreporter.write_line(line)
    if goldens:
        terminalreporter.write_line("goldens that no test used (delete them?):")
        for golden in goldens:
            terminalreporter.write_line(f"  {golden}")


def _markdown(documents: Sequence[dict[str, Any]]) -> str:
    """A table of all comparisons."""
    rows = [("test", "verdict", "noise ratio", "node", "why"), ("---",) * 5]
    for document in documents:
        ratio, first = _noise_ratio(document), document["first"] or {}
        shown = ratio if isinstance(ratio, str) else "" if ratio is None else f"{ratio:.3g}"
        rows.append(
            (
                document["test"], document["verdict"], shown, str(first.get("node") or ""),
                document["why"],
            )
        )  # fmt: skip
    lines = (" | ".join(_cell(text) for text in row) for row in rows)
    return "\n".join(["## embedx", "", *(f"| {line} |" for line in lines), "", ""])


def _cell(text: str) -> str:
    """A text that stays in its cell of a Markdown table."""
    return " ".join(text.replace("\\", "\\\\").replace("|", "\\|").replace("<", "&lt;").split())
