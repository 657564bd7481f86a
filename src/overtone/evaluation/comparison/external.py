"""Run an outside program on a folder of WAV files: in an environment of its own, with time and memory limits.

``programs.yaml`` has a recipe for each program, by name (docs/systems.md). A program that is missing, fails,
hangs, takes too much memory or writes nothing raises one OvertoneError that says so in one line.
"""

import os
import shlex
import shutil
import signal
import subprocess
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil
import yaml

from overtone.core import params
from overtone.core.errors import OvertoneError
from overtone.core.params import check

RECIPES = Path("programs.yaml")

# Memory is sampled often at first, since many programs end at once, then less: a sample takes milliseconds.
FIRST_PAUSE, LAST_PAUSE = 0.01, 0.2  # seconds


@dataclass(frozen=True)
class Program:
    """One recipe of ``programs.yaml``.

    In ``command``, ``python`` and ``needs``, ``{programs}`` is the folder that ``OVERTONE_PROGRAMS`` names
    (``.programs`` by default). ``command`` also has ``{input}`` and ``{output}`` (folders), ``{python}``,
    ``{script}`` (a file that holds ``script``), ``{cutoff}`` (Hz) and ``{rate}`` (Hz). It is split into
    words first, as a shell would, and not run by one.

    Attributes:
        command: reads every WAV of ``{input}`` and writes a WAV of the same name into ``{output}``.
        install: the steps to install it, in one line.
        about: its description in one line.
        python: the Python of its own environment, if it is a Python program.
        script: a Python script that runs it on folders, if it has no such command.
        needs: required files and folders (written with a slash), and commands on the path (without).
        timeout: seconds for all files together; it is stopped then.
        memory_gb: main memory of all its processes, in GB; it is stopped beyond that.
    """

    command: str
    install: str
    about: str = ""
    python: str | None = None
    script: str | None = None
    needs: tuple[str, ...] = ()
    timeout: float = 3600.0
    memory_gb: float = 16.0

    def __post_init__(self) -> None:
        folders = "{input}" in self.command and "{output}" in self.command
        check(folders, "command", self.command, "a command line that names {input} and {output}")
        check(bool(self.install.strip()), "install", self.install, "a line that says how to install it")
        check(self.timeout > 0, "timeout", self.timeout, "a time in seconds, above 0")
        check(self.memory_gb > 0, "memory_gb", self.memory_gb, "a number of GB, above 0")


class Work(NamedTuple):
    """The cost of a run: seconds, including the start, and peak main memory in bytes."""

    seconds: float
    memory: int


def names(path: Path = RECIPES) -> list[str]:
    """List the names of the recipes in a file; none if there is no file."""
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except yaml.YAMLError as error:
        raise OvertoneError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    check(isinstance(tree, dict), str(path), tree, "recipes by name")
    return [str(name) for name in tree]


def recipe(name: str, path: Path = RECIPES) -> Program:
    """Read a recipe by its name."""
    try:
        return params.read(name, Program, path)
    except OvertoneError as error:
        raise OvertoneError(f"{path}, {name}: {str(error).removeprefix(f'{name}.')}") from None


