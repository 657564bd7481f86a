"""Split a signal at the cutoff by a linear-phase high-pass, and keep digital silence silent."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from overtone.audio.rolloff import Rolloff
from overtone.core.rates import MODEL_RATE
from overtone.restoration.stream.limits import ROLLOFF_DB

# The crossover is a linear-phase high-pass of 2 * 1024 + 1 taps with a Kaiser window (beta 8.96, for
# 90 dB): it falls from 0 to -90 dB over 125 Hz, all of it above the cutoff. With half the taps it falls over
# 250 Hz, a dark line in a spectrogram; it rings for 23 ms, half a frame of the networks' transforms.
TAPS = 1024
CROSSOVER_HZ = 125.0
BETA = 0.1102 * (90 - 8.7)
# It is applied in blocks of this size (overlap-save), which stay in the processor's cache: that takes a third
# of the time of one transform of the whole signal.
CROSSOVER_FFT = 8192
# The added band fades out within this many samples (12 ms) of digital silence.
SILENCE_FADE = 512
# Samples on each side that the crossover and the fade depend on.
MARGIN = max(TAPS, SILENCE_FADE)


def keep_high_band(samples: np.ndarray, cutoff: float) -> np.ndarray:
    """Filter (channels, time) at MODEL_RATE by the crossover, without delay, to the same shape."""
    response = crossover_response(cutoff)
    return np.concatenate([apply_crossover(channel[None], response) for channel in samples])


def keep_low_band(samples: np.ndarray, cutoff: float) -> np.ndarray:
    """Keep of (channels, time) at MODEL_RATE what the crossover takes away; the same shape."""
    low: np.ndarray = samples - keep_high_band(samples, cutoff)
    return low


def crossover_response(cutoff: float) -> np.ndarray:
    """Transform the crossover's taps at a cutoff in Hz for `apply_crossover`."""
    response: np.ndarray = np.fft.rfft(highpass_taps(cutoff), n=CROSSOVER_FFT)
    return response


def highpass_taps(cutoff: float) -> np.ndarray:
    """Design the crossover's taps; all of its transition lies above the cutoff.

    Shape:
        cutoff in Hz -> (2 * TAPS + 1,).
    """
    taps = -lowpass_taps(cutoff)
    taps[TAPS] += 1
    return taps.astype(np.float32)


def fill_response(rolloff: Rolloff) -> np.ndarray:
    """Transform the taps that fill what a low-pass has taken, for `apply_crossover`.

    Their power is that of the input before the low-pass less that after it: 1 - 10^(-loss / 10), from where
    the loss is ROLLOFF_DB on.
    """
    loss = rolloff.loss(np.fft.rfftfreq(CROSSOVER_FFT, 1 / MODEL_RATE))
    gain = np.sqrt(1 - 10 ** (-loss / 10)) * (loss >= ROLLOFF_DB)
    taps = np.roll(np.fft.irfft(gain), TAPS)[: 2 * TAPS + 1] * np.kaiser(2 * TAPS + 1, BETA)
    response: np.ndarray = np.fft.rfft(taps.astype(np.float32), n=CROSSOVER_FFT)
    return response


def lowpass_taps(cutoff: float, rate: int = MODEL_RATE) -> np.ndarray:
    """Design the crossover's complement: all below the cutoff, nothing from CROSSOVER_HZ above it on.

    Shape:
        -> (2 * taps + 1,), float64; as long in seconds at every rate, TAPS to each side at MODEL_RATE.
    """
    taps = round(TAPS * rate / MODEL_RATE)
    middle = min(cutoff + CROSSOVER_HZ / 2, rate / 2) / rate
    lowpass = 2 * middle * np.sinc(2 * middle * np.arange(-taps, taps + 1)) * np.kaiser(2 * taps + 1, BETA)
    normalised: np.ndarray = lowpass / lowpass.sum()
    return normalised


def apply_crossover(signal: np.ndarray, response: np.ndarray) -> np.ndarray:
    """Filter (1, time) by the crossover's response (`crossover_response`), without delay."""
    time, step = signal.shape[-1], CROSSOVER_FFT - 2 * TAPS
    blocks = -(-time // step)
    padded = np.pad(signal[0], (TAPS, blocks * step - time + TAPS))
    spectrum = np.fft.rfft(sliding_window_view(padded, CROSSOVER_FFT)[::step])
    spectrum *= response
    # The first 2 * TAPS samples of a block are wrapped around.
    filtered: np.ndarray = np.fft.irfft(spectrum, n=CROSSOVER_FFT)[:, 2 * TAPS :]
    return filtered.reshape(1, -1)[:, :time]


def silence_gate(signals: np.ndarray) -> np.ndarray:
    """Compute gains that are 1 near sound and 0 in digital silence, with fades between.

    Shape:
        (channels, time) -> (channels, time).
    """
    # A silence that would be found holds a block of this size, and most music has none.
    block = SILENCE_FADE // 2
    end = signals.shape[-1] // block * block
    blocks = signals[:, :end].reshape(len(signals), -1, block)
    if ((blocks.max(axis=-1) > 0) | (blocks.min(axis=-1) < 0)).all():
        return np.ones_like(signals)
    near = _moving_mean(signals != 0) > 0
    return _moving_mean(near).astype(np.float32)


def _moving_mean(flags: np.ndarray) -> np.ndarray:
    """Average (channels, time) over SILENCE_FADE + 1 samples around each, fewer at the ends."""
    half, time = SILENCE_FADE // 2, flags.shape[1]
    sums = np.pad(np.cumsum(flags, axis=1), ((0, 0), (1, 0)))
    first = np.maximum(np.arange(time) - half, 0)
    end = np.minimum(np.arange(time) + half + 1, time)
    mean: np.ndarray = (sums[:, end] - sums[:, first]) / (end - first)
    return mean
