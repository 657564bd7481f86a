"""The systems of the table by name, each on the same takes and with its low band both ways.

=====================  =====================================================================
``model``              the network that the train stage wrote, ``data/model``
``model@REVISION``     that of a Git revision or DVC experiment, from DVC's cache
``shipped``            the network that ``overtone restore`` uses
``stems``              that of the train stage, on the stems that Demucs separates
``some/folder``        any model folder, written with a slash
any other              an outside program: its recipe's name in ``programs.yaml``
=====================  =====================================================================

The baselines are always there. Every other system has two rows: NAME keeps the input's low band, as
``overtone restore`` does, and "NAME alone" is what the system itself gives ("network alone" for ``model``).
All of them are aligned with the input (``overtone.evaluation.comparison.alignment``). A network whose output
is late, or has another level, has that in a third row, "NAME alone, aligned": its own is scored as it comes,
since nobody aligns it.

`prepare` says what the systems are, and runs the outside programs; `make` gives a system's rows for one take,
in any process that sees the same files.
"""

import subprocess
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import torch
from torch import Tensor

from overtone.audio import resample
from overtone.core.errors import OvertoneError
from overtone.core.rates import MODEL_RATE
from overtone.evaluation.comparison import alignment, external
from overtone.evaluation.comparison.alignment import Correction
from overtone.evaluation.comparison.baselines import BASELINES
from overtone.evaluation.comparison.chunks import Chunk
from overtone.evaluation.comparison.runtime_cost import Cost
from overtone.models import registry
from overtone.models.device import choose_device
from overtone.models.registry import Network
from overtone.restoration.stream.analysis import DEFAULTS, RestorerOptions, analyze, open_restorer
from overtone.restoration.stream.crossover import keep_high_band
from overtone.restoration.stream.separation import Findings, Separator, demucs_named, open_separator

TRAINED = "data/model"
ALIGNED = ", aligned"


class Baseline(NamedTuple):
    """One of `BASELINES`."""

    name: str


class Model(NamedTuple):
    """A network in a model folder; None is the shipped one, which each machine has in its own place.

    With ``side`` the weights that it has for the side of stereo are taken.
    """

    name: str
    folder: Path | None
    side: bool = False


class Stems(NamedTuple):
    """The network in a model folder, on the stems that Demucs separates by a model of its own, as named."""

    name: str
    folder: Path
    demucs: str


class Outside(NamedTuple):
    """An outside program that was run: its output folder has a WAV for every take, by `key`."""

    name: str
    outputs: Path


System = Baseline | Model | Stems | Outside


class Output(NamedTuple):
    """What one row of the table has for a take.

    Attributes:
        row: the row's name.
        samples: (channels, time).
        cost: what the work took; nothing for an outside program, which does all takes at once.
        correction: what aligning found; None for a baseline.
        findings: what separating into stems found.
    """

    row: str
    samples: Tensor
    cost: Cost
    correction: Correction | None
    findings: Findings | None = None


class Prepared(NamedTuple):
    """The systems of the table.

    Attributes:
        systems: those that can be made, the baselines first.
        costs: what outside programs took, by name.
        failed: why a program gave nothing, by name.
    """

    systems: list[System]
    costs: dict[str, Cost]
    failed: dict[str, str]


def prepare(
    names: Iterable[str],
    takes: Callable[[], Iterator[Chunk]],
    cutoff: float,
    rate: int,
    folder: Path,
    side: bool = False,
) -> Prepared:
    """Find the systems by name, and run the outside programs among them on all takes.

    Args:
        names: as in the module's docstring.
        takes: gives the takes; called once for every program.
        cutoff, rate: in Hz.
        folder: an empty one, absolute, for what must be fetched and what programs read and write. It must
            stay until all is made.
        side: whether the takes are the side of stereo.

    Raises:
        OvertoneError: a name stands for nothing, or its model cannot be loaded.
    """
    systems: list[System] = [Baseline(name) for name in BASELINES]
    costs: dict[str, Cost] = {}
    failed: dict[str, str] = {}
    kinds = [(name, folder / str(number)) for number, name in enumerate(names)]
    for name, own, what in [(name, own, _kind(name, own)) for name, own in kinds]:
        if isinstance(what, Path):
            registry.load(what)
            systems.append(Model(name, None if what == registry.SHIPPED else what.absolute(), side))
            continue
        try:
            if what is None:
                open_separator()
                registry.load(TRAINED)
                systems.append(Stems(name, Path(TRAINED).absolute(), demucs_named()))
                continue
            print(f"running {name}", flush=True)
            costs[name] = _run(what, takes, cutoff, rate, own)
            systems.append(Outside(name, own / "output"))
        except OvertoneError as error:
            failed[name] = str(error)
            print(f"{name}: {error}", flush=True)
    return Prepared(systems, costs, failed)


