"""Baselines: levels against theory, tones at their frequencies, nothing lost below or above."""

import math
from collections.abc import Callable

import pytest
import scipy.signal
import torch

from overtone.audio import stft
from overtone.evaluation.comparison.baselines import (
    BASELINES,
    band_replication,
    keep_input,
    noise_fill,
    silence,
)

RATE = 44_100
CUTOFF = 4800.0
Baseline = Callable[[torch.Tensor, float, int], torch.Tensor]
ADDING: list[Baseline] = [noise_fill, band_replication]


def white(seconds: float = 2, channels: int = 1) -> torch.Tensor:
    return 0.1 * torch.randn(channels, int(seconds * RATE), generator=torch.Generator().manual_seed(1))


def low_passed(samples: torch.Tensor) -> torch.Tensor:
    """White noise as it is up to the cutoff, and nothing above."""
    return samples - stft.keep_high_band(samples, CUTOFF, RATE)


def decibels(samples: torch.Tensor, low: float, high: float) -> float:
    """The mean power per hertz between two frequencies."""
    power = torch.fft.rfft(samples.double()).abs().square().mean(dim=0)
    hertz = torch.fft.rfftfreq(samples.shape[-1], 1 / RATE)
    return 10 * math.log10(float(power[(hertz >= low) & (hertz < high)].mean()))


@pytest.mark.parametrize("baseline", ADDING)
@pytest.mark.parametrize("octaves", [0.5, 1, 2])
def test_level_falls_by_12_db_per_octave_from_the_octave_below(baseline: Baseline, octaves: float) -> None:
    filled = baseline(low_passed(white()), CUTOFF, RATE)
    at = CUTOFF * 2**octaves
    below = decibels(filled, CUTOFF / 2, CUTOFF)
    assert decibels(filled, 0.97 * at, 1.03 * at) - below == pytest.approx(-12.04 * octaves, abs=1)