def run(program: Program, inputs: Path, outputs: Path, cutoff: float, rate: int) -> Work:
    """Run a program on a folder of WAV files; create its output folder.

    Args:
        program: the recipe.
        inputs: the folder of input files.
        outputs: the folder for files of the same names.
        cutoff, rate: of the input, in Hz, for the command line.

    Raises:
        OvertoneError: it is not installed, fails, is stopped at a limit, or leaves a file unwritten.
    """
    values = {"{programs}": str(Path(os.environ.get("OVERTONE_PROGRAMS", ".programs")).resolve())}
    python = program.python and str(Path(_fill(program.python, values)).expanduser())
    needs = [_fill(need, values) for need in program.needs]
    with tempfile.TemporaryDirectory(prefix="overtone-program-") as folder:
        script = Path(folder, "script.py")
        script.write_text(program.script or "", encoding="utf-8")
        values |= {"{input}": str(inputs.resolve()), "{output}": str(outputs.resolve())}
        values |= {"{python}": python or "python3", "{script}": str(script)}
        values |= {"{cutoff}": f"{cutoff:g}", "{rate}": str(rate)}
        words = [_fill(word, values) for word in shlex.split(program.command)]
        if any(not _is_installed(need) for need in [words[0], *needs, *([python] if python else [])]):
            raise OvertoneError(f"not installed: {' '.join(program.install.split())}")
        outputs.mkdir(parents=True, exist_ok=True)
        work = _run_limited(words, program, Path(folder))
    expected = sorted(path.name for path in inputs.iterdir())
    missing = [name for name in expected if not (outputs / name).is_file()]
    if len(missing) == len(expected):
        raise OvertoneError(f"wrote nothing: {expected[0]} is not in its output folder")
    if missing:
        raise OvertoneError(f"wrote {len(expected) - len(missing)} of {len(expected)} files: no {missing[0]}")
    return work


def _fill(text: str, values: dict[str, str]) -> str:
    """Replace the placeholders in a text; other braces (of a shell) stay."""
    for name, value in values.items():
        text = text.replace(name, value)
    return text


def _is_installed(need: str) -> bool:
    return Path(need).expanduser().exists() if "/" in need else shutil.which(need) is not None


def _run_limited(words: list[str], program: Program, folder: Path) -> Work:
    """Run a command line in a folder until it ends or reaches a limit; end every process that it started."""
    # Settings of this process's Python must not reach the Python of another environment.
    environment = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    with (folder / "log").open("w+b") as log:
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                env=environment,
                start_new_session=True,
            )
        except OSError as error:
            raise OvertoneError(f"does not start: {error.strerror}") from None
        family: set[psutil.Process] = set()
        with suppress(psutil.Error):  # it has ended already
            family.add(psutil.Process(process.pid))
        try:
            work = _watch(process, family, program)
        finally:
            _end(process, family)
        if process.returncode:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 4096))
            raise OvertoneError(_failure(process.returncode, log.read().decode(errors="replace")))
    return work


def _watch(process: "subprocess.Popen[bytes]", family: set[psutil.Process], program: Program) -> Work:
    """Wait for a process and its children; raise OvertoneError at a limit of time or memory."""
    began = time.monotonic()
    peak = 0
    pause = FIRST_PAUSE
    while process.poll() is None:
        _add_children(family)
        peak = max(peak, _memory(family))
        if peak > program.memory_gb * 1e9:
            raise OvertoneError(f"stopped at {peak / 1e9:.2f} GB; its limit is {program.memory_gb:g}")
        if time.monotonic() - began > program.timeout:
            raise OvertoneError(f"stopped after {program.timeout:g} s, its time-out")
        time.sleep(pause)
        pause = min(1.2 * pause, LAST_PAUSE)
    return Work(time.monotonic() - began, peak)


def _add_children(family: set[psutil.Process]) -> None:
    """Add all descendants of these processes; a process whose parent has ended is no descendant any more."""
    for process in list(family):
        with suppress(psutil.Error):
            family.update(process.children(recursive=True))


def _memory(family: set[psutil.Process]) -> int:
    """Sum the main memory of processes in bytes, shared pages twice; remove processes that have ended."""
    total = 0
    for process in list(family):
        try:
            total += process.memory_info().rss
        except psutil.Error:
            family.discard(process)
    return total


def _end(process: "subprocess.Popen[bytes]", family: set[psutil.Process]) -> None:
    """Kill a process, its session, and its descendants in other sessions, also those that outlived it."""
    _add_children(family)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for member in family:
        with suppress(psutil.Error):
            member.kill()
    process.wait()


def _failure(code: int, log: str) -> str:
    """Describe the failure of a program, with the last line of its output."""
    how = f"failed with exit code {code}" if code > 0 else f"died of {signal.Signals(-code).name}"
    lines = [" ".join(line.split()) for line in log.splitlines() if line.strip()]
    return f"{how}: {lines[-1][:200]}" if lines else how
