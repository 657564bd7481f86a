import numpy as np
import pandas as pd
import pytest
import torch

from overtone.core.errors import OvertoneError
from overtone.data.dataset import segments
from overtone.data.dataset.reader import Pairs
from overtone.data.dataset.segments import Segments, SegmentSettings, list_segments, scale_pair
from tests.helpers.tracks_on_disk import RATE, music, write


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


def test_segments_start_at_every_hop_and_end_within_the_track(tmp_path, rng, degrade_settings):
    write(tmp_path, {1: music(rng, 1)}, degrade_settings())
    table, left_out = list_segments(Pairs(tmp_path), segment_settings(hop=4096, skip=0.1))
    assert table["start"].tolist() == list(range(4410, RATE - 8192 + 1, 4096))
    assert left_out.empty


def test_segments_per_track_are_spread_over_it(tmp_path, rng, degrade_settings):
    write(tmp_path, {1: music(rng, 2)}, degrade_settings())
    every, _ = list_segments(Pairs(tmp_path), segment_settings())
    table, _ = list_segments(Pairs(tmp_path), segment_settings(per_track=3))
    assert table["start"].tolist() == every["start"].iloc[[0, (len(every) - 1) // 2, len(every) - 1]].tolist()


def test_silent_segments_and_short_tracks_are_left_out_with_the_reason(tmp_path, rng, degrade_settings):
    half = music(rng, 1)
    half[: RATE // 2] = 0
    quiet = music(rng, 1, level=0.0005)
    write(tmp_path, {1: half, 2: music(rng, 0.1), 3: quiet}, degrade_settings())
    table, left_out = list_segments(Pairs(tmp_path), segment_settings())
    assert set(table["track_id"]) == {1}
    assert table["start"].min() + 8192 > RATE // 2
    assert left_out.to_dict("records") == [
        {"track_id": 2, "reason": "shorter than a segment"},
        {"track_id": 3, "reason": "every segment is silent"},
    ]


@pytest.mark.parametrize("store", [True, False])
@pytest.mark.parametrize("stretch", [1, 20000])
def test_what_is_read_at_once_changes_nothing(tmp_path, rng, degrade_settings, monkeypatch, store, stretch):
    write(tmp_path, {1: music(rng, 2)}, degrade_settings(store=store))
    expected, _ = list_segments(Pairs(tmp_path), segment_settings(hop=3000))
    monkeypatch.setattr(segments, "READ_LENGTH", stretch)
    found, _ = list_segments(Pairs(tmp_path), segment_settings(hop=3000))
    # Where rounding tips over, what is made on the fly differs by a step of its 16 bits.
    pd.testing.assert_frame_equal(found, expected, rtol=0, atol=0 if store else 1.5 / 32767)


def test_tracks_whose_degraded_halves_must_be_made_are_shared_out(
    tmp_path, rng, degrade_settings, monkeypatch, capsys
):
    write(tmp_path, {n: music(rng, 0.1 if n == 3 else 1) for n in range(1, 6)}, degrade_settings(store=False))
    tables = []
    for jobs in "12":
        monkeypatch.setenv("OVERTONE_JOBS", jobs)
        tables.append(list_segments(Pairs(tmp_path), segment_settings()))
    for one, two in zip(*tables, strict=True):
        pd.testing.assert_frame_equal(one, two)
    assert set(tables[0][0]["track_id"]) == {1, 2, 4, 5}
    assert tables[0][1]["track_id"].tolist() == [3]
    assert "5/5" in capsys.readouterr().out


@pytest.mark.parametrize("scale", ["shared", "separate"])
def test_a_batch_is_scaled_as_asked(tmp_path, rng, degrade_settings, scale):
    write(tmp_path, {1: music(rng, 1)}, degrade_settings())
    pairs = Pairs(tmp_path)
    table, _ = list_segments(pairs, segment_settings(scale=scale))
    degraded, original, cutoff, bandwidth = Segments(pairs, table, scale, 4800.0).batch([1, 0])
    assert cutoff.tolist() == [4800, 4800]
    assert bandwidth.tolist() == [pytest.approx(RATE / 2)] * 2  # the music is white noise
    raw = pairs.read(0, 8192, 8192)
    np.testing.assert_allclose(original.abs().amax(1), 1, rtol=1e-6)
    own = raw[1] / np.abs(raw[1]).max()
    np.testing.assert_allclose(
        degraded[0], own if scale == "separate" else raw[1] / np.abs(raw[0]).max(), rtol=1e-5
    )
    again = scale_pair(torch.from_numpy(raw[0]), torch.from_numpy(raw[1]), scale)
    np.testing.assert_allclose(degraded[0], again[1], rtol=1e-5)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"length": 12}, "segment.length is 12; it is a number of samples, 1024 or more"),
        ({"hop": 0}, "segment.hop is 0"),
        ({"skip": -1.0}, "segment.skip is -1.0"),
        ({"skip": np.inf}, "segment.skip is inf; it is a finite time in seconds, 0 or more"),
        ({"silence": 1.0}, "segment.silence is 1.0"),
        ({"per_track": 0}, "segment.per_track is 0; it is a whole number, 1 or more, or null for all"),
        ({"scale": "own"}, "segment.scale is 'own'; it is one of shared, separate"),
    ],
)
def test_a_bad_param_is_one_line(changes, message):
    with pytest.raises(OvertoneError) as caught:
        segment_settings(**changes)
    assert message in str(caught.value)
