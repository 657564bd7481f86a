"""Steady noise: found where there is some and not in music, and gone on above the cutoff at its level."""

import math

import numpy as np
import pytest
import soundfile
import soxr
import torch

from overtone.evaluation.comparison.chunks import lowpass
from overtone.models.spectral import Spectral, SpectralSettings
from overtone.restoration.restore_array import restore
from overtone.restoration.restore_file import restore_file
from overtone.restoration.stream import noise_floor
from overtone.restoration.stream.noise_floor import NoiseFill, NoiseFloor, NoiseFloorMeter

RATE = 44100
# In dB, and dB per octave: transforms of another number of frames round differently.
CUT_TOLERANCE = 1e-3


def noise(seconds, slope=0.0, rate=RATE, seed=0, channels=1):
    """Noise of so many dB per octave, its density at 1 kHz that of white noise of variance 1."""
    spectrum = np.fft.rfft(np.random.default_rng(seed).normal(size=(channels, int(seconds * rate))))
    octaves = np.log2(np.maximum(np.fft.rfftfreq(int(seconds * rate), 1 / rate), 40) / 1000)
    return np.fft.irfft(spectrum * 10 ** (slope / 20 * octaves), n=int(seconds * rate)).astype(np.float32)


def notes(seconds, pause=0.0, seed=1):
    """Chords of twenty partials, each of half a second and dying away, and pauses: (1, time)."""
    rng, made = np.random.default_rng(seed), []
    time = np.arange(RATE // 2) / RATE
    for _ in range(int(seconds * 2)):
        pitch, fall = rng.uniform(80, 400), rng.uniform(2, 12)
        partials = [np.sin(2 * np.pi * pitch * (k + 1) * time + k * k) / (k + 1) for k in range(20)]
        made.append(rng.uniform(0.05, 0.2) * np.sum(partials, axis=0) * np.exp(-fall * time))
        made.append(np.zeros(int(pause * RATE * rng.uniform(0.5, 1.5))))
    return np.concatenate(made)[None].astype(np.float32)


def density(samples, low, high):
    """Of a band in Hz, as `NoiseFloor` has it."""
    spectrum = np.abs(np.fft.rfft(samples[0])) ** 2
    frequency = np.fft.rfftfreq(samples.shape[1], 1 / RATE)
    return spectrum[(frequency >= low) & (frequency < high)].mean() / samples.shape[1] / RATE


def find_floors(samples, rate, cutoff):
    """The floors of (channels, time) samples that come in one block."""
    meter = NoiseFloorMeter(rate, len(samples))
    meter.add(samples)
    return meter.floors(cutoff)


def decibels(ratio):
    return 10 * math.log10(ratio)


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return Spectral(SpectralSettings(features=8, blocks=1, expansion=1)).eval()


@pytest.mark.parametrize(("rate", "cutoff"), [(8000, 3400), (16000, 7200), (44100, 4000), (96000, 11000)])
@pytest.mark.parametrize("slope", [0.0, -3.0, -9.0])
def test_noise_alone_is_a_floor_of_its_level_and_slope(rate, cutoff, slope):
    (found,) = find_floors(0.01 * noise(8, slope, rate), rate, cutoff)
    true = 0.01**2 / rate * 10 ** (slope / 10 * math.log2(cutoff / 1000))
    assert abs(decibels(found.density / true)) < 1
    assert found.slope == pytest.approx(slope, abs=1)
    assert found.slope <= 0
    assert found.cutoff == cutoff


def test_noise_that_rises_goes_on_level():
    (found,) = find_floors(0.01 * noise(8, 3.0), RATE, 4000)
    assert found.slope == 0


@pytest.mark.parametrize("under", [30, 50])
def test_it_is_heard_in_the_pauses_of_music(under):
    music = notes(10, pause=0.5)
    level = music.std() * 10 ** (-under / 20)
    (found,) = find_floors(music + level * noise(30)[:, : music.shape[1]], RATE, 4000)
    assert abs(decibels(found.density / (level**2 / RATE))) < 1.5


@pytest.mark.parametrize(
    "music",
    [
        notes(15),
        notes(15, pause=0.5),  # digital silence between
        np.tile(notes(0.5, seed=3), 30),
        0.1 * np.sin(2 * np.pi * 220 * np.arange(1, 20)[:, None] * np.arange(10 * RATE) / RATE).sum(0)[None],
        noise(10, -6) * np.abs(np.sin(np.arange(10 * RATE) / RATE))[None],  # it swells
        np.zeros((1, 10 * RATE)),
        noise(0.5),  # too short to tell
        1e-5 * noise(10),  # that nobody hears
    ],
)
def test_music_without_any_has_no_floor(music):
    assert find_floors(music.astype(np.float32), RATE, 4000) == [None]


def test_mid_and_side_have_floors_of_their_own():
    music = notes(10, pause=0.5)
    both, length = np.concatenate([music, music]), music.shape[1]
    mid, side = find_floors(both + 0.001 * noise(30)[:, :length], RATE, 4000)
    assert abs(decibels(mid.density / (1e-6 / RATE))) < 1
    assert side is None
    apart = both + 0.001 * noise(30, channels=2)[:, :length]
    for floor in find_floors(apart, RATE, 4000):
        assert abs(decibels(floor.density / (0.5e-6 / RATE))) < 1
    assert len(find_floors(np.tile(apart, (3, 1)), RATE, 4000)) == 6


def test_the_blocks_do_not_matter(monkeypatch):
    monkeypatch.setattr(noise_floor, "MAX_GROUPS", 64)
    samples = notes(20, pause=0.5)
    samples += 0.001 * noise(60)[:, : samples.shape[1]]
    meter, found = NoiseFloorMeter(RATE, 1), find_floors(samples, RATE, 4000)
    for at in range(0, samples.shape[1], 30011):
        meter.add(samples[:, at : at + 30011])
    (cut,), (floor,) = meter.floors(4000), found
    assert cut.cutoff == floor.cutoff
    assert abs(decibels(cut.density / floor.density)) < CUT_TOLERANCE
    assert cut.slope == pytest.approx(floor.slope, abs=CUT_TOLERANCE)
    assert len(meter._groups) < 64


def filled(made, floor, cut=1 << 18):
    stream, out = NoiseFill(floor, floor.cutoff, RATE, 0), []
    for at in range(0, made.shape[1], cut):
        block = made[:, at : at + cut]
        out.append(stream(block, block, at + cut >= made.shape[1]))
    return np.concatenate(out, axis=1)


def test_what_is_missing_of_a_floor_is_added_and_no_more():
    floor = NoiseFloor(4000.0, 1e-6 / RATE, -3.0)
    made = filled(np.zeros((1, 5 * RATE), np.float32), floor)
    for low in (4500, 8000, 16000):
        wanted = floor.density * 10 ** (-0.3 * math.log2(1.02 * low / 4000))
        assert abs(decibels(density(made, low, 1.04 * low) / wanted)) < 0.7
    assert density(made, 0, 3800) < 1e-3 * floor.density
    # Noise of half the power that is wanted, and much more than is wanted.
    half = 0.5**0.5 * 2e-3 * noise(5, -3.0)
    wanted = floor.density * 10 ** (-0.3 * math.log2(8000 / 4000))
    assert density(half, 7500, 8500) == pytest.approx(wanted / 2, rel=0.1)
    assert abs(decibels(density(filled(half, floor), 7500, 8500) / wanted)) < 1
    loud = 0.1 * noise(5)
    np.testing.assert_array_equal(filled(loud, floor), loud)


@pytest.mark.parametrize("length", [1, 1024, 100_000, 100_001])
def test_noise_is_the_same_however_it_is_cut(length):
    floor, made = NoiseFloor(4000.0, 1e-6 / RATE, 0.0), 1e-4 * noise(3)[:, :length]
    whole = filled(made, floor)
    assert whole.shape == made.shape
    for cut in (777, 4096, 50_000):
        np.testing.assert_allclose(filled(made, floor, cut), whole, atol=1e-7)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_hiss_goes_on_above_the_cutoff_of_what_is_restored(net, channels):
    low = lowpass(torch.from_numpy(0.01 * noise(10, channels=channels)), 4000.0, RATE).numpy()
    made = restore(low, RATE, cutoff=4000.0, model=net)
    for channel in made:
        for start in (4500, 9000, 18000):
            assert abs(decibels(density(channel[None], start, 1.1 * start) / (1e-4 / RATE))) < 1.5
        for second in (0, 4, 9):
            second_of_noise = channel[None, second * RATE : (second + 1) * RATE]
            assert abs(decibels(density(second_of_noise, 9000, 18000) / (1e-4 / RATE))) < 1.5


def test_hiss_that_is_the_same_in_both_channels_stays_so(net):
    music = notes(12, pause=0.5)
    samples = 0.01 * noise(30)[:, : music.shape[1]] + np.concatenate([music, -music])
    low = lowpass(torch.from_numpy(samples), 4000.0, RATE).numpy()
    mid, side = find_floors(low, RATE, 4000.0)
    assert mid is not None
    assert side is None
    made = restore(low, RATE, cutoff=4000.0, model=net)
    assert abs(decibels(density(made.sum(0, keepdims=True) / 2, 9000, 18000) / (1e-4 / RATE))) < 1.5


def test_silence_and_silent_channels_stay_silent(net):
    hissing = lowpass(torch.from_numpy(0.01 * noise(10)), 4000.0, RATE).numpy()
    hissing[:, 4 * RATE : 6 * RATE] = 0
    made = restore(np.concatenate([hissing, 0 * hissing]), RATE, cutoff=4000.0, model=net)
    # Mid and side get noises of their own: of one channel's hiss 3 dB are missing. A fifth of it is silence.
    assert density(made[:1], 9000, 18000) > 0.8 * 0.4 * 1e-4 / RATE
    assert not made[0, 4 * RATE + 2000 : 6 * RATE - 2000].any()
    assert np.abs(made[1]).max() < 1e-4 * np.abs(made[0]).max()


def test_a_file_says_that_its_hiss_went_on(tmp_path, net):
    low = soxr.resample(0.01 * noise(10, channels=2).T, RATE, 16000)
    soundfile.write(tmp_path / "tape.wav", low, 16000)
    report = restore_file(tmp_path / "tape.wav", model=net, out_rate=RATE)
    assert report.noise_floor
    assert report.json()["noise_floor"] is True
    assert "treble added and its hiss continued; 10.0 s" in report.line()
    made = soundfile.read(report.target, dtype="float32")[0].T
    assert abs(decibels(density(made[:1], 9000, 18000) / (1e-4 / RATE))) < 1.5
    soundfile.write(tmp_path / "music.wav", soxr.resample(notes(10).T, RATE, 16000), 16000)
    report = restore_file(tmp_path / "music.wav", cutoff=7000, model=net)
    assert not report.noise_floor
    assert "its hiss" not in report.line()
