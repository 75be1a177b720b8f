"""The pytest plug-in, in runs of pytest of their own."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import onnx
import pytest

from tests.environment import environment
from tests.models import model

pytest_plugins = ["pytester"]

TESTS = """
    def test_check(embedx_oracle):
        embedx_oracle("a.onnx").check(with_="embedx", level="nodes")

    def test_golden(embedx_oracle):
        embedx_oracle("a.onnx").golden("one", with_="embedx", inputs="x.npz")
"""


def product(weight: float) -> onnx.ModelProto:
    return model(
        f"agraph (float[N, 2] x) => (float[N, 2] y) <float[2, 2] w = {{{weight}, 0.2, 0.3, 0.7}}>"
        "{ p = MatMul(x, w) y = Tanh(p) }"
    )


class Suite:
    """A folder of tests, and pytest in it, with this plug-in and no other."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.folder = pytester.path
        self.pytester = pytester
        onnx.save(product(0.1), self.folder / "a.onnx")
        onnx.save(product(0.101), self.folder / "b.onnx")
        np.savez(self.folder / "x.npz", x=np.array([[1, 2]], np.float32))
        pytester.makepyfile(test_it=TESTS)

    def run(self, *arguments: str, plugins: tuple[str, ...] = ()) -> pytest.RunResult:
        loaded = [word for name in plugins for word in ("-p", name)]
        return self.pytester.runpytest_subprocess(
            "-p", "embedx.oracle.pytest_plugin", *loaded, *arguments
        )


