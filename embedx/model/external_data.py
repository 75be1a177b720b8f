"""Tensor data beside the model file: found inside the model's folder or not at all, and mapped.

The location comes from the file, so it is a stranger's string. It is checked as text, then as a
path with every link resolved, then as an opened file, and only then is a range of it mapped.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import re
import stat
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from embedx.errors import ExternalDataError, ModelError
from embedx.model.graph import Array, SourceFile

_KEYS = {"location", "offset", "length", "checksum"}
"""Those of the standard. Writers add some of their own, which only they understand."""


class ExternalData:
    """The files beside one model, each mapped once."""

    def __init__(self, model: Path | None) -> None:
        self._model = model
        self._files: dict[Path, MappedFile] = {}

    @property
    def files(self) -> tuple[MappedFile, ...]:
        """Those that have been read from."""
        return tuple(self._files.values())

    def read(self, tensor: str, entries: list[tuple[str, str]], size: int) -> memoryview:
        """The ``size`` bytes that ``entries`` (keys and values of external_data) point at.

        Raises ExternalDataError, naming the tensor, if they lie outside the model's folder, in
        something that is no regular file, or are not ``size`` bytes of it.
        """
        fields = _fields(tensor, entries)
        path = self._contained(tensor, fields["location"])
        if path not in self._files:
            self._files[path] = _mapped(tensor, path)
        data = self._files[path].data
        offset = _count(tensor, "offset", fields.get("offset", "0"))
        length = _count(tensor, "length", fields.get("length", str(size)))
        if length != size:
            raise ExternalDataError(
                f"tensor {tensor!r} takes {size} bytes, its external data declares {length}"
            )
        if offset + length > len(data):
            raise ExternalDataError(
                f"tensor {tensor!r}: bytes {offset} to {offset + length} of {path.name!r} are past "
                f"its end ({len(data)} bytes); is the file complete?"
            )
        return data[offset : offset + length]

    def _contained(self, tensor: str, location: str) -> Path:
        if self._model is None:
            raise ExternalDataError(
                f"tensor {tensor!r} lies in {location[:120]!r} beside the model file; give the "
                "model's path instead of its bytes"
            )
        parts = PurePosixPath(location.replace("\\", "/")).parts
        if (
            not parts
            or "\0" in location
            or len(location) > 1000
            or ".." in parts
            or PurePosixPath(location).is_absolute()
            or PureWindowsPath(location).drive
            or "://" in location
        ):
            raise ExternalDataError(
                f"tensor {tensor!r}: {location[:120]!r} is not a path inside the model's folder"
            )
        folder = self._model.parent
        try:
            path = (folder / location).resolve(strict=True)
        except (OSError, RuntimeError, ValueError) as error:
            raise ExternalDataError(
                f"tensor {tensor!r}: cannot find {location!r} beside {self._model.name!r} ({error})"
            ) from error
        # Model caches link the model and its data side by side into a store of blobs.
        if folder.resolve() in path.parents or self._model.resolve().parent == path.parent:
            return path
        raise ExternalDataError(f"tensor {tensor!r}: {location!r} leads out of the model's folder")


def _fields(tensor: str, entries: list[tuple[str, str]]) -> Mapping[str, str]:
    known = [(key, value) for key, value in entries if key in _KEYS]
    fields = dict(known)
    if len(fields) != len(known) or "location" not in fields:
        raise ExternalDataError(
            f"tensor {tensor!r}: external data has the keys {sorted(k for k, _ in entries)}, "
            "expected location, and perhaps offset, length and checksum, once each"
        )
    return fields


def _count(tensor: str, key: str, text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,19}", text, re.ASCII):
        raise ExternalDataError(
            f"tensor {tensor!r}: external data {key} is {text[:40]!r}, no count"
        )
    return int(text)


def _mapped(tensor: str, path: Path) -> MappedFile:
    try:
        return mapped_file(path, getattr(os, "O_NOFOLLOW", 0))
    except OSError as error:
        raise ExternalDataError(
            f"tensor {tensor!r}: cannot open {path.name!r} ({error})"
        ) from error


@dataclass(frozen=True, eq=False)
class MappedFile:
    """A regular file whose bytes are read when they are looked at, and so must stay as they are."""

    path: Path
    data: memoryview
    status: os.stat_result
    """What the file was when it was mapped."""

    def check(self) -> None:
        """Raise ModelError if the file has been written to since.

        A file that is shorter now would end the process as soon as what is missing is looked at.
        One that was replaced by another of its name is still there for those who have it mapped.
        """
        try:
            now = self.path.stat()
        except OSError:
            return
        was = self.status
        if (now.st_dev, now.st_ino) == (was.st_dev, was.st_ino) and (
            (now.st_size, now.st_mtime_ns) != (was.st_size, was.st_mtime_ns)
        ):
            raise ModelError(
                f"{self.path} was written to after it was loaded; load it again, and replace files "
                "in use by renaming new ones"
            )

    def digest(self) -> str:
        """The SHA-256 of the bytes, in hexadecimal digits. Raises ModelError as :meth:`check`."""
        self.check()
        return hashlib.sha256(self.data).hexdigest()


class _Mapping(mmap.mmap):
    """A file that is read when it is looked at, told from other memory by its type."""


def let_go(array: Array) -> None:
    """Give back the memory of what is read from a mapped file, and read again if need be.

    Arrays in other memory stay as they are.
    """
    owner: Any = array
    while isinstance(owner, np.ndarray | memoryview):
        owner = owner.base if isinstance(owner, np.ndarray) else owner.obj
    if not isinstance(owner, _Mapping) or not hasattr(mmap, "MADV_DONTNEED"):
        return
    first, start = (
        x.__array_interface__["data"][0] for x in (np.frombuffer(owner, np.uint8), array)
    )
    page = mmap.PAGESIZE
    begin, end = -(-(start - first) // page) * page, (start - first + array.nbytes) // page * page
    if begin < end:
        owner.madvise(mmap.MADV_DONTNEED, begin, end - begin)


def mapped_file(path: Path, flags: int = 0) -> MappedFile:
    """A regular file, mapped. Raises OSError."""
    # Without O_NONBLOCK, opening a pipe would wait for its other end.
    flags |= os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    handle = os.open(path, flags)
    try:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode):
            raise OSError("it is no regular file")
        empty = status.st_size == 0  # which cannot be mapped
        data = b"" if empty else _Mapping(handle, 0, access=mmap.ACCESS_READ)
        return MappedFile(path.absolute(), memoryview(data), status)
    finally:
        os.close(handle)


def digests(files: Iterable[SourceFile]) -> dict[str, str]:
    """The digest of each file, by its path."""
    return {str(file.path): file.digest() for file in files}


def refuse_changed(found: Mapping[str, str], expected: Mapping[str, str]) -> None:
    """Raise ModelError, naming the file, unless all have the digests that are expected."""
    for path, digest in expected.items():
        if found.get(path) != digest:
            raise ModelError(f"{path} is not the file that it was when the model was pickled")
