"""Find falls of a spectrum's curve that are steeper than music: cliffs and steep filters.

A curve has a level in dB for each of many narrow bands, 48 to the octave (`overtone.audio.cutoff`).
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

BANDS_BEFORE = 28  # bands before a fall that it is compared with
# A steep filter's fall for good after so many bands, in dB.
LASTING_FALLS = ((48, 48.0),)
STEEP_TRUST = 0.75  # 65 to 70 % of order-8 corners up to 5.5 kHz are found within 5 %, 90 % within 10 %


def _around(curve: np.ndarray, start: int, stop: int) -> np.ndarray:
    """Return for each band i the median of curve[i + start : i + stop], shape (bands,)."""
    padded = np.pad(curve, (max(0, -start), max(0, stop)), mode="edge")
    windows = sliding_window_view(padded, stop - start)[max(0, start) :]
    medians: np.ndarray = np.median(windows[: len(curve)], axis=-1)
    return medians


def _belief(value: np.ndarray, half: float, width: float) -> np.ndarray:
    """Evaluate a logistic function that is 0.5 at `half`."""
    belief: np.ndarray = 1 / (1 + np.exp(-np.clip((value - half) / width, -50, 50)))
    return belief


def find_falls(curve: np.ndarray, floor: float, noise: bool) -> tuple[np.ndarray, np.ndarray]:
    """Score each band as the edge of a cliff and of a steep filter: two arrays, 0 to 1.

    A fall scores by how much steeper it is than the music before it, and only if the level does not rise
    again above it. The thresholds come from 32 tracks, unchanged and damaged in 46 ways.

    Args:
        curve: levels in dB, (bands,).
        floor: level in dB of the noise floor.
        noise: whether there is noise at that floor.
    """
    before = _around(curve, -8, 0)
    above = np.maximum.accumulate(curve[::-1])[::-1]
    above = np.concatenate([above[20:], np.full(20, above[-1])])
    stays = (before - above) / 0.7
    natural = np.maximum(0, _around(curve, -16, -8) - before)
    drop = np.minimum(before - _around(curve, 4, 8) - natural, stays)
    # Music's own ledges, 9 to 17 dB high, were taken for cliffs with a threshold of 9 dB; into a floor of
    # noise, 10 dB are a cliff.
    into_noise = noise & (above < floor + 3)
    cliffs = np.where(into_noise, _belief(drop, 10, 1.5), _belief(drop, 22, 3))
    natural = np.maximum(0, _around(curve, -BANDS_BEFORE, -20) - before)
    drop = np.minimum(before - _around(curve, 20, 28) - natural, stays)
    # What falls by 18 dB in half an octave may be soft music. A filter goes on falling for an octave, or
    # until the next cliff: full-band tracks fell by up to 28 dB, a filter of order 8 does 48.
    edges = np.flatnonzero(cliffs >= 0.5)
    following = np.append(before[edges], floor)[np.searchsorted(edges, np.arange(len(curve)))]
    fall = before - np.maximum(following, _around(curve, 36, 44))
    steeps = STEEP_TRUST * np.minimum(_belief(drop, 18, 3), _belief(fall, 31, 2.5))
    return cliffs, steeps


def falls_on(curve: np.ndarray, floor: float) -> np.ndarray:
    """Tell for each band whether a steep filter may begin there: 1 or 0, by how far the level falls for good.

    A filter of order 8 has taken 48 dB after an octave, to which music adds its own fall. A recording that
    fades by itself gets there at once, but not so far: it goes on 30 to 46 dB down (of 9 that were taken for
    filters, 6; of 629 filters of order 8, 97 % pass).

    Args:
        curve: levels in dB, (bands,), also of sound that is rare.
        floor: level in dB of the noise floor.
    """
    before = _around(curve, -BANDS_BEFORE, -4)
    above = np.maximum.accumulate(curve[::-1])[::-1]
    falls = np.ones(len(curve))
    for bands, least in LASTING_FALLS:
        later = np.concatenate([above[bands:], np.full(bands, above[-1])])
        falls *= (before - later >= least) | (later <= floor + 6)
    return falls
