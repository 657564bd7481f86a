"""TODO."""

import numpy as np

from overtone.audio.cutoff import SURE, Cutoff
from overtone.core.errors import OvertoneError
from overtone.core.rates import MODEL_RATE

RATES = (8000, 192000)
# Samples that a network is given at once: 6 s. Fewer take longer, more come late and need memory.
CHUNK = 1 << 18
# Of the input's Nyquist frequency: where soxr, which brings it to the networks' rate, is 3 dB down. It falls
# from 91 % on, so what a file at a low rate has above this is as good as lost, and left a dark band.
RESAMPLED = 0.945
# Samples of a block that goes through a stream at a time.
BLOCK = 1 << 16
MAX_CHANNELS = 64
# Beyond this, in full scales, samples are no sound; integers read as floats go up to 8,400,000.
MAX_PEAK = 1e7


def check_rate(rate: int) -> int:
    """The rate, if it is one that overtone takes."""
    if not RATES[0] <= rate <= RATES[1]:
        raise OvertoneError(f"the sample rate is {rate} Hz; it is {RATES[0]} to {RATES[1]}")
    return rate


def check_cutoff(cutoff: float, rate: int) -> None:
    """Raise unless input of that rate can end there."""
    top = min(rate, MODEL_RATE) / 2
    if not 500 <= cutoff <= top:
        raise OvertoneError(f"the cutoff is {cutoff:g} Hz; for this input it is 500 to {top:g}")


def restored_from(cutoff: float, rate: int) -> float:
    """Where the band that is made begins, in Hz, for input of that rate."""
    return float(min(cutoff, RESAMPLED * rate / 2) if rate < MODEL_RATE else cutoff)


def default_rate(rate: int) -> int:
    """48,000 Hz for input of that family (8, 16, 24, 32, 48, 96, 192 kHz), else 44,100."""
    return 48000 if 48000 % rate == 0 or rate % 48000 == 0 or rate == 32000 else MODEL_RATE


def needs_restoring(found: Cutoff) -> bool:
    """Whether a band is missing above the cutoff for certain."""
    return found.confidence >= SURE and not found.full_band and found.kind != "silence"


def check_output(wave: np.ndarray) -> np.ndarray:
    """The wave that a network made, if it is one: damaged weights give NaN or infinity."""
    if not np.isfinite(wave).all():
        raise OvertoneError("the model makes NaN or infinity of this input; its weights are damaged")
    return wave
