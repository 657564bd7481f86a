"""Distances: against NumPy and SciPy, against theory, and finite where a formula is not."""

import json
import math

import auraloss
import numpy as np
import pytest
import scipy.signal
import torch
import torchmetrics

from overtone.evaluation.metrics import distances
from overtone.evaluation.metrics.registry import SCORES

RATE = 44_100
LENGTH = 30_000


def music(seed: int = 0, channels: int = 1) -> torch.Tensor:
    """Noise whose spectrum falls with frequency, as that of music does."""
    white = np.random.default_rng(seed).normal(size=(channels, LENGTH))
    return torch.from_numpy(0.1 * scipy.signal.lfilter([1], [1, -0.95], white)).float()


def log_powers(samples: torch.Tensor) -> np.ndarray:
    """(channels, frames, 1025) without any code of ours but the definition."""
    padded = np.pad(samples.double().numpy(), ((0, 0), (1024, 1024)))
    frames = np.lib.stride_tricks.sliding_window_view(padded, 2048, axis=-1)[:, ::512]
    spectrum = np.fft.rfft(frames * scipy.signal.get_window("hann", 2048))
    return np.log10(np.maximum(np.abs(spectrum) ** 2, 1e-8))


@pytest.mark.parametrize(("low", "high"), [(0, None), (0, 4800), (4800, None), (6000, 12_000)])
def test_log_spectral_distance_is_its_formula(low: float, high: float | None) -> None:
    reference, estimate = music(0, 2), music(1, 2)
    hertz = np.arange(1025) * RATE / 2048
    bins = (hertz >= low) & (hertz < (high or math.inf))
    squares = (log_powers(reference) - log_powers(estimate))[..., bins] ** 2
    expected = np.sqrt(squares.mean(axis=-1)).mean()
    found = distances.log_spectral_distance(reference, estimate, RATE, low, high)
    assert found == pytest.approx(expected, rel=1e-4)


def test_log_spectral_distance_of_a_tenth_of_the_amplitude_is_two_bels() -> None:
    assert distances.log_spectral_distance(music(), 0.1 * music(), RATE) == pytest.approx(2, abs=1e-3)


def test_log_spectral_distance_of_the_very_quiet_is_limited_by_the_floor() -> None:
    reference, estimate = music(0), 1e-6 * music(1)
    squares = (log_powers(reference) - log_powers(estimate)) ** 2
    expected = np.sqrt(squares.mean(axis=-1)).mean()
    assert distances.log_spectral_distance(reference, estimate, RATE) == pytest.approx(expected, rel=1e-4)


def test_log_spectral_distance_counts_all_below_the_floor_as_silent() -> None:
    assert distances.log_spectral_distance(1e-8 * music(), torch.zeros(1, LENGTH), RATE) == 0


def test_distance_by_frequency_is_its_formula() -> None:
    reference, estimate = music(0, 2), music(1, 2)
    squares = (log_powers(reference) - log_powers(estimate)) ** 2
    found = distances.distance_by_frequency(reference, estimate)
    np.testing.assert_allclose(found, np.sqrt(squares.mean(axis=(0, 1))), rtol=1e-3)


