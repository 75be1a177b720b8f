"""Folders that are written into again and again: what others have put there stays.

A list in the folder tells which files embedx wrote, and with what in them. They are replaced only
if they are as they were written, and if nothing else is there.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from embedx.errors import ConfigError, OutputError

LIST = "embedx_files.json"


def check_own(folder: Path, command: str, model: Iterable[Path] = ()) -> None:
    """Refuse a folder in which a command would overwrite what it did not write itself.

    ``model`` has the files of the model that is read, whose folder is refused as well. Hidden
    files, caches of Python, and folders with a list of their own do not count. Raises ConfigError
    naming a file, and OutputError for a folder that cannot be read.
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise ConfigError(f"{folder} is no folder; choose another one")
        place = folder.resolve()
        if any(file.resolve().parent == place for file in model):
            raise ConfigError(f"{folder} is the model's own folder; choose another one")
        listed = own_files(folder, command)
        for name in _files(folder):
            if name not in listed:
                raise ConfigError(
                    f"{folder} has a file {name} that embedx {command} did not write; choose "
                    "another folder, or empty it"
                )
            if listed[name] != _digest(folder / name):
                raise ConfigError(
                    f"{folder} has a file {name} that has changed since embedx {command} wrote it; "
                    "choose another folder, or empty it"
                )
    except OSError as error:
        raise OutputError(f"cannot read {folder}: {error.strerror or error}") from error


def remove_own(folder: Path, command: str) -> None:
    """Make the folder, and remove from it what the command wrote. Raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name in own_files(folder, command):
            file = folder / name
            file.unlink(missing_ok=True)
            if file.parent != folder and file.parent.is_dir() and not any(file.parent.iterdir()):
                file.parent.rmdir()
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}") from error


def list_own(folder: Path, command: str) -> None:
    """Write down that a command wrote all that is in the folder. Raises OutputError."""
    try:
        files = {name: _digest(folder / name) for name in sorted(_files(folder))}
        text = json.dumps({"written_by": f"embedx {command}", "sha256": files}, indent=1)
        (folder / LIST).write_text(f"{text}\n", "utf-8")
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {error.strerror or error}") from error


def own_files(folder: Path, command: str) -> Mapping[str, str]:
    """The files that a command wrote into a folder, and their digests; none if it has no list."""
    try:
        found = json.loads((folder / LIST).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict) or found.get("written_by") != f"embedx {command}":
        return {}
    files = found.get("sha256")
    if not isinstance(files, dict):
        return {}
    return {name: digest for name, digest in files.items() if _is_inside(name) and digest}


def _is_inside(name: str) -> bool:
    """Whether a name leads nowhere else, whoever wrote the list."""
    path = Path(name)
    return not path.is_absolute() and ".." not in path.parts


def _files(folder: Path) -> Iterator[str]:
    """The files in a folder that count, by their paths in it."""
    for where, folders, files in os.walk(folder):
        place = Path(where)
        folders[:] = [f for f in folders if _counts(f) and not (place / f / LIST).is_file()]
        links = [f for f in folders if (place / f).is_symlink()]
        for name in (*files, *links):
            if _counts(name) and place / name != folder / LIST:
                yield (place / name).relative_to(folder).as_posix()


def _counts(name: str) -> bool:
    return not name.startswith(".") and name != "__pycache__"


def _digest(file: Path) -> str:
    """What a file holds; links are nobody's own."""
    return "" if file.is_symlink() else hashlib.sha256(file.read_bytes()).hexdigest()
