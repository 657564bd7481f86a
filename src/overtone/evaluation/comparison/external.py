"""Running an outside program on a folder of WAV files: its own environment, a time-out, a memory limit.

What can be run is written in ``programs.yaml``, a recipe under each name (see ``docs/systems.md``). A program
that is missing, fails, hangs, takes too much memory or writes nothing raises one line that says so; it never
takes the caller with it.
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

# Looked at often at first, since many programs are done at once, then less: a look takes some milliseconds.
FIRST_LOOK, LAST_LOOK = 0.01, 0.2  # seconds


@dataclass(frozen=True)
class Program:
    """One recipe of ``programs.yaml``.

    In ``command``, ``python`` and ``needs``, ``{programs}`` is the folder that ``OVERTONE_PROGRAMS`` names
    (``.programs`` by default). ``command`` also has ``{input}`` and ``{output}`` (folders), ``{python}``,
    ``{script}`` (a file that holds ``script``), ``{cutoff}`` (Hz) and ``{rate}`` (Hz). It is split into
    words first, as a shell would, and not run by one.

    Attributes:
        about: what it is, in a line.
        install: how to get it, in a line.
        command: reads every WAV of ``{input}`` and writes one of the same name into ``{output}``.
        python: the Python of its own environment, if it is a Python program.
        script: a program to run it by, where it brings none that takes folders.
        needs: what must be there: a file or folder (with a slash), or a command on the path (without).
        timeout: seconds for all files together, after which it is stopped.
        memory_gb: main memory for all its processes, in GB, beyond which it is stopped.
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
    """What a run took: seconds, its start included, and the most main memory seen, in bytes."""

    seconds: float
    memory: int


def names(path: Path = RECIPES) -> list[str]:
    """The names of the recipes in a file; none if it is not there."""
    try:
        tree = yaml.safe_load(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except yaml.YAMLError as error:
        raise OvertoneError(f"{path} is not valid YAML: {' '.join(str(error).split())}") from None
    check(isinstance(tree, dict), str(path), tree, "recipes by name")
    return [str(name) for name in tree]


def recipe(name: str, path: Path = RECIPES) -> Program:
    """The recipe of that name."""
    try:
        return params.read(name, Program, path)
    except OvertoneError as error:
        raise OvertoneError(f"{path}, {name}: {str(error).removeprefix(f'{name}.')}") from None


def run(program: Program, inputs: Path, outputs: Path, cutoff: float, rate: int) -> Work:
    """Run a program on a folder of WAV files; its output folder is made.

    Args:
        program: its recipe.
        inputs: the folder of files.
        outputs: where it is to write files of the same names.
        cutoff, rate: of the input, in Hz, for the command line.

    Raises:
        OvertoneError: it is not installed, fails, is stopped at a limit, or leaves a file unwritten.
    """
    places = {"{programs}": str(Path(os.environ.get("OVERTONE_PROGRAMS", ".programs")).resolve())}
    python = program.python and str(Path(_filled(program.python, places)).expanduser())
    needs = [_filled(need, places) for need in program.needs]
    with tempfile.TemporaryDirectory(prefix="overtone-program-") as own:
        script = Path(own, "script.py")
        script.write_text(program.script or "", encoding="utf-8")
        places |= {"{input}": str(inputs.resolve()), "{output}": str(outputs.resolve())}
        places |= {"{python}": python or "python3", "{script}": str(script)}
        places |= {"{cutoff}": f"{cutoff:g}", "{rate}": str(rate)}
        words = [_filled(word, places) for word in shlex.split(program.command)]
        if any(not _is_here(need) for need in [words[0], *needs, *([python] if python else [])]):
            raise OvertoneError(f"not installed: {' '.join(program.install.split())}")
        outputs.mkdir(parents=True, exist_ok=True)
        work = _watched(words, program, Path(own))
    expected = sorted(path.name for path in inputs.iterdir())
    missing = [name for name in expected if not (outputs / name).is_file()]
    if len(missing) == len(expected):
        raise OvertoneError(f"wrote nothing: {expected[0]} is not in its output folder")
    if missing:
        raise OvertoneError(f"wrote {len(expected) - len(missing)} of {len(expected)} files: no {missing[0]}")
    return work


def _filled(text: str, places: dict[str, str]) -> str:
    """Text with its placeholders replaced; other braces (a shell's) stay."""
    for name, value in places.items():
        text = text.replace(name, value)
    return text


def _is_here(need: str) -> bool:
    return Path(need).expanduser().exists() if "/" in need else shutil.which(need) is not None


def _watched(words: list[str], program: Program, folder: Path) -> Work:
    """Run a command line in a folder until it ends or meets a limit; nothing of it lives on."""
    # What this process's Python was told is not for another one's.
    own = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "PYTHONHOME")}
    began = time.monotonic()
    most = 0
    seen: set[psutil.Process] = set()
    with (folder / "log").open("w+b") as log:
        try:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                env=own,
                start_new_session=True,
            )
        except OSError as error:
            raise OvertoneError(f"does not start: {error.strerror}") from None
        try:
            pause = FIRST_LOOK
            with suppress(psutil.Error):  # it has ended already
                seen.add(psutil.Process(process.pid))
            while process.poll() is None:
                _find(seen)
                most = max(most, _memory(seen))
                if most > program.memory_gb * 1e9:
                    raise OvertoneError(f"stopped at {most / 1e9:.2f} GB; its limit is {program.memory_gb:g}")
                if time.monotonic() - began > program.timeout:
                    raise OvertoneError(f"stopped after {program.timeout:g} s, its time-out")
                time.sleep(pause)
                pause = min(1.2 * pause, LAST_LOOK)
            seconds = time.monotonic() - began
        finally:
            _end(process, seen)
        if process.returncode:
            log.seek(max(0, log.seek(0, os.SEEK_END) - 4096))
            raise OvertoneError(_ending(process.returncode, log.read().decode(errors="replace")))
    return Work(seconds, most)


def _find(seen: set[psutil.Process]) -> None:
    """Add all processes below these to them: one whose parent ends is below it no more."""
    for one in list(seen):
        with suppress(psutil.Error):
            seen.update(one.children(recursive=True))


def _memory(seen: set[psutil.Process]) -> int:
    """Main memory of processes in bytes, pages that two share twice; those that have ended are taken out."""
    total = 0
    for one in list(seen):
        try:
            total += one.memory_info().rss
        except psutil.Error:
            seen.discard(one)
    return total


def _end(process: "subprocess.Popen[bytes]", seen: set[psutil.Process]) -> None:
    """End a process, all of its session, and what left that; one that has ended may have left some behind."""
    _find(seen)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for one in seen:
        with suppress(psutil.Error):
            one.kill()
    process.wait()


def _ending(code: int, log: str) -> str:
    """How a program failed, with the last line that it wrote."""
    how = f"failed with exit code {code}" if code > 0 else f"died of {signal.Signals(-code).name}"
    lines = [" ".join(line.split()) for line in log.splitlines() if line.strip()]
    return f"{how}: {lines[-1][:200]}" if lines else how
