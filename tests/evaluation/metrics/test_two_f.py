"""The 2f-model: its formula, the published bands and level of the ear model, the order of worse copies."""

import numpy as np
import pytest
import scipy.signal

from overtone.evaluation.metrics import two_f

RATE = 48_000


@pytest.fixture(scope="module")
def music():
    rng = np.random.default_rng(3)
    time = np.arange(3 * RATE) / RATE
    return (rng.normal(0, 0.05, (2, len(time))) * (1.1 + np.sin(9 * time))).astype(np.float32)


def lowpassed(samples, hertz):
    sos = scipy.signal.butter(10, hertz, fs=RATE, output="sos")
    return scipy.signal.sosfiltfilt(sos, samples).astype(np.float32)


def test_the_grade_is_the_published_formula():
    # Kastner and Herre 2019, equation (1); 86.3515 + 56.1345 / (1 + 0.8628^2) is beyond 100.
    assert two_f.grade(0, 0) == 100
    assert two_f.grade(2.0, 10.0) == pytest.approx(
        56.1345 / (1 + (-0.0282 * 10 - 0.8628) ** 2) - 27.1451 * 2 + 86.3515
    )
    assert two_f.grade(4.0, 50.0) == 0


def test_the_bands_are_those_of_the_standards_table():
    # BS.1387-1, table 6: the first, the second, the fifty-first and the last centre.
    centre = two_f._BANDS.centre
    assert len(centre) == 109
    assert centre[[0, 1, 50, 108]] == pytest.approx([91.708, 115.216, 2183.564, 17690.045], abs=0.002)


def test_every_bin_between_the_edges_is_shared_out_in_full():
    inside = (np.arange(1025) * RATE / 2048 > 120) & (np.arange(1025) * RATE / 2048 < 17_900)
    assert two_f._BANDS.share.sum(axis=0)[inside] == pytest.approx(1)


def test_a_tone_of_full_scale_has_92_decibels():
    tone = 32768 * np.sin(2 * np.pi * 1019.5 * np.arange(2048) / RATE)
    spectrum = np.abs(np.fft.rfft(tone * np.hanning(2048) * two_f._calibration()))
    assert 20 * np.log10(spectrum.max()) == pytest.approx(92, abs=0.01)


def test_spreading_falls_by_27_decibels_a_bark_downwards():
    power = np.full((1, 109), 1e-12)
    power[0, 60] = 1e6
    spread = 10 * np.log10(two_f._spread(power, two_f._BANDS.centre)[0])
    # Four bands are a Bark; spread bands add up in the exponent 0.4, of which the others here are nothing.
    assert spread[56] - spread[52] == pytest.approx(27, abs=0.1)
    assert spread[60] - spread[64] < 27, "loud sounds mask upwards"


def test_a_copy_has_100_and_less_and_less_treble_less_and_less(music):
    grades = [two_f.two_f(music, lowpassed(music, hertz), RATE) for hertz in (16_000, 8000, 4000)]
    assert two_f.two_f(music, music, RATE) == 100
    assert 100 > grades[0] > grades[1] > grades[2] > two_f.two_f(music, 0 * music, RATE)


def test_a_step_in_level_of_a_decibel_is_detected_and_a_tenth_of_one_is_not(music):
    def distorted(decibels):
        return two_f.variables(music, music * np.float32(10 ** (decibels / 20)), RATE)[0]

    assert distorted(0.1) == 0
    assert distorted(3.0) > 1


@pytest.mark.parametrize(
    ("hertz", "adb", "modulation"),
    [(16_000, 1.08011, 0.382776), (8000, 2.65386, 6.74506), (4000, 3.00038, 16.2767)],
)
def test_the_variables_are_those_of_another_implementation(hertz, adb, modulation):
    """Of peaqb (G. Gottardi's PEAQ in C, as akinori-ito/peaqb-fast has it) on the same sound in 16 bits."""
    time = np.arange(3 * RATE) / RATE
    sound = np.random.default_rng(3).normal(0, 0.05, len(time)) * (1.1 + np.sin(9 * time))
    sos = scipy.signal.butter(10, hertz, fs=RATE, output="sos")
    pair = (sound, scipy.signal.sosfiltfilt(sos, sound))
    found = two_f.variables(*(np.round(own * 32768)[None].astype(np.float32) / 32768 for own in pair), RATE)
    # Its bands' edges are the table's, it has one frame more, and averages over another stretch.
    assert found == pytest.approx((adb, modulation), rel=0.025)


def test_short_sound_and_silence_have_finite_grades(music):
    for length in (100, 2048, 5000):
        assert 0 <= two_f.two_f(music[:, :length], 0.5 * music[:, :length], RATE) <= 100
    assert two_f.two_f(0 * music, 0 * music, RATE) == 100
