"""Compute losses: waveform L1 and L2, complex STFT, STFT magnitudes, high-band level, weighted sums."""

from collections.abc import Callable, Iterable

import torch
from torch.nn import functional as F

from overtone.core.errors import OvertoneError
from overtone.core.params import check, check_choice
from overtone.core.rates import MODEL_RATE
from overtone.training.distributed import norm, sum_over_ranks

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]
# (estimate, original, cutoff, bandwidth): the last two (batch,) in Hz.
BandLoss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]

# The authors' code: FFT sizes with a hop of a quarter.
MAGNITUDE_FFTS = (512, 1024, 2048, 4096)
COMPLEX_FFT = 2048
HIGH_BAND_FFTS = (512, 2048)
# Its window in this project, with a hop of a quarter.
LSD_FFT = 2048
# The power floor of log magnitudes and band levels, as a magnitude.
LEVEL_FLOOR = 1e-4
# The bands of the level: the factor from one edge to the next, and how many, from 570 Hz on. Their power is
# the mean over so many frames, and a band has so many bins at least.
LEVEL_BAND, LEVEL_BANDS = 1.0794, 48
LEVEL_FRAMES, LEAST_BINS = 3, 4
# Keeps the square root's gradient finite where a bin is empty.
POWER_FLOOR = 1e-7


