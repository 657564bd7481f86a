import numpy as np
import pytest
import torch
from scipy import signal
from torchaudio.functional import lowpass_biquad

from overtone.core.errors import OvertoneError
from overtone.data.pairs import degradation
from overtone.restoration.stream import limits

RATE = 44100
SECONDS = 1
MIDDLE = slice(RATE // 4, -RATE // 4)

FILTERS = [
    {"filter": "biquad"},
    {"filter": "biquad", "phase": "zero"},
    {"filter": "none"},
    *(
        {"filter": kind, "order": order, "phase": phase}
        for kind, order in (("butterworth", 8), ("chebyshev1", 6), ("elliptic", 5), ("bessel", 4))
        for phase in ("one_way", "zero")
    ),
]
NAMES = [" ".join(map(str, changes.values())) for changes in FILTERS]


def tone(frequency):
    time = torch.arange(RATE * SECONDS, dtype=torch.float64) / RATE
    return torch.sin(2 * torch.pi * frequency * time).float()[None]


def level_db(samples):
    return 20 * np.log10(float(samples[..., MIDDLE].square().mean().sqrt()) * np.sqrt(2) + 1e-12)


@pytest.mark.parametrize("changes", FILTERS, ids=NAMES)
def test_the_pair_lines_up_to_the_sample(degrade_settings, rng, changes):
    # Noise well below the cutoff: what the filter does to it is a delay and nothing else.
    sos = signal.butter(4, 1000, fs=RATE, output="sos")
    noise = signal.sosfiltfilt(sos, rng.standard_normal(RATE * SECONDS)).astype(np.float32)
    original = torch.from_numpy(noise.copy())[None]
    degraded = degradation.degrade(original, degrade_settings(**changes))
    assert degraded.shape == original.shape
    lags = range(-6, 7)
    match = [float((original * degraded.roll(-lag, -1))[..., MIDDLE].sum()) for lag in lags]
    assert lags[int(np.argmax(match))] == 0


@pytest.mark.parametrize("interpolation", ["sinc", "linear"])
def test_neither_interpolation_delays(degrade_settings, interpolation):
    settings = degrade_settings(filter="none", interpolation=interpolation)
    original = tone(200)
    error = (degradation.degrade(original, settings) - original)[..., MIDDLE]
    assert float(error.abs().max()) < 0.002  # a delay of one sample would be 0.028


# Where each design says that its passband ends: level within 0.1 dB at half the cutoff. The biquad is
# gentle by design: |H|^2 = 1 / (1 + (1/2)^4) there, -0.26 dB.
@pytest.mark.parametrize("changes", FILTERS, ids=NAMES)
def test_a_tone_below_the_cutoff_passes_as_the_design_says(degrade_settings, changes):
    settings = degrade_settings(**changes)
    level = level_db(degradation.degrade(tone(settings.cutoff_hz / 2), settings))
    passes = {"biquad": -0.25, "bessel": -0.65}.get(settings.filter, 0.0)
    assert level == pytest.approx(passes * (2 if settings.phase == "zero" else 1), abs=0.1)


# The authors' resampler folds what lies above the low rate's Nyquist frequency back at -52 dB.
@pytest.mark.parametrize("changes", FILTERS, ids=NAMES)
def test_a_tone_above_the_low_rates_nyquist_dies(degrade_settings, changes):
    assert level_db(degradation.degrade(tone(12000), degrade_settings(**changes))) < -50


# 1.5 times the cutoff, with the filter alone.
@pytest.mark.parametrize(
    ("changes", "attenuation"),
    [
        ({"filter": "biquad"}, 7.5),  # 10 log10(1 + 1.5^4) = 7.8, and more as the bilinear form bends
        ({"filter": "butterworth", "order": 8}, 28),  # 10 log10(1 + 1.5^16)
        ({"filter": "butterworth", "order": 8, "phase": "zero"}, 56),
        ({"filter": "chebyshev1", "order": 8}, 40),
        ({"filter": "elliptic", "order": 8}, 79),
    ],
)
def test_a_tone_just_above_the_cutoff_falls_as_the_design_says(degrade_settings, changes, attenuation):
    settings = degrade_settings(**changes)
    filtered = degradation.lowpass(tone(7200), degradation.sections(settings), settings.phase)
    assert level_db(filtered) < -attenuation


def test_the_biquad_is_the_authors(degrade_settings):
    settings = degrade_settings()
    noise = torch.from_numpy(np.random.default_rng(3).standard_normal((1, 2000)).astype(np.float32)) / 10
    theirs = lowpass_biquad(noise, RATE, 4800.0)
    ours = signal.sosfilt(degradation.sections(settings), noise.numpy())
    np.testing.assert_allclose(ours, theirs.numpy(), atol=1e-5)


def test_the_group_delay_is_what_scipy_measures(degrade_settings):
    sos = degradation.sections(degrade_settings(filter="elliptic", order=7))
    # At a low frequency: 0 Hz itself is where SciPy's formula is least exact.
    expected = sum(signal.group_delay((s[:3], s[3:]), w=[10.0], fs=RATE)[1][0] for s in sos)
    assert degradation.group_delay(sos) == pytest.approx(expected, rel=1e-3)


def test_the_authors_filter_delays_by_two_samples_that_are_taken_out(degrade_settings):
    assert round(degradation.group_delay(degradation.sections(degrade_settings()))) == 2


def test_the_cutoff_is_a_fraction_of_the_low_rates_nyquist(degrade_settings):
    assert degrade_settings().cutoff_hz == pytest.approx(4800)
    assert degrade_settings(low_rate=22050, cutoff=0.5).cutoff_hz == pytest.approx(5512.5)
    assert degrade_settings(filter="none").cutoff_hz == pytest.approx(8000)


def test_the_cutoffs_that_pass_are_those_that_restoring_takes():
    for cutoff in degradation.CUTOFFS:
        limits.check_cutoff(cutoff, 96000)
    for cutoff in (degradation.CUTOFFS[0] - 1, degradation.CUTOFFS[1] + 1):
        with pytest.raises(OvertoneError):
            limits.check_cutoff(cutoff, 96000)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"cutoff": 1.4},
            "degrade.cutoff is 1.4; it is a fraction of the Nyquist frequency, above 0 and below 1",
        ),
        ({"filter": "brick"}, "degrade.filter is 'brick'; it is one of biquad, butterworth"),
        ({"order": 4}, "degrade.order is 4; it is 2 for the biquad"),
        ({"filter": "bessel", "order": 0}, "degrade.order is 0; it is a filter order, 1 to 24"),
        ({"low_rate": 96000}, "degrade.low_rate is 96000; it is a rate in Hz, 1000 to degrade.rate (44100)"),
        (
            {"low_rate": 1000},
            "degrade.cutoff * degrade.low_rate / 2, the cutoff in Hz, is 300.0; it is 500 to 22050",
        ),
        (
            {"rate": 96000, "low_rate": 48000, "filter": "none"},
            "degrade.low_rate / 2, the cutoff in Hz, is 24000.0; it is 500 to 22050",
        ),
        ({"interpolation": "cubic"}, "degrade.interpolation is 'cubic'; it is one of sinc, linear"),
        ({"channels": "both"}, "degrade.channels is 'both'; it is one of mono, separate, side"),
        ({"phase": "two"}, "degrade.phase is 'two'; it is one of one_way, zero"),
        ({"stopband_db": 0.01}, "degrade.stopband_db is 0.01; it is an attenuation in dB"),
    ],
)
def test_a_bad_param_is_one_line(degrade_settings, changes, message):
    with pytest.raises(OvertoneError) as caught:
        degrade_settings(**changes)
    assert message in str(caught.value)
