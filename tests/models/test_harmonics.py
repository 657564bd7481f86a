"""harmonics: where partials go on above the cutoff, on spectra whose partials are known."""

import numpy as np
import pytest
import torch

from overtone.core.rates import MODEL_RATE as RATE
from overtone.models import harmonics
from overtone.models.spectral import Spectral, SpectralSettings
from overtone.models.spectral_bands import fine_structure, first_bin
from overtone.models.spectral_frames import BINS, N_FFT, analyse, log_magnitude

TIME = 40_000


def buzz(pitch, highest, noise=1e-3):
    """A steady tone with all its partials up to a frequency in Hz, (1, time), and a little noise."""
    seconds = np.arange(TIME) / RATE
    partials = [np.sin(2 * np.pi * pitch * k * seconds + k * k) for k in range(1, int(highest / pitch) + 1)]
    sound = np.sum(partials, axis=0) / 10 + np.random.default_rng(0).normal(0, noise, TIME)
    return torch.from_numpy(sound).float()[None]


def continued(samples, cutoff):
    """What sticks out, (frames, bins), without the ends, and the bins that are made anew."""
    net = Spectral(SpectralSettings(features=4, blocks=1, expansion=1))
    first = first_bin(torch.tensor([cutoff]))
    bins = torch.arange(int(first), BINS)
    level = log_magnitude(analyse(samples, net.window)[..., : int(first)])
    return harmonics.continue_partials(level, first, bins)[0, 4:-4], bins


@pytest.mark.parametrize("pitch", [311.0, 440.0, 523.3, 700.0])
@pytest.mark.parametrize("cutoff", [4000.0, 8000.0])
def test_partials_go_on_at_their_distance(pitch, cutoff):
    sticks_out, bins = continued(buzz(pitch, cutoff), cutoff)
    curve = sticks_out.mean(0)
    hertz = bins * RATE / N_FFT
    octave = hertz < 1.4 * cutoff  # errors of the distance, at most half a bin, add up further on
    off = (hertz / pitch + 0.5) % 1 - 0.5  # in partials, from the nearest
    on, between = curve[octave & (off.abs() * pitch < 30)], curve[octave & (off.abs() > 0.4)]
    assert on.mean() > 0.3, "6 dB over the neighbours"
    assert between.mean() < 0
    assert on.min() > between.max()


def test_noise_has_no_partials_and_silence_neither():
    noise = torch.randn(1, TIME, generator=torch.Generator().manual_seed(1)) / 10
    sticks_out, _ = continued(noise, 8000.0)
    assert 20 * sticks_out.square().mean().sqrt() < 0.2, "dB"
    assert not continued(torch.zeros(1, TIME), 8000.0)[0].any()


def test_one_tone_alone_is_no_row_of_partials():
    """It cannot say at what distance it goes on: nothing may stick out as it does."""
    noise = torch.randn(1, TIME, generator=torch.Generator().manual_seed(1)) / 1000
    sticks_out, _ = continued(noise + torch.sin(2 * torch.pi * 6500 * torch.arange(TIME) / RATE), 8000.0)
    assert 20 * sticks_out.mean(0).max() < 6, "dB; the tone itself stands 40 dB over its neighbours"


def test_a_hole_is_no_valley_between_partials():
    """Where a codec has dropped a band, what goes on above is not dropped."""
    sound, cutoff = buzz(440.0, 8000.0, 0.03), 8000.0
    spectrum = torch.fft.rfft(sound)
    hertz = torch.arange(spectrum.shape[1]) * RATE / TIME
    spectrum[:, (hertz > 6600) & (hertz < 7000)] *= 1e-3
    sticks_out, _ = continued(torch.fft.irfft(spectrum, n=TIME), cutoff)
    assert sticks_out.mean(0).max() > 0.3
    assert 20 * sticks_out.min() > -7, "dB; the hole is 60 dB deep"


def test_the_level_does_not_matter():
    sound = buzz(440.0, 8000.0)
    soft, loud = (continued(level * sound, 8000.0)[0] for level in (1, 10))
    torch.testing.assert_close(soft, loud, atol=0.02, rtol=0)


def test_it_fades_with_every_octave_that_is_used_up():
    curve, bins = continued(buzz(440.0, 4000.0), 4000.0)
    peaks = [
        curve.mean(0)[(bins * RATE / N_FFT > low) & (bins * RATE / N_FFT < 2 * low)].max()
        for low in (4000, 8000)
    ]
    assert peaks[1] < 0.6 * peaks[0]


@pytest.mark.parametrize("cutoff", [500.0, 60.0])
def test_an_octave_of_a_few_bins_is_no_error(cutoff):
    sticks_out, bins = continued(buzz(100.0, 500.0), cutoff)
    assert sticks_out.shape[1] == len(bins)
    assert torch.isfinite(sticks_out).all()


def test_correlation_is_its_formula():
    a, b = torch.randn(2, 3, 300, generator=torch.Generator().manual_seed(2))
    a[:, :150] = 0  # nothing comes round for lags up to 150
    expected = [(a[:, lag:] * b[:, : 300 - lag]).sum(-1) for lag in range(151)]
    torch.testing.assert_close(
        harmonics.correlation(a, b)[:, :151], torch.stack(expected, -1), atol=1e-3, rtol=1e-4
    )


def test_the_network_lays_them_over_its_magnitudes():
    samples, cutoff = buzz(440.0, 8000.0), torch.tensor([8000.0])
    steps, factors = [], []
    for power in (0.0, 0.5, 1.0):
        net = Spectral(SpectralSettings(features=4, blocks=1, expansion=1, harmonics=power)).eval()
        with torch.no_grad():
            made = log_magnitude(analyse(net(samples, cutoff), net.window))[0, 4:-4].mean(0)
        partial, gap = (round(hertz * N_FFT / RATE) for hertz in (8800, 9020))
        steps.append(float(made[partial] - made[gap]))
        factors.append(fine_structure(analyse(samples, net.window), first_bin(cutoff), power))
    none, half, all_of_it = factors
    assert none is None
    torch.testing.assert_close(half.square(), all_of_it)
    assert steps[0] < 0.3
    assert steps[1] > steps[0] + 0.5, "10 dB"
    assert steps[2] > steps[1] + 0.5
