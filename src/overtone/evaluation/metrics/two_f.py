"""The 2f-model: listeners' grades from two output variables of PEAQ's basic version, ADB and AvgModDiff1.

Written from the equations of ITU-R BS.1387-1 as P. Kabal states them ("An Examination and Interpretation of
ITU-R BS.1387", McGill University, 2003). Two things are simpler: band edges are the formula's, not the
rounded ones of the standard's table, and frames of silence before and after the sound count.

Source of the model: Kastner and Herre, "An efficient model for estimating subjective quality of separated
audio source signals", WASPAA 2019; recommended by Torcoli et al., arXiv 2110.11438.
"""

from typing import NamedTuple

import numpy as np

from overtone.audio import resample
from overtone.core.arrays import Array, frames

RATE = 48000  # Hz, PEAQ's only one
SIZE, HOP = 2048, 1024
FULL_SCALE = 32768.0  # of 16-bit samples, PEAQ's unit
LISTENING_LEVEL = 92.0  # dB SPL of a tone of full scale
BARK = 0.25  # width of a band
LOWEST, HIGHEST = 80.0, 18000.0  # Hz
SPREAD = 0.4  # exponent in which spread excitations add up
FRAME_RATE = RATE / HOP
SETTLING = 24  # frames, half a second, that AvgModDiff1 leaves out


def two_f(reference: Array, estimate: Array, rate: int) -> float:
    """Compute the mean grade in a MUSHRA test that the 2f-model predicts, 0 to 100.

    The mean of the channels is resampled to 48 kHz. A copy has 100.

    Shape:
        (channels, time) twice, alike.
    """
    return grade(*variables(reference, estimate, rate))


def grade(adb: float, modulation: float) -> float:
    """Compute the grade of ADB and AvgModDiff1."""
    value = 56.1345 / (1 + (-0.0282 * modulation - 0.8628) ** 2) - 27.1451 * adb + 86.3515
    return float(min(max(value, 0.0), 100.0))


def variables(reference: Array, estimate: Array, rate: int) -> tuple[float, float]:
    """Compute PEAQ's ADB (distortion of the blocks in which one is heard) and AvgModDiff1."""
    excitations = [_excitations(samples, rate) for samples in (reference, estimate)]
    heard = [np.maximum(pattern, _smoothed(pattern, 0.030)) for pattern in excitations]
    return _distorted_blocks(*heard), _modulation_difference(*excitations)


class _Bands(NamedTuple):
    """Bands of a quarter Bark.

    Attributes:
        centre: in Hz, (bands,).
        share: of each bin's power that a band takes, (bands, bins).
        noise: internal noise of the ear, (bands,).
        normal: excitation that power 1 in all bands spreads to, (bands,).
    """

    centre: np.ndarray
    share: np.ndarray
    noise: np.ndarray
    normal: np.ndarray


