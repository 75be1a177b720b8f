"""What is written is there as a whole or not at all, and what is no plain file stays what it is."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

import pytest

from embedx.errors import ConfigError, OutputError
from embedx.output_file import check_writable, writing

pytestmark = pytest.mark.skipif(os.name != "posix", reason="permissions and links are POSIX's")
as_root = pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root makes device nodes"
)
as_user = pytest.mark.skipif(
    hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write everywhere"
)


def write(path: Path, data: bytes = b"new") -> None:
    check_writable(path)
    with writing(path) as file:
        file.write(data)


def write_half(file: BinaryIO) -> None:
    file.write(b"half")
    raise ZeroDivisionError


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mask", [0o022, 0o077, 0o000])
def test_a_new_file_has_the_permissions_of_the_umask(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write(tmp_path / "a")
    finally:
        os.umask(before)
    assert mode(tmp_path / "a") == 0o666 & ~mask
    assert [*tmp_path.iterdir()] == [tmp_path / "a"]


def test_a_file_is_exchanged_and_keeps_its_permissions(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old and longer")
    path.chmod(0o640)
    with path.open("rb") as reader:
        write(path)
        assert reader.read() == b"old and longer"  # as somebody who has mapped it still sees it
    assert (path.read_bytes(), mode(path)) == (b"new", 0o640)


@as_root
def test_a_file_keeps_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"old")
    os.chown(path, 1234, 2345)
    write(path)
    assert (path.stat().st_uid, path.stat().st_gid, path.read_bytes()) == (1234, 2345, b"new")


def test_what_fails_leaves_everything_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for there in (None, b"old"):
        if there is not None:
            path.write_bytes(there)
        with pytest.raises(ZeroDivisionError), writing(path) as file:
            write_half(file)
        assert [p.read_bytes() for p in tmp_path.iterdir()] == [there] * (there is not None)


def test_links_lead_where_they_lead(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    target, link, second = tmp_path / "folder" / "a", tmp_path / "link", tmp_path / "second"
    link.symlink_to("folder/a")
    second.symlink_to(link)
    for data in (b"made", b"exchanged"):
        write(second, data)
        assert (second.is_symlink(), link.is_symlink()) == (True, True)
        assert (target.read_bytes(), target.is_symlink()) == (data, False)


def test_a_file_with_two_names_keeps_both(tmp_path: Path) -> None:
    one, other = tmp_path / "a", tmp_path / "b"
    one.write_bytes(b"old and longer")
    other.hardlink_to(one)
    write(one)
    assert other.read_bytes() == b"new"
    assert one.samefile(other)


@as_root
@pytest.mark.parametrize("number", [3, 7])  # /dev/null and /dev/full, under names of the test's own
def test_a_device_stays_a_device(tmp_path: Path, number: int) -> None:
    device = tmp_path / "device"
    try:
        os.mknod(device, 0o666 | stat.S_IFCHR, os.makedev(1, number))
        device.open("wb").close()
    except OSError:
        pytest.skip("device nodes are not allowed here")
    link = tmp_path / "link"
    link.symlink_to(device)
    before = device.stat()
    for path in (device, link):
        if number == 7:
            with pytest.raises(OutputError, match=r"cannot write .*: No space left on device"):
                write(path)
        else:
            write(path)
    after = device.stat()
    kept = ("st_ino", "st_mode", "st_rdev", "st_uid", "st_gid")
    assert [getattr(before, k) for k in kept] == [getattr(after, k) for k in kept]
    assert {*tmp_path.iterdir()} == {device, link}


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("nowhere/a", "No such file or directory"),
        ("file/a", "Not a directory"),
        (".", "Is a directory"),
        ("loop", "Too many levels of symbolic links"),
        ("dangling", "No such file or directory"),
        ("x" * 300, "File name too long"),
    ],
)
def test_what_cannot_be_written(tmp_path: Path, path: str, reason: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere/a")
    before = {*tmp_path.iterdir()}
    with pytest.raises(ConfigError, match=f"cannot write .*: {reason}"):
        check_writable(tmp_path / path)
    with pytest.raises(ConfigError, match=f"cannot write .*: {reason}"), writing(tmp_path / path):
        raise AssertionError("the block must not begin")
    assert {*tmp_path.iterdir()} == before
    assert (tmp_path / "loop").is_symlink()


@as_user
def test_folders_and_files_that_are_closed_to_us(tmp_path: Path) -> None:
    inner = tmp_path / "inner"
    inner.mkdir()
    (inner / "open").write_bytes(b"old and longer")
    (inner / "closed").write_bytes(b"old")
    (inner / "closed").chmod(0o444)
    for path in (inner / "closed", inner / "new"):
        inner.chmod(0o755 if path.name == "closed" else 0o555)
        with pytest.raises(ConfigError, match="Permission denied"):
            check_writable(path)
        with pytest.raises(ConfigError, match="Permission denied"), writing(path):
            raise AssertionError("the block must not begin")
    write(inner / "open")
    inner.chmod(0o755)
    assert (inner / "open").read_bytes() == b"new"
