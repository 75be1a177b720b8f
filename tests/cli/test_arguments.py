"""What the commands' arguments have in common."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from embedx.cli.arguments import count, file
from embedx.cli.main import main

COMMANDS = ["embed", "similar", "inspect", "truncate", "ops", "bench", "serve"]


@given(st.text(max_size=6) | st.integers(-9, 99).map(str))
def test_a_count_is_a_number_from_1_on(text: str) -> None:
    if text.isdecimal() and int(text) >= 1:
        assert count(text) == int(text)
    else:
        with pytest.raises(argparse.ArgumentTypeError, match="expected a whole number from 1 on"):
            count(text)


def test_a_dash_is_no_file() -> None:
    assert file("-") is None
    assert file("./-") == Path("-")


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_that_stands_in_the_list(
    capsys: pytest.CaptureFixture[str], command: str
) -> None:
    for arguments in (["--help"], [command, "--help"]):
        with pytest.raises(SystemExit) as stop:
            main(arguments)
        assert stop.value.code == 0
    listed, own = capsys.readouterr().out.split(f"usage: embedx {command}", 1)
    assert f"\n    {command} " in listed
    assert "-h, --help" in own
    assert ("--json" in own) == (command != "serve")


@pytest.mark.parametrize("arguments", [["embed", "--norm", "a"], ["inspect", "--js"]])
def test_options_are_not_abbreviated(run: Any, arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        run(*arguments)
    assert stop.value.code == 2