@pytest.fixture
def suite(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Suite:
    monkeypatch.setenv("PYTHONPATH", environment()["PYTHONPATH"])
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    for name in ("GITHUB_STEP_SUMMARY", "PYTEST_ADDOPTS"):
        monkeypatch.delenv(name, raising=False)
    return Suite(pytester)


def said(result: pytest.RunResult) -> str:
    return re.sub(r"\s+", " ", result.stdout.str() + result.stderr.str())


def test_a_missing_golden_fails_is_recorded_and_then_passes(suite: Suite) -> None:
    missing = suite.run()
    missing.assert_outcomes(passed=1, failed=1)
    assert "embedx_goldens/one; run pytest with --embedx-update to record it" in said(missing)
    suite.run("--embedx-update").assert_outcomes(passed=2)
    golden = suite.folder / "embedx_goldens" / "one" / "test_data_set_0"
    assert sorted(p.name for p in golden.iterdir()) == ["input_0.pb", "output_0.pb"]
    recorded = (golden / "output_0.pb").read_bytes()
    suite.run().assert_outcomes(passed=2)
    assert (golden / "output_0.pb").read_bytes() == recorded

    onnx.save(product(0.1001), suite.folder / "a.onnx")
    changed = suite.run("-k", "golden")
    changed.assert_outcomes(failed=1, deselected=1)
    assert "(golden 'one')" in said(changed)
    assert "if the new values are meant, record them with --embedx-update" in said(changed)
    onnx.save(product(0.1), suite.folder / "a.onnx")
    np.savez(suite.folder / "x.npz", x=np.array([[1, 3]], np.float32))
    assert "was recorded for other inputs than the test has now" in said(suite.run("-k", "golden"))


def test_a_failure_tells_where_whose_why_and_what_next(suite: Suite) -> None:
    suite.pytester.makepyfile(
        test_it="""
        import pytest

        def test_models(embedx_oracle):
            embedx_oracle("a.onnx").check("b.onnx")

        def test_values(embedx_oracle):
            found = {"y": [[0.5, 0.5]]}
            embedx_oracle("a.onnx").check(found, inputs="x.npz", allow="suspicious")

        def test_error(embedx_oracle):
            with pytest.raises(AssertionError, match="suspicious: .* against .*a.onnx"):
                embedx_oracle("a.onnx").check("b.onnx", allow="identical", inputs="x.npz")

        def test_name(embedx_oracle):
            embedx_oracle("a.onnx").golden("../one")
        """
    )
    result = suite.run("--junitxml", "junit.xml", "--embedx-json", "found.json")
    text = said(result)
    assert re.search(r"ToleranceError: (suspicious|impossible): \S*b\.onnx in embedx against", text)
    assert "first at MatMul 'p'" in text
    assert "constant 'w' differs" in text
    assert "next: embedx " in text
    assert "a golden's name is that of a folder, not '../one'" in text
    assert "pytest_plugin.py" not in text  # a test's failure is shown in the test

    found = json.loads((suite.folder / "found.json").read_text())
    assert found["schema"] == "embedx.pytest/1"
    first = found["documents"][0]
    assert first["test"] == "test_it.py::test_error"
    assert (first["kind"], first["schema"]) == ("check", "embedx.compare/1")
    cases = ElementTree.parse(suite.folder / "junit.xml").iter("testcase")
    properties = {
        case.get("name"): {p.get("name"): p.get("value") for p in case.iter("property")}
        for case in cases
    }
    assert properties["test_models"]["node"] == "p"
    assert properties["test_models"]["verdict"] in ("suspicious", "impossible")
    assert float(str(properties["test_models"]["noise_ratio"])) > 4


def test_properties_are_no_reason_for_warnings(suite: Suite) -> None:
    suite.run("--embedx-update")
    for family in ("xunit2", "xunit1"):
        options = ("-W", "error", "--junitxml", "junit.xml", "-o", f"junit_family={family}")
        suite.run(*options).assert_outcomes(passed=2, warnings=0)
        properties = ElementTree.parse(suite.folder / "junit.xml").iter("property")
        assert {"verdict", "noise_ratio"} <= {p.get("name") for p in properties}


SHARED = """
    def test_first(embedx_oracle):
        embedx_oracle("a.onnx").golden("one", inputs="x.npz")

    def test_second(embedx_oracle):
        embedx_oracle("{model}").golden("one", inputs="{inputs}")
"""


@pytest.mark.parametrize(("model", "inputs"), [("b.onnx", "x.npz"), ("a.onnx", "z.npz")])
def test_one_name_for_two_goldens_is_refused(suite: Suite, model: str, inputs: str) -> None:
    np.savez(suite.folder / "z.npz", x=np.array([[3, 4]], np.float32))
    suite.pytester.makepyfile(test_it=SHARED.format(model=model, inputs=inputs))
    for _ in range(2):
        result = suite.run("--embedx-update")
        result.assert_outcomes(passed=1, failed=1)
        assert (
            "test_it.py::test_first, line 2 and test_it.py::test_second, line 5 record different "
            "values as the golden"
        ) in said(result)


def test_one_golden_for_two_calls_is_recorded_once(suite: Suite) -> None:
    suite.pytester.makepyfile(
        test_it="""
        import pytest

        @pytest.mark.parametrize("engine", [None, "embedx"])
        def test_it(embedx_oracle, engine):
            embedx_oracle("a.onnx").golden("one", with_=engine, inputs="x.npz")
            embedx_oracle("a.onnx").golden("one", inputs="x.npz")
        """
    )
    suite.run("--embedx-update").assert_outcomes(passed=2)
    suite.run().assert_outcomes(passed=2)


@pytest.mark.skipif(find_spec("xdist") is None, reason="needs pytest-xdist")
def test_one_name_in_two_workers_is_refused(suite: Suite) -> None:
    suite.pytester.makepyfile(test_it=SHARED.format(model="b.onnx", inputs="x.npz"))
    result = suite.run("-n", "2", "--embedx-update", plugins=("xdist",))
    assert result.ret == pytest.ExitCode.TESTS_FAILED
    assert "record different values as the golden" in said(result)


def test_a_golden_of_others_is_not_overwritten(suite: Suite) -> None:
    model = suite.folder / "embedx_goldens" / "one" / "model.onnx"
    model.parent.mkdir(parents=True)
    model.write_bytes(b"of somebody else")
    result = suite.run("--embedx-update")
    result.assert_outcomes(passed=1, failed=1)
    assert "choose another folder, or empty it" in said(result)
    assert model.read_bytes() == b"of somebody else"


def test_a_summary_is_added_for_github(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    page = suite.folder / "summary.md"
    page.write_text("what was there\n")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(page))
    suite.run("-k", "check")
    start, *lines = page.read_text().splitlines()
    assert start == "what was there"
    assert lines[2] == "| test | verdict | noise ratio | node | why |"
    assert lines[4].startswith("| test_it.py::test_check | ")
    assert lines[4].count("|") == 6
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(suite.folder))
    refused = suite.run("-k", "check")
    refused.assert_outcomes(passed=1, deselected=1)
    assert "Is a directory" in said(refused)


UNUSED = "goldens that no test used"


def test_goldens_that_no_test_used_are_named(suite: Suite) -> None:
    suite.run("--embedx-update").assert_outcomes(passed=2)
    assert UNUSED not in said(suite.run())
    (suite.folder / "embedx_goldens" / "one").rename(suite.folder / "embedx_goldens" / "old")
    suite.run("--embedx-update")
    for arguments in ((), (".",)):
        text = said(suite.run(*arguments))
        assert UNUSED in text
        assert "embedx_goldens/old" in text
        assert "embedx_goldens/one" not in text.partition(UNUSED)[2]


