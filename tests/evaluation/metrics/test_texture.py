"""Texture of the band above the cutoff, against theory on noise, tones, pulses and combs."""

import math

import numpy as np
import pytest
import torch

from overtone.evaluation.metrics import texture

RATE, LOW, HIGH = 44_100, 5000.0, 18_000.0
TIME = 88_200


def noise(seed=0, channels=2):
    drawn = np.random.default_rng(seed).normal(0, 0.1, (channels, TIME))
    return torch.from_numpy(drawn).float()


def tones():
    time = np.arange(TIME) / RATE
    found = sum(0.1 * np.sin(2 * np.pi * hertz * time) for hertz in (6000, 8000, 11_000, 14_000, 17_000))
    return torch.from_numpy(np.stack([found, found])).float() + 1e-3 * noise(7)


def measured(true, made):
    return texture.measure(true, made, RATE, LOW, HIGH)


def test_noise_for_tones_is_flatter_and_tones_for_noise_the_opposite():
    there, back = measured(tones(), noise())["flatness_change"], measured(noise(), tones())["flatness_change"]
    assert there == pytest.approx(-back, abs=1e-6)
    assert there > 0.4


def test_flatness_of_noise_is_that_of_rayleighs_distribution():
    # exp(E ln A) / E A of a Rayleigh-distributed magnitude A: exp(-gamma / 2) / (sqrt(pi) / 2).
    drawn = np.random.default_rng(0).exponential(1, (2000, 200))
    expected = math.exp(-0.5772157 / 2) / (math.sqrt(math.pi) / 2)
    assert texture._flatness(drawn, 0).mean() == pytest.approx(expected, abs=0.002)


def test_another_draw_or_level_of_noise_is_as_flat():
    assert abs(measured(noise(), noise(1))["flatness_change"]) < 0.01
    assert abs(measured(noise(), 0.1 * noise())["flatness_change"]) < 1e-4


def test_silence_in_the_reference_does_not_count():
    found = measured(torch.zeros(2, TIME), noise())
    assert found["flatness_change"] == found["flatness_time_change"] == 0


def test_steady_noise_for_bursts_is_steadier():
    gate = (torch.arange(TIME) % 11_025 < 2000).float() + 0.01
    there = measured(noise() * gate, noise())["flatness_time_change"]
    back = measured(noise(), noise(1) * gate)["flatness_time_change"]
    assert there > 0.3
    assert there == pytest.approx(-back, abs=0.02)
    assert abs(measured(noise() * gate, noise(1) * gate)["flatness_time_change"]) < 0.02


def test_less_than_half_a_second_has_no_steadiness():
    short = noise()[:, :20_000]
    assert texture.flatness_time_change(short, short, RATE, LOW, HIGH) == 0


def test_a_comb_is_seen_and_noise_has_none():
    spectrum = torch.fft.rfft(noise().double())
    hertz = torch.fft.rfftfreq(TIME, 1 / RATE)
    depth = 6.0  # dB up and down: a sine of this amplitude in dB has a deviation of 6 / sqrt(2)
    spectrum *= 10 ** (depth / 20 * torch.sin(2 * torch.pi * hertz / 344.5))
    combed = torch.fft.irfft(spectrum, TIME).float()
    found = measured(noise(1), combed)["comb_change"]
    # 16 bins a tooth; the window and the neighbours' mean, 33 bins, change it by a tenth or so.
    assert found == pytest.approx(depth / math.sqrt(2), rel=0.2)
    assert abs(measured(noise(1), noise(2))["comb_change"]) < 0.1


def test_lines_that_move_are_no_comb():
    """Tones that sweep through the band pass every bin alike; held ones do not."""
    time = np.arange(TIME) / RATE
    sweep = sum(np.sin(2 * np.pi * (5000 + 300 * k + 1500 * time) * time) for k in range(0, 40, 4))
    moving = torch.from_numpy(0.1 * np.stack([sweep, sweep])).float() + 0.01 * noise(3)
    held = texture.comb(tones(), RATE, LOW, HIGH)
    assert texture.comb(moving, RATE, LOW, HIGH) < held / 2
