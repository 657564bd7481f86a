import dataclasses

import numpy as np
import pytest
import torch

from overtone import coding
from overtone.augment import AugmentSettings, Batch, augment
from overtone.coding import CODINGS, RATE, code, through
from overtone.errors import OvertoneError

SETTINGS = AugmentSettings(filters=True, lowest=3000.0, highest=16000.0, gain_db=0.0, coded=0.5)
EVERY = dataclasses.replace(SETTINGS, coded=1.0)
COUNT, TIME = 12, 4096


@pytest.fixture
def batch():
    original = torch.randn(COUNT, TIME, generator=torch.Generator().manual_seed(2)) / 10
    bandwidth = torch.full((COUNT,), 20000.0)
    return Batch(original / 2, original, torch.full((COUNT,), 4800.0), bandwidth)


@pytest.mark.parametrize("choice", CODINGS, ids=lambda choice: f"{choice.subtype}-{choice.level:.2f}")
def test_a_coded_signal_lies_on_its_source_to_the_sample(rng, choice):
    # Hits in noise, as broad as the least of the codings lets through.
    hits = np.zeros(8192)
    hits[rng.integers(1000, 7000, 5)] = 1
    kernel = np.sinc(np.arange(-64, 65) / 4) * np.hanning(129)
    source = np.convolve(hits + 0.01 * rng.normal(size=8192), kernel, "same").astype(np.float32)
    made = through(source, choice)
    assert made.shape == source.shape
    assert made.dtype == np.float32
    match = np.correlate(made, source[100:-100], "valid")
    assert match.argmax() == 100
    # Within a tenth of a sample: the parabola through the peak and its neighbours.
    before, peak, after = match[99:102]
    assert abs((before - after) / (before - 2 * peak + after) / 2) < 0.1


@pytest.mark.parametrize("choice", CODINGS, ids=lambda choice: f"{choice.subtype}-{choice.level:.2f}")
def test_a_codecs_own_low_pass_begins_where_it_is_said_to(rng, choice):
    source = rng.normal(0, 0.1, 65536).astype(np.float32)
    made = through(source, choice)
    hertz = np.fft.rfftfreq(len(source), 1 / RATE)

    def gain(low, high):
        band = (hertz >= low) & (hertz < high)
        power = [np.square(np.abs(np.fft.rfft(samples)[band])).sum() for samples in (made, source)]
        return 10 * np.log10(power[0] / power[1])

    assert gain(choice.limit - 500, choice.limit) > -5
    if choice.limit < RATE / 2:
        assert gain(choice.limit + 1500, RATE / 2) < -15


def test_it_is_told_the_lower_of_the_filters_and_the_codecs_cutoff(batch, monkeypatch):
    used = []
    monkeypatch.setattr(coding, "through", lambda samples, choice: used.append(choice) or samples)
    plain = augment(batch, dataclasses.replace(SETTINGS, coded=0.0), RATE, 3)
    made = code(batch, EVERY, RATE, 3)
    assert len(used) == COUNT
    low, high = 0, 0
    for row, choice in enumerate(used):
        told, filters = float(made.cutoff[row]), float(plain.cutoff[row])
        assert told <= choice.limit
        if told < 0.99 * filters:
            assert 0.95 * choice.limit <= told
            low += 1
        else:
            assert told == pytest.approx(filters, rel=1e-5)
            high += 1
    assert low
    assert high


def test_the_codec_hears_the_low_passed_signal(batch, monkeypatch):
    plain = augment(batch, dataclasses.replace(SETTINGS, coded=0.0), RATE, 3)
    monkeypatch.setattr(coding, "through", lambda samples, choice: samples)
    made = augment(code(batch, EVERY, RATE, 3), EVERY, RATE, 3)
    torch.testing.assert_close(made.degraded, plain.degraded, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(made.original, plain.original)


def test_a_share_is_coded_and_the_rest_is_as_without(batch):
    plain = augment(batch, dataclasses.replace(SETTINGS, coded=0.0, gain_db=20.0), RATE, 5)
    settings = dataclasses.replace(SETTINGS, gain_db=20.0)
    made = augment(code(batch, settings, RATE, 5), settings, RATE, 5)
    same = [torch.equal(*rows) for rows in zip(made.degraded, plain.degraded, strict=True)]
    assert 3 <= same.count(True) <= 9
    assert torch.equal(made.original, plain.original)
    for row in range(COUNT):
        if same[row]:
            assert made.cutoff[row] == plain.cutoff[row]
        else:
            # The codec's noise, at the level of the signal that it was made for.
            error = (made.degraded - plain.degraded)[row].square().mean()
            assert 1e-4 < error / plain.degraded[row].square().mean() < 1


def test_the_number_of_threads_does_not_change_a_sample(batch, monkeypatch):
    made = []
    for jobs in ("1", "4"):
        monkeypatch.setenv("OVERTONE_JOBS", jobs)
        made.append(code(batch, EVERY, RATE, 7))
    assert torch.equal(made[0].degraded, made[1].degraded)
    assert torch.equal(made[0].cutoff, made[1].cutoff)
    assert not torch.equal(made[0].degraded, code(batch, EVERY, RATE, 8).degraded)


def test_codecs_that_stop_under_the_lowest_cutoff_are_not_used(batch, monkeypatch):
    used = []
    monkeypatch.setattr(coding, "through", lambda samples, choice: used.append(choice) or samples)
    for seed in range(10):
        code(batch, dataclasses.replace(EVERY, lowest=11000.0), RATE, seed)
    assert {choice.limit for choice in used} == {c.limit for c in CODINGS if c.limit >= 11000}


def test_no_coding_leaves_the_batch_as_it_is(batch):
    assert code(batch, dataclasses.replace(SETTINGS, coded=0.0), RATE, 1) is batch


def test_another_rate_is_one_line(batch):
    with pytest.raises(OvertoneError, match=r"coded is 0\.5; it is 0 unless degrade\.rate is 44100"):
        code(batch, SETTINGS, 48000, 1)


def test_a_codec_that_shifts_is_one_line(rng):
    # A constant bitrate too low for the tag that holds the delay.
    shifting = CODINGS[1]._replace(mode="CONSTANT")
    with pytest.raises(OvertoneError, match="does not take out the codec's delay") as caught:
        through(rng.normal(0, 0.1, 8192).astype(np.float32), shifting)
    assert "\n" not in str(caught.value)