@pytest.mark.parametrize(
    "arguments",
    [
        ["-k", "check"],
        ["test_it.py::test_check"],
        ["test_it.py"],
        ["--deselect", "test_it.py::test_golden"],
        ["--ignore", "test_it.py"],
        ["-x"],
        ["--collect-only"],
    ],
    ids=" ".join,
)
def test_nothing_is_said_of_goldens_if_tests_are_missing(
    arguments: list[str], suite: Suite
) -> None:
    (suite.folder / "embedx_goldens" / "old" / "test_data_set_0").mkdir(parents=True)
    suite.pytester.makepyfile(
        test_it="""
        def test_check(embedx_oracle):
            assert True

        def test_fail():
            assert False

        def test_golden(embedx_oracle):
            assert embedx_oracle is not None
        """,
        test_other="def test_other(): pass",
    )
    assert UNUSED in said(suite.run())
    assert UNUSED not in said(suite.run(*arguments))


@pytest.mark.parametrize(
    "start",
    ["raise ValueError", "import pytest; pytest.skip(allow_module_level=True)"],
)
def test_nothing_is_said_of_goldens_of_tests_that_did_not_come_to_them(
    start: str, suite: Suite
) -> None:
    (suite.folder / "embedx_goldens" / "old" / "test_data_set_0").mkdir(parents=True)
    suite.pytester.makepyfile(test_it="def test_it(): pass", test_other=start)
    assert UNUSED not in said(suite.run("--continue-on-collection-errors"))
    suite.pytester.makepyfile(
        test_other="""
        import pytest

        def test_it(embedx_oracle):
            pytest.skip("for want of something")
        """
    )
    assert UNUSED not in said(suite.run())


@pytest.mark.skipif(find_spec("xdist") is None, reason="needs pytest-xdist")
def test_workers_send_what_they_have_seen(suite: Suite) -> None:
    xdist = ("xdist",)
    suite.run("-n", "2", "--embedx-update", plugins=xdist).assert_outcomes(passed=2)
    (suite.folder / "embedx_goldens" / "old" / "test_data_set_0").mkdir(parents=True)
    result = suite.run("-n", "2", "--embedx-json", "found.json", plugins=xdist)
    result.assert_outcomes(passed=2)
    unused = said(result).partition(UNUSED)[2]
    assert "embedx_goldens/old" in unused
    assert "embedx_goldens/one" not in unused
    found = json.loads((suite.folder / "found.json").read_text())["documents"]
    tests = [document["test"].rpartition("::")[2] for document in found]
    assert tests == ["test_check", "test_golden", "test_golden"]
    assert UNUSED not in said(suite.run("-n", "2", "-k", "check", plugins=xdist))
    suite.pytester.makepyfile(test_it="import os\n\ndef test_end(): os._exit(1)")
    assert UNUSED not in said(suite.run("-n", "1", "--max-worker-restart=0", plugins=xdist))


def test_the_folder_of_goldens_has_a_name_of_the_projects_choice(suite: Suite) -> None:
    suite.pytester.makeini("[pytest]\nembedx_goldens = recorded\n")
    suite.run("--embedx-update", "-k", "golden").assert_outcomes(passed=1, deselected=1)
    assert (suite.folder / "recorded" / "one" / "test_data_set_0" / "output_0.pb").is_file()


def test_loading_it_costs_nothing() -> None:
    code = "import sys, pytest; before = {*sys.modules}; import embedx.oracle.pytest_plugin; "
    code += "print(*({*sys.modules} - before))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True,
        env=environment(),
    )  # fmt: skip
    loaded = done.stdout.split()
    assert "embedx.oracle.pytest_plugin" in loaded
    own = {"embedx", "embedx.errors", "embedx.oracle", "embedx.oracle.pytest_plugin"}
    assert {name for name in loaded if name.startswith("embedx")} == own
    assert not {"numpy", "onnx", "scipy"} & {name.partition(".")[0] for name in loaded}


def test_pytest_finds_it() -> None:
    text = (Path(__file__).parents[2] / "pyproject.toml").read_text("utf-8")
    group = text.partition("[project.entry-points.pytest11]\n")[2]
    assert group.startswith('embedx = "embedx.oracle.pytest_plugin"\n')
