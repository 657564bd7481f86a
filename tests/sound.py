"""Small networks and measures that the tests of restoring share."""

import numpy as np
import torch

from overtone.models import Spectral, SpectralSettings, UNet, UNetSettings

RATE, CUTOFF = 44100, 6000.0


def make(kind):
    """A small network with random weights, loud enough to be heard."""
    torch.manual_seed(0)
    if kind == "unet":
        return UNet(UNetSettings((4, 4, 4, 4))).eval()
    net = Spectral(SpectralSettings(features=8, blocks=1, expansion=1, harmonics=1.0)).eval()
    torch.nn.init.normal_(net.leave.bias, 1.0, 0.2)
    return net


def level(samples):
    return 20 * np.log10(np.sqrt(np.mean(samples.astype(float) ** 2)) + 1e-12)


def band(samples, least, most, rate=RATE):
    """Level in dB of a band in Hz; without the Hann window the ends would leak into it."""
    spectrum = np.fft.rfft(samples * np.hanning(samples.shape[1]), axis=1)
    hertz = np.fft.rfftfreq(samples.shape[1], 1 / rate)
    return level(np.abs(spectrum[:, (hertz >= least) & (hertz < most)]))
