"""Everything of the spectral network but its learned layers: levels below a cutoff to a spectrum above it.

Training runs it on PyTorch's arrays, restoring on NumPy's as well (`overtone.core.arrays`); the learned
layers are PyTorch's (`overtone.models.spectral`) or an ONNX graph (`overtone.models.spectral_onnx`)::

    spectrum below the cutoff ─► levels ─► learned layers ─► magnitudes ──────┐
           ├─► fine_structure ────────────────────────────────► * ────────────┤
           └─► phases of the octave below, shifted up ────────────────────────► reconstruct

In what follows, ``first`` is (batch,): the first bin above the cutoff, from which on bins are replaced.
"""

import math
from typing import NamedTuple

from array_api_compat import array_namespace, device

from overtone.core.arrays import Array, pad
from overtone.core.rates import MODEL_RATE
from overtone.models import harmonics
from overtone.models.spectral_frames import (
    BINS,
    FLOOR,
    N_FFT,
    log_magnitude,
    octave_shift,
    with_shifted_phases,
)

# The slope above the cutoff in an untrained network: -12 dB per octave, as a power of ten.
SLOPE = -0.6


class Levels(NamedTuple):
    """The input of the learned layers.

    Attributes:
        relative: log magnitudes less the octave's level, 0 from ``first`` on: (batch, frames, bins).
        inside: 1 for bins below ``first``, else 0: (batch, 1, bins).
        octave: mean log magnitude of the octave below the cutoff: (batch, frames, 1).
    """

    relative: Array
    inside: Array
    octave: Array


def first_bin(cutoff: Array) -> Array:
    """Return the first bin above cutoffs (batch,) in Hz."""
    xp = array_namespace(cutoff)
    return xp.clip(xp.astype(xp.ceil(cutoff / (MODEL_RATE / N_FFT)), xp.int64), 4, BINS - 1)


def measure_levels(spectrum: Array, first: Array) -> Levels:
    """Compute the input of the learned layers from (batch, frames, bins): those below ``first``, or more."""
    magnitude = log_magnitude(spectrum)
    xp = array_namespace(magnitude)
    bins = xp.arange(magnitude.shape[-1], device=device(magnitude))
    inside = xp.astype(bins < first[:, None], magnitude.dtype)[:, None]
    octave = inside * xp.astype(bins >= (first // 2)[:, None], magnitude.dtype)[:, None]
    # No product of matrices, which autocast would round to bfloat16.
    level = xp.sum(magnitude * octave, axis=-1, keepdims=True) / xp.sum(octave, axis=-1, keepdims=True)
    return Levels((magnitude - level) * inside, inside, level)


def magnitudes(change: Array, octave: Array, first: Array, lowest: int) -> Array:
    """Compute magnitudes from the learned layers' output.

    Args:
        change: (batch, frames, bins from the lowest on).
        octave: as of `Levels`.
        first: (batch,).
        lowest: the lowest bin.
    """
    xp = array_namespace(change)
    bins = xp.astype(xp.arange(lowest, BINS, device=device(change)), change.dtype)
    octaves = xp.log2(xp.clip(bins / xp.astype(first, change.dtype)[:, None], 1, None))
    exponent = octave + SLOPE * octaves[:, None] + change
    return FLOOR * xp.exp(xp.clip(exponent * math.log(10), -3, 14))


def fine_structure(spectrum: Array, first: Array, power: float) -> Array | None:
    """Compute factors for magnitudes, if any: (batch, frames, bins from the lowest first one on).

    Args:
        spectrum: (batch, frames, bins), those below the highest first one.
        first: (batch,).
        power: of the fine structure (`SpectralSettings.harmonics`).
    """
    if not power:
        return None
    level = log_magnitude(spectrum)
    xp = array_namespace(level)
    bins = xp.arange(int(xp.min(first)), BINS, device=device(level))
    return xp.exp(power * math.log(10) * harmonics.continue_partials(level, first, bins))


def reconstruct(spectrum: Array, magnitude: Array, first: Array, start: int) -> Array:
    """Replace the bins of a spectrum from ``first`` on.

    Args:
        spectrum: (batch, frames, bins), those below the highest first one.
        magnitude: (batch, frames, bins from the lowest first one on).
        first: (batch,).
        start: the number of the first frame.

    Returns:
        (batch, frames, BINS), complex.
    """
    xp = array_namespace(spectrum)
    # No bin under the lowest cutoff of the batch is replaced.
    lowest = int(xp.min(first))
    bins = xp.arange(lowest, BINS, device=device(first))
    restored = with_shifted_phases(magnitude, spectrum, bins, octave_shift(first, bins), start)
    kept = spectrum[..., lowest:]
    # With one cutoff for the batch there is nothing to choose.
    if kept.shape[-1]:
        kept = pad(kept, -1, 0, BINS - spectrum.shape[-1])
        restored = xp.where((bins < first[:, None])[:, None], kept, restored)
    return xp.concat([spectrum[..., :lowest], restored], axis=-1)
