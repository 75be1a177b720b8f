"""Files for results: a file is exchanged as a whole, what is no plain file is written into."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from embedx.errors import ConfigError, OutputError


@contextmanager
def writing(path: Path) -> Iterator[BinaryIO]:
    """A file for what is to be found at ``path``: as a whole once the block ends, or not at all.

    A new file gets the permissions that the umask leaves; one that is there keeps its own, and its
    owner. Links are followed. What cannot be exchanged without harm is written into, piece by
    piece: devices, pipes, the outputs of this process, files with a second name, mounted ones, and
    those whose folder or owner allow nothing else.

    Raises ConfigError if nothing can be written there, OutputError if writing fails.
    """
    begun = False
    try:
        there = _status(path)
        with _exchanged(path, there) if _exchangeable(path, there) else _through(path) as file:
            begun = True
            yield file
    except OSError as error:
        kind = OutputError if begun else ConfigError
        raise kind(f"cannot write {path}: {error.strerror or error}") from error


def check_writable(path: Path) -> None:
    """Raise ConfigError where ``writing`` would for want of a folder or of a permission."""
    try:
        there = _status(path)
        place = Path(os.path.realpath(path)).parent if there is None else path
        if there is not None and stat.S_ISDIR(there.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        if not os.access(place, os.W_OK):
            place.stat()  # it may not be there at all
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
    except OSError as error:
        raise ConfigError(f"cannot write {path}: {error.strerror or error}") from error


def _status(path: Path) -> os.stat_result | None:
    try:
        return path.stat()
    except FileNotFoundError:
        return None


def _exchangeable(path: Path, there: os.stat_result | None) -> bool:
    if there is None:
        return True
    if not stat.S_ISREG(there.st_mode) or there.st_nlink > 1 or _output_that_is(there):
        return False
    place = Path(os.path.realpath(path))
    mounted = there.st_dev != place.parent.stat().st_dev
    writable = os.access(place, os.W_OK) and os.access(place.parent, os.W_OK)
    return writable and not mounted and _can_give_to(there)


def _can_give_to(there: os.stat_result) -> bool:
    """Whether a new file can have the owner and the group that this one has."""
    if not hasattr(os, "geteuid") or os.geteuid() == 0:
        return True
    groups = (os.getegid(), *os.getgroups())
    return there.st_uid == os.geteuid() and there.st_gid in groups


@contextmanager
def _exchanged(path: Path, there: os.stat_result | None) -> Iterator[BinaryIO]:
    """A new file that takes the place of what is at the path."""
    place = Path(os.path.realpath(path))
    made = place.with_name(f".embedx-{secrets.token_hex(8)}")
    try:
        with made.open("xb") as file:
            if there is not None:
                if hasattr(os, "chown"):
                    os.chown(made, there.st_uid, there.st_gid)
                made.chmod(there.st_mode & 0o777)
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(made, place)
        _keep_name(place)
    finally:
        with contextlib.suppress(OSError):
            made.unlink()


def _keep_name(place: Path) -> None:
    """Let the folder reach the disk, too: the name would be lost with the power."""
    if os.name == "posix":
        with contextlib.suppress(OSError):  # a folder may be closed to readers
            folder = os.open(place.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)


@contextmanager
def _through(path: Path) -> Iterator[BinaryIO]:
    """What is at the path, opened as it is."""
    there = path.stat()
    output = _output_that_is(there)
    if output is None:
        descriptor = os.open(path, os.O_WRONLY | getattr(os, "O_BINARY", 0))
    else:  # /dev/stdout, say: opened again, a file would be written from its start
        for stream in filter(None, (sys.stdout, sys.stderr)):
            stream.flush()
        descriptor = os.dup(output)
    with open(descriptor, "wb") as file:
        yield file
        file.flush()
        if output is None and stat.S_ISREG(there.st_mode):
            file.truncate()
            os.fsync(descriptor)


def _output_that_is(there: os.stat_result) -> int | None:
    """The descriptor of this process's stdout or stderr, if that is what is there."""
    for descriptor in (1, 2):
        with contextlib.suppress(OSError):  # it may be closed
            if os.path.samestat(os.fstat(descriptor), there):
                return descriptor
    return None
