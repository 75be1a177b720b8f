"""What is left of the memory, as the system tells it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from embedx.run import limits
from embedx.run.limits import free_bytes

FILES = {
    "/proc/meminfo": "MemTotal: 100 kB\nMemAvailable:   4000 kB\n",
    "/proc/self/cgroup": "0::/jobs/mine\n",
    "/sys/fs/cgroup/jobs/mine/memory.max": "max\n",
    "/sys/fs/cgroup/jobs/mine/memory.current": "5000\n",
    "/sys/fs/cgroup/jobs/memory.max": "1000000\n",
    "/sys/fs/cgroup/jobs/memory.current": "300000\n",
    "/sys/fs/cgroup/jobs/memory.stat": "anon 1\ninactive_file 50000\n",
}


def with_files(monkeypatch: pytest.MonkeyPatch, files: dict[str, str]) -> None:
    monkeypatch.setattr(limits, "_text", lambda path: files.get(str(path), ""))


def test_the_shortest_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    with_files(monkeypatch, FILES)
    assert free_bytes() == 750_000  # of the group around, with what can be had back
    with_files(monkeypatch, FILES | {"/proc/meminfo": "MemAvailable: 7 kB\n"})
    assert free_bytes() == 7 * 1024
    with_files(monkeypatch, FILES | {"/sys/fs/cgroup/jobs/mine/memory.max": "9000\n"})
    assert free_bytes() == 4000


def test_the_first_version_of_control_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    root = "/sys/fs/cgroup/memory"
    files = {
        "/proc/meminfo": FILES["/proc/meminfo"],
        "/proc/self/cgroup": "5:cpu:/\n4:memory:/docker/abc\n",
        f"{root}/memory.limit_in_bytes": "100000\n",  # the path is the host's, not the container's
        f"{root}/memory.usage_in_bytes": "30000\n",
    }
    with_files(monkeypatch, files)
    assert free_bytes() == 70_000


def test_a_group_that_is_full_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with_files(monkeypatch, FILES | {"/sys/fs/cgroup/jobs/memory.current": "2000000\n"})
    assert free_bytes() == 0


def test_a_system_that_tells_nothing_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with_files(monkeypatch, {})
    assert free_bytes() is None or free_bytes() > 0  # type: ignore[operator]


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the system has no proc(5)")
def test_the_address_space_that_is_left() -> None:
    code = """
import resource
from embedx.run.limits import free_bytes
resource.setrlimit(resource.RLIMIT_AS, (4 << 30, 4 << 30))
print(free_bytes())
"""
    out = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert 0 < int(out.stdout) < 4 << 30
