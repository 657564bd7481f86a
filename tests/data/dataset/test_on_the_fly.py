import dataclasses

import numpy as np
import pytest
import torch

from overtone.data.dataset.on_the_fly import OnTheFlyDegradation
from overtone.data.dataset.reader import Pairs
from overtone.data.dataset.segments import Segments, SegmentSettings, list_segments
from tests.helpers.tracks_on_disk import RATE, music, write

CPU, LENGTH = torch.device("cpu"), 8192

DAMAGES = [
    {},
    {"interpolation": "linear"},
    {"interpolation": "linear", "phase": "zero"},
    {"low_rate": 22050, "cutoff": 0.3},
    {"low_rate": RATE},
    {"filter": "none"},
    *(
        {"filter": kind, "order": order, "phase": phase}
        for kind, order in (("butterworth", 8), ("chebyshev1", 6), ("elliptic", 12), ("bessel", 4))
        for phase in ("one_way", "zero")
    ),
]


@pytest.fixture
def both_ways(tmp_path, rng, monkeypatch):
    """Makes the same tracks as pairs with their degraded halves stored, and made on the fly."""
    monkeypatch.setattr("overtone.data.preparation.shard_writer.PART_SECONDS", 1)

    def make(settings, **tracks):
        # A part of a second and others behind it; a track that ends off the grid; one cut off at its loudest.
        long = {1: music(rng, 2.3, channels=2), 2: music(rng, 1.011), 3: music(rng, 0.5)}
        found = []
        for store in (True, False):
            folder = tmp_path / str(store)
            folder.mkdir()
            write(folder, tracks or long, dataclasses.replace(settings, store=store))
            found.append(Pairs(folder))
        return found

    return make


def steps(stored, made, pair, start=0, length=None):
    """How many int16 steps the two ways of a pair lie apart, (2, time)."""
    a, b = (pairs.read(pair, start, length) for pairs in (stored, made))
    return (b - a) / stored.step(pair)


@pytest.mark.parametrize("changes", DAMAGES, ids=[" ".join(map(str, d.values())) or "paper" for d in DAMAGES])
def test_whole_pairs_made_on_the_fly_are_the_stored_ones_within_a_step(both_ways, degrade_settings, changes):
    stored, made = both_ways(degrade_settings(channels="separate", **changes))
    assert made.index["part"].tolist() == [0, 0, 1, 1, 2, 2, 0, 1, 0]
    for pair in stored.index.index:
        original, degraded = steps(stored, made, pair)
        assert np.abs(original).max() == 0
        assert np.abs(degraded).max() < 1.01


@pytest.mark.parametrize("changes", DAMAGES, ids=[" ".join(map(str, d.values())) or "paper" for d in DAMAGES])
@pytest.mark.parametrize("scale", ["shared", "separate"])
def test_a_batch_made_on_the_fly_is_the_stored_one_within_a_step(both_ways, degrade_settings, changes, scale):
    stored, made = both_ways(degrade_settings(channels="separate", **changes))
    # Starts and ends of tracks and of parts are among them, and starts off the grid.
    table, _ = list_segments(stored, SegmentSettings(LENGTH, 3989, 0.0, 0.001, None, scale))
    batches = [
        Segments(pairs, table, scale, 4800.0).batch(list(range(len(table)))).to(CPU)
        for pairs in (stored, made)
    ]
    step = stored.index["scale"].reindex(table["pair"]).to_numpy()
    for key, peak in (("original", "peak_original"), ("degraded", "peak_degraded")):
        divisor = table[peak if scale == "separate" else "peak_original"].to_numpy()
        a, b = (getattr(batch, key).numpy() for batch in batches)
        apart = np.abs(b - a).max(axis=1) * divisor / step
        assert apart.max() < (1.01 if key == "degraded" else 0.01)
    for key in ("cutoff", "bandwidth"):
        assert torch.equal(getattr(batches[0], key), getattr(batches[1], key))


