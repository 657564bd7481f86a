"""What each system's work took on this machine: time, memory, and what its output needed.

These figures differ from run to run and from machine to machine, so they are kept apart from the scores.
``python -m overtone.evaluation.comparison.runtime_cost data/systems.json`` prints them. Nothing here imports
torch.
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
    """What a system took so far.

    Attributes:
        seconds: of work.
        audio: seconds of audio worked on.
        memory: peak main memory in bytes; 0 where it cannot be measured.
    """

    seconds: float = 0.0
    audio: float = 0.0
    memory: int = 0

    @contextmanager
    def measured(self, audio: float) -> Iterator[None]:
        """Add what happens inside, done on so many seconds of audio."""
        _reset_peak()
        began = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - began
        self.audio += audio
        self.memory = max(self.memory, _peak())

    def add(self, other: "Cost") -> None:
        """Count other work of the same kind in; memory is the most that either took."""
        self.seconds += other.seconds
        self.audio += other.audio
        self.memory = max(self.memory, other.memory)

    def json(self) -> dict[str, float | None]:
        """Its two figures, to four significant digits."""
        return {
            "seconds_per_second": float(f"{self.seconds / max(self.audio, 1e-9):.4g}"),
            "peak_memory_gb": float(f"{self.memory / 1e9:.4g}") if self.memory else None,
        }


def _reset_peak() -> None:
    """Let Linux count the peak from here on; elsewhere there is none to be had."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")


def _peak() -> int:
    """The most main memory of this process since the reset, in bytes; 0 where Linux does not say."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return 0
    return next((1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0)


def machine(device: str, work: str) -> str:
    """This machine, in a line: processor, cores, load, the networks' device, and how work was shared out."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8").splitlines() if info.exists() else []
    names = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return (
        f"{(names or [platform.processor()])[0]}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; "
        f"networks on {device}, {work}"
    )
