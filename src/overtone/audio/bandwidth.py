"""Measure the bandwidth of a recording, and the end of its music below a codec's cliff."""

import torch
from torch import Tensor

from overtone.audio.cutoff import RATE_EDGE, SURE, SpectrumMeter
from overtone.audio.stft import N_FFT

# A codec's low-pass begins to fall a little below the cliff.
CLIFF_EDGE = 0.985


def measure_bandwidth(samples: Tensor, rate: int) -> float:
    """Measure the frequency in Hz up to which a recording exceeds 16-bit quantisation noise.

    It is the upper edge of the highest band of 200 Hz whose power, in the loudest twentieth of the frames,
    stands 12 dB over the noise of rounding to 16 bits (a mean of 1 / 12 of a step squared per sample).

    Shape:
        (channels, time) -> a number, at most rate / 2.
    """
    # A Hann window's side lobes beside a loud edge would exceed the noise for several hundred Hz.
    window = torch.blackman_window(N_FFT)
    frames = samples.unfold(-1, N_FFT, N_FFT * 2) if samples.shape[-1] >= N_FFT else None
    if frames is None or not frames.shape[1]:
        return rate / 2
    power = torch.fft.rfft(frames * window).abs().square().flatten(0, 1)
    width = max(1, round(200 / (rate / N_FFT)))
    bands = power[:, : power.shape[1] // width * width].unflatten(1, (-1, width)).mean(-1)
    loud = torch.quantile(bands, 0.95, dim=0)
    noise = float(window.square().sum()) / 12 / 32768**2
    audible = (loud > 16 * noise).nonzero()
    highest = int(audible.max()) + 1 if len(audible) else 0
    return rate / 2 if highest == len(loud) else highest * width * rate / N_FFT


def music_end(samples: Tensor, rate: int) -> float:
    """Measure where the music of (channels, time) samples ends, in Hz: at a codec's cliff, if any.

    Above its cliff a codec keeps bands in some frames and drops them in others. They lie within the bandwidth
    and are no music: a model trained on them is too quiet there on full-band music (docs/experiments.md, 40
    and 42).
    """
    bandwidth = measure_bandwidth(samples, rate)
    meter = SpectrumMeter(rate)
    meter.add(samples.numpy())
    found = meter.cutoff()
    sure = found.kind in ("cliff", "full band") and found.confidence >= SURE
    cliff = sure and found.hz <= RATE_EDGE * rate / 2
    return min(bandwidth, CLIFF_EDGE * found.hz) if cliff else bandwidth