def _stft(samples: torch.Tensor, n_fft: int) -> torch.Tensor:
    window = torch.hann_window(n_fft, device=samples.device)
    return torch.stft(samples, n_fft, n_fft // 4, window=window, return_complex=True)


def _magnitude(spectrum: torch.Tensor) -> torch.Tensor:
    return (spectrum.real**2 + spectrum.imag**2).clamp_min(POWER_FLOOR).sqrt()


def _band(n_fft: int, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Return 1 for the bins from low to high, both (batch,) in Hz, else 0: (batch, bins, 1)."""
    frequency = torch.arange(n_fft // 2 + 1, device=low.device)[:, None] * (MODEL_RATE / n_fft)
    inside = (frequency >= low[:, None, None]) & (frequency < high[:, None, None])
    return inside.to(torch.float32)


def stft(estimate: torch.Tensor, original: torch.Tensor) -> torch.Tensor:
    """Compute the mean absolute difference of complex STFT bins, the paper's equation 2; it sees the sign."""
    return (_stft(estimate, COMPLEX_FFT) - _stft(original, COMPLEX_FFT)).abs().mean()


def stft_magnitude(estimate: torch.Tensor, original: torch.Tensor) -> torch.Tensor:
    """Compute spectral convergence plus magnitude L1, as in the authors' code; blind to the waveform's sign.

    Per FFT size ``||O| - |E||_F / ||O||_F + mean(||O| - |E||)``, mean over the sizes; the first term
    over the whole batch (Arik et al., arXiv 1808.06719).
    """
    total = estimate.new_zeros(())
    for n_fft in MAGNITUDE_FFTS:
        ours, theirs = _magnitude(_stft(estimate, n_fft)), _magnitude(_stft(original, n_fft))
        difference = theirs - ours
        total = total + norm(difference) / norm(theirs)
        total = total + difference.abs().mean()
    return total / len(MAGNITUDE_FFTS)


def high_band(
    estimate: torch.Tensor, original: torch.Tensor, cutoff: torch.Tensor, bandwidth: torch.Tensor
) -> torch.Tensor:
    """Compute the level error of every bin above the cutoff, on a log scale; blind to phase.

    Per FFT size, over the bins from the cutoff to the recording's own bandwidth, ``mean |log10 |E| -
    log10 |O||`` plus 0.3 times the linear magnitude error relative to the original's. A lossy recording
    stops at its bandwidth, which must not be learnt as music. Bins without any loss would be arbitrary, so
    above the bandwidth the estimate is held under the level at the band's edge.

    Args:
        estimate, original: (batch, time) at 44.1 kHz.
        cutoff: (batch,) in Hz, where the input ended.
        bandwidth: (batch,) in Hz, where the original ends.
    """
    total = estimate.new_zeros(())
    for n_fft in HIGH_BAND_FFTS:
        ours, theirs = (
            _stft(samples, n_fft).abs().clamp_min(LEVEL_FLOOR) for samples in (estimate, original)
        )
        inside = _band(n_fft, cutoff, bandwidth)
        edge = _band(n_fft, bandwidth - 2000, bandwidth - 300)
        beyond = _band(n_fft, torch.maximum(bandwidth, cutoff) + 300, torch.full_like(cutoff, MODEL_RATE))
        frames = ours.shape[-1]
        log_ours, log_theirs = ours.log10(), theirs.log10()
        level = (log_theirs * edge).sum(1, keepdim=True) / edge.sum(1, keepdim=True).clamp_min(1)
        sums = (
            ((log_ours - log_theirs).abs() * inside).sum(),
            inside.sum() * frames,
            ((ours - theirs).abs() * inside).sum(),
            (theirs * inside).sum(),
            ((log_ours - level).clamp_min(0) * beyond).sum(),
            beyond.sum() * frames,
        )
        distance, bins, linear, size, excess, bins_beyond = sum_over_ranks(torch.stack(sums))
        total = total + distance / bins.clamp_min(1) + 0.3 * (linear / size.clamp_min(1e-3))
        total = total + excess / bins_beyond.clamp_min(1)
    return total / len(HIGH_BAND_FFTS)


def lsd(
    estimate: torch.Tensor, original: torch.Tensor, cutoff: torch.Tensor, bandwidth: torch.Tensor
) -> torch.Tensor:
    """Compute the log-spectral distance from the cutoff to the recording's own bandwidth, in bels.

    Root mean square over a frame's bins of ``log10 |E|^2 - log10 |O|^2``, mean over frames. Where
    ``high_band`` weights every bin equally, this weights a frame with a wrong level more than one with a
    wrong texture. It ignores what lies above the bandwidth: use it beside ``high_band``.

    Args: as those of ``high_band``.
    """
    ours, theirs = (
        _stft(samples, LSD_FFT).abs().clamp_min(LEVEL_FLOOR).log10() for samples in (estimate, original)
    )
    inside = _band(LSD_FFT, cutoff, bandwidth)
    count = inside.sum(1)
    mean = ((2 * (ours - theirs)) ** 2 * inside).sum(1) / count.clamp_min(1)
    in_band = count > 0
    # The square root has no gradient at 0, where a silent frame stays silent.
    sums = ((mean + 1e-6).sqrt() * in_band).sum(), in_band.sum() * ours.shape[-1]
    distance, frames = sum_over_ranks(torch.stack(sums))
    mean_distance: torch.Tensor = distance / frames.clamp_min(1)
    return mean_distance


def level(
    estimate: torch.Tensor, original: torch.Tensor, cutoff: torch.Tensor, bandwidth: torch.Tensor
) -> torch.Tensor:
    """Compute the level error of bands of a ninth of an octave, from the cutoff to the recording's bandwidth.

    Mean of ``|log10 P_E - log10 P_O|``, in bels; P is a band's power over LEVEL_FRAMES frames. A spectrum
    with the mean log magnitude of music, which ``lsd`` and ``high_band`` ask for, has less power than music,
    whose spectrum has peaks. This loss brings the power back.

    Args: as those of ``high_band``.
    """
    frequency = torch.arange(LSD_FFT // 2 + 1, device=cutoff.device) * (MODEL_RATE / LSD_FFT)
    edges = MODEL_RATE / 2 / LEVEL_BAND ** torch.arange(LEVEL_BANDS, -1, -1, device=cutoff.device)
    bands = ((frequency >= edges[:-1, None]) & (frequency < edges[1:, None])).to(torch.float32)
    inside = _band(LSD_FFT, cutoff, bandwidth)
    width = bands @ inside
    powers = [
        F.avg_pool1d(bands @ (_stft(samples, LSD_FFT).abs().square() * inside), LEVEL_FRAMES, 2)
        for samples in (estimate, original)
    ]
    floor = LEVEL_FLOOR**2 * width.clamp_min(1)
    difference = ((powers[0] + floor).log10() - (powers[1] + floor).log10()).abs()
    # Narrower bands follow single partials.
    wide = (width >= LEAST_BINS).to(torch.float32)
    sums = (difference * wide).sum(), wide.sum() * difference.shape[-1]
    distance, count = sum_over_ranks(torch.stack(sums))
    mean: torch.Tensor = distance / count.clamp_min(1)
    return mean


LOSSES: dict[str, Loss] = {
    "l1": F.l1_loss,
    "l2": F.mse_loss,
    "stft": stft,
    "stft_magnitude": stft_magnitude,
}
# Losses that must know where the input's band and the original's end.
BAND_LOSSES: dict[str, BandLoss] = {"high_band": high_band, "lsd": lsd, "level": level}

# The largest window of those that look at spectra.
LARGEST_FFT = {
    "stft": COMPLEX_FFT,
    "stft_magnitude": max(MAGNITUDE_FFTS),
    "high_band": max(HIGH_BAND_FFTS),
    "lsd": LSD_FFT,
    "level": LSD_FFT,
}
# Names that losses had before.
FORMER = {"treble": "high_band"}


def shortest(weights: Iterable[str]) -> int:
    """Return the samples that a segment must have: its ends are mirrored by half a window."""
    return max(LARGEST_FFT.get(name, 0) for name in weights) // 2 + 1


def check_weights(weights: dict[str, float]) -> None:
    """Raise unless ``train.loss`` names losses with positive weights."""
    names = ", ".join(LOSSES | BAND_LOSSES)
    check(bool(weights), "train.loss", weights, f"one or more of {names}, each with a weight")
    for name, weight in weights.items():
        if name in FORMER:
            raise OvertoneError(f"train.loss.{name} is called train.loss.{FORMER[name]} now: rename it")
        check_choice("train.loss", name, LOSSES | BAND_LOSSES)
        check(weight > 0, f"train.loss.{name}", weight, "a weight above 0; leave a loss out to switch it off")


def weighted(weights: dict[str, float]) -> BandLoss:
    """Return the weighted sum of losses: ``(estimate, original, cutoff, bandwidth)`` to a scalar."""

    def loss(
        estimate: torch.Tensor, original: torch.Tensor, cutoff: torch.Tensor, bandwidth: torch.Tensor
    ) -> torch.Tensor:
        total = estimate.new_zeros(())
        for name, weight in weights.items():
            if name in BAND_LOSSES:
                value = BAND_LOSSES[name](estimate, original, cutoff, bandwidth)
            else:
                value = LOSSES[name](estimate, original)
            total = total + weight * value
        return total

    return loss
