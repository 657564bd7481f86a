"""Alignment: known changes of a known signal are found, corrected, and described."""

import numpy as np
import pytest
import soxr

from overtone.core.errors import OvertoneError
from overtone.evaluation.comparison.alignment import Correction, align, applied, describe, summary

RATE, CUTOFF = 44100, 5000.0


@pytest.fixture
def sound(rng):
    """Three seconds of stereo noise that falls with frequency as music does, up to 16 kHz."""
    spectrum = np.fft.rfft(rng.normal(0, 1, (2, 3 * RATE)))
    hertz = np.fft.rfftfreq(3 * RATE, 1 / RATE)
    spectrum *= np.where((hertz > 30) & (hertz < 16000), 1 / (1 + hertz / 200), 0)
    made = np.fft.irfft(spectrum)
    return (0.3 * made / np.abs(made).max()).astype(np.float32)


def late(samples, lag):
    """Delayed by a whole number of samples, the rest cut off."""
    return np.pad(samples, ((0, 0), (lag, 0)))[:, : samples.shape[1]]


def shifted(samples, lag):
    """Delayed by any number of samples, around the end."""
    turned = np.exp(-2j * np.pi * np.fft.rfftfreq(samples.shape[1]) * lag)
    return np.fft.irfft(np.fft.rfft(samples) * turned, samples.shape[1]).astype(np.float32)


def error(aligned, sound, margin=2000):
    """Level of the difference below the sound, in dB, without the ends."""
    inner = slice(margin, -margin)
    return 10 * np.log10(((aligned - sound)[:, inner] ** 2).sum() / (sound[:, inner] ** 2).sum() + 1e-20)


def test_an_aligned_signal_comes_back_as_it_is(sound):
    aligned, found = align(sound, RATE, sound, RATE, CUTOFF)
    assert np.array_equal(aligned, sound)
    assert found._replace(lag=round(found.lag, 3), gain_db=round(found.gain_db, 4)) == (RATE, 0, 0, False, 0)


@pytest.mark.parametrize("lag", [1, 100, 20000])
def test_a_delay_in_samples_is_corrected_exactly(sound, lag):
    aligned, found = align(late(sound, lag), RATE, sound, RATE, CUTOFF)
    assert found.lag == lag
    assert np.array_equal(aligned[:, :-lag], sound[:, :-lag])
    longer, _ = align(np.pad(sound, ((0, 0), (lag, 0))), RATE, sound, RATE, CUTOFF)
    assert np.array_equal(longer, sound)


@pytest.mark.parametrize("lag", [0.5, 91.875, -7.25])
def test_a_fraction_of_a_sample_is_found_and_corrected(sound, lag):
    aligned, found = align(shifted(sound, lag), RATE, sound, RATE, CUTOFF)
    assert found.lag == pytest.approx(lag, abs=0.003)
    assert error(aligned, sound) < -50


@pytest.mark.parametrize(("gain_db", "sign"), [(-3.0, 1), (6.0, -1), (0.0, -1)])
def test_level_and_polarity_are_found_and_corrected(sound, gain_db, sign):
    aligned, found = align(sound * np.float32(sign * 10 ** (gain_db / 20)), RATE, sound, RATE, CUTOFF)
    assert found.gain_db == pytest.approx(gain_db, abs=0.001)
    assert found.inverted == (sign < 0)
    assert error(aligned, sound) < -100


@pytest.mark.parametrize("rate", [48000, 96000])
def test_another_rate_is_converted(sound, rate):
    there = soxr.resample(sound.T, RATE, rate, quality="VHQ").T
    aligned, found = align(there, rate, sound, RATE, CUTOFF)
    assert found.rate == rate
    assert abs(found.lag) < 0.003
    assert aligned.shape == sound.shape
    assert error(aligned, sound) < -80


def test_all_at_once_at_another_rate(sound):
    """100 samples at 48 kHz are 91.875 at 44.1 kHz."""
    there = soxr.resample(sound.T, RATE, 48000, quality="VHQ").T
    there = -0.5 * np.pad(there, ((0, 0), (100, 48000)))
    aligned, found = align(there, 48000, sound, RATE, CUTOFF)
    assert found.lag == pytest.approx(91.875, abs=0.003)
    assert found.gain_db == pytest.approx(20 * np.log10(0.5), abs=0.001)
    assert found.inverted
    assert found.longer == pytest.approx(1 + 100 / 48000, abs=1e-4)
    assert error(aligned, sound) < -50


def test_a_shorter_output_ends_in_silence(sound):
    aligned, found = align(sound[:, :-300], RATE, sound, RATE, CUTOFF)
    assert np.array_equal(aligned[:, :-300], sound[:, :-300])
    assert not aligned[:, -300:].any()
    assert found.longer == pytest.approx(-300 / RATE)


