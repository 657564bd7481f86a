"""Texture of the band above the cutoff, with its sign: flatness over frequency and over time, comb.

Conventions: as in `overtone.evaluation.metrics.high_band`. A value above 0 is too flat, or a comb that the
reference does not have. Formulas and limits are in docs/metrics.md.
"""

import numpy as np

from overtone.audio import stft
from overtone.core.arrays import Array
from overtone.evaluation.metrics.high_band import POWER_FLOOR, band_powers, bands, fine_structure, power

TIME_FRAMES = 86  # of 256 samples, half a second at 44.1 kHz: a beat or two
TIME_FLOOR = 1e-6  # of the loudest band in the reference: quieter ones have no texture that is heard


def measure(reference: Array, estimate: Array, rate: int, low: float, high: float) -> dict[str, float]:
    """Compute the metrics of this module, by the keys of the registry."""
    band = (reference, estimate, rate, low, high)
    return {
        "flatness_change": flatness_change(*band),
        "flatness_time_change": flatness_time_change(*band),
        "comb_change": comb(estimate, rate, low, high) - comb(reference, rate, low, high),
    }


def flatness_change(reference: Array, estimate: Array, rate: int, low: float, high: float) -> float:
    """Compute by how much flatter the estimate's spectrum is, mean over half-octave bands and frames.

    Flatness is the geometric over the arithmetic mean of the magnitudes: 0 for one tone, about 0.85 for white
    noise. Bands and frames in which the reference is not above POWER_FLOOR are left out.
    """
    chosen = [stft.bins_between(*edges, rate) for edges in bands(low, high, per_octave=2)]
    change, count = 0.0, 0
    for pair in zip(stft.stft_blocks(reference), stft.stft_blocks(estimate), strict=True):
        true, estimated = (np.asarray(power(block)) for block in pair)
        for bins in chosen:
            heard = true[..., bins, :].max(axis=-2) > POWER_FLOOR
            flatter = _flatness(estimated[..., bins, :], -2) - _flatness(true[..., bins, :], -2)
            change += float(flatter[heard].sum(dtype=np.float64))
            count += int(heard.sum())
    return change / count if count else 0.0


def flatness_time_change(reference: Array, estimate: Array, rate: int, low: float, high: float) -> float:
    """Compute by how much steadier the estimate is within half seconds, mean over sixths of an octave.

    Steadiness is the geometric over the arithmetic mean over time of a band's amplitude: 1 where it never
    changes. Half seconds of a band more than 60 dB under the reference's loudest are left out.
    """
    true, estimated = (band_powers(samples, rate, low, high) for samples in (reference, estimate))
    frames = true.shape[1] // TIME_FRAMES * TIME_FRAMES
    if not frames:
        return 0.0
    true, estimated = (
        powers[:, :frames].reshape(len(powers), -1, TIME_FRAMES) for powers in (true, estimated)
    )
    heard = true.mean(axis=-1) > max(POWER_FLOOR, TIME_FLOOR * float(true.max()))
    steadier = (_flatness(estimated, -1) - _flatness(true, -1))[heard]
    return float(steadier.mean()) if len(steadier) else 0.0


def comb(samples: Array, rate: int, low: float, high: float) -> float:
    """Compute how much the spectrum's fine structure varies over bins once averaged over time, in dB.

    Averaged over music that moves, the fine structure of a bin is that of any other; a network that makes
    the same lines in every frame leaves a comb. Held tones leave one too.
    """
    bins, sums, count = stft.bins_between(low, high, rate), np.float64(0), 0
    for block in stft.stft_blocks(samples):
        fine = np.asarray(fine_structure(block[..., bins, :]))
        sums = sums + fine.sum(axis=(0, -1))
        count += fine.shape[0] * fine.shape[-1]
    return float(10 * np.std(sums / count))


def _flatness(powers: np.ndarray, axis: int) -> np.ndarray:
    """Compute the geometric over the arithmetic mean of the amplitudes along an axis."""
    floored = np.maximum(powers, POWER_FLOOR)
    flat: np.ndarray = np.exp(np.log(floored).mean(axis=axis) / 2) / np.sqrt(floored).mean(axis=axis)
    return flat
