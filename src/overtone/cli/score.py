"""Score any files against a reference by the metrics of the pipeline."""

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from overtone.audio import resample
from overtone.audio.bandwidth import measure_bandwidth
from overtone.core.errors import OvertoneError
from overtone.core.rates import MODEL_RATE
from overtone.evaluation.metrics import distances
from overtone.evaluation.metrics import visqol as visqol_metric
from overtone.restoration.files.decode import blocks, open_sound
from overtone.restoration.stream.limits import MAX_PEAK

TOLERANCE = 0.1  # seconds by which lengths may differ: coders pad the end; the longer file is cut
SHORTEST = 1.0  # seconds: shorter files are not scored


@dataclass(frozen=True)
class Scored:
    """The scores of one file.

    Attributes:
        reference, restored: the files.
        seconds: length that was compared.
        cutoff: where the high band begins, in Hz; None if it is not known.
        bandwidth: where the reference ends, in Hz.
        values: scores by the keys of `overtone.evaluation.metrics.registry.SCORES`.
    """

    reference: Path
    restored: Path
    seconds: float
    cutoff: float | None
    bandwidth: float
    values: dict[str, float]

    def json(self) -> dict[str, Any]:
        """Return the scores as plain values."""
        return asdict(self) | {"reference": str(self.reference), "restored": str(self.restored)}


def score_files(
    reference: Path, restored: list[Path], cutoff: float | None = None, visqol: bool = True
) -> list[Scored]:
    """Score files against a reference at MODEL_RATE, sample by sample; a delay counts as an error.

    Args:
        reference: any sound file.
        restored: files with as many channels and the same length (to TOLERANCE).
        cutoff: where the high band begins, in Hz; without it, metrics of the high band are left out.
        visqol: whether to compute ViSQOL, on an excerpt from the middle.

    Raises:
        OvertoneError: a file cannot be read or does not fit the reference, or the reference has nothing
            above the cutoff.
    """
    true = _read(reference)
    if not true.any():
        raise OvertoneError(
            f"{reference} is silent, so that nothing can be compared with it; name the original"
        )
    bandwidth = measure_bandwidth(true, MODEL_RATE)
    if cutoff is not None and bandwidth - cutoff < distances.MIN_HIGH_BAND_HZ:
        raise OvertoneError(
            f"{reference} ends at {bandwidth:.0f} Hz, so that there is nothing to compare above a cutoff "
            f"of {cutoff:.0f} Hz; name one at least {distances.MIN_HIGH_BAND_HZ:.0f} Hz lower"
        )
    found = []
    for path in restored:
        estimate = _read(path)
        _check(reference, true, path, estimate)
        length = min(true.shape[1], estimate.shape[1])
        pair = true[:, :length], estimate[:, :length]
        values = distances.measure(*pair, MODEL_RATE, bandwidth if cutoff is None else cutoff, bandwidth)
        if cutoff is None:
            del values["lsd_low"]
        if visqol:
            excerpt = min(length, visqol_metric.EXCERPT_SECONDS * MODEL_RATE)
            middle = slice((length - excerpt) // 2, (length - excerpt) // 2 + excerpt)
            values["visqol"] = visqol_metric.visqol(pair[0][:, middle], pair[1][:, middle], MODEL_RATE)
        found.append(Scored(reference, path, length / MODEL_RATE, cutoff, bandwidth, values))
    return found


def _read(path: Path) -> np.ndarray:
    """Read a file as (channels, time) float32 at MODEL_RATE."""
    with open_sound(path) as file:
        rate = file.samplerate
        samples = np.concatenate([np.zeros((file.channels, 0), np.float32), *blocks(file, path)], axis=1)
    if not np.isfinite(samples).all():
        raise OvertoneError(f"{path} holds NaN or infinity; repair it first")
    if (highest := np.abs(samples).max(initial=0)) > MAX_PEAK:
        raise OvertoneError(f"{path} peaks at {highest:.3g} times full scale; that is not sound")
    if samples.shape[1] < SHORTEST * rate:
        raise OvertoneError(f"{path} holds {samples.shape[1] / rate:.3g} s; {SHORTEST:g} s are the least")
    return resample.resample(np.ascontiguousarray(samples), rate, MODEL_RATE)


def _check(reference: Path, true: np.ndarray, path: Path, estimate: np.ndarray) -> None:
    """Raise unless two signals have as many channels and the same length."""
    if len(estimate) != len(true):
        raise OvertoneError(
            f"{path} has {len(estimate)} channels and {reference} {len(true)}; they must agree"
        )
    longer = (estimate.shape[1] - true.shape[1]) / MODEL_RATE
    if abs(longer) > TOLERANCE:
        raise OvertoneError(
            f"{path} is {abs(longer):.2f} s {'longer' if longer > 0 else 'shorter'} than {reference}; "
            f"up to {TOLERANCE:g} s are allowed: cut both to the same part"
        )
