"""Align the output of a system with its input: rate, delay, level, polarity and length.

Below the cutoff both hold the same music, so the low band gives delay and gain. With X and Y the spectra of
input and output over the full length, in the bins from 20 Hz to the cutoff, and C = conj(X) Y::

    lag, in samples      argmax over |n| <= 1 s of |irfft(f^2 C)|[n]; f^2 differentiates both, which
                         sharpens the peak of music, whose bass is loud
    lag, fraction        the slope of the phase of C, least squares with weights |C|
    gain                 sum(Re C) / sum(|X|^2); negative where the output is inverted

Fraction and gain are measured where input and output overlap in time. The band above the cutoff has no
influence. The output for a silent input is left where it is.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from scipy import fft

from overtone.audio import resample
from overtone.core.errors import OvertoneError

LOWEST_HZ = 20.0
LONGEST_LAG = 1.0  # seconds
# With a lower correlation below the cutoff, the output is another sound, or noise, not the input restored.
MIN_CORRELATION = 0.3
# Smaller errors are left as they are: a shift by a fraction of a sample is never exact, and these are the
# measurement's own. A hundredth of a sample is 0.03 rad at 22 kHz; 0.01 dB cannot be heard.
LAG_STEP = 0.01
GAIN_STEP_DB = 0.01
# A larger change of level, or an inversion, is marked in the results: it is no matter of calibration. The
# output of an early network correlated with its input by chance: it was inverted and raised by 18 to 21 dB.
LARGE_GAIN_DB = 6.0


class Correction(NamedTuple):
    """The difference between the output and the input of a system, for one chunk.

    Attributes:
        rate: the rate of the output, in Hz.
        lag: the delay of the output, in samples of the input's rate; negative if it is early.
        gain_db: the level of the output above that of the input, in dB.
        inverted: whether the output has the opposite sign.
        longer: the extra length of the output, in seconds; negative if it is shorter.

    A lag or gain within the error of measurement is 0.
    """

    rate: int
    lag: float
    gain_db: float
    inverted: bool
    longer: float

    @property
    def large(self) -> bool:
        """Check whether alignment inverts the output, or changes its level by more than LARGE_GAIN_DB."""
        return self.inverted or abs(self.gain_db) > LARGE_GAIN_DB


def align(
    output: np.ndarray, output_rate: int, reference: np.ndarray, rate: int, cutoff: float
) -> tuple[np.ndarray, Correction]:
    """Align an output with its input in rate, time, level, polarity and length.

    Args:
        output: (channels, any time), at output_rate in Hz.
        output_rate: in Hz.
        reference: the input, (channels, time).
        rate: of the input, in Hz.
        cutoff: in Hz; below it, input and output hold the same music.

    Returns:
        (channels, time) float32, padded with zeros where the output ends early; and the correction.

    Raises:
        OvertoneError: the output has other channels, NaN or infinity, is more than a second too short,
            or has nothing in common with the input below the cutoff.
    """
    if len(output) != len(reference):
        channels = f"{len(output)} channel{'s' * (len(output) != 1)}"
        raise OvertoneError(f"it has {channels}, the input {len(reference)}")
    if not np.isfinite(output).all():
        raise OvertoneError("it holds samples that are not numbers (NaN or infinity)")
    longer = output.shape[1] / output_rate - reference.shape[1] / rate
    if longer < -LONGEST_LAG:
        raise OvertoneError(f"it is {-longer:.1f} s shorter than the input")
    output = resample.resample(np.ascontiguousarray(output, np.float32), output_rate, rate)
    lag, gain = _measure(output, reference, rate, cutoff) if reference.any() else (0.0, 1.0)
    # Errors within that of the measurement are left as they are.
    lag = round(lag) if abs(lag - round(lag)) < LAG_STEP else lag
    gain_db = 20 * np.log10(abs(gain))
    if abs(gain_db) < GAIN_STEP_DB:
        gain, gain_db = np.sign(gain), 0.0
    aligned = _shift(output, lag, reference.shape[1]) / np.float32(gain)
    return aligned, Correction(output_rate, float(lag), float(gain_db), bool(gain < 0), float(longer))


def _measure(output: np.ndarray, reference: np.ndarray, rate: int, cutoff: float) -> tuple[float, float]:
    """Measure lag in samples and gain of an output at the reference's rate."""
    x, y, bins, size = _low_band(reference, output, rate, cutoff)
    spectrum = np.zeros(size // 2 + 1, complex)
    spectrum[bins] = (x.conj() * y).sum(axis=0) * (bins / size) ** 2
    # Only lags at which the two still overlap: longer ones wrap around to the other end of the transform.
    early, late = (min(round(LONGEST_LAG * rate), s.shape[1] - 1) for s in (reference, output))
    correlation = np.roll(fft.irfft(spectrum, size), early)[: early + late + 1]
    integer = int(np.abs(correlation).argmax()) - early

    # Fraction and gain where both have sound: an end that only one of them has would change its level.
    late, start = output[:, max(integer, 0) :], reference[:, max(-integer, 0) :]
    time = min(late.shape[1], start.shape[1])
    x, y, bins, size = _low_band(start[:, :time], late[:, :time], rate, cutoff)
    omega = 2 * np.pi * bins / size
    cross = (x.conj() * y).sum(axis=0)
    weights = np.abs(cross)
    sign = np.sign(cross.real.sum()) or 1.0
    slope = (weights * omega * np.angle(sign * cross)).sum() / max((weights * omega**2).sum(), 1e-30)
    fraction = float(np.clip(-slope, -1, 1))
    common = float((cross * np.exp(1j * omega * fraction)).real.sum())
    power_x, power_y = (float((np.abs(s) ** 2).sum()) for s in (x, y))
    correlation_low = abs(common) / max(np.sqrt(power_x * power_y), 1e-30)
    if correlation_low < MIN_CORRELATION:
        raise OvertoneError(
            f"it has nothing in common with the input below {cutoff:g} Hz (correlation {correlation_low:.2f})"
        )
    return integer + fraction, common / power_x


def _low_band(
    first: np.ndarray, second: np.ndarray, rate: int, cutoff: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray, int]:
    """Compute low-band spectra (channels, bins) of two signals, the bins, and the size of the transform."""
    size = fft.next_fast_len(first.shape[1] + second.shape[1], real=True)
    bins = np.arange(int(LOWEST_HZ * size / rate), int(cutoff * size / rate) + 1)
    # In double precision: the slope of the phase is measured to a thousandth of a sample.
    x, y = (fft.rfft(s.astype(np.float64), size, axis=1)[:, bins] for s in (first, second))
    return x, y, bins, size


def _shift(samples: np.ndarray, lag: float, length: int) -> np.ndarray:
    """Advance (channels, time) by `lag` samples, a fraction by a phase shift; cut or pad it to `length`."""
    integer = int(np.floor(lag))
    if lag != integer:
        # Zeros on both sides, so that the ends do not wrap around.
        margin = 1 << 12
        size = fft.next_fast_len(samples.shape[1] + 2 * margin, real=True)
        spectrum = fft.rfft(np.pad(samples, ((0, 0), (margin, 0))), size, axis=1)
        spectrum *= np.exp(2j * np.pi * fft.rfftfreq(size) * (lag - integer))
        samples = fft.irfft(spectrum, size, axis=1)[:, margin : margin + samples.shape[1]]
    before, after = max(-integer, 0), max(integer + length - samples.shape[1], 0)
    padded = np.pad(samples, ((0, 0), (before, after)))
    return padded[:, max(integer, 0) : max(integer, 0) + length].astype(np.float32)


def applied(correction: Correction | None, rate: int) -> bool:
    """Check whether a correction is applied to the output of a network: it is neither empty nor large."""
    return correction is not None and not correction.large and bool(describe([correction], rate))


def describe(corrections: Sequence[Correction], rate: int) -> str:
    """Describe the corrections of a system's files in a few words; empty if there are none.

    For figures that differ from file to file, the text has the smallest and the largest.
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
    if inverted := sum(c.inverted for c in corrections):
        some = f" in {inverted} of {len(corrections)} files"
        words.append("inverted" + some * (inverted < len(corrections)))
    # A sample more or less is the rounding of another rate.
    lengths = [c.longer for c in corrections]
    if any(abs(longer) * rate >= 2 for longer in lengths):
        words.append(f"{_range(lengths, 3)} s longer")
    return ", ".join(words)


def summary(corrections: Sequence[Correction]) -> dict[str, Any]:
    """List the smallest and the largest value of each correction, for a JSON file."""
    columns = zip(Correction._fields, zip(*corrections, strict=True), strict=True)
    return {name: [_plain(min(values)), _plain(max(values))] for name, values in columns}


def _plain(value: float) -> float:
    return value if isinstance(value, bool | int) else float(f"{value:.5g}")


def _range(values: Sequence[float], decimals: int) -> str:
    least, most = (f"{end:+.{decimals}f}" for end in (min(values), max(values)))
    return least if least == most else f"{least} to {most}"
