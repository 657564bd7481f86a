import numpy as np
import pandas as pd
import psutil
import pytest
import soundfile
import torch

from overtone.audio.bandwidth import measure_bandwidth, music_end
from overtone.core.errors import OvertoneError
from overtone.data.dataset.reader import Pairs
from overtone.data.pairs.degradation import degrade
from overtone.data.preparation.shard_writer import write_shard
from tests.helpers.tracks_on_disk import music, write

RATE = 44100


def test_a_pair_is_the_original_and_its_degraded_version(tmp_path, rng, degrade_settings):
    samples = music(rng, 0.5)
    write(tmp_path, {5: samples}, degrade_settings())
    original, degraded = Pairs(tmp_path).read(0)
    np.testing.assert_allclose(original, samples[:, 0], atol=1 / 32767)
    expected = degrade(torch.from_numpy(samples.T.copy()), degrade_settings())
    np.testing.assert_allclose(degraded, expected[0], atol=1 / 32767)


def test_lossy_music_ends_at_its_codecs_cliff_not_where_its_ragged_bands_do(rng):
    """Above the cliff there is something in one frame of sixteen, as a coder short of bits leaves it."""
    whole = np.fft.rfft(rng.normal(0, 0.1, 20 * RATE))
    hertz = np.fft.rfftfreq(20 * RATE, 1 / RATE)
    music, ragged = (
        np.fft.irfft(np.where(kept, whole, 0)) for kept in (hertz < 16000, (hertz > 16000) & (hertz < 19000))
    )
    frames = np.repeat(rng.permutation(np.arange(20 * RATE // 8192) % 16 == 0), 8192)
    frames = np.convolve(
        frames, np.hanning(512) / np.hanning(512).sum(), mode="same"
    )  # as a codec's window does
    lossy = np.round(32768 * (music[: len(frames)] + ragged[: len(frames)] * frames)) / 32768
    lossy = lossy.astype(np.float32)[None]
    assert measure_bandwidth(lossy, RATE) == pytest.approx(19000, abs=400)
    assert music_end(lossy, RATE) == pytest.approx(0.985 * 16000, rel=0.02)


def test_music_that_reaches_the_rates_own_end_goes_on_to_there(rng):
    full = rng.normal(0, 0.1, (1, 20 * RATE)).astype(np.float32)
    assert music_end(full, RATE) == RATE / 2


def test_no_file_stays_open_between_reads(tmp_path, rng, degrade_settings):
    """FMA small makes 1,334 shards, and a process may have 1,024 files open, or 256."""
    write(tmp_path, {5: music(rng, 0.2)}, degrade_settings())
    pairs = Pairs(tmp_path)
    pairs.read(0)
    assert not [file for file in psutil.Process().open_files() if "shard-" in file.path]


def test_channels_are_mixed_to_one_or_kept_apart(tmp_path, rng, degrade_settings):
    samples = music(rng, 0.3, channels=2)
    write(tmp_path, {1: samples}, degrade_settings(channels="mono"))
    np.testing.assert_allclose(Pairs(tmp_path).read(0)[0], samples.mean(1), atol=1 / 32767)
    write(tmp_path, {1: samples}, degrade_settings(channels="separate"))
    for channel in (0, 1):
        np.testing.assert_allclose(Pairs(tmp_path).read(channel)[0], samples[:, channel], atol=1 / 32767)


def test_the_side_of_stereo_is_what_is_not_shared_and_mono_has_none(tmp_path, rng, degrade_settings):
    stereo, same, mono = music(rng, 0.3, channels=2), music(rng, 0.3), music(rng, 0.3)
    left_out = write(
        tmp_path, {1: stereo, 2: np.repeat(same, 2, axis=1), 3: mono}, degrade_settings(channels="side")
    )
    pairs = Pairs(tmp_path)
    assert pairs.index["track_id"].tolist() == [1]
    np.testing.assert_allclose(pairs.read(0)[0], (stereo[:, 0] - stereo[:, 1]) / 2, atol=1 / 32767)
    assert {row["track_id"]: row["reason"] for row in left_out} == {
        2: "has left and right the same",
        3: "is not stereo, so it has no side",
    }


def test_peaks_beyond_full_scale_are_not_clipped(tmp_path, rng, degrade_settings):
    samples = music(rng, 0.3, level=1.7)
    write(tmp_path, {1: samples}, degrade_settings())
    np.testing.assert_allclose(Pairs(tmp_path).read(0)[0], samples[:, 0], atol=2 / 32767)


def test_a_long_track_in_parts_is_the_whole_track(tmp_path, rng, degrade_settings, monkeypatch):
    samples = music(rng, 5.3)
    monkeypatch.setattr("overtone.data.preparation.shard_writer.PART_SECONDS", 2)
    write(tmp_path, {1: samples}, degrade_settings(filter="elliptic", order=12))
    pairs = Pairs(tmp_path)
    assert pairs.index["part"].tolist() == [0, 1, 2]
    both = np.concatenate([pairs.read(pair) for pair in pairs.index.index], axis=1)
    np.testing.assert_allclose(both[0], samples[:, 0], atol=1 / 32767)
    whole = degrade(torch.from_numpy(samples.T.copy()), degrade_settings(filter="elliptic", order=12))
    np.testing.assert_allclose(both[1], whole[0], atol=2 / 32767)


def test_another_rate_is_brought_to_the_pairs_rate(tmp_path, degrade_settings):
    path = tmp_path / "tone.wav"
    soundfile.write(path, 0.5 * np.sin(2 * np.pi * 440 * np.arange(48000) / 48000), 48000)
    rows, *_ = write_shard(0, [(1, path)], tmp_path, degrade_settings())
    pd.DataFrame(rows).to_csv(tmp_path / "index.csv", index_label="pair")
    original = Pairs(tmp_path).read(0)[0]
    expected = 0.5 * np.sin(2 * np.pi * 440 * np.arange(RATE) / RATE)
    assert len(original) == RATE
    assert np.abs(original - expected)[4410:-4410].max() < 1e-3


@pytest.mark.parametrize(
    ("samples", "reason", "parts"), [(1, "is shorter than one sample at 44100 Hz", 0), (96001, None, 1)]
)
def test_a_part_shorter_than_a_sample_is_none(
    tmp_path, degrade_settings, monkeypatch, samples, reason, parts
):
    monkeypatch.setattr("overtone.data.preparation.shard_writer.PART_SECONDS", 1)
    path = tmp_path / "short.wav"
    soundfile.write(path, np.full(samples, 0.5), 96000)
    rows, left_out, *_ = write_shard(0, [(1, path)], tmp_path, degrade_settings())
    assert [row["part"] for row in rows] == list(range(parts))
    assert [row["reason"] for row in left_out] == ([reason] if reason else [])


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "is empty"),
        (b"garbage" * 100, "does not decode"),
        (np.zeros((RATE, 1), np.float32), "is silent"),
        (np.zeros((0, 1), np.float32), "holds no samples"),
        (np.full((RATE, 1), np.nan, np.float32), "not numbers"),
    ],
    ids=["empty file", "garbage", "silent", "no samples", "NaN"],
)
def test_a_track_that_cannot_be_used_is_listed_and_the_others_are_whole(
    tmp_path, rng, degrade_settings, content, reason
):
    good = {1: music(rng, 0.2), 3: music(rng, 0.3)}
    left_out = write(tmp_path, {1: good[1], 2: content, 3: good[3]}, degrade_settings())
    assert [row["track_id"] for row in left_out] == [2]
    assert reason in left_out[0]["reason"]
    pairs = Pairs(tmp_path)
    assert pairs.index["track_id"].tolist() == [1, 3]
    for pair, track_id in pairs.index["track_id"].items():
        np.testing.assert_allclose(pairs.read(pair)[0], good[track_id][:, 0], atol=1 / 32767)


def test_a_shard_is_the_same_to_the_byte_whenever_it_is_written(tmp_path, rng, degrade_settings):
    samples = music(rng, 0.3)
    written = []
    for name in "ab":
        (tmp_path / name).mkdir()
        write(tmp_path / name, {1: samples}, degrade_settings())
        written.append((tmp_path / name / "shard-0000.i16").read_bytes())
    assert written[0] == written[1]


def test_no_pairs_at_all_says_where_the_reasons_are(tmp_path, degrade_settings):
    write(tmp_path, {1: b""}, degrade_settings())
    with pytest.raises(OvertoneError, match="every track was left out"):
        Pairs(tmp_path)
