"""Mix music and noise at given levels, as the diffusion model NU-Wave 2 is trained on and sampled at.

A noise level is given as its log-SNR ``l``: a signal at that level is ``alpha * music + sigma * noise`` with
``alpha^2 = sigmoid(l)`` and ``sigma^2 = sigmoid(-l)``.
"""

import math

import numpy as np
import torch
from torch import Tensor

# The range of log-SNRs in training, and the paper's eight, at which the steps of sampling begin.
LEAST, MOST = -20.0, 20.0
LEVELS = (-2.6, -0.8, 2.0, 6.4, 9.8, 12.9, 14.4, 17.2)


def log_snr(time: Tensor) -> Tensor:
    """Return the log-SNR at a time from 0 (music) to 1 (noise), of a cosine schedule clipped at both ends.

    ``-2 log tan(a t + b)``, as in Kingma et al., arXiv 2107.00630, after Nichol and Dhariwal's cosine.
    """
    start, end = (math.atan(math.exp(-level / 2)) for level in (MOST, LEAST))
    return -2 * ((end - start) * time + start).tan().log()


def diffuse(music: Tensor, noise: Tensor, level: Tensor) -> Tensor:
    """Mix music and noise at a log-SNR; a variance of 1 stays 1."""
    return level.sigmoid().sqrt() * music + (-level).sigmoid().sqrt() * noise


def step(x: Tensor, noise: Tensor, level: float, following: float) -> Tensor:
    """Bring a noisy signal to the next log-SNR, given the noise in it (DDIM, arXiv 2010.02502)."""
    before, after = (torch.tensor(value, dtype=torch.float64) for value in (level, following))
    music = (x - float((-before).sigmoid().sqrt()) * noise) / float(before.sigmoid().sqrt())
    return diffuse(music, noise, after.to(x))


def sampling_levels(steps: int) -> list[float]:
    """Return the log-SNRs at which the steps begin: the paper's for eight, else interpolated between them."""
    positions = np.linspace(0, len(LEVELS) - 1, steps)
    return [float(level) for level in np.interp(positions, range(len(LEVELS)), LEVELS)]
