"""Find systems by the names in params.yaml, and run the outside programs among them.

=====================  =====================================================================
``model``              the network of the train stage, ``data/model``
``model@REVISION``     that of a Git revision or DVC experiment, from DVC's cache
``shipped``            the network of ``overtone restore``
``stems``              that of the train stage, on the stems that Demucs separates
``some/folder``        any model folder, written with a slash
any other              an outside program: the name of its recipe in ``programs.yaml``
=====================  =====================================================================

The baselines are always among the systems.
"""

import subprocess
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import soundfile

from overtone.core.errors import OvertoneError
from overtone.evaluation.comparison import external
from overtone.evaluation.comparison.baselines import BASELINES
from overtone.evaluation.comparison.chunks import Chunk
from overtone.evaluation.comparison.runtime_cost import Cost
from overtone.evaluation.comparison.systems import Baseline, Model, Outside, Stems, System, file_name
from overtone.models import registry, saved
from overtone.restoration.stream.separation import demucs_named, open_separator

TRAINED = "data/model"


class Prepared(NamedTuple):
    """The systems of the table.

    Attributes:
        systems: those that run, the baselines first.
        costs: time and memory of outside programs, by name.
        failed: reason of failure of the others, by name.
    """

    systems: list[System]
    costs: dict[str, Cost]
    failed: dict[str, str]


def prepare(
    names: Iterable[str],
    read_chunks: Callable[[], Iterator[Chunk]],
    cutoff: float,
    rate: int,
    folder: Path,
    side: bool = False,
) -> Prepared:
    """Find the systems by name, and run the outside programs among them on all chunks.

    Args:
        names: as in the docstring of this module.
        read_chunks: yields the chunks; called once for every program.
        cutoff, rate: in Hz.
        folder: an empty folder, as an absolute path, for models of other revisions and for the files of
            programs. It must stay until all chunks are scored.
        side: whether the chunks are the side channel of stereo.

    Raises:
        OvertoneError: a name is unknown, or its model cannot be loaded.
    """
    systems: list[System] = [Baseline(name) for name in BASELINES]
    costs: dict[str, Cost] = {}
    failed: dict[str, str] = {}
    folders = {name: folder / str(number) for number, name in enumerate(names)}
    # All names are checked before the first program runs.
    for name, found in [(name, _find(name, own)) for name, own in folders.items()]:
        if isinstance(found, Path):
            registry.load(found)
            systems.append(Model(name, None if found == registry.SHIPPED else found.absolute(), side))
            continue
        try:
            if found is None:
                open_separator()
                registry.load(TRAINED)
                systems.append(Stems(name, Path(TRAINED).absolute(), demucs_named()))
                continue
            print(f"running {name}", flush=True)
            costs[name] = _run(found, read_chunks, cutoff, rate, folders[name])
            systems.append(Outside(name, folders[name] / "output"))
        except OvertoneError as error:
            failed[name] = str(error)
            print(f"{name}: {error}", flush=True)
    return Prepared(systems, costs, failed)


def _find(name: str, folder: Path) -> Path | external.Program | None:
    """Find a model's folder (a fetched one in the given folder) or a program's recipe; None for stems."""
    if name == "stems":
        return None
    if name == "model":
        return Path(TRAINED)
    if name == "shipped":
        return registry.SHIPPED
    if name.startswith("model@"):
        return _fetch_revision(name.removeprefix("model@"), folder)
    if "/" in name:
        return Path(name)
    _check_program(name)
    return external.recipe(name)


def check_names(names: Iterable[str]) -> None:
    """Raise unless each name stands for a system whose model is there, but for that of this run itself."""
    for name in names:
        if name.startswith("model@"):
            _open_revision(name.removeprefix("model@"))
        elif "/" in name:
            # Training replaces its own model.
            if Path(name).resolve() != Path(TRAINED).resolve():
                _check_folder(name)
        elif name not in ("model", "shipped", "stems"):
            _check_program(name)


def _check_folder(name: str) -> None:
    """Raise unless a folder holds a model."""
    try:
        saved.check_folder(Path(name))
    except OvertoneError as error:
        raise OvertoneError(f"evaluate.systems names {name!r}: {error}") from None


def _check_program(name: str) -> None:
    """Raise unless a name is that of a recipe in programs.yaml."""
    known = external.names()
    if name not in known or name in BASELINES:
        raise OvertoneError(
            f"evaluate.systems names {name!r}; it is model, model@REVISION, shipped, stems, a model's folder "
            f"(written with a slash), or a recipe of {external.RECIPES}: {', '.join(known) or 'it has none'}"
        )


def _fetch_revision(revision: str, folder: Path) -> Path:
    """Copy the model of another revision from DVC's cache into a folder."""
    files, path = _open_revision(revision)
    with _naming(revision):
        files.get(path, str(folder), recursive=True)
    return folder


def _open_revision(revision: str) -> tuple[Any, str]:
    """Open DVC's file system at a revision; return it, and the path of the model in it."""
    from dvc.api import DVCFileSystem  # half a second that the other systems need not wait

    # At a revision, DVC's paths begin at the root of the Git repository; the project may be a folder of it.
    ask = ["git", "rev-parse", "--show-prefix"]
    path = subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip() + TRAINED
    with _naming(revision):
        files = DVCFileSystem(".", rev=revision, subrepos=True)
        if not files.isdir(path):
            raise FileNotFoundError(f"there is no {path} in it")
    return files, path


@contextmanager
def _naming(revision: str) -> Iterator[None]:
    """Turn whatever DVC raises into one line that names the revision."""
    try:
        yield
    # DVC's errors have no common class below Exception that its interface promises.
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise OvertoneError(
            f"evaluate.systems names model@{revision}, which cannot be had: {reason}; the revision must be "
            "known to Git or DVC, and its model in DVC's cache (dvc exp list, dvc fetch)"
        ) from None


def _run(
    program: external.Program,
    read_chunks: Callable[[], Iterator[Chunk]],
    cutoff: float,
    rate: int,
    folder: Path,
) -> Cost:
    """Run a program on all chunks, from ``input`` to ``output`` in a folder."""
    inputs = folder / "input"
    inputs.mkdir(parents=True)
    seconds = 0.0
    for chunk in read_chunks():
        samples = chunk.degraded.numpy().T
        # In 32-bit float: decoded MP3 exceeds full scale, and no system may get a clipped input.
        soundfile.write(inputs / file_name(chunk), samples, rate, subtype="FLOAT")
        seconds += len(samples) / rate
    work = external.run(program, inputs, folder / "output", cutoff, rate)
    return Cost(work.seconds, seconds, work.memory)