def _bands() -> _Bands:
    low, high = (7 * np.arcsinh(hertz / 650) for hertz in (LOWEST, HIGHEST))
    barks = np.minimum(low + BARK * np.arange(int(np.ceil((high - low) / BARK)) + 1), high)
    edges = 650 * np.sinh(barks / 7)
    centre = 650 * np.sinh((barks[:-1] + barks[1:]) / 2 / 7)
    width = RATE / SIZE
    bins = np.arange(SIZE // 2 + 1) * width
    above = np.maximum(bins - width / 2, edges[:-1, None])
    below = np.minimum(bins + width / 2, edges[1:, None])
    share = np.maximum(below - above, 0) / width
    noise = 10 ** (0.1456 * (centre / 1000) ** -0.8)
    normal = _spread(np.ones((1, len(centre))), centre)[0]
    return _Bands(centre, share, noise, normal)


def _spread(power: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Spread the power of each band over the others, (frames, bands): 27 dB a Bark down, less up if loud."""
    count = len(centre)
    number = np.arange(count)
    down = 10 ** (-2.7 * BARK)
    up = 10 ** ((-2.4 - 23 / centre) * BARK) * power ** (0.2 * BARK)
    # The spread power of a band adds up to its power.
    whole = (1 - down ** (number + 1)) / (1 - down) + (1 - up ** (count - number)) / (1 - up) - 1
    own = (power / whole) ** SPREAD
    spread = np.zeros_like(power)
    for band in range(count):
        spread[:, : band + 1] += own[:, [band]] * down ** (SPREAD * (band - number[: band + 1]))
        spread[:, band + 1 :] += own[:, [band]] * up[:, [band]] ** (SPREAD * (number[band + 1 :] - band))
    result: np.ndarray = spread ** (1 / SPREAD)
    return result


def _excitations(samples: Array, rate: int) -> np.ndarray:
    """Compute the excitation of each band before it is smeared over time, (frames, bands)."""
    bands = _BANDS
    mono = resample.resample(np.asarray(samples).mean(axis=0, keepdims=True), rate, RATE)[0]
    padded = np.pad(mono.astype(np.float64) * FULL_SCALE, (0, max(0, SIZE - len(mono))))
    spectrum = np.fft.rfft(frames(padded, SIZE, HOP) * np.hanning(SIZE) * _calibration())
    powers = np.square(np.abs(spectrum)) * _ear()
    grouped = np.maximum(powers @ bands.share.T, 1e-12) + bands.noise
    excitation: np.ndarray = _spread(grouped, bands.centre) / bands.normal
    return excitation


def _ear() -> np.ndarray:
    """Compute the transmission of outer and middle ear by bin, as a factor of power."""
    kilohertz = np.arange(1, SIZE // 2 + 1) * RATE / SIZE / 1000
    decibels = -2.184 * kilohertz**-0.8 + 6.5 * np.exp(-0.6 * (kilohertz - 3.3) ** 2)
    return np.concatenate([[0.0], 10 ** ((decibels - 0.001 * kilohertz**3.6) / 10)])


def _calibration() -> float:
    """Compute the factor by which a tone of full scale at 1019.5 Hz gets LISTENING_LEVEL in its bin."""
    position = 1019.5 / RATE * SIZE % 1
    off = min(position, 1 - position) * (SIZE - 1) / SIZE
    peak = np.sin(np.pi * off) / (np.pi * off * (1 - off**2))
    return float(10 ** (LISTENING_LEVEL / 20) / (peak * FULL_SCALE / 4 * (SIZE - 1)))


def _smoothed(values: np.ndarray, longest: float) -> np.ndarray:
    """Smooth (frames, bands) by a first-order low-pass, of so many seconds at 100 Hz and 8 ms far above."""
    seconds = 0.008 + 100 / _BANDS.centre * (longest - 0.008)
    decay = np.exp(-1 / (FRAME_RATE * seconds))
    smoothed, state = np.empty_like(values), np.zeros(values.shape[1])
    for number, frame in enumerate(values):
        state = decay * state + (1 - decay) * frame
        smoothed[number] = state
    return smoothed


def _modulation_difference(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Compute AvgModDiff1: the difference of the modulation in %, weighted by loudness."""
    depths, loudness = [], []
    for pattern in (reference, estimate):
        loud = pattern**0.3
        before = np.concatenate([np.zeros((1, loud.shape[1])), loud[:-1]])
        change = _smoothed(FRAME_RATE * np.abs(loud - before), 0.050)
        loudness.append(_smoothed(loud, 0.050))
        depths.append(change / (1 + loudness[-1] / 0.3))
    differences = 100 * (np.abs(depths[0] - depths[1]) / (1 + depths[0])).mean(axis=1)
    weights = (loudness[0] / (loudness[0] + 100 * _BANDS.noise**0.3)).sum(axis=1)
    first = min(SETTLING, len(weights) - 1)
    return float(np.average(differences[first:], weights=weights[first:]))


def _distorted_blocks(reference: np.ndarray, estimate: np.ndarray) -> float:
    """Compute ADB: log10 of the mean steps above threshold in frames in which a difference is detected."""
    true, restored = 10 * np.log10(reference), 10 * np.log10(estimate)
    difference = true - restored
    # Asymmetric: what is lost counts less than what is added.
    level = np.where(difference > 0, 0.3 * true + 0.7 * restored, restored)
    safe = np.maximum(level, 1e-6)
    polynomial = np.polyval([9.01033e-11, 5.05622e-6, -0.00102438, 0.0550197, -0.198719], safe)
    step = np.where(level > 0, 5.95072 * (6.39468 / safe) ** 1.71332 + polynomial, 1e30)
    exponent = np.where(difference > 0, 4, 6)
    missed = 0.5 ** ((np.abs(difference) / step) ** exponent)
    detected = 1 - missed.prod(axis=1) > 0.5
    steps = (np.abs(np.trunc(difference)) / step).sum(axis=1)[detected]
    if not len(steps):
        return 0.0
    return float(np.log10(steps.mean())) if steps.sum() > 0 else -0.5


_BANDS = _bands()
