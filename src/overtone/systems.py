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
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from scipy import signal
from torch import Tensor

from overtone import align, audio, models, programs, restoring
from overtone.baselines import BASELINES
from overtone.costs import Cost
from overtone.device import choose_device
from overtone.errors import OvertoneError
from overtone.evaluation import Take
from overtone.models import Network
from overtone.restoring import MODEL_RATE, Restorer
from overtone.stems import Findings, StemsRestorer, open_separator

TRAINED = "data/model"


@dataclass
class Row:
    """One row of the table: a system, and what it took so far.

    Attributes:
        make: (take, cutoff in Hz, rate in Hz) -> restored (channels, time).
        cost: seconds and memory.
        corrections: what aligning corrected, of outside programs only.
        remark: gives what else is to be said.
    """

    make: Callable[[Take, float, int], Tensor]
    cost: Cost = field(default_factory=Cost)
    corrections: list[align.Correction] = field(default_factory=list)
    remark: Callable[[], str] = str

    def __call__(self, take: Take, cutoff: float, rate: int) -> Tensor:
        """What the system makes of a take."""
        return self.make(take, cutoff, rate)

    def json(self, rate: int) -> dict[str, Any]:
        """What it took and what was corrected, for `overtone.costs`."""
        note = align.describe(self.corrections, rate)
        told = {"note": f"corrected: {note}" if note else self.remark()}
        return self.cost.json() | told | ({"corrected": align.summary(self.corrections)} if note else {})


def rows(
    names: Iterable[str], takes: Callable[[], Iterator[Take]], cutoff: float, rate: int, folder: Path
) -> tuple[dict[str, Row], dict[str, str]]:
    """Make the rows of the table; outside programs run here, all others when they are called.

    Args:
        names: as in the module's docstring.
        takes: gives the takes; called once for every program.
        cutoff, rate: in Hz.
        folder: an empty one, for what programs read and write. It must stay until the rows are done.

    Returns:
        (rows, failed): rows by name, the baselines first; and why a program has none, by its name.

    Raises:
        OvertoneError: a name stands for nothing, or its model cannot be loaded.
    """
    made = {name: _timed(_on_samples(baseline)) for name, baseline in BASELINES.items()}
    kinds = [(name, folder / str(number)) for number, name in enumerate(names)]
    failed: dict[str, str] = {}
    for name, own, what in [(name, own, _kind(name, own)) for name, own in kinds]:
        if isinstance(what, Path):
            net, _ = models.load(what)
            net.to(choose_device())
            made[name] = _timed(_on_samples(partial(whole, net)))
            made[alone(name)] = _timed(_on_samples(partial(whole, net, keep_low=False)))
            continue
        try:
            print(f"running {name}", flush=True)
            made |= _by_stems(name) if what is None else _outside(name, what, takes, cutoff, rate, own)
        except OvertoneError as error:
            failed[name] = str(error)
            print(f"{name}: {error}", flush=True)
    return made, failed


def alone(name: str) -> str:
    """The name of a system's row without the input's low band."""
    return "network alone" if name == "model" else f"{name} alone"


def whole(
    net: Network,
    samples: Tensor,
    cutoff: float,
    rate: int,
    keep_low: bool = True,
    by: Callable[..., Restorer | StemsRestorer] = Restorer,
) -> Tensor:
    """Restore (channels, time) as ``overtone restore`` does; what is scored is what people get."""
    peak = float(samples.abs().max())
    restorer = by(net, rate, len(samples), cutoff, peak, out_rate=rate, keep_low=keep_low)
    return torch.from_numpy(np.concatenate([restorer.process(samples.numpy()), restorer.flush()], axis=1))


def with_low_band(made: np.ndarray, samples: np.ndarray, cutoff: float, rate: int) -> np.ndarray:
    """What was made above the cutoff on top of the input, by the crossover of ``overtone restore``.

    Shape:
        (channels, time) float32 twice -> the same.
    """
    added = audio.resample(made - samples, rate, MODEL_RATE)
    high = signal.oaconvolve(added, restoring._highpass(cutoff)[None], mode="full", axes=1)
    high = high[:, restoring.TAPS : restoring.TAPS + added.shape[1]].astype(np.float32)
    high = audio.resample(np.ascontiguousarray(high), MODEL_RATE, rate)[:, : samples.shape[1]]
    kept: np.ndarray = samples + np.pad(high, ((0, 0), (0, samples.shape[1] - high.shape[1])))
    return kept


def costs(made: Mapping[str, Row], failed: Mapping[str, str], rate: int) -> dict[str, Any]:
    """What every row took, and why the failed ones are none, for `overtone.costs`."""
    return {name: row.json(rate) for name, row in made.items()} | {
        name: {"failed": reason} for name, reason in failed.items()
    }