def name_alone(name: str) -> str:
    """The name of a system's row without the input's low band."""
    return "network alone" if name == "model" else f"{name} alone"


def run_system(system: System, take: Chunk, cutoff: float, rate: int, device: str) -> Iterator[Output]:
    """Yield the rows of a system for one take.

    Args:
        system: of `prepare`.
        take: which.
        cutoff, rate: in Hz.
        device: where networks run.

    Raises:
        OvertoneError: a program's output is none, or not of this input; the device is not here.
    """
    match system:
        case Baseline(name):
            cost = Cost()
            with cost.measured(take.degraded.shape[-1] / rate):
                samples = BASELINES[name](take.degraded, cutoff, rate)
            yield Output(name, samples, cost, None)
        case Model(name, folder, side):
            net, _ = registry.load(folder or registry.SHIPPED)
            net = registry.for_side(net) if side else net
            yield from _of_network(name, net.to(choose_device(device)), take, cutoff, rate)
        case Stems(name, folder, demucs):
            net, _ = registry.load(folder)
            separator = open_separator(device, demucs)
            yield from _of_network(name, net.to(choose_device(device)), take, cutoff, rate, separator)
        case Outside(name, outputs):
            given, correction = _read(outputs / f"{key(take)}.wav", take, cutoff, rate)
            kept = with_low_band(given, take.degraded, cutoff, rate)
            yield Output(name, kept, Cost(), correction)
            yield Output(name_alone(name), given, Cost(), correction)


def rows(system: System) -> list[str]:
    """The names of what `make` yields."""
    if isinstance(system, Baseline):
        return [system.name]
    both = [system.name, name_alone(system.name)]
    return both if isinstance(system, Outside) else [*both, both[1] + ALIGNED]


def _of_network(
    name: str, net: Network, take: Chunk, cutoff: float, rate: int, separator: Separator | None = None
) -> Iterator[Output]:
    """The rows of a network; with a separator, on every stem, separated anew for each row."""
    for row, keep_low in ((name, True), (name_alone(name), False)):
        cost = Cost()
        findings = None if separator is None else Findings(separator.name, separator.stems)
        options = RestorerOptions(separator, findings, keep_low)
        with cost.measured(take.degraded.shape[-1] / rate):
            samples = run_network(net, take.degraded, cutoff, rate, options)
        try:
            aligned, correction = _aligned(samples.numpy(), rate, take, cutoff, rate)
        except OvertoneError:
            # Nothing in common with its input: an early network, or a broken one. Its scores tell.
            aligned, correction = samples, None
        yield Output(row, aligned if keep_low else samples, cost, correction, findings)
        if not keep_low:
            yield Output(row + ALIGNED, aligned, cost, correction, findings)


def run_network(
    net: Network, samples: Tensor, cutoff: float, rate: int, options: RestorerOptions = DEFAULTS
) -> Tensor:
    """Restore (channels, time) as ``overtone restore`` does; what is scored is what people get."""
    wave = samples.numpy()
    noise = options.keep_low and options.separator is None
    restorer = open_restorer(analyze(wave, rate, cutoff, noise=noise), net, rate, options)
    return torch.from_numpy(np.concatenate([restorer.process(wave), restorer.flush()], axis=1))


