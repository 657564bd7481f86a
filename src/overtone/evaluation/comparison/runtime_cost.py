"""Runtime cost of a system on this machine: time and peak memory.

These figures differ between runs and machines, so they are kept apart from the scores, in data/systems.json.
``python -m overtone.report.runtime_cost_table data/systems.json`` prints them.
"""

import os
import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass
class Cost:
    """Accumulated runtime cost of a system.

    Attributes:
        seconds: of computation.
        audio: seconds of audio processed.
        memory: peak main memory in bytes; 0 where it cannot be measured.
    """

    seconds: float = 0.0
    audio: float = 0.0
    memory: int = 0

    @contextmanager
    def measured(self, audio: float) -> Iterator[None]:
        """Add the cost of the block inside, which processes so many seconds of audio."""
        _reset_peak()
        began = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - began
        self.audio += audio
        self.memory = max(self.memory, _peak())

    def add(self, other: "Cost") -> None:
        """Add the cost of another call; the peak is the larger of both."""
        self.seconds += other.seconds
        self.audio += other.audio
        self.memory = max(self.memory, other.memory)

    def json(self) -> dict[str, float | None]:
        """List seconds per second of audio and peak memory, to four significant digits."""
        return {
            "seconds_per_second": float(f"{self.seconds / max(self.audio, 1e-9):.4g}"),
            "peak_memory_gb": float(f"{self.memory / 1e9:.4g}") if self.memory else None,
        }


def _reset_peak() -> None:
    """Reset the peak memory of this process, on Linux; other systems have no such counter."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak() -> int:
    """Read the peak memory of this process since the reset, in bytes; 0 on systems other than Linux."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def machine(device: str, workers: str) -> str:
    """Describe this machine in one line: processor, cores, load, device of networks, and workers."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return (
        f"{(names or [platform.processor()])[0]}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; "
        f"networks on {device}, {workers}"
    )
