"""ops/README.md lists the operators and modules that there are, and its code runs."""

from __future__ import annotations

import re
from pathlib import Path

from embedx.observe.catalogue import table

OPS = Path(__file__).parents[2] / "ops"
README = (OPS / "README.md").read_text("utf-8")


def test_the_table_of_operators_is_what_is_registered() -> None:
    assert README.endswith(f"\n\n{table()}\n"), "write the output of 'embedx ops' into ops/README"


def test_every_module_is_named_once() -> None:
    text = README.partition("## Where things are")[2].partition("## Adding")[0]
    modules = [path.stem for path in OPS.glob("*.py") if path.stem != "__init__"]
    assert {m: text.count(f"`{m}`") for m in modules} == dict.fromkeys(modules, 1)


def test_the_code_runs() -> None:
    (code,) = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)
    *_, last = code.splitlines()
    names: dict[str, object] = {}
    exec(code, names)
    expression, _, said = last.partition("  # ")
    assert eval(expression, names) is eval(said.rpartition(": ")[2], names)
