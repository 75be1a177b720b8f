"""Configuration files, without YAML's surprises."""

from __future__ import annotations

from pathlib import Path

import pytest

from embedx.config_file import parse_yaml, read_config, refuse_unknown
from embedx.errors import ConfigError


def test_json_and_yaml_give_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"port": 5543, "endpoints": [{"task": "x"}]}')
    (tmp_path / "a.yaml").write_text("port: 5543\nendpoints:\n  - task: x\n")
    assert read_config(tmp_path / "a.json") == read_config(tmp_path / "a.yaml")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2", "line 2: the key 'a' is repeated"),
        ("a: &x [1]\nb: *x", "line 2: aliases are not read"),
        ("a: &x {c: 1}\nb:\n  <<: {d: 2}", "'<<' is repeated"),
        ("a: !!python/object/apply:os.system ['true']", "not YAML"),
        ("a: [1", "not YAML"),
        ("? [1]\n: 2", "a key must be plain text"),
        ("[" * 3000, "nested too deeply|not YAML"),
        ("a: 1\nport: 22:30", "line 2: YAML reads 22:30 as 1350; write a plain number, or put quo"),
        ("a: [1:30.5]", "YAML reads 1:30.5 as 90.5"),
        ("a: 010", "YAML reads 010 as 8"),
        ("a: {b: 2024-01-01}", "YAML reads 2024-01-01 as 2024-01-01; write"),
        ("a: !!binary aGVsbG8=", "YAML reads aGVsbG8= as b'hello'"),
    ],
)
def test_what_surprises_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        parse_yaml(text)


def test_plain_values_are_what_they_look_like() -> None:
    text = "a: [0, -7, 1.5, -0.5, 1e3, true, null, text, '22:30', '010', '2024-01-01']"
    values = [0, -7, 1.5, -0.5, "1e3", True, None, "text", "22:30", "010", "2024-01-01"]
    assert parse_yaml(text) == {"a": values}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.yaml", b"- 1\n", "holds list"),
        ("a.json", b"{", "not JSON"),
        ("a.yaml", b"\xff\xfe\x00", "not UTF-8"),
        ("a.yaml", b"a: 1\n" * 300_000, "larger than 1 MiB"),
        ("a.yaml", None, "cannot read"),
    ],
)
def test_files_are_named(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as info:
        read_config(path)
    assert str(path) in str(info.value)


def test_unknown_keys_list_what_there_is() -> None:
    with pytest.raises(ConfigError, match="it has name, route"):
        refuse_unknown(["zzz"], ["name", "route"], "an endpoint")
