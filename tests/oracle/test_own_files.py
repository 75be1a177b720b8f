"""Files that a command wrote are its own; all others stay as they are."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from embedx.errors import ConfigError, OutputError
from embedx.oracle.own_files import LIST, check_own, list_own, own_files, remove_own


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "own"
    remove_own(place, "some command")
    (place / "inner").mkdir()
    (place / "a").write_text("a")
    (place / "inner" / "b").write_text("b")
    list_own(place, "some command")
    return place


def test_what_was_written_may_be_replaced(folder: Path) -> None:
    assert set(own_files(folder, "some command")) == {"a", "inner/b"}
    (folder / "a").unlink()
    check_own(folder, "some command")
    remove_own(folder, "some command")
    assert [p.name for p in folder.iterdir()] == [LIST]


def test_of_another_command_it_may_not(folder: Path) -> None:
    with pytest.raises(ConfigError, match="that embedx other command did not write"):
        check_own(folder, "other command")
    remove_own(folder, "other command")
    assert (folder / "a").is_file()


def test_folders_that_are_empty_or_missing_are_free(tmp_path: Path) -> None:
    check_own(tmp_path, "some command")
    check_own(tmp_path / "missing", "some command")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["c", "inner/c", "other/c"])
def test_one_file_of_others_is_enough(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("of others")
    with pytest.raises(ConfigError, match=f"file {name} that embedx some command did not write"):
        check_own(folder, "some command")


def test_a_file_that_was_changed_is_of_others(folder: Path) -> None:
    (folder / "a").write_text("mended by hand")
    with pytest.raises(ConfigError, match="file a that has changed since embedx some command"):
        check_own(folder, "some command")


@pytest.mark.parametrize("name", [".gitignore", "__pycache__/x.pyc", ".pytest_cache/x"])
def test_what_tools_leave_behind_does_not_count(folder: Path, name: str) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_text("")
    check_own(folder, "some command")


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"written_by": "embedx some command"}', "\udcff"]
)
def test_a_list_that_cannot_be_read_lists_nothing(folder: Path, text: str) -> None:
    (folder / LIST).write_bytes(text.encode("utf-8", "surrogateescape"))
    assert own_files(folder, "some command") == {}
    with pytest.raises(ConfigError, match="did not write"):
        check_own(folder, "some command")


def test_a_list_reaches_nothing_outside(folder: Path) -> None:
    outside = folder.parent / "outside"
    outside.write_text("")
    listed = json.loads((folder / LIST).read_text())
    listed["sha256"] |= {"../outside": "0", str(outside): "0"}
    (folder / LIST).write_text(json.dumps(listed))
    remove_own(folder, "some command")
    assert outside.is_file()


def test_files_of_the_model_are_refused(folder: Path) -> None:
    with pytest.raises(ConfigError, match="the model's own folder"):
        check_own(folder, "some command", [folder / "inner" / ".." / "a"])
    check_own(folder, "some command", [folder.parent / "a"])


def test_a_file_is_no_folder(folder: Path) -> None:
    with pytest.raises(ConfigError, match="no folder"):
        check_own(folder / "a", "some command")
    with pytest.raises(OutputError, match="cannot write"):
        remove_own(folder / "a", "some command")