def test_paper_stft_is_its_formula() -> None:
    reference, estimate = music(0), music(1)
    parts = []
    for n_fft, hop, window in ((1024, 120, 600), (2048, 240, 1200), (512, 50, 240)):
        hann = np.pad(scipy.signal.get_window("hann", window), (n_fft - window) // 2)
        true, made = (
            np.abs(
                np.fft.rfft(
                    np.lib.stride_tricks.sliding_window_view(
                        np.pad(samples.double().numpy()[0], n_fft // 2), n_fft
                    )[::hop]
                    * hann
                )
            )
            for samples in (reference, estimate)
        )
        parts.append(np.linalg.norm(true - made) / np.linalg.norm(true) + np.abs(true - made).mean())
    assert distances.paper_stft(reference, estimate) == pytest.approx(np.mean(parts), rel=1e-4)


def test_paper_stft_does_not_see_the_sign() -> None:
    assert distances.paper_stft(music(), -music()) == pytest.approx(0, abs=1e-6)


def test_l1_and_mse_of_a_constant_difference() -> None:
    assert distances.l1(music(), music() + 0.5) == pytest.approx(0.5, rel=1e-6)
    assert distances.mse(music(), music() - 0.5) == pytest.approx(0.25, rel=1e-6)


def test_l1_and_mse_are_their_formulas() -> None:
    true, made = (music(seed, 2) for seed in (0, 1))
    difference = true.double().numpy() - made.double().numpy()
    assert distances.l1(true, made) == pytest.approx(np.abs(difference).mean(), rel=1e-5)
    assert distances.mse(true, made) == pytest.approx((difference**2).mean(), rel=1e-5)


@pytest.mark.parametrize("decibels", [-20, 0, 30])
def test_snr_of_noise_added_at_a_known_level(decibels: float) -> None:
    reference, noise = music(0), music(1)
    noise = noise * reference.norm() / noise.norm() * 10 ** (-decibels / 20)
    assert distances.snr(reference, reference + noise) == pytest.approx(decibels, abs=1e-3)


@pytest.mark.parametrize("gain", [0.01, -1, 3])
def test_si_sdr_does_not_see_level_or_sign(gain: float) -> None:
    reference, estimate = music(0), music(0) + music(1)
    expected = distances.si_sdr(reference, estimate)
    assert distances.si_sdr(reference, gain * estimate) == pytest.approx(expected, abs=1e-3)


def test_si_sdr_of_orthogonal_noise_is_the_ratio_of_energies() -> None:
    reference = torch.tensor([[3.0, 0.0, 0.0]])
    assert distances.si_sdr(reference, torch.tensor([[3.0, 0.3, 0.0]])) == pytest.approx(20, abs=1e-4)


SILENT = torch.zeros(1, LENGTH)


@pytest.mark.parametrize(
    ("reference", "estimate", "snr", "si_sdr"),
    [
        (music(), music(), distances.LIMIT, distances.LIMIT),
        (music(), SILENT, 0, -distances.LIMIT),
        (SILENT, music(), -distances.LIMIT, -distances.LIMIT),
        (SILENT, SILENT, distances.LIMIT, -distances.LIMIT),
    ],
    ids=["perfect", "silent estimate", "silent reference", "both silent"],
)
def test_scores_of_silence_and_perfection_are_finite(
    reference: torch.Tensor, estimate: torch.Tensor, snr: float, si_sdr: float
) -> None:
    found = distances.measure(reference, estimate, RATE, 4800, RATE / 2)
    found |= distances.measure_paper(reference, estimate)
    assert (found["snr"], found["si_sdr"]) == (snr, si_sdr)
    json.dumps(found, allow_nan=False)


def test_every_metric_is_in_the_registry() -> None:
    paper = distances.measure_paper(music(0), music(1))
    stereo = distances.measure(music(0, 2), music(1, 2), RATE, 4800, RATE / 2)
    assert {*paper, *stereo} == {*SCORES} - {"visqol", "c2st"}


def test_mono_has_no_stereo_image() -> None:
    stereo, mono = (
        distances.measure(music(0, channels), music(1, channels), RATE, 4800, RATE / 2) for channels in (2, 1)
    )
    assert {*stereo} - {*mono} == {"image_level", "image_coherence", "side_width"}


def test_samples_beyond_full_scale_count_by_second_in_the_worse_channel() -> None:
    samples = torch.zeros(2, RATE // 2)
    samples[0, :3] = torch.tensor([1.0, 1.01, -1.5])
    samples[1, 7] = 2.0
    assert distances.clipped(samples, RATE) == pytest.approx(4)  # two in half a second
    assert distances.clipped(torch.ones(1, RATE), RATE) == 0


def high_pass(samples: torch.Tensor, edge: float) -> torch.Tensor:
    sos = scipy.signal.ellip(8, 0.1, 100, edge, "high", fs=RATE, output="sos")
    return torch.from_numpy(scipy.signal.sosfiltfilt(sos, samples.numpy()).copy()).float()


def test_measure_splits_the_spectrum_at_the_cutoff() -> None:
    high = high_pass(music(1), RATE / 4)
    found = distances.measure(music(), music() + high, RATE, RATE / 8, RATE / 2)
    assert found["lsd_low"] < 0.01 < 0.1 < found["lsd_high"]


def test_sound_above_the_bandwidth_counts_in_the_full_distance_alone() -> None:
    reference = music(0, 2) - high_pass(music(0, 2), 15_000)
    reference -= high_pass(reference, 15_000)
    estimate = reference + high_pass(music(1, 2), 17_500)
    found = distances.measure(reference, estimate, RATE, 8000, 16_000)
    assert found.pop("lsd_full") > 0.5
    for key in ("lsd", "lsd_high", "lsd_octave_1", "level_error", "flatness_error", "image_level"):
        assert found[key] < 0.05, key


def test_silence_does_not_win_above_the_cutoff_of_a_track_that_ends_at_16_khz() -> None:
    reference = music(0) - high_pass(music(0), 16_000)
    plausible = music(1) - high_pass(music(1), 16_000)
    silent = reference - high_pass(reference, 8000)
    made, none = (
        distances.measure(reference, estimate, RATE, 8000, 16_000)["lsd_high"]
        for estimate in (plausible, silent)
    )
    assert made < none / 2


def test_a_track_without_a_high_band_has_no_scores_of_it() -> None:
    found = distances.measure(music(0, 2), music(1, 2), RATE, 8000, 8300)
    assert {"lsd", "lsd_full", "lsd_low", "si_sdr", "snr", "mrstft", "clipped"} == {*found}


def test_an_octave_that_the_track_does_not_reach_is_missing() -> None:
    found = distances.measure(music(0), music(1), RATE, 11_025, RATE / 2)
    assert "lsd_octave_2" not in found
    assert found["lsd_octave_1"] == pytest.approx(found["lsd_high"], rel=1e-6)


def test_octaves_are_their_own_ranges() -> None:
    found = distances.measure(music(0), music(1), RATE, 5000, 18_000)
    for key, low, high in (("lsd_octave_1", 5000, 10_000), ("lsd_octave_2", 10_000, 18_000)):
        expected = distances.log_spectral_distance(music(0), music(1), RATE, low, high)
        assert found[key] == pytest.approx(expected, rel=1e-6)


def test_multi_resolution_stft_is_auraloss_s() -> None:
    reference, estimate = music(0, 2), music(1, 2)
    for samples in (reference, estimate):  # silent ends: zeros and mirror images beyond them are the same
        samples[:, :1100] = samples[:, -1100:] = 0
    expected = auraloss.freq.MultiResolutionSTFTLoss()(estimate[None], reference[None])
    assert distances.multi_resolution_stft(reference, estimate) == pytest.approx(float(expected), rel=1e-4)


def test_snr_and_si_sdr_are_those_of_torchmetrics() -> None:
    reference, estimate = music(0), music(0) * 0.7 + 0.3 * music(1)
    expected = torchmetrics.functional.audio.signal_noise_ratio(estimate, reference)
    assert distances.snr(reference, estimate) == pytest.approx(float(expected), abs=1e-3)
    scale_free = torchmetrics.functional.audio.scale_invariant_signal_distortion_ratio(estimate, reference)
    assert distances.si_sdr(reference, estimate) == pytest.approx(float(scale_free), abs=1e-3)


def test_magnitudes_instead_of_powers_halve_the_distance() -> None:
    reference, estimate = music(0), music(1)
    squares = ((log_powers(reference) - log_powers(estimate)) / 2) ** 2
    halved = np.sqrt(squares.mean(axis=-1)).mean()
    assert distances.log_spectral_distance(reference, estimate, RATE) == pytest.approx(2 * halved, rel=1e-4)


def test_ap_bwe_has_our_full_distance() -> None:
    reference, estimate = music(0), music(1)
    for samples in (reference, estimate):  # silent ends: zeros and mirror images beyond them are the same
        samples[:, :1100] = samples[:, -1100:] = 0
    window = torch.hann_window(2048)
    true, made = (
        torch.stft(samples, 2048, 512, window=window, return_complex=True).abs().square().clamp(1e-8).log10()
        for samples in (reference, estimate)
    )
    expected = float((true - made).square().mean(dim=1).sqrt().mean())
    assert distances.log_spectral_distance(reference, estimate, RATE) == pytest.approx(expected, rel=1e-4)


def test_ssr_eval_s_form_is_ours_where_both_are_loud() -> None:
    reference, estimate = music(0), music(1)
    true, made = 10 ** log_powers(reference), 10 ** (log_powers(estimate) / 2)
    ratio = np.log10(true / (made + 1e-12) ** 2 + 1e-12)
    expected = np.sqrt((ratio**2).mean(axis=-1)).mean()
    assert distances.log_spectral_distance(reference, estimate, RATE) == pytest.approx(expected, rel=1e-3)
