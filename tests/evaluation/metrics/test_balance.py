"""Balance of the band above the cutoff: gains, notches and widths of known decibels come out as such."""

import math

import numpy as np
import pytest
import scipy.signal
import torch

from overtone.evaluation.metrics import balance

RATE, LOW, HIGH = 44_100, 5000.0, 18_000.0
TIME = 60_000


def noise(seed=0, channels=2):
    drawn = np.random.default_rng(seed).normal(0, 0.1, (channels, TIME))
    return torch.from_numpy(drawn).float()


def scaled(samples, low, high, decibels):
    """The signal with a band at another level, by a transform of all of it."""
    spectrum = torch.fft.rfft(samples.double())
    hertz = torch.fft.rfftfreq(TIME, 1 / RATE)
    spectrum[..., (hertz >= low) & (hertz < high)] *= 10 ** (decibels / 20)
    return torch.fft.irfft(spectrum, TIME).float()


def measured(true, made):
    return balance.measure(true, made, RATE, LOW, HIGH)


def test_a_gain_in_an_octave_is_its_level_there_with_its_sign():
    found = measured(noise(), scaled(noise(), 5000, 10_000, -6))
    # The window's skirts carry a little of an octave into the other.
    assert found["level_octave_1"] == pytest.approx(-6, abs=0.05)
    assert found["level_octave_2"] == pytest.approx(0, abs=0.05)
    assert measured(noise(), 2 * noise())["level_octave_2"] == pytest.approx(20 * math.log10(2), abs=1e-3)


def test_a_band_of_one_octave_has_no_second():
    assert "level_octave_2" not in balance.measure(noise(), noise(), RATE, 9000.0, 18_000.0)


def test_levels_are_their_formula():
    true, made = noise(1), noise(2) * torch.linspace(0.2, 1, TIME)
    means = []
    for samples in (true, made):
        window = scipy.signal.get_window("hann", 2048)
        padded = np.pad(samples.double().numpy(), ((0, 0), (1024, 1024)))
        frames = np.lib.stride_tricks.sliding_window_view(padded, 2048, axis=-1)[:, ::512]
        powers = np.abs(np.fft.rfft(frames * window)) ** 2
        hertz = np.arange(1025) * RATE / 2048
        means.append(powers[..., (hertz >= 5000) & (hertz < 10_000)].mean())
    expected = 10 * np.log10(means[1] / means[0])
    assert measured(true, made)["level_octave_1"] == pytest.approx(expected, abs=1e-3)


def test_only_the_brightest_tenth_of_the_frames_counts_as_bright():
    """A tenth of the time is hiss, the rest a low tone; what is lost in the hiss is all that is lost."""
    tone = 0.3 * torch.sin(2 * torch.pi * 500 * torch.arange(TIME) / RATE).repeat(2, 1)
    hiss = torch.zeros(2, TIME)
    hiss[:, 20_000:30_000] = noise()[:, 20_000:30_000]
    quiet = 0.02 * noise(1)  # the band is never silent
    found = measured(tone + hiss + quiet, tone + 0.1 * hiss + quiet)
    assert found["bright_frames"] == pytest.approx(-20, abs=0.5)
    louder = measured(tone + hiss + quiet, tone + hiss + 10 * quiet * (hiss == 0))
    assert louder["bright_frames"] == pytest.approx(0, abs=0.1), "other frames do not count"


def test_silence_is_not_bright():
    assert measured(torch.zeros(2, TIME), noise())["bright_frames"] == 0


def test_the_seam_is_the_largest_step_between_bands_around_the_cutoff():
    notched = scaled(noise(), 4950, 5050, -40)  # half of each of two neighbours: -3 dB
    steps = {
        "none": measured(noise(), noise()),
        "gain": measured(noise(), 3 * noise()),
        "notch": measured(noise(), notched),
        "step": measured(noise(), scaled(noise(), 5000, 20_000, -4)),
        "elsewhere": measured(noise(), scaled(noise(), 7000, 20_000, -4)),
    }
    assert steps["none"]["seam"] == 0
    assert steps["gain"]["seam"] == pytest.approx(0, abs=1e-3)
    # A bin at an edge shares its window with the other side: a step is smeared over some 40 Hz.
    assert steps["notch"]["seam"] == pytest.approx(3, abs=0.8)
    assert steps["step"]["seam"] == pytest.approx(4, abs=0.8)
    assert steps["elsewhere"]["seam"] < 0.05


def test_the_profile_of_the_seam_has_fifteen_bands_or_ends_with_the_music():
    true, made = (balance.mean_powers(noise(seed), RATE, LOW, HIGH) for seed in (0, 1))
    assert len(balance.seam_profile(true, made, RATE, LOW, HIGH)) == 15
    assert len(balance.seam_profile(true, made, RATE, LOW, 5500)) == 10


@pytest.mark.parametrize("decibels", [-6.0, 3.0])
def test_width_is_the_gain_of_the_side(decibels):
    left, right = noise()
    middle, side = (left + right) / 2, (left - right) / 2 * 10 ** (decibels / 20)
    found = measured(noise(), torch.stack([middle + side, middle - side]))
    assert found["side_width"] == pytest.approx(decibels, abs=0.01)


def test_mono_has_no_width_of_one_channel_and_forty_decibels_less_of_two():
    assert "side_width" not in measured(noise(0, 1), noise(1, 1))
    # Independent channels: side and middle are alike but for the draw.
    found = measured(noise(), noise(1, 1).repeat(2, 1))["side_width"]
    assert found == pytest.approx(-40, abs=0.3)