def test_the_high_band_has_no_influence(sound, rng):
    """Loud, late and inverted noise above the cutoff moves nothing below it."""
    spectrum = np.fft.rfft(rng.normal(0, 0.2, sound.shape))
    spectrum[:, np.fft.rfftfreq(sound.shape[1], 1 / RATE) < CUTOFF + 100] = 0
    high = np.fft.irfft(spectrum).astype(np.float32)
    aligned, found = align(sound + high, RATE, sound - late(high, 50), RATE, CUTOFF)
    assert abs(found.lag) < 0.01
    assert abs(found.gain_db) < 0.01
    assert not found.inverted
    assert error(aligned, sound + high) < -80


def test_an_output_for_silence_stays_where_it_is(sound):
    aligned, found = align(sound, RATE, np.zeros_like(sound), RATE, CUTOFF)
    assert np.array_equal(aligned, sound)
    assert found == (RATE, 0, 0, False, 0)


def test_a_steady_tone_stays_where_it_is():
    """Its every period looks alike; nothing is moved by one."""
    tone = 0.5 * np.sin(2 * np.pi * 1000 / RATE * np.arange(RATE))[None].astype(np.float32)
    aligned, found = align(tone, RATE, tone, RATE, CUTOFF)
    assert found.lag == 0
    assert np.array_equal(aligned, tone)


@pytest.mark.parametrize("time", [400, 20000, RATE])
@pytest.mark.parametrize("lag", [0, 5, 30000])
def test_sound_shorter_than_the_longest_lag_is_aligned_too(rng, time, lag):
    short = rng.normal(0, 0.1, (1, time)).astype(np.float32)
    aligned, found = align(np.pad(2 * short, ((0, 0), (lag, 0))), RATE, short, RATE, CUTOFF)
    assert (found.lag, round(found.gain_db, 2)) == (lag, 6.02)
    np.testing.assert_allclose(aligned, short, rtol=1e-4)


def test_channels_move_together(sound):
    """A channel of its own, silent here, is not aligned for itself."""
    one = sound * np.array([[1], [0]], np.float32)
    aligned, found = align(late(one, 10), RATE, one, RATE, CUTOFF)
    assert found.lag == 10
    assert not aligned[1].any()


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda s, rng: s[:1], "it has 1 channel, the input 2"),
        (lambda s, rng: s[:, : RATE // 2], "it is 2.5 s shorter than the input"),
        (lambda s, rng: s * np.float32(np.nan), "it holds samples that are not numbers"),
        (lambda s, rng: rng.normal(0, 0.1, s.shape).astype(np.float32), "nothing in common with the input"),
        (lambda s, rng: s * 0, "nothing in common with the input below 5000 Hz (correlation 0.00)"),
    ],
)
def test_a_wrong_output_is_one_line(sound, rng, wrong, message):
    with pytest.raises(OvertoneError) as caught:
        align(wrong(sound, rng), RATE, sound, RATE, CUTOFF)
    assert message in str(caught.value)


def test_corrections_are_described_in_a_few_words():
    none = Correction(RATE, 0.0, 0.0, False, 0.0)
    assert describe([none, none], RATE) == ""
    some = Correction(48000, 100.0, -3.0, True, 0.5)
    assert describe([some], RATE) == "48 kHz, +100.00 samples late, -3.00 dB, inverted, +0.500 s longer"
    assert describe([none, some], RATE) == (
        "48 kHz, +0.00 to +100.00 samples late, -3.00 to +0.00 dB, inverted in 1 of 2 files, "
        "+0.000 to +0.500 s longer"
    )
    assert summary([none, some])["lag"] == [0.0, 100.0]
    assert summary([none, some])["inverted"] == [False, True]


@pytest.mark.parametrize(
    ("gain_db", "inverted", "large"),
    [(0.0, False, False), (6.0, False, False), (-6.0, False, False), (6.1, False, True), (0.0, True, True)],
)
def test_an_inversion_or_more_than_6_db_is_a_large_correction(gain_db, inverted, large):
    assert Correction(RATE, 0.0, gain_db, inverted, 0.0).large == large


def test_an_empty_and_a_large_correction_of_a_network_are_not_applied():
    assert applied(Correction(RATE, 0.0, -3.0, False, 0.0), RATE)
    assert not applied(Correction(RATE, 0.0, 0.0, False, 0.0), RATE)
    assert not applied(Correction(RATE, 0.0, -3.0, True, 0.0), RATE)
    assert not applied(None, RATE)
