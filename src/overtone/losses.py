"""The losses: waveform L1 and L2, complex STFT difference, STFT magnitudes, and weighted sums."""

from collections.abc import Callable

import torch
from torch.nn import functional as F

from overtone.params import check, one_of

Loss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]

# The authors' code: FFT sizes with a hop of a quarter.
MAGNITUDE_FFTS = (512, 1024, 2048, 4096)
COMPLEX_FFT = 2048
# Keeps the square root's gradient finite where a bin is empty.
POWER_FLOOR = 1e-7


def _stft(samples: torch.Tensor, n_fft: int) -> torch.Tensor:
    window = torch.hann_window(n_fft, device=samples.device)
    return torch.stft(samples, n_fft, n_fft // 4, window=window, return_complex=True)


def _magnitude(spectrum: torch.Tensor) -> torch.Tensor:
    return (spectrum.real**2 + spectrum.imag**2).clamp_min(POWER_FLOOR).sqrt()


def stft(estimate: torch.Tensor, original: torch.Tensor) -> torch.Tensor:
    """Mean absolute difference of complex STFT bins, the paper's equation 2; it sees phase and sign."""
    return (_stft(estimate, COMPLEX_FFT) - _stft(original, COMPLEX_FFT)).abs().mean()


def stft_magnitude(estimate: torch.Tensor, original: torch.Tensor) -> torch.Tensor:
    """Spectral convergence plus magnitude L1, as in the authors' code; blind to the waveform's sign.

    Per FFT size ``||O| - |E||_F / ||O||_F + mean(||O| - |E||)``, mean over the sizes; the first term
    over the whole batch (Arik et al., arXiv 1808.06719).
    """
    total = estimate.new_zeros(())
    for n_fft in MAGNITUDE_FFTS:
        ours, theirs = _magnitude(_stft(estimate, n_fft)), _magnitude(_stft(original, n_fft))
        difference = theirs - ours
        total = total + torch.linalg.vector_norm(difference) / torch.linalg.vector_norm(theirs)
        total = total + difference.abs().mean()
    return total / len(MAGNITUDE_FFTS)


LOSSES: dict[str, Loss] = {
    "l1": F.l1_loss,
    "l2": F.mse_loss,
    "stft": stft,
    "stft_magnitude": stft_magnitude,
}


def check_weights(weights: dict[str, float]) -> None:
    """Raise unless ``train.loss`` names losses with positive weights."""
    names = ", ".join(LOSSES)
    check(bool(weights), "train.loss", weights, f"one or more of {names}, each with a weight")
    for name, weight in weights.items():
        one_of("train.loss", name, LOSSES)
        check(weight > 0, f"train.loss.{name}", weight, "a weight above 0; leave a loss out to switch it off")


def weighted(weights: dict[str, float]) -> Loss:
    """Sum of the named losses: ``(estimate, original)``, each (batch, time), to a scalar."""

    def loss(estimate: torch.Tensor, original: torch.Tensor) -> torch.Tensor:
        total = estimate.new_zeros(())
        for name, weight in weights.items():
            total = total + weight * LOSSES[name](estimate, original)
        return total

    return loss
