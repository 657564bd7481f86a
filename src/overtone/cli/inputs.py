"""Find the files that a restore command is about, and where each is written to."""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from overtone.core.errors import OvertoneError
from overtone.formats import BY_FFMPEG, FILMS, SUFFIXES, is_sound
from overtone.restoration.files.formats import OUTPUTS, default_target

INPUTS = SUFFIXES + BY_FFMPEG + FILMS
STANDARD = Path("-")
# How MPEG's transport stream begins: a packet of 188 bytes, or of 192 with a time before it. What else ends
# in .ts is most often TypeScript.
SYNC, PACKETS = 0x47, ((0, 188), (4, 192))

# Bytes of standard input that are copied at a time.
COPIED = 1 << 20


class Job(NamedTuple):
    """A file to restore, and where to; ``-`` is standard input or output."""

    source: Path
    target: Path


class Plan(NamedTuple):
    """List the files to restore, a line for each that cannot be, and the number of outputs that exist."""

    jobs: list[Job]
    failures: list[str]
    skipped: int


class _Found(NamedTuple):
    """A file, its folder inside the output's, and whether it was found in a folder that was named."""

    path: Path
    folder: Path
    searched: bool


def plan(names: Sequence[str], output: str | None, force: bool = False) -> Plan:
    """Find what to restore and where to.

    What was found in a folder and has been restored before is skipped, so that a second run does what is new.

    Args:
        names: files and folders, or ``-``.
        output: a file, a folder, or ``-``; None is beside the input.
        force: whether to restore again what has been restored.

    Raises:
        OvertoneError: the output does not fit the inputs.
    """
    if "" in (*names, output):
        raise OvertoneError("a name is empty, as an unset variable of the shell is; name a file or a folder")
    failures: list[str] = []
    found = _find(names, failures)
    if output is None and any(file.path == STANDARD for file in found):
        output = "-"
    to_folder = _check_output(names, output)
    jobs: dict[Path, Job] = {}
    skipped = 0
    for file in {file.path: file for file in found}.values():
        target = _target(file, output, to_folder)
        if target in jobs:
            failures.append(
                f"{file.path} and {jobs[target].source} would both be written to {target}; "
                "restore one of them by itself, with -o"
            )
        elif file.searched and not force and os.path.exists(target):
            skipped += 1
        else:
            jobs[target] = Job(file.path, target)
    return Plan([*jobs.values()], failures, skipped)


def _find(names: Sequence[str], failures: list[str]) -> list[_Found]:
    """List the files of all names, those of folders among them."""
    found: list[_Found] = []
    for name in names:
        path = Path(name)
        if not os.path.isdir(path):
            found.append(_Found(path, Path(), False))
            continue
        files = list(_search(path, failures))
        if not files:
            failures.append(f"{path} is a folder without audio ({' '.join(INPUTS)})")
        # Several albums may hold a 01.mp3 each.
        base = path.parent if len(names) > 1 and path.name not in ("", "..") else path
        found += [_Found(file, file.parent.relative_to(base), True) for file in files]
    return found


def _check_output(names: Sequence[str], output: str | None) -> bool:
    """Return whether the output is a folder.

    Raises:
        OvertoneError: it does not fit the inputs.
    """
    if output == "-" and (len(names) > 1 or os.path.isdir(names[0])):
        raise OvertoneError("standard output takes one file; name a folder with -o, such as -o restored/")
    if output is None:
        return False
    if output.endswith(("/", os.sep)) or os.path.isdir(output) or any(map(os.path.isdir, names)):
        return True
    if len(names) > 1:
        raise OvertoneError(f"-o {output} is one file for {len(names)} inputs; name a folder: -o {output}/")
    if output != "-" and Path(output).suffix.lower() not in OUTPUTS:
        raise OvertoneError(
            f"-o {output} ends in none of {', '.join(OUTPUTS)}; for a new folder write {output}/"
        )
    if output == "-" and sys.stdout.isatty():
        raise OvertoneError("sound is not written to a terminal; name a file with -o, or redirect it")
    return False


def _target(file: _Found, output: str | None, to_folder: bool) -> Path:
    """Return where a file is written to."""
    if output is None:
        return default_target(file.path)
    if not to_folder:
        return Path(output)
    named = Path("stdin") if file.path == STANDARD else file.path
    return Path(output) / file.folder / default_target(named).name


def _search(folder: Path, failures: list[str]) -> Iterator[Path]:
    """Yield the sound files and films below a folder, sorted; hidden and restored ones are left out.

    Sound that is not read is among them, to fail with a line: who names a folder expects all of it restored.
    """

    def unreadable(error: OSError) -> None:
        failures.append(f"{error.filename} cannot be searched: {error.strerror}")

    for parent, folders, names in os.walk(folder, onerror=unreadable):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in folders:
            # It may lead back to where it lies.
            if os.path.islink(link := os.path.join(parent, name)):
                failures.append(f"{link} is a link to a folder, which is not followed; name it by itself")
        for name in sorted(names):
            path = Path(parent, name)
            if is_sound(path, INPUTS) and not path.stem.endswith(".restored") and _is_film(path):
                yield path


def _is_film(path: Path) -> bool:
    """Return whether a file that ends in .ts or .mts is a transport stream; True for other names."""
    if path.suffix.lower() not in (".ts", ".mts"):
        return True
    try:
        with path.open("rb") as raw:
            head = raw.read(2 * 192)
    except OSError:
        return True
    return any(head[first : first + 1 + size : size] == bytes([SYNC, SYNC]) for first, size in PACKETS)


def save_standard_input(path: Path) -> None:
    """Copy standard input to a temporary file, as a file is read twice.

    Raises:
        OvertoneError: the folder of temporary files is full, or cannot be written to.
    """
    try:
        # Without a buffer, so that every failure is one of writing, here.
        with path.open("wb", buffering=0) as file:
            while block := sys.stdin.buffer.read(COPIED):
                view = memoryview(block)
                while view:
                    view = view[file.write(view) :]
    except OSError as error:
        raise OvertoneError(
            f"{path.parent.parent}, the folder of temporary files, cannot take standard input: "
            f"{error.strerror}; name another folder in TMPDIR, or a file instead of -"
        ) from None
