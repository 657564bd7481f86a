"""Metrics of the band above the cutoff, against theory on signals whose answer is known."""

import itertools
import math

import numpy as np
import pytest
import scipy.signal
import scipy.stats
import torch

from overtone.evaluation.metrics import high_band

RATE, LOW, HIGH = 44_100, 6000.0, 18_000.0
TIME = 30_000


def noise(seed=0, channels=2):
    drawn = np.random.default_rng(seed).normal(0, 0.1, (channels, TIME))
    return torch.from_numpy(drawn).float()


def tone(hertz, amplitude=0.1):
    wave = amplitude * np.sin(2 * np.pi * hertz * np.arange(TIME) / RATE)
    return torch.from_numpy(np.stack([wave, wave])).float()


def clicks(period, start=0):
    samples = 1e-4 * noise(9)
    samples[:, start::period] += 0.5
    return samples


def powers(samples, n_fft=2048, hop=512):
    """(channels, frames, bins) and the bins' Hz, without any code of ours but the definition."""
    padded = np.pad(samples.double().numpy(), ((0, 0), (n_fft // 2, n_fft // 2)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, n_fft, axis=-1)[:, ::hop]
    spectrum = np.fft.rfft(frames * scipy.signal.get_window("hann", n_fft))
    return spectrum, np.abs(spectrum) ** 2, np.arange(n_fft // 2 + 1) * RATE / n_fft


# From 6 to 18 kHz: three half octaves, of which the last takes the stub above it; nine sixths and a half.
HALVES = [6000.0, 6000 * 2**0.5, 12_000.0, 18_000.0]
SIXTHS = [6000 * 2 ** (place / 6) for place in range(10)] + [18_000.0]


def within(hertz, edges):
    return [(hertz >= low) & (hertz < high) for low, high in itertools.pairwise(edges)]


def unlike():
    """Two sounds that differ in level, grain, attacks and image."""
    true = noise(3) * torch.linspace(0.2, 1, TIME) + clicks(5000)
    made = 0.5 * noise(4) + 0.7 * clicks(5000, 300) + tone(9000.0, 0.02)
    return true, made * torch.tensor([[1.0], [0.6]]) + 0.2 * made.flip(0)


def alike():
    """The same, with tones in common."""
    true, made = unlike()
    tones = sum(tone(hertz) for hertz in (7000.0, 11_000.0, 13_000.0, 16_000.0))
    return true + tones, made + 0.5 * tones


def test_level_error_is_its_formula():
    means = []
    for samples in unlike():
        _, power, hertz = powers(samples)
        means.append(power[..., (hertz >= LOW) & (hertz < HIGH)].mean())
    expected = abs(10 * np.log10(means[1] / means[0]))
    assert expected > 0.5
    assert high_band.level_error(*unlike(), RATE, LOW, HIGH) == pytest.approx(expected, rel=1e-4)


def test_flatness_error_is_its_formula():
    errors = []
    (_, true, hertz), (_, made, _) = map(powers, unlike())
    for bins in within(hertz, HALVES):
        flat = []
        for power in (true, made):
            own = np.maximum(power[..., bins], 1e-8)
            flat.append(10 * np.log10(scipy.stats.gmean(own, axis=-1) / own.mean(axis=-1)))
        errors.append(np.abs(flat[1] - flat[0]))
    assert np.mean(errors) > 0.5
    found = high_band.flatness_error(*unlike(), RATE, LOW, HIGH)
    assert found == pytest.approx(np.mean(errors), rel=1e-3)


def test_partials_are_their_formula():
    curves = []
    for samples in alike():
        _, power, hertz = powers(samples)
        bels = np.log10(np.maximum(power[..., (hertz >= LOW) & (hertz < HIGH)], 1e-8))
        around = [bels[..., max(0, k - 16) : k + 17].mean(axis=-1) for k in range(bels.shape[-1])]
        curves.append((bels - np.stack(around, axis=-1)).ravel())
    expected = np.corrcoef(*curves)[0, 1]
    assert 0.1 < abs(expected) < 0.95
    assert high_band.partials_correlation(*alike(), RATE, LOW, HIGH) == pytest.approx(expected, abs=1e-4)


def test_onsets_are_their_formula():
    levels = []
    for samples in unlike():
        _, power, hertz = powers(samples, 1024, 256)
        levels.append(np.stack([power[..., bins].mean(axis=(0, 2)) for bins in within(hertz, SIXTHS)]))
    floor = levels[0].max() * 1e-6
    decibels = [10 * np.log10(np.maximum(level, floor)) for level in levels]
    curves = [np.maximum(np.diff(own, axis=1), 0).mean(axis=0) for own in decibels]
    expected = np.corrcoef(*curves)[0, 1]
    assert 0.1 < abs(expected) < 0.95
    assert high_band.onset_correlation(*unlike(), RATE, LOW, HIGH) == pytest.approx(expected, abs=1e-3)


def test_image_errors_are_their_formulas():
    differences, coherences = [], []
    for samples in unlike():
        spectrum, power, hertz = powers(samples)
        chosen = within(hertz, HALVES)
        left, right = (np.stack([side[:, bins].mean(axis=1) + 1e-9 for bins in chosen]) for side in power)
        cross = np.stack([(spectrum[0] * spectrum[1].conj())[:, bins].mean(axis=1) for bins in chosen])
        differences.append(10 * np.log10(left / right))
        coherences.append(np.abs(cross) / np.sqrt(left * right))
    expected = [np.abs(own[1] - own[0]).mean() for own in (differences, coherences)]
    assert expected[0] > 0.5
    assert expected[1] > 0.1
    assert high_band.image_error(*unlike(), RATE, LOW, HIGH) == pytest.approx(expected, rel=1e-3)


def test_bands_adjoin_and_a_stub_joins_the_last():
    assert high_band.bands(5000, 20_000, 1) == [(5000, 10_000), (10_000, 20_000)]
    assert high_band.bands(5000, 11_000, 1) == [(5000, 11_000)]
    assert high_band.bands(5000, 15_000, 1) == [(5000, 10_000), (10_000, 15_000)]
    assert high_band.bands(8000, 8500, 1) == [(8000, 8500)]
    assert len(high_band.bands(5000, 20_000, 2)) == 4


@pytest.mark.parametrize("decibels", [-20, -3, 6])
def test_level_error_is_the_gain(decibels):
    louder = noise() * 10 ** (decibels / 20)
    assert high_band.level_error(noise(), louder, RATE, LOW, HIGH) == pytest.approx(abs(decibels), abs=1e-3)


def test_level_error_sees_its_own_band_alone():
    assert high_band.level_error(noise(), noise() + tone(1000, 1.0), RATE, LOW, HIGH) < 0.01  # its ends click


def test_sound_above_the_band_does_not_count():
    louder = noise() + tone(20_000, 1.0)
    assert high_band.level_error(noise(), louder, RATE, LOW, HIGH) < 0.05
    assert high_band.flatness_error(noise(), louder, RATE, LOW, HIGH) < 0.05


def test_level_of_silence_is_finite():
    found = high_band.level_error(noise(), torch.zeros(2, TIME), RATE, LOW, HIGH)
    assert 80 < found < 200


def test_flatness_of_white_noise_is_eulers_constant():
    # The power of a bin is exponentially distributed: the mean of its logarithm is that of its mean,
    # less Euler's constant. Neighbours share a window's main lobe, so a band's own mean varies a little.
    spectrum = torch.stft(noise(0, 8), 2048, 512, window=torch.hann_window(2048), return_complex=True)
    flatness = high_band._flatness(spectrum[:, 200:900])
    assert float(flatness.mean()) == pytest.approx(-10 * 0.5772157 / math.log(10), abs=0.1)


def test_flatness_does_not_see_the_level_and_sees_tones():
    quieter = high_band.flatness_error(noise(), 0.1 * noise(), RATE, LOW, HIGH)
    other = high_band.flatness_error(noise(), noise(1), RATE, LOW, HIGH)
    tones = sum(tone(hertz) for hertz in (7000.0, 10_000.0, 14_000.0, 17_500.0)) + 1e-3 * noise()
    assert quieter == pytest.approx(0, abs=1e-3)
    assert other < 1
    assert high_band.flatness_error(tones, noise(), RATE, LOW, HIGH) > 10


def test_frames_without_a_high_band_in_the_reference_do_not_count_in_flatness():
    assert high_band.flatness_error(torch.zeros(2, TIME), noise(), RATE, LOW, HIGH) == 0


def test_partials_in_their_place_correlate_and_noise_does_not():
    true = sum(tone(hertz) for hertz in np.arange(6300, 18_000, 700.0)) + 0.01 * noise()
    other = sum(tone(hertz) for hertz in np.arange(6650, 18_000, 700.0)) + 0.01 * noise(1)

    def partials(made):
        return high_band.partials_correlation(true, made, RATE, LOW, HIGH)

    assert partials(true) == pytest.approx(1, abs=1e-6)
    assert partials(0.1 * true + 0.001 * noise(2)) > 0.8, "the level does not matter"
    assert partials(other) < 0
    assert abs(partials(noise(5))) < 0.1
    assert partials(torch.zeros(2, TIME)) == 0


def test_onsets_in_their_place_correlate_and_level_does_not_matter():
    true = clicks(4000)
    assert high_band.onset_correlation(true, true, RATE, LOW, HIGH) == pytest.approx(1, abs=1e-6)
    assert high_band.onset_correlation(true, 0.5 * true, RATE, LOW, HIGH) > 0.95


def test_onsets_elsewhere_or_nowhere_do_not_correlate():
    true = clicks(4000)
    assert abs(high_band.onset_correlation(true, clicks(4000, 2000), RATE, LOW, HIGH)) < 0.2
    assert abs(high_band.onset_correlation(true, noise(), RATE, LOW, HIGH)) < 0.2
    assert high_band.onset_correlation(true, torch.zeros(2, TIME), RATE, LOW, HIGH) == 0


def test_falls_are_no_onsets():
    time = torch.arange(TIME)
    short, long = (1e-3 + ((time >= 8000) & (time < end)) for end in (16_000, TIME))
    assert high_band.onset_correlation(noise() * short, noise() * long, RATE, LOW, HIGH) > 0.9


def test_onsets_below_the_cutoff_do_not_count():
    sos = scipy.signal.ellip(10, 0.1, 100, 3000, fs=RATE, output="sos")
    drums = torch.from_numpy(scipy.signal.sosfilt(sos, clicks(3000).numpy())).float()
    without, found = (
        high_band.onset_correlation(clicks(4000), clicks(4000) + extra, RATE, LOW, HIGH)
        for extra in (0 * drums, drums)
    )
    assert found == pytest.approx(without, abs=0.05)


@pytest.mark.parametrize("decibels", [-6.0, 12.0])
def test_a_louder_channel_is_an_error_of_its_decibels_and_no_error_of_coherence(decibels):
    estimate = noise() * torch.tensor([[10 ** (decibels / 20)], [1.0]])
    level, coherence = high_band.image_error(noise(), estimate, RATE, LOW, HIGH)
    assert level == pytest.approx(abs(decibels), abs=0.01)
    assert coherence == pytest.approx(0, abs=1e-3)


def test_a_mono_high_band_for_a_wide_one_is_an_error_of_coherence():
    mono = noise(1, 1).repeat(2, 1)
    _, coherence = high_band.image_error(noise(), mono, RATE, LOW, HIGH)
    assert coherence > 0.8
    assert high_band.image_error(mono, -0.5 * mono, RATE, LOW, HIGH) == pytest.approx((0, 0), abs=1e-4)


def test_silence_counts_as_in_the_middle_and_incoherent():
    left = noise() * torch.tensor([[2.0], [1.0]])
    level, _ = high_band.image_error(left, torch.zeros(2, TIME), RATE, LOW, HIGH)
    true = 20 * math.log10(2)
    assert level == pytest.approx(true, abs=1)