def with_low_band(made: Tensor, samples: Tensor, cutoff: float, rate: int) -> Tensor:
    """What was made above the cutoff on top of the input, by the crossover of ``overtone restore``.

    Shape:
        (channels, time) float32 twice -> the same.
    """
    added = torch.from_numpy(resample.resample((made - samples).numpy(), rate, MODEL_RATE))
    high = resample.resample(keep_high_band(added, cutoff).numpy(), MODEL_RATE, rate)[:, : samples.shape[1]]
    return samples + torch.from_numpy(np.pad(high, ((0, 0), (0, samples.shape[1] - high.shape[1]))))


def key(take: Chunk) -> str:
    """The name of a take's file."""
    return f"{take.track_id:06d}-{take.part}"


def check_names(names: Iterable[str]) -> None:
    """Raise unless each name stands for a system; models and revisions are not opened."""
    for name in names:
        if name not in ("model", "shipped", "stems") and not name.startswith("model@") and "/" not in name:
            _check_program(name)


def _check_program(name: str) -> None:
    known = external.names()
    if name not in known or name in BASELINES:
        raise OvertoneError(
            f"evaluate.systems names {name!r}; it is model, model@REVISION, shipped, stems, a model's folder "
            f"(written with a slash), or a recipe of {external.RECIPES}: {', '.join(known) or 'it has none'}"
        )


def _kind(name: str, folder: Path) -> Path | external.Program | None:
    """A model's folder (what must be fetched goes into the one given), a program's recipe, None for stems."""
    if name == "stems":
        return None
    if name == "model":
        return Path(TRAINED)
    if name == "shipped":
        return registry.SHIPPED
    if name.startswith("model@"):
        return _at_revision(name.removeprefix("model@"), folder)
    if "/" in name:
        return Path(name)
    _check_program(name)
    return external.recipe(name)


def _at_revision(revision: str, folder: Path) -> Path:
    """Copy the model of another revision out of DVC's cache into a folder, and return the folder."""
    from dvc.api import DVCFileSystem  # half a second that the other systems need not wait

    # At a revision, DVC's paths begin at the root of the Git repository; the project may be a folder of it.
    ask = ["git", "rev-parse", "--show-prefix"]
    prefix = subprocess.run(ask, capture_output=True, text=True, check=False).stdout.strip()
    try:
        DVCFileSystem(".", rev=revision, subrepos=True).get(prefix + TRAINED, str(folder), recursive=True)
    # DVC's errors have no common class below Exception that its interface promises.
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise OvertoneError(
            f"evaluate.systems names model@{revision}, which cannot be had: {reason}; the revision must be "
            "known to Git or DVC, and its model in DVC's cache (dvc exp list, dvc fetch)"
        ) from None
    return folder


def _run(
    program: external.Program, takes: Callable[[], Iterator[Chunk]], cutoff: float, rate: int, folder: Path
) -> Cost:
    """Run a program on all takes; the folder has their files in ``input`` and its own in ``output``."""
    inputs = folder / "input"
    inputs.mkdir(parents=True)
    seconds = 0.0
    for take in takes():
        samples = take.degraded.numpy().T
        # In 32-bit float: decoded MP3 goes beyond full scale, and no system shall get less than another.
        soundfile.write(inputs / f"{key(take)}.wav", samples, rate, subtype="FLOAT")
        seconds += len(samples) / rate
    work = external.run(program, inputs, folder / "output", cutoff, rate)
    return Cost(work.seconds, seconds, work.memory)


def _read(path: Path, take: Chunk, cutoff: float, rate: int) -> tuple[Tensor, Correction]:
    """What a program wrote for a take, aligned."""
    try:
        samples, own_rate = soundfile.read(path, dtype="float32", always_2d=True)
        return _aligned(samples.T, own_rate, take, cutoff, rate)
    except soundfile.LibsndfileError as error:
        raise OvertoneError(f"wrong output: {path.name} does not decode: {error.error_string}") from None
    except OvertoneError as error:
        raise OvertoneError(f"wrong output: {path.name}: {error}") from None


def _aligned(
    samples: np.ndarray, own_rate: int, take: Chunk, cutoff: float, rate: int
) -> tuple[Tensor, Correction]:
    """A system's output where the take's input is; the same way for every system."""
    moved, correction = alignment.align(samples, own_rate, take.degraded.numpy(), rate, cutoff)
    return torch.from_numpy(moved), correction
