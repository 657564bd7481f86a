"""ViSQOL: a model of the grade that listeners give a copy beside its original, by the package visqol-python.

Source: Chinen et al., "ViSQOL v3", arXiv 2004.09584.
"""

import functools
from typing import Any

import numpy as np

from overtone.audio import resample
from overtone.core.arrays import Array
from overtone.core.errors import OvertoneError, need

RATE = 48000  # Hz; the audio mode is trained at this rate
WORST = 1.0  # the lowest mean opinion score; the scale ends at 5
EXCERPT_SECONDS = 10  # seconds from the middle of a signal that are scored: they take 1.3 s of one core


def visqol(reference: Array, estimate: Array, rate: int) -> float:
    """Compute the mean opinion score in ViSQOL's audio mode, from 1 (bad) to about 4.73 (no difference).

    The mean of the channels is resampled to 48 kHz. The package's defaults apply (32 gammatone bands from
    50 Hz to 20.8 kHz, support vector regression), except for its two alignments. They are off, because
    reference and estimate are aligned to the sample: that takes 1.3 s of one core for 10 s of sound where the
    default takes 2.4 s, and moves the score by less than 0.01 (docs/metrics.md). A silent signal, for which
    the package gives no number, scores 1.

    Shape:
        (channels, time) twice, alike.

    Raises:
        OvertoneError: the package is not installed, or the signal is too short.
    """
    true, restored = (
        resample.resample(np.asarray(samples).mean(axis=0, keepdims=True), rate, RATE)[0].astype(np.float64)
        for samples in (reference, estimate)
    )
    if not restored.any() or not true.any():
        return WORST
    api = _visqol()
    try:
        return float(api.measure_from_arrays(true, restored, RATE).moslqo)
    except ValueError as error:
        raise OvertoneError(f"ViSQOL cannot score {len(true) / RATE:.2f} s of sound: {error}") from None


def check() -> None:
    """Load the model of the package; raise OvertoneError if the package is not installed."""
    _visqol()


@functools.cache
def _visqol() -> Any:
    api = need("visqol", "visqol").VisqolApi()
    api.create(mode="audio", disable_global_alignment=True, disable_realignment=True)
    return api
