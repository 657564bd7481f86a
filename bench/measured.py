"""Measure one stage in forks of a process that has imported it: imports count as memory, not as time.

python bench/measured.py STAGE FOLDER... runs the stage in every folder, one after the other, and prints a
line of JSON for each: seconds, processor seconds (user and system), peak memory in MB.
"""

import importlib
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

ROOT = Path(__file__).resolve().parents[1]


class Cost(NamedTuple):
    """What a run of a stage took: seconds, processor seconds, MB at the most."""

    wall: float
    cpu: float
    memory: float


def measure(stage: str, folders: list[Path], cores: int = 1) -> list[Cost]:
    """Run a stage in these folders, in this order, and say what each run took.

    Memory is that of the process itself, not of its workers; with one core it has none.
    """
    environment = os.environ | {
        "PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'src'}",
        "OMP_NUM_THREADS": "1",
        "OVERTONE_JOBS": str(cores),
        "OVERTONE_DEVICE": "cpu",
    }
    command = [sys.executable, __file__, stage, *map(str, folders)]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return [Cost(**json.loads(line)) for line in done.stdout.splitlines() if line.startswith("{")]


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files below a folder."""
    return (
        sum(p.stat().st_size for p in path.rglob("*") if p.is_file())
        if path.is_dir()
        else path.stat().st_size
    )


def exponent(sizes: Iterable[float], values: Iterable[float]) -> float:
    """The p of values = c * sizes ** p, by least squares on logarithms."""
    return float(np.polyfit(np.log(list(sizes)), np.log(list(values)), 1)[0])


def main() -> None:
    """Import the stage, then fork for every folder."""
    stage = importlib.import_module(f"stages.{sys.argv[1]}")
    for folder in sys.argv[2:]:
        child = os.fork()
        if not child:
            _run(stage.main, sys.argv[1], folder)
        if os.waitpid(child, 0)[1]:
            sys.exit(f"{sys.argv[1]} failed in {folder}")


def _run(work: object, name: str, folder: str) -> None:
    """Be the child: run, print, and end without the parent's clean-up."""
    assert callable(work)
    os.chdir(folder)
    code = 1
    try:
        if name == "download_fma":  # it would find that all is there
            shutil.rmtree("data/fma", ignore_errors=True)
            work = _from_archives if Path("archives").is_dir() else work
        out = os.dup(1)
        os.dup2(os.open("log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)
        os.sync()  # what others wrote is not to be written in this one's time
        began, cpu = time.perf_counter(), _cpu()
        work()
        cost = Cost(time.perf_counter() - began, _cpu() - cpu, _peak())
        os.write(out, (json.dumps(cost._asdict()) + "\n").encode())
        code = 0
    finally:
        os._exit(code)


def _from_archives() -> None:
    """What the stage does with FMA's archives, with those in the folder archives/."""
    from overtone.data.sources.provide import Archive, provide_archives

    os.environ["OVERTONE_DOWNLOADS"] = "archives"
    sums = json.loads(Path("archives/sums.json").read_text())
    sizes = {name: Path("archives", name).stat().st_size for name in sums}
    archives = tuple(Archive(name, digest, sizes[name]) for name, digest in sums.items())
    provide_archives("large", archives, Path("data/fma"))


def _cpu() -> float:
    """Processor seconds of this process and its children that have ended."""
    own, others = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return own.ru_utime + own.ru_stime + others.ru_utime + others.ru_stime


def _peak() -> float:
    """Peak memory of this process in MB (Linux)."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))


if __name__ == "__main__":
    main()
