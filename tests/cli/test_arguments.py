"""What the commands' arguments have in common."""

from __future__ import annotations

import argparse
import json
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


@pytest.mark.parametrize(
    "arguments",
    [["-n", "1", "q", "a", "b"], ["q", "-n", "1", "a", "b"], ["q", "a", "-n1", "b"]],
)
def test_options_may_stand_anywhere(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["similar", *arguments, "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["results"]
    assert found["text"] in ("a", "b")


def test_behind_two_dashes_all_are_texts(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["similar", "--json", "--", "-q", "-n", "--json"]) == 0
    results = json.loads(capsys.readouterr().out)["results"]
    assert {hit["text"] for hit in results} == {"-n", "--json"}
