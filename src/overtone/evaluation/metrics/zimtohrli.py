"""Zimtohrli: a model of the difference that listeners just notice, by the package of its authors.

Source: Bruse and Alakuijala, https://github.com/google/zimtohrli.
"""

import numpy as np

from overtone.audio import resample
from overtone.core.arrays import Array
from overtone.core.errors import OvertoneError, need

RATE = 48000  # Hz; the only rate of the package
SHORTEST = 1.0  # seconds; the package ends the process on an empty signal


def zimtohrli(reference: Array, estimate: Array, rate: int) -> float:
    """Compute Zimtohrli's distance times 1000: 0 for a copy, about 16 for silence in place of noise.

    The mean of the channels is resampled to 48 kHz. 128 bands from 18 Hz to 20.4 kHz are compared; the level
    hardly counts.

    Shape:
        (channels, time) twice, alike.

    Raises:
        OvertoneError: the package is not installed, or the signal is shorter than a second.
    """
    model = need("zimtohrli", "zimtohrli").Pyohrli()
    seconds = reference.shape[-1] / rate
    if seconds < SHORTEST:
        raise OvertoneError(f"Zimtohrli cannot score {seconds:.2f} s of sound: it needs {SHORTEST:g} s")
    true, restored = (
        resample.resample(np.asarray(samples).mean(axis=0, keepdims=True), rate, RATE)[0]
        for samples in (reference, estimate)
    )
    return 1000 * float(model.distance(true, restored))
