"""Anyone's files, scored as the pipeline scores its own: a reference, and what was made to be like it."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from overtone.audio import resample
from overtone.audio.bandwidth import measure_bandwidth
from overtone.core.errors import OvertoneError
from overtone.evaluation.metrics import distances
from overtone.evaluation.metrics import visqol as visqol_metric
from overtone.restoration.files.decode import blocks, open_sound
from overtone.restoration.stream.limits import MAX_PEAK

RATE = 44100  # Hz; all files are compared at this rate
TOLERANCE = 0.1  # seconds by which lengths may differ: coders pad the end; the longer file is cut
LEAST = 1.0  # seconds: less is not judged


@dataclass(frozen=True)
class Scored:
    """What a file scored.

    Attributes:
        reference, restored: the files.
        seconds: how much of them was compared.
        cutoff: where the treble begins, in Hz; None if it was not told.
        bandwidth: where the reference itself ends, in Hz.
        values: scores by the keys of `overtone.evaluation.metrics.registry.SCORES`.
    """

    reference: Path
    restored: Path
    seconds: float
    cutoff: float | None
    bandwidth: float
    values: dict[str, float]

    def json(self) -> dict[str, Any]:
        """The scores as plain values."""
        return asdict(self) | {"reference": str(self.reference), "restored": str(self.restored)}


def score_files(
    reference: Path, restored: list[Path], cutoff: float | None = None, visqol: bool = True
) -> list[Scored]:
    """Score files against a reference, at RATE, sample by sample: a delay counts as an error.

    Args:
        reference: any sound file.
        restored: what is compared with it, as many channels and as long (to TOLERANCE).
        cutoff: where the treble begins, in Hz; without it, what is told of the treble alone is left out.
        visqol: whether to ask ViSQOL, which hears the seconds in the middle that are enough.

    Raises:
        OvertoneError: a file cannot be read or does not belong to the reference, or the reference has no
            treble above the cutoff.
    """
    true = _read(reference)
    if not true.any():
        raise OvertoneError(f"{reference} is silent, and nothing can be compared with it; name the original")
    bandwidth = measure_bandwidth(true, RATE)
    if cutoff is not None and bandwidth - cutoff < distances.MIN_HIGH_BAND_HZ:
        raise OvertoneError(
            f"{reference} ends at {bandwidth:.0f} Hz, so that there is no treble to compare above a cutoff "
            f"of {cutoff:.0f} Hz; name one at least {distances.MIN_HIGH_BAND_HZ:.0f} Hz lower"
        )
    found = []
    for path in restored:
        made = _read(path)
        _check(reference, true, path, made)
        length = min(true.shape[1], made.shape[1])
        pair = true[:, :length], made[:, :length]
        values = distances.measure(*pair, RATE, bandwidth if cutoff is None else cutoff, bandwidth)
        if cutoff is None:
            del values["lsd_low"]
        if visqol:
            heard = min(length, visqol_metric.EXCERPT_SECONDS * RATE)
            middle = slice((length - heard) // 2, (length - heard) // 2 + heard)
            values["visqol"] = visqol_metric.visqol(pair[0][:, middle], pair[1][:, middle], RATE)
        found.append(Scored(reference, path, length / RATE, cutoff, bandwidth, values))
    return found


def _read(path: Path) -> Tensor:
    """A whole file, (channels, time) float32 at RATE."""
    with open_sound(path) as file:
        rate = file.samplerate
        samples = np.concatenate([np.zeros((file.channels, 0), np.float32), *blocks(file, path)], axis=1)
    if not np.isfinite(samples).all():
        raise OvertoneError(f"{path} holds NaN or infinity; repair it first")
    if (highest := np.abs(samples).max(initial=0)) > MAX_PEAK:
        raise OvertoneError(f"{path} peaks at {highest:.3g} times full scale; that is not sound")
    if samples.shape[1] < LEAST * rate:
        raise OvertoneError(f"{path} holds {samples.shape[1] / rate:.3g} s; {LEAST:g} s are the least")
    return torch.from_numpy(resample.resample(np.ascontiguousarray(samples), rate, RATE))


def _check(reference: Path, true: Tensor, path: Path, made: Tensor) -> None:
    """Raise unless two signals can belong together."""
    if len(made) != len(true):
        raise OvertoneError(f"{path} has {len(made)} channels and {reference} {len(true)}; they must agree")
    longer = (made.shape[1] - true.shape[1]) / RATE
    if abs(longer) > TOLERANCE:
        raise OvertoneError(
            f"{path} is {abs(longer):.2f} s {'longer' if longer > 0 else 'shorter'} than {reference}; "
            f"up to {TOLERANCE:g} s are allowed: cut both to the same part"
        )
