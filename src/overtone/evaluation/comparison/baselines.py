"""Baselines: high bands by rule, without training, that a trained model has to beat.

Each takes samples (channels, time), the cutoff and the rate in Hz, and returns samples of the same shape. The
two that add a high band start from the octave below the cutoff fc, [fc/2, fc]. Its level falls by 12 dB per
octave from fc on, i.e. in amplitude by (fc / f)^2. Content of the input above the cutoff is kept: in each bin
of each frame, power is added only up to the target level. Nothing is added below the cutoff.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from overtone.audio import stft


def keep_input(samples: Tensor, cutoff: float, rate: int) -> Tensor:
    """Return the input as it is."""
    return samples


def silence(samples: Tensor, cutoff: float, rate: int) -> Tensor:
    """Return zeros: a metric that ranks them well does not measure how music sounds."""
    return torch.zeros_like(samples)


def noise_fill(samples: Tensor, cutoff: float, rate: int, seed: int = 0) -> Tensor:
    """Add noise above the cutoff that follows, frame by frame, the level of the octave below.

    In each frame the noise rises to E(f) = L (fc / f)^2, where L is the root mean power of the octave
    below: the power max(E^2 - |X|^2, 0) is added to the spectrum. All channels get the same noise, each at
    its own level, so that a sound in the middle of the stereo image stays there.
    """
    spectrum = stft.stft(samples)
    first, width = _octave(cutoff, rate)
    level = spectrum[:, first - width : first].abs().square().mean(dim=-2, keepdim=True)
    wanted = level * _tilt(cutoff, rate, first).square()
    generator = torch.Generator().manual_seed(seed)
    # The STFT of real noise rather than random bins: neighbouring frames overlap, and independent numbers
    # would cancel to a quarter of their power.
    noise = stft.stft(torch.randn(samples.shape[-1], generator=generator))[first:]
    noise /= torch.hann_window(stft.N_FFT).square().sum().sqrt()
    gain = (wanted - spectrum[:, first:].abs().square()).clamp(min=0).sqrt()
    return samples + _synthesis(noise * gain, samples.shape[-1], cutoff, rate)


def band_replication(samples: Tensor, cutoff: float, rate: int) -> Tensor:
    """Copy the octave below the cutoff upwards, repeatedly by its own width and ever quieter.

    Bin k above the cutoff is bin k - m w of the octave below (w bins wide, m the integer that leads into
    it), scaled by (fc / f)^2. Its phase is that of the octave's signal modulated by
    exp(2 pi i m w n / n_fft), so that a steady tone below becomes a steady tone above.
    """
    spectrum = stft.stft(samples)
    first, width = _octave(cutoff, rate)
    target = torch.arange(first, spectrum.shape[-2])
    shift = width * (1 + (target - first) // width)
    # A frame's phases count from its first sample, n_fft / 2 before the sample that it is centred on.
    start = stft.HOP * torch.arange(spectrum.shape[-1]) - stft.N_FFT // 2
    turns = torch.outer(shift, start) % stft.N_FFT / stft.N_FFT
    copy = spectrum[:, target - shift] * torch.polar(torch.ones_like(turns), 2 * math.pi * turns)
    copy *= _tilt(cutoff, rate, first)
    power = copy.abs().square()
    missing = (power - spectrum[:, first:].abs().square()).clamp(min=0)
    copy *= (missing / power.clamp(min=torch.finfo(power.dtype).tiny)).sqrt()
    return samples + _synthesis(copy, samples.shape[-1], cutoff, rate)


BASELINES: dict[str, Callable[[Tensor, float, int], Tensor]] = {
    "input": keep_input,
    "silence": silence,
    "noise fill": noise_fill,
    "band replication": band_replication,
}


def _octave(cutoff: float, rate: int) -> tuple[int, int]:
    """Compute the first bin at or above the cutoff, and the width of the octave below in bins."""
    spacing = rate / stft.N_FFT
    first = math.ceil(cutoff / spacing)
    return first, max(1, min(first, round(cutoff / 2 / spacing)))


def _tilt(cutoff: float, rate: int, first: int) -> Tensor:
    """Compute the amplitude (fc / f)^2 of each bin from the first above the cutoff on, shape (bins, 1)."""
    hertz = torch.from_numpy(stft.frequencies(rate))
    return (cutoff / hertz[first:, None]).square().float()


def _synthesis(added: Tensor, length: int, cutoff: float, rate: int) -> Tensor:
    """Synthesize samples from the bins above the cutoff: (channels, bins, frames) -> (channels, length)."""
    below = stft.N_FFT // 2 + 1 - added.shape[-2]
    spectrum = torch.nn.functional.pad(added, (0, 0, below, 0))
    window = torch.hann_window(stft.N_FFT)
    samples = torch.istft(spectrum, stft.N_FFT, stft.HOP, window=window, length=length)
    filtered: Tensor = stft.keep_high_band(samples, cutoff, rate)
    return filtered
