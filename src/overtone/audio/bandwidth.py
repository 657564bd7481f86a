"""Measure the bandwidth of a recording, and the end of its music below a codec's cliff."""

import numpy as np

from overtone.audio.cutoff import RATE_EDGE, SURE, SpectrumMeter
from overtone.audio.stft import N_FFT
from overtone.core.arrays import frames

# A codec's low-pass begins to fall a little below the cliff.
CLIFF_EDGE = 0.985


def measure_bandwidth(samples: np.ndarray, rate: int) -> float:
    """Measure the frequency in Hz up to which a recording exceeds 16-bit quantisation noise.

    It is the upper edge of the highest band of 200 Hz whose power, in the loudest twentieth of the frames,
    stands 12 dB over the noise of rounding to 16 bits (a mean of 1 / 12 of a step squared per sample).

    Shape:
        (channels, time) -> a number, at most rate / 2.
    """
    # A Hann window's side lobes beside a loud edge would exceed the noise for several hundred Hz.
    window = np.blackman(N_FFT + 1)[:-1].astype(np.float32)
    if samples.shape[-1] < N_FFT:
        return rate / 2
    spectrum = np.fft.rfft(frames(samples, N_FFT, 2 * N_FFT).reshape(-1, N_FFT) * window)
    power = spectrum.real**2 + spectrum.imag**2
    width = max(1, round(200 / (rate / N_FFT)))
    bands = power[:, : power.shape[1] // width * width].reshape(len(power), -1, width).mean(axis=-1)
    loud = np.quantile(bands, 0.95, axis=0)
    noise = float((window**2).sum()) / 12 / 32768**2
    audible = np.flatnonzero(loud > 16 * noise)
    highest = int(audible[-1]) + 1 if len(audible) else 0
    return rate / 2 if highest == len(loud) else highest * width * rate / N_FFT


def music_end(samples: np.ndarray, rate: int) -> float:
    """Measure where the music of (channels, time) samples ends, in Hz: at a codec's cliff, if any.

    Above its cliff a codec keeps bands in some frames and drops them in others. They lie within the bandwidth
    and are no music: a model trained on them is too quiet there on full-band music (docs/experiments.md, 40
    and 42).
    """
    bandwidth = measure_bandwidth(samples, rate)
    meter = SpectrumMeter(rate)
    meter.add(samples)
    found = meter.cutoff()
    sure = found.kind in ("cliff", "full band") and found.confidence >= SURE
    cliff = sure and found.hz <= RATE_EDGE * rate / 2
    return min(bandwidth, CLIFF_EDGE * found.hz) if cliff else bandwidth