@pytest.mark.parametrize("baseline", ADDING)
def test_a_louder_input_has_a_louder_high_band(baseline: Baseline) -> None:
    samples = low_passed(white(1, 2))
    torch.testing.assert_close(
        baseline(4 * samples, CUTOFF, RATE), 4 * baseline(samples, CUTOFF, RATE), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("baseline", [keep_input, noise_fill, band_replication])
@pytest.mark.parametrize("length", [1000, 50_001])
def test_below_the_cutoff_the_output_is_the_input(baseline: Baseline, length: int) -> None:
    samples = white(2, 2)[:, :length]
    filled = baseline(samples, CUTOFF, RATE)
    assert filled.shape == samples.shape
    assert filled.dtype == torch.float32
    # A taper hides the file's ends, where anything is broadband; it spreads each frequency by four bins.
    taper = torch.from_numpy(scipy.signal.get_window("blackmanharris", length))
    below = torch.fft.rfftfreq(length, 1 / RATE) < CUTOFF - 4 * RATE / length
    change = torch.fft.rfft(taper * (filled - samples))[:, below].abs().square().sum()
    before = torch.fft.rfft(taper * samples)[:, below].abs().square().sum()
    assert float(change / before) < 1e-8  # -80 dB


@pytest.mark.parametrize("baseline", ADDING)
def test_content_above_the_wanted_level_is_kept(baseline: Baseline) -> None:
    # A gentle filter: white noise keeps above the cutoff far more than a fall of 12 dB per octave. In
    # single bins a random spectrum falls below the level, so a little is added even so.
    samples = white()
    filled = baseline(samples, CUTOFF, RATE)
    at = (4 * CUTOFF, RATE / 2)
    assert decibels(filled - samples, *at) < decibels(samples, *at) - 25


@pytest.mark.parametrize("baseline", ADDING)
def test_a_hole_above_the_cutoff_is_filled_where_it_is(baseline: Baseline) -> None:
    samples = torch.from_numpy(
        scipy.signal.sosfilt(scipy.signal.butter(8, 8000, fs=RATE, output="sos"), white().double())
    ).float()
    filled = baseline(samples, CUTOFF, RATE)
    assert decibels(filled, 6000, 7000) == pytest.approx(decibels(samples, 6000, 7000), abs=1)
    wanted = decibels(samples, CUTOFF / 2, CUTOFF) - 12.04 * math.log2(13_000 / CUTOFF)
    assert decibels(filled, 12_500, 13_500) == pytest.approx(wanted, abs=1)


def test_noise_fill_is_the_same_for_the_same_seed_only() -> None:
    samples = low_passed(white(0.5))
    assert torch.equal(noise_fill(samples, CUTOFF, RATE, 3), noise_fill(samples, CUTOFF, RATE, 3))
    assert not torch.equal(noise_fill(samples, CUTOFF, RATE, 3), noise_fill(samples, CUTOFF, RATE, 4))


@pytest.mark.parametrize("baseline", ADDING)
def test_equal_channels_stay_equal(baseline: Baseline) -> None:
    filled = baseline(low_passed(white(0.5)).expand(2, -1), CUTOFF, RATE)
    assert torch.equal(filled[0], filled[1])


@pytest.mark.parametrize("baseline", ADDING)
def test_fill_follows_the_level_in_time(baseline: Baseline) -> None:
    samples = low_passed(white(1))
    samples[:, RATE // 2 :] = 0
    filled = baseline(samples, CUTOFF, RATE)
    assert float(filled[:, RATE // 2 + 4096 :].abs().max()) < 1e-3 * float(filled.abs().max())


@pytest.mark.parametrize("copy", [1, 2, 3])
def test_band_replication_turns_a_steady_tone_into_steady_tones(copy: int) -> None:
    time = torch.arange(2 * RATE, dtype=torch.float64) / RATE
    tone = torch.sin(2 * torch.pi * 3500.3 * time)[None].float()
    filled = band_replication(tone, CUTOFF, RATE)
    width = round(CUTOFF / 2 / RATE * 2048) * RATE / 2048  # the shift is a whole number of bins
    hertz = 3500.3 + copy * width
    middle = filled[0, RATE // 2 : RATE // 2 + RATE].double() * torch.hann_window(RATE, dtype=torch.float64)
    power = torch.fft.rfft(middle).abs().square()
    near = power[round(hertz) - 40 : round(hertz) + 40]
    assert float(power[round(hertz) - 2 : round(hertz) + 3].sum() / near.sum()) > 0.999
    # What a sine of amplitude 1 leaves: half of its half power at positive frequencies, Hann's mean square.
    amplitude = math.sqrt(float(near.sum()) / (3 / 8 * RATE * RATE / 4))
    assert 20 * math.log10(amplitude * (hertz / CUTOFF) ** 2) == pytest.approx(0, abs=0.3)


@pytest.mark.parametrize("baseline", ADDING)
@pytest.mark.parametrize("cutoff", [30.0, 21_900.0, 22_050.0])
def test_cutoffs_at_the_ends_of_the_spectrum_give_finite_sound(baseline: Baseline, cutoff: float) -> None:
    assert baseline(white(0.2), cutoff, RATE).isfinite().all()


@pytest.mark.parametrize("baseline", ADDING)
def test_silence_stays_silent(baseline: Baseline) -> None:
    assert not baseline(torch.zeros(2, 10_000), CUTOFF, RATE).any()


def test_silence_is_zeros_and_input_is_untouched() -> None:
    samples = white(0.1, 2)
    assert torch.equal(silence(samples, CUTOFF, RATE), torch.zeros_like(samples))
    assert torch.equal(keep_input(samples, CUTOFF, RATE), samples)


def test_baselines_stand_in_the_order_of_the_table() -> None:
    assert list(BASELINES) == ["input", "silence", "noise fill", "band replication"]
