"""NumPy's files, ``.npy`` and ``.npz``, from strangers: nothing in them is run, or believed.

``numpy.load`` allocates what a header claims before it looks whether the bytes are there, and
inflates whatever a zip archive holds. Here every claim is held to the file and to a limit first.
"""

from __future__ import annotations

import math
import re
import stat
import zipfile
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np

from embedx.errors import InputError
from embedx.model.graph import Array
from embedx.run.limits import free_bytes

_MAGIC = b"\x93NUMPY"
_PAIR = r"""'(\w+)'\s*:\s*('[^']*'|True|False|\([0-9L,\s]*\))"""
_HEADER = re.compile(rf"\{{\s*{_PAIR}\s*,\s*{_PAIR}\s*,\s*{_PAIR}\s*,?\s*\}}\s*")
"""What NumPy writes, and evaluates as a Python literal."""
_DEFLATE_RATIO = 1032
"""No deflated stream can give more bytes for one (zlib's technical details)."""
_TEXT_BYTES = 64
"""What a Python string takes beside its characters."""
_HEAD_BYTES = 2**14
"""Longer headers are not read, nor does NumPy."""
_PIECE_BYTES = 2**24
_MOST_AXES = 64


def read_npy(path: Path, max_bytes: int | None = None) -> Array:
    """The array in a ``.npy`` file; texts are Python strings in an object array.

    ``max_bytes`` is what it may take (default: half of the memory that is free). Raises InputError
    naming the file for one that is no such file, is cut off, claims more than it holds or may
    take, or has elements that are no numbers or texts.
    """
    size = _size(path)
    try:
        with path.open("rb") as file:
            return _read(file, size, str(path), _Allowance(max_bytes))
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error


def read_npz(path: Path, max_bytes: int | None = None) -> dict[str, Array]:
    """The arrays in a ``.npz`` file by name, as :func:`read_npy` has them.

    ``max_bytes`` is what all of them together may take. Raises InputError naming the file, and the
    entry where it lies in one.
    """
    _size(path)
    allowance = _Allowance(max_bytes)
    arrays: dict[str, Array] = {}
    try:
        with zipfile.ZipFile(path) as archive:
            for entry in archive.infolist():
                where = f"{path}, entry {entry.filename!r}"
                name = entry.filename.removesuffix(".npy")
                if name == entry.filename or name in arrays:
                    raise InputError(f"{where}: expected .npy files, each once")
                if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise InputError(f"{where} is compressed in a way that NumPy does not write")
                if entry.file_size > _DEFLATE_RATIO * (entry.compress_size + 1):
                    raise InputError(f"{where} cannot hold the {entry.file_size} bytes it claims")
                try:
                    with archive.open(entry) as file:
                        arrays[name] = _read(file, entry.file_size, where, allowance)
                # An encrypted entry, or a feature of zip that Python lacks, is a RuntimeError.
                except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
                    raise InputError(f"{where} is damaged ({error})") from error
    except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
        raise InputError(f"{path} is no .npz file, or cut off ({error})") from error
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    return arrays


class _Allowance:
    """How many bytes the arrays of one file may still take."""

    def __init__(self, max_bytes: int | None) -> None:
        free = free_bytes() if max_bytes is None else None
        self._left = max_bytes if free is None else free // 2

    def take(self, size: int, where: str) -> None:
        """Raise InputError unless that many bytes are left."""
        if self._left is None:
            return
        if size > self._left:
            raise InputError(f"{where} takes {size} bytes in memory, {self._left} are allowed")
        self._left -= size


def _size(path: Path) -> int:
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from error
    if not stat.S_ISREG(status.st_mode):
        raise InputError(f"{path} is no regular file")
    return status.st_size


def _read(file: IO[bytes], size: int, where: str, allowance: _Allowance) -> Array:
    """The array in a stream of ``size`` bytes."""
    head = file.read(_HEAD_BYTES)
    wide = head[6:7] in (b"\2", b"\3")
    start = 12 if wide else 10
    end = start + int.from_bytes(head[8:start], "little")
    try:
        if head[:6] != _MAGIC or head[7:8] != b"\0" or not (wide or head[6:7] == b"\1"):
            raise ValueError("it does not begin like one")
        shape, fortran_order, dtype = _header(head[start:end].decode("latin-1"))
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"{where} is no .npy file of numbers or texts: {error}") from error
    count, held = math.prod(shape), size - end
    if count * dtype.itemsize != held:
        raise InputError(
            f"{where} claims {dtype}{list(shape)}, {count * dtype.itemsize} bytes; it holds {held}"
        )
    text = dtype.kind in "SU"
    allowance.take(count * (dtype.itemsize + _TEXT_BYTES * text), where)
    array = np.frombuffer(_body(head[end:], file, held, where), dtype)
    array = array.reshape(shape[::-1]).T if fortran_order else array.reshape(shape)
    if text:
        return _texts(array, where)
    if dtype == bool:
        array = array.view(np.uint8) != 0  # a byte of 2 would be a bool that is not True
    return np.ascontiguousarray(array, dtype.newbyteorder("=")).reshape(shape)


def _body(begun: bytes, file: IO[bytes], size: int, where: str) -> bytearray:
    """So many bytes, of which some have been read, never held twice."""
    data = bytearray(size)
    data[: len(begun)] = begun
    place = len(begun)
    while place < size:
        piece = file.read(min(size - place, _PIECE_BYTES))
        if not piece:
            raise InputError(f"{where} is cut off")
        data[place : place + len(piece)] = piece
        place += len(piece)
    return data


def _header(text: str) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """The shape, whether the first axis varies fastest, and the dtype, by a file's header."""
    found = _HEADER.fullmatch(text)
    pairs = dict(zip(found.groups()[::2], found.groups()[1::2], strict=True)) if found else {}
    if set(pairs) != {"descr", "fortran_order", "shape"}:
        raise ValueError(f"its header is {text.strip()[:100]!r}")
    dtype = np.dtype(pairs["descr"].strip("'"))
    if dtype == object:
        raise ValueError("it holds pickled objects; texts are written with array.astype(str)")
    if dtype.kind not in "biufcSUV" or dtype.names is not None or dtype.subdtype is not None:
        raise ValueError(f"its elements are of type {dtype}")
    sizes = pairs["shape"].strip("()").replace("L", "").split(",")
    shape = tuple(int(size) for size in sizes if size.strip())
    places = math.prod(n or 1 for n in shape)
    if len(shape) > _MOST_AXES or not dtype.itemsize or places >= 2**62 // dtype.itemsize:
        raise ValueError(f"it claims {dtype}{list(shape)}")
    return shape, pairs["fortran_order"] == "True", dtype


def _texts(array: Array, where: str) -> Array:
    items = array.reshape(-1).tolist()
    try:
        decoded = [item.decode() if isinstance(item, bytes) else item for item in items]
    except UnicodeDecodeError as error:
        raise InputError(f"{where} has a text that is not UTF-8") from error
    texts = np.empty(len(decoded), object)
    texts[:] = decoded
    return texts.reshape(array.shape)
