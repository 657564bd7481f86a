import numpy as np
import pandas as pd
import psutil
import pytest
import soundfile
import torch

from overtone import shards
from overtone.degrade import degrade
from overtone.errors import OvertoneError
from overtone.shards import Pairs, Segments, SegmentSettings, cut, write_shard

RATE = 44100


def segment_settings(**changes):
    values = {
        "length": 8192,
        "hop": 8192,
        "skip": 0.0,
        "silence": 0.001,
        "per_track": None,
        "scale": "shared",
    }
    return SegmentSettings(**(values | changes))


def music(rng, seconds, channels=1, level=0.3):
    return (level * rng.uniform(-1, 1, (int(seconds * RATE), channels))).astype(np.float32)


def write(folder, tracks, settings):
    """Write {track_id: (time, channels)} through files into one shard; returns its rows left out."""
    calls = []
    for track_id, samples in tracks.items():
        path = folder / f"{track_id}.wav"
        if isinstance(samples, bytes):
            path.write_bytes(samples)
        else:
            soundfile.write(path, samples, RATE, subtype="FLOAT")
        calls.append((track_id, path))
    rows, left_out, *_ = write_shard(0, calls, folder, settings)
    pd.DataFrame(rows, columns=shards.INDEX[1:]).to_csv(folder / "index.csv", index_label="pair")
    return left_out


def test_a_pair_is_the_original_and_its_degraded_version(tmp_path, rng, degrade_settings):
    samples = music(rng, 0.5)
    write(tmp_path, {5: samples}, degrade_settings())
    original, degraded = Pairs(tmp_path).read(0)
    np.testing.assert_allclose(original, samples[:, 0], atol=1 / 32767)
    expected = degrade(torch.from_numpy(samples.T.copy()), degrade_settings())
    np.testing.assert_allclose(degraded, expected[0], atol=1 / 32767)


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


def test_peaks_beyond_full_scale_are_not_clipped(tmp_path, rng, degrade_settings):
    samples = music(rng, 0.3, level=1.7)
    write(tmp_path, {1: samples}, degrade_settings())
    np.testing.assert_allclose(Pairs(tmp_path).read(0)[0], samples[:, 0], atol=2 / 32767)


def test_a_long_track_in_parts_is_the_whole_track(tmp_path, rng, degrade_settings, monkeypatch):
    samples = music(rng, 5.3)
    monkeypatch.setattr(shards, "PART_SECONDS", 2)
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
    ("content", "reason"),
    [
        (b"", "does not decode"),
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


def test_segments_start_at_every_hop_and_end_within_the_track(tmp_path, rng, degrade_settings):
    write(tmp_path, {1: music(rng, 1)}, degrade_settings())
    table, left_out = cut(Pairs(tmp_path), segment_settings(hop=4096, skip=0.1))
    assert table["start"].tolist() == list(range(4410, RATE - 8192 + 1, 4096))
    assert left_out.empty


def test_segments_per_track_are_spread_over_it(tmp_path, rng, degrade_settings):
    write(tmp_path, {1: music(rng, 2)}, degrade_settings())
    every, _ = cut(Pairs(tmp_path), segment_settings())
    table, _ = cut(Pairs(tmp_path), segment_settings(per_track=3))
    assert table["start"].tolist() == every["start"].iloc[[0, (len(every) - 1) // 2, len(every) - 1]].tolist()


def test_silent_segments_and_short_tracks_are_left_out_with_the_reason(tmp_path, rng, degrade_settings):
    half = music(rng, 1)
    half[: RATE // 2] = 0
    quiet = music(rng, 1, level=0.0005)
    write(tmp_path, {1: half, 2: music(rng, 0.1), 3: quiet}, degrade_settings())
    table, left_out = cut(Pairs(tmp_path), segment_settings())
    assert set(table["track_id"]) == {1}
    assert table["start"].min() + 8192 > RATE // 2
    assert left_out.to_dict("records") == [
        {"track_id": 2, "reason": "shorter than a segment"},
        {"track_id": 3, "reason": "every segment is silent"},
    ]


@pytest.mark.parametrize("scale", ["shared", "separate"])
def test_a_batch_is_scaled_as_asked(tmp_path, rng, degrade_settings, scale):
    write(tmp_path, {1: music(rng, 1)}, degrade_settings())
    pairs = Pairs(tmp_path)
    table, _ = cut(pairs, segment_settings(scale=scale))
    degraded, original, cutoff, bandwidth = Segments(pairs, table, scale, 4800.0).batch([1, 0])
    assert cutoff.tolist() == [4800, 4800]
    assert bandwidth.tolist() == [pytest.approx(RATE / 2)] * 2  # the music is white noise
    raw = pairs.read(0, 8192, 8192)
    np.testing.assert_allclose(original.abs().amax(1), 1, rtol=1e-6)
    own = raw[1] / np.abs(raw[1]).max()
    np.testing.assert_allclose(
        degraded[0], own if scale == "separate" else raw[1] / np.abs(raw[0]).max(), rtol=1e-5
    )
    again = shards.scaled(torch.from_numpy(raw[0]), torch.from_numpy(raw[1]), scale)
    np.testing.assert_allclose(degraded[0], again[1], rtol=1e-5)


def test_no_pairs_at_all_says_where_the_reasons_are(tmp_path, degrade_settings):
    write(tmp_path, {1: b""}, degrade_settings())
    with pytest.raises(OvertoneError, match="every track was left out"):
        Pairs(tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"length": 12}, "segment.length is 12; it is a number of samples, 1024 or more"),
        ({"hop": 0}, "segment.hop is 0"),
        ({"skip": -1.0}, "segment.skip is -1.0"),
        ({"silence": 1.0}, "segment.silence is 1.0"),
        ({"per_track": 0}, "segment.per_track is 0; it is a whole number, 1 or more, or null for all"),
        ({"scale": "own"}, "segment.scale is 'own'; it is one of shared, separate"),
    ],
)
def test_a_bad_param_is_one_line(changes, message):
    with pytest.raises(OvertoneError) as caught:
        segment_settings(**changes)
    assert message in str(caught.value)
