"""Tell how many processors and how much memory this process may use, inside a container too."""

import os
from pathlib import Path

# Linux's control group of this process, as containers see their own; and the memory of the machine.
CGROUP, MEMORY = Path("/sys/fs/cgroup"), Path("/proc/meminfo")


def processor_count() -> int:
    """Return the number of processors that this process may use at the same time, 1 or more."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota, _, period = _read(CGROUP / "cpu.max").partition(" ")
    if quota.isdigit() and period.strip().isdigit():
        allowed = min(allowed, int(quota) // int(period))
    return max(1, allowed)


def free_memory() -> int | None:
    """Return the bytes of memory that are free for this process; None where the system does not say."""
    known = [int(line.split()[1]) * 1024 for line in _read(MEMORY).splitlines() if line.startswith("MemAvai")]
    limit, used = (_read(CGROUP / name).strip() for name in ("memory.max", "memory.current"))
    if limit.isdigit() and used.isdigit():
        known.append(max(0, int(limit) - int(used)))
    return min(known, default=None)


def _read(path: Path) -> str:
    """Return a file's text, empty if it cannot be read."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError:
        return ""
