"""How much memory is left: of the machine, of the process's control group, and of its own limit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


def free_bytes() -> int | None:
    """The bytes that this process may still take, by whatever is shortest; None if nothing tells.

    Sources: proc(5) (MemAvailable), the kernel's documentation of control groups (memory.max,
    memory.current, of which inactive_file can be had back), getrlimit(2) (RLIMIT_AS).
    """
    return min((*_of_the_machine(), *_of_the_control_group(), *_of_the_limit()), default=None)


def _of_the_machine() -> Iterator[int]:
    available = _fields(Path("/proc/meminfo")).get("MemAvailable:")
    if available is not None:
        yield available * 1024
        return
    try:
        yield os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_AVPHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return


def _of_the_control_group() -> Iterator[int]:
    for line in _text(Path("/proc/self/cgroup")).splitlines():
        _, controllers, place = line.split(":", 2)
        if controllers == "":
            root, names = Path("/sys/fs/cgroup"), ("memory.max", "memory.current")
            reclaimable = "inactive_file"
        elif "memory" in controllers.split(","):
            root = Path("/sys/fs/cgroup/memory")
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes")
            reclaimable = "total_inactive_file"
        else:
            continue
        inside = root / place.lstrip("/")
        # In a container the path is often that of the host, and the group is mounted at the root.
        for folder in dict.fromkeys((inside, *inside.parents, root)):
            if folder == root or root in folder.parents:
                limit, used = (_number(folder / name) for name in names)
                if limit is not None and used is not None:
                    back = _fields(folder / "memory.stat").get(reclaimable, 0)
                    yield max(limit - used + back, 0)


def _of_the_limit() -> Iterator[int]:
    try:
        import resource
    except ImportError:  # not on every system
        return
    limit, _ = resource.getrlimit(resource.RLIMIT_AS)
    pages = _text(Path("/proc/self/statm")).split()
    if limit != resource.RLIM_INFINITY and pages:
        yield max(limit - int(pages[0]) * os.sysconf("SC_PAGE_SIZE"), 0)


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except (OSError, UnicodeDecodeError):
        return ""


def _number(path: Path) -> int | None:
    text = _text(path).strip()
    return int(text) if text.isdecimal() else None


def _fields(path: Path) -> dict[str, int]:
    """The numbers of a file that has a name and a number in each line."""
    words = (line.split() for line in _text(path).splitlines())
    return {w[0]: int(w[1]) for w in words if len(w) > 1 and w[1].isdecimal()}
