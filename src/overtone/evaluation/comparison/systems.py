"""Systems and the outputs that they yield for a chunk: one for each row of the table.

A baseline has one row. Every other system has two: NAME keeps the low band of the input, as
``overtone restore`` does, and "NAME alone" is the output of the system itself ("network alone" for
``model``). Outputs of outside programs are aligned with the input
(``overtone.evaluation.comparison.alignment``). A network whose output is late, or has another level, has a
third row, "NAME alone, aligned"; its own output is scored as it is, since nobody aligns it in use.

`overtone.evaluation.comparison.named_systems` makes systems from the names in params.yaml. `run_system` runs
in any process that sees the same files.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import soundfile
import torch
from torch import Tensor

from overtone.audio import resample
from overtone.core.errors import OvertoneError
from overtone.core.rates import MODEL_RATE
from overtone.evaluation.comparison import alignment
from overtone.evaluation.comparison.alignment import Correction
from overtone.evaluation.comparison.baselines import BASELINES
from overtone.evaluation.comparison.chunks import Chunk
from overtone.evaluation.comparison.runtime_cost import Cost
from overtone.models import registry
from overtone.models.device import choose_device
from overtone.models.registry import Network
from overtone.restoration.stream.analysis import DEFAULTS, RestorerOptions, analyze, open_restorer
from overtone.restoration.stream.crossover import keep_high_band
from overtone.restoration.stream.separation import Findings, Separator, open_separator

ALIGNED = ", aligned"
NOTHING = torch.empty(0)


class Baseline(NamedTuple):
    """A rule of `BASELINES`, by name."""

    name: str


class Model(NamedTuple):
    """A network in a model folder; None is the shipped model, which each machine has in a path of its own.

    With ``side``, the network uses its weights for the side channel of stereo.
    """

    name: str
    folder: Path | None
    side: bool = False


class Stems(NamedTuple):
    """The network in a model folder, applied to the stems that a Demucs model, by its name, separates."""

    name: str
    folder: Path
    demucs: str


class Outside(NamedTuple):
    """An outside program that has run: its output folder has a WAV for every chunk, by `file_name`."""

    name: str
    outputs: Path


System = Baseline | Model | Stems | Outside


class Output(NamedTuple):
    """The output of a system for a chunk: one row of the table; and its scores, once they are measured.

    Attributes:
        row: the name of the row.
        samples: (channels, time); empty once scored, since processes exchange scores alone.
        cost: time and memory; nothing for an outside program, which processes all chunks at once.
        correction: the difference to the input that alignment found; None for a baseline.
        findings: statistics of the separation into stems.
        scores: by metric.
        distance: `overtone.evaluation.metrics.distances.distance_by_frequency`, (bins,).
        features: `overtone.evaluation.metrics.c2st.features`; None if the test is off, or the chunk has no
            high band or no full second.
    """

    row: str
    samples: Tensor
    cost: Cost
    correction: Correction | None
    findings: Findings | None = None
    scores: dict[str, float] = {}  # noqa: RUF012 - a tuple's default, never changed in place
    distance: np.ndarray = np.empty(0)
    features: np.ndarray | None = None


def name_alone(name: str) -> str:
    """Name the row of a system without the low band of the input."""
    return "network alone" if name == "model" else f"{name} alone"


def rows(system: System) -> list[str]:
    """List the names of the rows that `run_system` yields."""
    if isinstance(system, Baseline):
        return [system.name]
    both = [system.name, name_alone(system.name)]
    return both if isinstance(system, Outside) else [*both, both[1] + ALIGNED]


def run_system(system: System, chunk: Chunk, cutoff: float, rate: int, device: str) -> Iterator[Output]:
    """Yield the outputs of a system for a chunk.

    Args:
        system: of `named_systems.prepare`.
        chunk: the input.
        cutoff, rate: in Hz.
        device: of networks.

    Raises:
        OvertoneError: the output of a program is missing or does not belong to this input, or the device is
            not available.
    """
    match system:
        case Baseline(name):
            cost = Cost()
            with cost.measured(chunk.degraded.shape[-1] / rate):
                samples = BASELINES[name](chunk.degraded, cutoff, rate)
            yield Output(name, samples, cost, None)
        case Model(name, folder, side):
            net, _ = registry.load(folder or registry.SHIPPED)
            net = registry.for_side(net) if side else net
            yield from _run_network_rows(name, net.to(choose_device(device)), chunk, cutoff, rate)
        case Stems(name, folder, demucs):
            net, _ = registry.load(folder)
            separator = open_separator(device, demucs)
            yield from _run_network_rows(name, net.to(choose_device(device)), chunk, cutoff, rate, separator)
        case Outside(name, outputs):
            samples, correction = _read_output(outputs / file_name(chunk), chunk, cutoff, rate)
            kept = with_low_band(samples, chunk.degraded, cutoff, rate)
            yield Output(name, kept, Cost(), correction)
            yield Output(name_alone(name), samples, Cost(), correction)


def _run_network_rows(
    name: str, net: Network, chunk: Chunk, cutoff: float, rate: int, separator: Separator | None = None
) -> Iterator[Output]:
    """Yield the outputs of a network; with a separator, on the stems, separated once for each row."""
    for row, keep_low in ((name, True), (name_alone(name), False)):
        cost = Cost()
        findings = None if separator is None else Findings(separator.name, separator.stems)
        options = RestorerOptions(separator, findings, keep_low)
        with cost.measured(chunk.degraded.shape[-1] / rate):
            samples = run_network(net, chunk.degraded, cutoff, rate, options)
        aligned, correction = _align_network(samples, chunk, cutoff, rate)
        yield Output(row, aligned if keep_low else samples, cost, correction, findings)
        if not keep_low:
            yield Output(row + ALIGNED, aligned, cost, correction, findings)


def _align_network(
    samples: Tensor, chunk: Chunk, cutoff: float, rate: int
) -> tuple[Tensor, Correction | None]:
    """Align the output of a network, unless the correction is large or the input is not found in it.

    Both happen to an early network or a broken one. Its output is scored as it is, and a large correction is
    returned nevertheless, so that the results can mark the row.
    """
    try:
        aligned, correction = _align(samples.numpy(), rate, chunk, cutoff, rate)
    except OvertoneError:
        return samples, None
    return (samples if correction.large else aligned), correction


def run_network(
    net: Network, samples: Tensor, cutoff: float, rate: int, options: RestorerOptions = DEFAULTS
) -> Tensor:
    """Restore (channels, time) as ``overtone restore`` does; what is scored is what people get."""
    wave = samples.numpy()
    noise = options.keep_low and options.separator is None
    restorer = open_restorer(analyze(wave, rate, cutoff, noise=noise), net, rate, options)
    return torch.from_numpy(np.concatenate([restorer.process(wave), restorer.flush()], axis=1))


def with_low_band(output: Tensor, samples: Tensor, cutoff: float, rate: int) -> Tensor:
    """Add the high band of an output to the input, by the crossover of ``overtone restore``.

    Shape:
        (channels, time) float32 twice -> the same.
    """
    added = resample.resample((output - samples).numpy(), rate, MODEL_RATE)
    high = resample.resample(keep_high_band(added, cutoff), MODEL_RATE, rate)[:, : samples.shape[1]]
    return samples + torch.from_numpy(np.pad(high, ((0, 0), (0, samples.shape[1] - high.shape[1]))))


def file_name(chunk: Chunk) -> str:
    """Name the WAV file of a chunk, for outside programs."""
    return f"{chunk.track_id:06d}-{chunk.part}.wav"


def _read_output(path: Path, chunk: Chunk, cutoff: float, rate: int) -> tuple[Tensor, Correction]:
    """Read the output of a program for a chunk, and align it."""
    try:
        samples, own_rate = soundfile.read(path, dtype="float32", always_2d=True)
        return _align(samples.T, own_rate, chunk, cutoff, rate)
    except soundfile.LibsndfileError as error:
        raise OvertoneError(f"wrong output: {path.name} does not decode: {error.error_string}") from None
    except OvertoneError as error:
        raise OvertoneError(f"wrong output: {path.name}: {error}") from None


def _align(
    samples: np.ndarray, own_rate: int, chunk: Chunk, cutoff: float, rate: int
) -> tuple[Tensor, Correction]:
    """Align an output with the input of its chunk; the same way for every system."""
    aligned, correction = alignment.align(samples, own_rate, chunk.degraded.numpy(), rate, cutoff)
    return torch.from_numpy(aligned), correction