def _kind(name: str, folder: Path) -> Path | programs.Program | None:
    """A model's folder (what must be fetched goes into the one given), a program's recipe, None for stems."""
    if name == "stems":
        return None
    if name == "model":
        return Path(TRAINED)
    if name == "shipped":
        return models.SHIPPED
    if name.startswith("model@"):
        return _at_revision(name.removeprefix("model@"), folder)
    if "/" in name:
        return Path(name)
    known = programs.names()
    if name not in known or name in BASELINES:
        raise OvertoneError(
            f"evaluate.systems names {name!r}; it is model, model@REVISION, shipped, stems, a model's folder "
            f"(written with a slash), or a recipe of {programs.RECIPES}: {', '.join(known) or 'it has none'}"
        )
    return programs.recipe(name)


def _at_revision(revision: str, folder: Path) -> Path:
    """The folder, with the model of another revision in it, from DVC's cache."""
    from dvc.api import DVCFileSystem  # half a second that the other systems need not wait

    try:
        DVCFileSystem(".", rev=revision).get(TRAINED, str(folder), recursive=True)
    # DVC's errors have no common class below Exception that its interface promises.
    except Exception as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise OvertoneError(
            f"evaluate.systems names model@{revision}, which cannot be had: {reason}; the revision must be "
            "known to Git or DVC, and its model in DVC's cache (dvc exp list, dvc fetch)"
        ) from None
    return folder


def _on_samples(system: Callable[[Tensor, float, int], Tensor]) -> Callable[[Take, float, int], Tensor]:
    return lambda take, cutoff, rate: system(take.degraded, cutoff, rate)


def _timed(make: Callable[[Take, float, int], Tensor]) -> Row:
    """A row whose work is done, and measured, when it is called."""
    cost = Cost()

    def measured(take: Take, cutoff: float, rate: int) -> Tensor:
        with cost.measured(take.degraded.shape[-1] / rate):
            return make(take, cutoff, rate)

    return Row(measured, cost)


def _by_stems(name: str) -> dict[str, Row]:
    """The rows of the trained network on each stem. Each of the two separates anew."""
    separator = open_separator()
    net, _ = models.load(TRAINED)
    net.to(choose_device())
    made = {}
    for row, keep_low in ((name, True), (alone(name), False)):
        findings = Findings(separator.name, separator.stems)
        by = partial(StemsRestorer, separator, findings=findings)
        made[row] = _timed(_on_samples(partial(whole, net, keep_low=keep_low, by=by)))
        made[row].remark = findings.line
    return made


def _outside(
    name: str,
    program: programs.Program,
    takes: Callable[[], Iterator[Take]],
    cutoff: float,
    rate: int,
    folder: Path,
) -> dict[str, Row]:
    """Run a program on all takes and align what it wrote; the rows read the aligned samples."""
    inputs, outputs, aligned = (folder / part for part in ("input", "output", "aligned"))
    for made in (inputs, aligned):
        made.mkdir(parents=True)
    audio_seconds = 0.0
    for take in takes():
        samples = take.degraded.numpy().T
        # In 32-bit float: decoded MP3 goes beyond full scale, and no system shall get less than another.
        soundfile.write(inputs / f"{_key(take)}.wav", samples, rate, subtype="FLOAT")
        audio_seconds += len(samples) / rate
    work = programs.run(program, inputs, outputs, cutoff, rate)
    corrections = []
    for take in takes():
        path = outputs / f"{_key(take)}.wav"
        try:
            samples, own_rate = soundfile.read(path, dtype="float32", always_2d=True)
            out, corrected = align.align(samples.T, own_rate, take.degraded.numpy(), rate, cutoff)
        except soundfile.LibsndfileError as error:
            raise OvertoneError(f"wrong output: {path.name} does not decode: {error.error_string}") from None
        except OvertoneError as error:
            raise OvertoneError(f"wrong output: {path.name}: {error}") from None
        np.save(aligned / _key(take), out)
        corrections.append(corrected)

    def given(take: Take, cutoff: float, rate: int) -> Tensor:
        return torch.from_numpy(np.load(aligned / f"{_key(take)}.npy"))

    def kept(take: Take, cutoff: float, rate: int) -> Tensor:
        made = given(take, cutoff, rate).numpy()
        return torch.from_numpy(with_low_band(made, take.degraded.numpy(), cutoff, rate))

    cost = Cost(work.seconds, audio_seconds, work.memory)
    return {name: Row(kept, cost, corrections), alone(name): Row(given, cost, corrections)}


def _key(take: Take) -> str:
    return f"{take.track_id:06d}-{take.part}"
