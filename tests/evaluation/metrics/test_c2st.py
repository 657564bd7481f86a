"""The classifier two-sample test: a half for sets that cannot be separated, 1 for sets that can."""

import itertools

import numpy as np
import pytest
import torch

from overtone.core.errors import OvertoneError
from overtone.evaluation.metrics import c2st

RATE, LOW, HIGH = 44_100, 6000.0, 18_000.0


def tracks(seed, gain=1.0):
    """Six tracks of four seconds of noise, each with a level of its own."""
    rng = np.random.default_rng(seed)
    levels = np.random.default_rng(0).uniform(0.01, 0.2, 6)
    return {
        str(number): features(gain * rng.normal(0, level, (1, 4 * RATE)))
        for number, level in enumerate(levels)
    }


def features(samples):
    return c2st.features(torch.from_numpy(samples).float(), RATE, LOW, HIGH)


def test_features_are_one_row_a_second():
    assert tracks(0)["0"].shape == (4, 3 * c2st.BANDS)


def test_a_feature_of_level_is_the_log_of_the_power():
    samples = np.random.default_rng(1).normal(0, 0.1, (2, 3 * RATE))
    quiet, loud = (features(gain * samples)[:, : c2st.BANDS].mean() for gain in (0.1, 1.0))
    assert loud - quiet == pytest.approx(2, abs=1e-3)


def test_features_are_their_formulas():
    samples = np.random.default_rng(1).normal(0, 0.1, (2, 2 * RATE)) * np.linspace(0.1, 1, 2 * RATE)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(samples, ((0, 0), (1024, 1024))), 2048, axis=-1)
    window = np.hanning(2049)[:-1]
    power = (np.abs(np.fft.rfft(frames[:, ::512] * window)) ** 2).mean(axis=0)  # (frames, bins)
    hertz = np.arange(1025) * RATE / 2048
    mel = np.linspace(*(2595 * np.log10(1 + edge / 700) for edge in (LOW, HIGH)), 17)
    edges = 700 * (10 ** (mel / 2595) - 1)
    own = [(hertz >= low) & (hertz < high) for low, high in itertools.pairwise(edges)]
    logs = np.log10(np.maximum(np.stack([power[:, bins].mean(axis=1) for bins in own]), 1e-8))
    second = logs[:, 86 : 2 * 86]  # frames of 512 samples
    change = np.abs(np.diff(second)).mean(axis=1)
    expected = np.concatenate([second.mean(axis=1), second.std(axis=1, ddof=1), change])
    np.testing.assert_allclose(features(samples)[1], expected, atol=1e-4)


def test_sound_outside_the_band_changes_no_feature():
    samples = np.random.default_rng(1).normal(0, 0.1, (1, 3 * RATE))
    hum = 0.5 * np.sin(2 * np.pi * 1000 * np.arange(3 * RATE) / RATE)
    np.testing.assert_allclose(
        features(samples + hum)[:, : c2st.BANDS], features(samples)[:, : c2st.BANDS], atol=1e-3
    )


def test_the_original_cannot_be_separated_from_itself():
    assert c2st.accuracy(tracks(0), tracks(0)) == 0.5


def test_other_sound_of_the_same_kind_is_near_a_half():
    assert c2st.accuracy(tracks(0), tracks(1)) == pytest.approx(0.5, abs=0.2)


def test_the_share_of_all_tracks_is_that_of_each_where_they_are_as_long():
    found = c2st.by_track(tracks(0), tracks(1))
    assert list(found) == ["0", "1", "2", "3", "4", "5"]
    assert np.mean(list(found.values())) == pytest.approx(c2st.accuracy(tracks(0), tracks(1)))


def test_silence_is_always_separated():
    assert c2st.accuracy(tracks(0), tracks(0, gain=0.0)) == 1


def test_one_track_is_too_few():
    one = {"0": tracks(0)["0"]}
    with pytest.raises(OvertoneError, match=r"over 2 tracks or more, not 1 track$"):
        c2st.accuracy(one, one)
