"""Balance of the band above the cutoff, with its sign: level by octave, bright frames, seam, stereo width.

Conventions: as in `overtone.evaluation.metrics.high_band`. A value above 0 is too loud or too wide in the
estimate, below 0 too quiet or too narrow. Formulas and limits are in docs/metrics.md.
"""

import math
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from overtone.audio import stft
from overtone.core.arrays import Array
from overtone.evaluation.metrics.high_band import POWER_FLOOR, bands, power

BRIGHT = 0.1  # share of the frames: sibilants and cymbals in songs
SOUNDING = 1e-5  # of the loudest frame's power above the cutoff: quieter frames are no bright ones
SEAM_BAND, SEAM_BELOW, SEAM_ABOVE = 100.0, 500.0, 1000.0  # Hz, around the cutoff
NARROWEST = 1e-4  # of the middle's power: less in the side counts as mono


class Powers(NamedTuple):
    """Mean powers of a signal.

    Attributes:
        by_bin: over frames and channels, (bins,).
        below, above: over channels, summed over the bins below and in the band, (frames,).
        middle, side: over frames and the bins of the band; None unless there are two channels.
    """

    by_bin: np.ndarray
    below: np.ndarray
    above: np.ndarray
    middle: float | None
    side: float | None


def measure(reference: Array, estimate: Array, rate: int, low: float, high: float) -> dict[str, float]:
    """Compute the metrics of this module, by the keys of the registry.

    Returns:
        Scores by key, the second octave only if the band has one, the width only of two channels.
    """
    true, estimated = (mean_powers(samples, rate, low, high) for samples in (reference, estimate))
    octaves = bands(low, high, per_octave=1)[:2]
    levels = {
        f"level_octave_{number}": level_difference(true, estimated, rate, *octave)
        for number, octave in enumerate(octaves, start=1)
    }
    profile = seam_profile(true, estimated, rate, low, high)
    values = levels | {"bright_frames": bright_difference(true, estimated), "seam": largest_step(profile)}
    if true.side is not None:
        values["side_width"] = _width(estimated) - _width(true)
    return values


def mean_powers(samples: Array, rate: int, low: float, high: float) -> Powers:
    """Compute the powers that the metrics compare, of (channels, time)."""
    first, band = stft.bins_between(0, low, rate), stft.bins_between(low, high, rate)
    sums, below, above, stereo = np.zeros(stft.N_FFT // 2 + 1), [], [], np.zeros(2)
    for block in stft.stft_blocks(samples):
        powers = np.asarray(power(block)).mean(axis=0, dtype=np.float64)
        sums += powers.sum(axis=-1)
        below.append(powers[first].sum(axis=0))
        above.append(powers[band].sum(axis=0))
        if len(block) == 2:
            left, right = block[0, band], block[1, band]
            pair = (power(left + right) / 4, power(left - right) / 4)
            stereo += [float(np.asarray(one).sum(dtype=np.float64)) for one in pair]
    frames = sum(map(len, above))
    middle, side = (stereo / (frames * (band.stop - band.start))).tolist()
    two = len(samples) == 2
    return Powers(
        sums / frames,
        np.concatenate(below),
        np.concatenate(above),
        middle if two else None,
        side if two else None,
    )


def level_difference(true: Powers, estimated: Powers, rate: int, low: float, high: float) -> float:
    """Compute the level of the estimate over that of the reference in a band, in dB."""
    bins = stft.bins_between(low, high, rate)
    return _decibels(estimated.by_bin[bins].mean(), true.by_bin[bins].mean())


def bright_difference(true: Powers, estimated: Powers) -> float:
    """Compute the mean level difference in dB above the cutoff, in the reference's brightest tenth of frames.

    Bright is a frame with much power above the cutoff and little below. Frames more than 50 dB under the
    loudest one above the cutoff are left out.
    """
    sounding = np.flatnonzero(true.above > SOUNDING * true.above.max())
    if not len(sounding):
        return 0.0
    brightness = true.above[sounding] / (true.above[sounding] + true.below[sounding])
    count = max(1, round(BRIGHT * len(sounding)))
    brightest = sounding[np.argsort(brightness, kind="stable")[-count:]]
    ratios = np.maximum(estimated.above[brightest], POWER_FLOOR) / true.above[brightest]
    return float(10 * np.log10(ratios).mean())


def seam_profile(true: Powers, estimated: Powers, rate: int, cutoff: float, high: float) -> np.ndarray:
    """Compute the level difference in dB of each 100 Hz from 500 Hz below to 1 kHz above the cutoff.

    Shape:
        (15,), fewer where the reference ends earlier.
    """
    edges = np.arange(cutoff - SEAM_BELOW, min(cutoff + SEAM_ABOVE, high) + 1, SEAM_BAND)
    bands_of_seam = pairwise(edges.tolist())
    return np.array([level_difference(true, estimated, rate, *edge) for edge in bands_of_seam])


def largest_step(profile: np.ndarray) -> float:
    """Compute the largest absolute difference between neighbours."""
    return float(np.abs(np.diff(profile)).max(initial=0))


def _width(powers: Powers) -> float:
    """Compute side over middle in dB, -40 dB for mono."""
    assert powers.middle is not None
    assert powers.side is not None
    middle = max(powers.middle, POWER_FLOOR)
    return 10 * math.log10(max(powers.side, NARROWEST * middle) / middle)


def _decibels(estimated: float, true: float) -> float:
    return 10 * math.log10(max(estimated, POWER_FLOOR) / max(true, POWER_FLOOR))