def test_few_samples_differ_at_all(both_ways, degrade_settings):
    """Half a step of noise in the original, low-passed to a third of its band, seldom tips a rounding."""
    stored, made = both_ways(degrade_settings(), **{"1": music(np.random.default_rng(3), 0.9)})
    apart = np.abs(steps(stored, made, 0)[1]) > 0.5
    # White noise of a step's width has 0.29 of it rms, 0.17 below 8 kHz: the mean distance is 0.14 of a step,
    # which is the chance that a rounding boundary lies in between.
    assert 0.05 < apart.mean() < 0.18


def test_what_is_silent_in_the_stored_half_is_silent_on_the_fly(both_ways, degrade_settings):
    # A tone far above the cutoff whose samples are whole int16 steps, so that rounding adds no noise to it.
    tone = 40 / 32767 * np.tile([0, 1, 0, -1], RATE // 4)
    settings = degrade_settings(filter="elliptic", order=8)
    stored, made = both_ways(settings, **{"1": tone[:, None].astype(np.float32)})
    # One segment in the middle: the tone's sudden beginning is heard below the cutoff.
    cutting = SegmentSettings(LENGTH, RATE, 0.3, 0.0, None, "separate")
    for pairs in (stored, made):
        assert not pairs.read(0, 13230, LENGTH)[1].any()
        assert list_segments(pairs, cutting)[1]["reason"].tolist() == ["every segment is silent"]


def test_peaks_beyond_full_scale_are_the_same_within_a_step_of_their_own(both_ways, degrade_settings):
    # A clipped low tone overshoots when its overtones go: the stored scale follows the degraded half.
    tone = np.clip(4 * np.sin(2 * np.pi * 1500 * np.arange(RATE) / RATE), -1.7, 1.7)
    settings = degrade_settings(filter="elliptic", order=8)
    stored, made = both_ways(settings, **{"1": tone[:, None].astype(np.float32)})
    assert stored.step(0) > made.step(0)
    original, degraded = steps(stored, made, 0)
    assert np.abs(original).max() <= 1.01
    assert np.abs(degraded).max() <= 2.01


def test_originals_alone_take_half_the_disk(both_ways, degrade_settings):
    stored, made = both_ways(degrade_settings())
    sizes = [(pairs.folder / "shard-0000.i16").stat().st_size for pairs in (stored, made)]
    assert sizes[0] == 2 * sizes[1] == 4 * stored.index["samples"].sum()


def test_nothing_is_degraded_where_the_damage_is_drawn_anew(both_ways, degrade_settings, monkeypatch):
    for pairs in both_ways(degrade_settings()):
        table, _ = list_segments(pairs, SegmentSettings(LENGTH, LENGTH, 0.0, 0.001, None, "shared"))
        expected = Segments(pairs, table, "shared", 4800.0).batch([3, 0]).to(CPU)
        with monkeypatch.context() as patch:
            patch.setattr(OnTheFlyDegradation, "__call__", None)
            patch.setattr(Pairs, "window", None)
            batch = Segments(pairs, table, "shared", 4800.0, degraded=False).batch([3, 0]).to(CPU)
        assert torch.equal(batch.original, expected.original)
        assert torch.equal(batch.bandwidth, expected.bandwidth)


def test_a_window_is_as_long_wherever_it_lies_and_begins_on_the_grid(degrade_settings):
    damage = OnTheFlyDegradation(degrade_settings())
    windows = [damage.window(start, LENGTH) for start in (4410, 4411, 65536, 100000)]
    assert {first % 441 for first, _ in windows} == {0}
    assert len({end - first for first, end in windows}) == 1


def test_the_context_is_what_the_filter_takes_to_settle(degrade_settings):
    contexts = [
        OnTheFlyDegradation(degrade_settings(filter="elliptic", order=order)).context
        for order in (2, 6, 10, 14)
    ]
    assert contexts == sorted(contexts)
    assert contexts[0] < 200 < 2000 < contexts[-1] < RATE
