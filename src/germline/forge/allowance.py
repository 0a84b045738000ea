"""What of this machine the process may use: cores it is kept to, and the memory that its container leaves it.

Linux containers and services are held by control groups (v2, kernel.org/doc/html/latest/admin-guide/cgroup-v2.html);
what they are told of memory is the whole machine's all the same. Not looked at: version 1, and Windows' job objects.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

import psutil

GROUPS, OWN = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")


def cores(groups: Path = GROUPS, own: Path = OWN) -> int:
    """Physical cores, no more than this process may run on at once."""
    physical = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    process = psutil.Process()
    kept_to = len(process.cpu_affinity()) if hasattr(process, "cpu_affinity") else physical
    return max(1, int(min([physical, kept_to, *map(_quota, _groups(groups, own))])))


def total_bytes(groups: Path = GROUPS, own: Path = OWN) -> int:
    """Memory, all of it."""
    return int(min([psutil.virtual_memory().total, *map(_most, _groups(groups, own))]))


def available_bytes(groups: Path = GROUPS, own: Path = OWN) -> int:
    """Memory that is free, or would be freed for whoever asks."""
    left = [_most(group) - _held(group) for group in _groups(groups, own)]
    return max(0, int(min([psutil.virtual_memory().available, *left])))


def _groups(groups: Path, own: Path) -> Iterator[Path]:
    """The control group of this process and all above it; each has a limit of its own."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        lines = []
    name = next((line.removeprefix("0::/") for line in lines if line.startswith("0::/")), "")
    return (groups / part for part in (Path(name), *Path(name).parents))


def _quota(group: Path) -> float:
    try:
        quota, period = (group / "cpu.max").read_text().split()
        return math.ceil(int(quota) / int(period))
    except (OSError, ValueError):  # "max": no limit
        return math.inf


def _most(group: Path) -> float:
    try:
        return int((group / "memory.max").read_text())
    except (OSError, ValueError):
        return math.inf


def _held(group: Path) -> int:
    """Without files that were read and can be dropped."""
    try:
        stat = dict(line.split() for line in (group / "memory.stat").read_text().splitlines())
        return int((group / "memory.current").read_text()) - int(stat["inactive_file"])
    except (OSError, ValueError, KeyError):
        return 0
