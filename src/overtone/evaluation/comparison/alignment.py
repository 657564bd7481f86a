"""Bringing a program's output to where its input is: rate, delay, level and length, found in the low band.

Below the cutoff both hold the same music, so the input tells where the output lies. With X and Y the
spectra of input and output over the whole length, in the bins from 20 Hz to the cutoff, and C = conj(X) Y::

    lag, whole samples   argmax over |n| <= 1 s of |irfft(f^2 C)|[n]; f^2 differentiates both, which
                         sharpens the peak of music, whose bass is loud
    lag, the rest        the slope of the phase of C, least squares with weights |C|
    gain                 sum(Re C) / sum(|X|^2); negative where the output is upside down

The rest and the gain are those of the time that both have.

What lies above the cutoff decides nothing. What was made of a silent input stays where it is.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import fft

from overtone.audio import resample
from overtone.core.errors import OvertoneError

LOWEST_HZ = 20.0
LONGEST_LAG = 1.0  # seconds
# Less than this in common (correlation below the cutoff) is another sound, or noise, not the input restored.
IN_COMMON = 0.3
# Smaller errors are left as they are: a shift by a fraction of a sample is never exact, and these are the
# measurement's own. A hundredth of a sample is 0.03 rad at 22 kHz; 0.01 dB cannot be heard.
LAG_STEP = 0.01
GAIN_STEP_DB = 0.01


class Correction(NamedTuple):
    """What was corrected of one file.

    Attributes:
        rate: the rate that it came at, in Hz.
        lag: how late it came, in samples of the input's rate; negative for too early.
        gain_db: how much louder than the input it was, in dB.
        inverted: whether it was upside down.
        longer: by how many seconds it was longer than the input; negative for shorter.

    What was within the measurement's own error was not corrected and is 0 here.
    """

    rate: int
    lag: float
    gain_db: float
    inverted: bool
    longer: float


def align(
    output: np.ndarray, output_rate: int, reference: np.ndarray, rate: int, cutoff: float
) -> tuple[np.ndarray, Correction]:
    """Bring an output to the rate, the place, the level and the length of the input that it was made from.

    Args:
        output: (channels, any time), at output_rate in Hz.
        output_rate: in Hz.
        reference: the input, (channels, time).
        rate: the input's, in Hz.
        cutoff: in Hz; what lies below it is the same in both.

    Returns:
        (channels, time) float32, and what was corrected. What an output lacks at an end is zeros.

    Raises:
        OvertoneError: the output has other channels, NaN or infinity, is more than a second too short,
            or has nothing in common with the input below the cutoff.
    """
    if len(output) != len(reference):
        raise OvertoneError(f"it has {len(output)} channels, the input {len(reference)}")
    if not np.isfinite(output).all():
        raise OvertoneError("it holds samples that are not numbers (NaN or infinity)")
    longer = output.shape[1] / output_rate - reference.shape[1] / rate
    if longer < -LONGEST_LAG:
        raise OvertoneError(f"it is {-longer:.1f} s shorter than the input")
    output = resample.resample(np.ascontiguousarray(output, np.float32), output_rate, rate)
    lag, gain = _measure(output, reference, rate, cutoff) if reference.any() else (0.0, 1.0)
    # What is within the measurement's own error stays as it is.
    lag = round(lag) if abs(lag - round(lag)) < LAG_STEP else lag
    gain_db = 20 * np.log10(abs(gain))
    if abs(gain_db) < GAIN_STEP_DB:
        gain, gain_db = np.sign(gain), 0.0
    moved = _moved(output, lag, reference.shape[1]) / np.float32(gain)
    return moved, Correction(output_rate, float(lag), float(gain_db), bool(gain < 0), float(longer))


def _measure(output: np.ndarray, reference: np.ndarray, rate: int, cutoff: float) -> tuple[float, float]:
    """Lag in samples and gain of an output at the reference's rate."""
    x, y, bins, size = _low(reference, output, rate, cutoff)
    spectrum = np.zeros(size // 2 + 1, complex)
    spectrum[bins] = (x.conj() * y).sum(axis=0) * (bins / size) ** 2
    # No further than one still overlaps the other: a longer lag comes back at the transform's other end.
    early, late = (min(round(LONGEST_LAG * rate), s.shape[1] - 1) for s in (reference, output))
    correlation = np.roll(fft.irfft(spectrum, size), early)[: early + late + 1]
    whole = int(np.abs(correlation).argmax()) - early

    # The rest, and the gain, where both have sound: an end that only one has would weigh on its level.
    there, here = output[:, max(whole, 0) :], reference[:, max(-whole, 0) :]
    time = min(there.shape[1], here.shape[1])
    x, y, bins, size = _low(here[:, :time], there[:, :time], rate, cutoff)
    omega = 2 * np.pi * bins / size
    cross = (x.conj() * y).sum(axis=0)
    weights = np.abs(cross)
    upright = np.sign(cross.real.sum()) or 1.0
    slope = (weights * omega * np.angle(upright * cross)).sum() / max((weights * omega**2).sum(), 1e-30)
    rest = float(np.clip(-slope, -1, 1))
    common = float((cross * np.exp(1j * omega * rest)).real.sum())
    power_x, power_y = (float((np.abs(s) ** 2).sum()) for s in (x, y))
    correlated = abs(common) / max(np.sqrt(power_x * power_y), 1e-30)
    if correlated < IN_COMMON:
        raise OvertoneError(
            f"it has nothing in common with the input below {cutoff:g} Hz (correlation {correlated:.2f})"
        )
    return whole + rest, common / power_x


def _low(
    first: np.ndarray, second: np.ndarray, rate: int, cutoff: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Spectra (channels, bins) of the low band of both, which bins of a transform they are, and its size."""
    size = fft.next_fast_len(first.shape[1] + second.shape[1], real=True)
    bins = np.arange(int(LOWEST_HZ * size / rate), int(cutoff * size / rate) + 1)
    # In double precision: the phase's slope is read off to a thousandth of a sample.
    x, y = (fft.rfft(s.astype(np.float64), size, axis=1)[:, bins] for s in (first, second))
    return x, y, bins, size


def _moved(samples: np.ndarray, lag: float, length: int) -> np.ndarray:
    """(channels, length) that start `lag` samples into the given ones; a fraction turns their phase."""
    whole = int(np.floor(lag))
    if lag != whole:
        # Zeros on both sides, so that the ends do not come out at the other one.
        margin = 1 << 12
        size = fft.next_fast_len(samples.shape[1] + 2 * margin, real=True)
        spectrum = fft.rfft(np.pad(samples, ((0, 0), (margin, 0))), size, axis=1)
        spectrum *= np.exp(2j * np.pi * fft.rfftfreq(size) * (lag - whole))
        samples = fft.irfft(spectrum, size, axis=1)[:, margin : margin + samples.shape[1]]
    before, after = max(-whole, 0), max(whole + length - samples.shape[1], 0)
    padded = np.pad(samples, ((0, 0), (before, after)))
    return padded[:, max(whole, 0) : max(whole, 0) + length].astype(np.float32)


def describe(corrections: Sequence[Correction], rate: int) -> str:
    """What was corrected of a system's files, in a few words; empty if nothing was.

    Of figures that differ from file to file the least and the most are given.
    """
    words = []
    if rates := sorted({c.rate for c in corrections} - {rate}):
        words.append(" and ".join(f"{r / 1000:g} kHz" for r in rates))
    lags = [c.lag for c in corrections]
    if any(abs(lag) >= LAG_STEP for lag in lags):
        words.append(f"{_range(lags, 2)} samples late")
    gains = [c.gain_db for c in corrections]
    if any(abs(gain) >= GAIN_STEP_DB for gain in gains):
        words.append(f"{_range(gains, 2)} dB")
    if upside_down := sum(c.inverted for c in corrections):
        few = f" in {upside_down} of {len(corrections)} files"
        words.append("inverted" + few * (upside_down < len(corrections)))
    # A sample more or less is the rounding of another rate.
    lengths = [c.longer for c in corrections]
    if any(abs(longer) * rate >= 2 for longer in lengths):
        words.append(f"{_range(lengths, 3)} s longer")
    return ", ".join(words)


def summary(corrections: Sequence[Correction]) -> dict[str, Any]:
    """The least and the most of each correction, for a JSON file."""
    columns = zip(Correction._fields, zip(*corrections, strict=True), strict=True)
    return {name: [_plain(min(values)), _plain(max(values))] for name, values in columns}


def _plain(value: float) -> float:
    return value if isinstance(value, bool | int) else float(f"{value:.5g}")


def _range(values: Sequence[float], decimals: int) -> str:
    least, most = (f"{end:+.{decimals}f}" for end in (min(values), max(values)))
    return least if least == most else f"{least} to {most}"
