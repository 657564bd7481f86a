"""ViSQOL, a model of how listeners grade a copy beside its original, by the package visqol-python."""

import functools
from typing import Any

import numpy as np
from torch import Tensor

from overtone.audio import resample
from overtone.core.errors import OvertoneError, need

RATE = 48000  # Hz; the audio mode is trained at this rate
WORST = 1.0  # of the scale of opinions, 1 to 5
EXCERPT_SECONDS = 10  # seconds in the middle of a sound that are enough of it: they take 1.3 s of a core


def visqol(reference: Tensor, estimate: Tensor, rate: int) -> float:
    """ViSQOL's mean opinion score in audio mode, 1 (bad) to about 4.73 (no difference heard).

    The mean of the channels is taken to 48 kHz; all else is as the package has it (32 gammatone bands
    from 50 Hz to 20.8 kHz, its support vector regression), but for its two alignments, which are off: the
    signals, shaped (channels, time) alike, belong together sample by sample. That takes 1.3 s of one core
    for 10 s of sound where the default takes 2.4 s, and moved the score by less than 0.01 (docs/metrics.md).
    A silent signal, for which the package gives no number, has 1.

    Raises:
        OvertoneError: the package is not installed, or there is too little sound to judge.
    """
    true, made = (
        resample.resample(samples.mean(0, keepdim=True).numpy(), rate, RATE)[0].astype(np.float64)
        for samples in (reference, estimate)
    )
    if not made.any() or not true.any():
        return WORST
    api = _visqol()
    try:
        return float(api.measure_from_arrays(true, made, RATE).moslqo)
    except ValueError as error:
        raise OvertoneError(f"ViSQOL cannot judge {len(true) / RATE:.2f} s of sound: {error}") from None


def check() -> None:
    """Raise unless the package is here; its model is loaded."""
    _visqol()


@functools.cache
def _visqol() -> Any:
    api = need("visqol", "visqol").VisqolApi()
    api.create(mode="audio", disable_global_alignment=True, disable_realignment=True)
    return api
