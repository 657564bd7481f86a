"""Limits of the input and the output, and the checks of them."""

import numpy as np

from overtone.audio.cutoff import SURE, Cutoff
from overtone.audio.rolloff import Rolloff
from overtone.core.errors import OvertoneError
from overtone.core.rates import MODEL_RATE

# Lowest and highest sample rate of inputs and outputs, in Hz.
RATES = (8000, 192000)
# Samples that a network processes at once: 6 s. Fewer take longer, more add latency and need memory.
CHUNK = 1 << 18
# Share of the input's Nyquist frequency where soxr, which resamples to the networks' rate, is 3 dB down. It
# falls from 91 % on: a file's content above this is as good as lost, and left a dark band.
RESAMPLED = 0.945
# That resampler's loss around there.
RESAMPLER_ORDER = 58
# Where the input's own low-pass is known, the added band begins where it has taken so much.
ROLLOFF_DB = 1.0
# Samples of a block that goes through a stream at a time.
BLOCK = 1 << 16
MAX_CHANNELS = 64
# Beyond this, in full scales, samples are no sound; integers read as floats reach 8,400,000.
MAX_PEAK = 1e7


def check_rate(rate: int) -> int:
    """Return the sample rate in Hz, or raise if it is not allowed."""
    if not RATES[0] <= rate <= RATES[1]:
        raise OvertoneError(f"the sample rate is {rate} Hz; it is {RATES[0]} to {RATES[1]}")
    return rate


def check_cutoff(cutoff: float, rate: int) -> None:
    """Raise unless the spectrum of input at that rate can end at the cutoff; both in Hz."""
    top = min(rate, MODEL_RATE) / 2
    if not 500 <= cutoff <= top:
        raise OvertoneError(f"the cutoff is {cutoff:g} Hz; for this input it is 500 to {top:g}")


def restored_from(cutoff: float, rate: int, rolloff: Rolloff | None = None) -> float:
    """Return the frequency where the predicted band begins, for input at that rate; all in Hz."""
    if rolloff is not None:
        return rolloff.reaches(ROLLOFF_DB)
    return float(min(cutoff, RESAMPLED * rate / 2) if rate < MODEL_RATE else cutoff)


def default_rate(rate: int) -> int:
    """Return 48,000 Hz for input of that family (8, 16, 24, 32, 48, 96, 192 kHz), else 44,100 Hz."""
    return 48000 if 48000 % rate == 0 or rate % 48000 == 0 or rate == 32000 else MODEL_RATE


def needs_restoring(found: Cutoff) -> bool:
    """Return True if a band is missing above the cutoff for certain."""
    return found.confidence >= SURE and not found.full_band and found.kind != "silence"


def check_output(wave: np.ndarray) -> np.ndarray:
    """Return a network's output, or raise if it holds NaN or infinity, as that of damaged weights does."""
    if not np.isfinite(wave).all():
        raise OvertoneError("the model makes NaN or infinity of this input; its weights are damaged")
    return wave
