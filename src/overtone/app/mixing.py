"""Mix an item's input with its added band through an impulse response; measure both versions' loudness."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from overtone.app.library import Item
from overtone.evaluation.listening import loudness
from overtone.restoration.stream.curve_filter import CurveFilter
from overtone.restoration.stream.limiter import Limiter

BLOCK = 1 << 16  # samples that are mixed at once
# The loudness of a long file is measured on excerpts spread over it.
EXCERPTS, EXCERPT_SECONDS = 4, 5.0
CEILING = 10 ** (-0.5 / 20)  # the highest peak of a preview


@dataclass(frozen=True)
class Levels:
    """Gains at which the file and its restored version are equally loud, and neither clips."""

    file: float
    restored: float


def added_band(item: Item, taps: np.ndarray, start: int, count: int) -> np.ndarray:
    """Compute a stretch of taps * added band. Shape: (channels, count).

    Args:
        item: a restored item.
        taps: a linear-phase impulse response of odd length; its delay is taken out.
        start: the first sample.
        count: how many.
    """
    half, channels = len(taps) // 2, item.dry.channels
    if not taps.any():
        return np.zeros((channels, count), np.float32)
    if np.count_nonzero(taps) == 1:
        added: np.ndarray = taps[half] * item.added.read(start, count)
        return added
    context = item.added.read(start - half, count + 2 * half)
    return CurveFilter(taps, channels).convolve(context)


def mixed(item: Item, taps: np.ndarray, start: int, count: int) -> np.ndarray:
    """Compute a stretch of input + taps * added band, which may pass full scale. Shape: (channels, count)."""
    mix: np.ndarray = item.dry.read(start, count) + added_band(item, taps, start, count)
    return mix


def mixed_blocks(item: Item, taps: np.ndarray) -> Iterator[np.ndarray]:
    """Yield the restored signal, within full scale, in blocks of about BLOCK. Shape: (channels, time)."""
    length = item.dry.length
    limiter = Limiter(item.facts["rate"], item.dry.channels, item.facts["peak"])
    for start in range(0, length, BLOCK):
        if item.stop.is_set():
            return
        count = min(BLOCK, length - start)
        dry, added = item.dry.read(start, count), added_band(item, taps, start, count)
        yield limiter.process(dry, added, start + count == length)


def preview(samples: np.ndarray) -> np.ndarray:
    """Reduce samples to mono or stereo for headphones. Shape: (channels, time) to (1 or 2, time)."""
    reduced: np.ndarray = samples if len(samples) <= 2 else samples.mean(axis=0, keepdims=True)
    return reduced


def match_levels(item: Item, taps: np.ndarray) -> Levels:
    """Measure both versions by ITU-R BS.1770 and find gains that make them equally loud."""
    rate, length = item.facts["rate"], item.dry.length
    count = min(length, round(EXCERPT_SECONDS * rate))
    number = 1 if length <= EXCERPTS * count else EXCERPTS
    if number == 1:
        count = length
    starts = np.linspace(0, length - count, number).astype(int)
    file = preview(np.concatenate([item.dry.read(at, count) for at in starts], axis=1))
    restored = preview(np.concatenate([mixed(item, taps, at, count) for at in starts], axis=1))
    difference = loudness.integrated(restored, rate) - loudness.integrated(file, rate)
    gain = 10 ** (-difference / 20) if math.isfinite(difference) else 1.0
    peak = max(float(np.abs(file).max()), gain * float(np.abs(restored).max()), 1e-6)
    common = min(1.0, CEILING / peak)
    return Levels(common, common * gain)
