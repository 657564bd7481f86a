"""Which files a restore command is about, and where each is written to."""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from overtone.core.errors import OvertoneError
from overtone.formats import BY_FFMPEG, SUFFIXES, is_sound
from overtone.restoration.files.formats import OUTPUTS, default_target

INPUTS = SUFFIXES + BY_FFMPEG
STANDARD = Path("-")


class Job(NamedTuple):
    """A file to restore, and where to; ``-`` is standard input or output."""

    source: Path
    target: Path


def plan(names: Sequence[str], output: str | None) -> tuple[list[Job], list[str]]:
    """What to restore and where to, and a line for each input that cannot be.

    Args:
        names: files and folders, or ``-``.
        output: a file, a folder, or ``-``; None is beside the input.

    Raises:
        OvertoneError: the output does not fit the inputs.
    """
    if "" in (*names, output):
        raise OvertoneError("a name is empty, as an unset variable of the shell is; name a file or a folder")
    found: list[tuple[Path, Path]] = []  # a file, and its place in the output's folder
    failures: list[str] = []
    for name in names:
        path = Path(name)
        if os.path.isdir(path):
            files = list(_search(path, failures))
            if not files:
                failures.append(f"{path} is a folder without audio ({' '.join(INPUTS)})")
            # Several albums may hold a 01.mp3 each.
            base = path.parent if len(names) > 1 and path.name not in ("", "..") else path
            found += [(file, file.parent.relative_to(base)) for file in files]
        else:
            found.append((path, Path()))
    if output is None and STANDARD in [file for file, _ in found]:
        output = "-"
    if output == "-" and (len(names) > 1 or os.path.isdir(names[0])):
        raise OvertoneError("standard output takes one file; name a folder with -o, such as -o restored/")
    to_folder = output is not None and (
        output.endswith(("/", os.sep)) or os.path.isdir(output) or any(map(os.path.isdir, names))
    )
    if output is not None and not to_folder:
        if len(names) > 1:
            raise OvertoneError(
                f"-o {output} is one file for {len(names)} inputs; name a folder: -o {output}/"
            )
        if output != "-" and Path(output).suffix.lower() not in OUTPUTS:
            raise OvertoneError(
                f"-o {output} ends in none of {', '.join(OUTPUTS)}; for a new folder write {output}/"
            )
        if output == "-" and sys.stdout.isatty():
            raise OvertoneError("sound is not written to a terminal; name a file with -o, or redirect it")
    jobs: dict[Path, Job] = {}
    for source, place in dict(found).items():
        if output is None:
            target = default_target(source)
        elif to_folder:
            named = Path("stdin") if source == STANDARD else source
            target = Path(output) / place / default_target(named).name
        else:
            target = Path(output)
        if target in jobs:
            failures.append(
                f"{source} and {jobs[target].source} would both be written to {target}; "
                "restore one of them by itself, with -o"
            )
        else:
            jobs[target] = Job(source, target)
    return list(jobs.values()), failures


def _search(folder: Path, failures: list[str]) -> Iterator[Path]:
    """Yield the sound files below a folder, sorted; hidden and restored ones are left out.

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
            if is_sound(path, INPUTS) and not path.stem.endswith(".restored"):
                yield path
