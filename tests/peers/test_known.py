"""Runtimes to compare with: refused before anything runs."""

from __future__ import annotations

from importlib import util
from typing import Any

import pytest

from embedx.errors import ConfigError
from embedx.peers import known
from embedx.peers.known import PEERS, check_peers


def test_an_unknown_runtime_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ConfigError, match=r"no runtime 'onnx' .*onnx\.reference"):
        check_peers(["onnx"], with_texts=False)


@pytest.mark.parametrize("name", PEERS)
def test_what_is_missing_is_told_with_what_to_install(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = PEERS[name].modules[0]

    def found(module: str) -> Any:
        return None if module == gone else util.find_spec("json")

    monkeypatch.setattr(known, "find_spec", found)
    with pytest.raises(ConfigError, match="pip install ") as error:
        check_peers([name], with_texts=True)
    assert PEERS[name].install in str(error.value)


def test_texts_only_means_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "find_spec", lambda module: util.find_spec("json"))
    check_peers(list(PEERS), with_texts=True)
    with pytest.raises(ConfigError, match="--texts"):
        check_peers(["sentence-transformers"], with_texts=False)
