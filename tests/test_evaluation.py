import pandas as pd
import pytest
import soundfile
import torch

from overtone import evaluation
from overtone.errors import OvertoneError
from overtone.evaluation import EvaluateSettings, Evaluation, takes
from overtone.segments import SegmentSettings, cut
from overtone.shards import INDEX, Pairs, write_shard

RATE, CUTOFF = 44100, 4800.0


@pytest.fixture
def pairs(tmp_path, rng, degrade_settings, monkeypatch):
    """A stereo track in two parts and a mono one, channels kept apart."""
    monkeypatch.setattr("overtone.shards.PART_SECONDS", 1)
    tracks = []
    for track_id, channels, seconds in ((1, 2, 1.5), (2, 1, 0.6)):
        path = tmp_path / f"{track_id}.wav"
        soundfile.write(path, 0.3 * rng.uniform(-1, 1, (int(seconds * RATE), channels)), RATE)
        tracks.append((track_id, path))
    rows, *_ = write_shard(0, tracks, tmp_path, degrade_settings(channels="separate"))
    pd.DataFrame(rows, columns=INDEX[1:]).to_csv(tmp_path / "index.csv", index_label="pair")
    return Pairs(tmp_path)


@pytest.fixture
def segments(pairs):
    return cut(pairs, SegmentSettings(8192, 8192, 0.0, 0.001, 2, "shared"))[0]


def test_takes_are_whole_parts_with_all_their_channels(pairs, segments):
    found = [(take.track_id, take.part, tuple(take.original.shape)) for take in takes(pairs, segments)]
    assert found == [(1, 0, (2, RATE)), (1, 1, (2, RATE // 2)), (2, 0, (1, int(0.6 * RATE)))]


def test_takes_are_only_those_of_the_tracks_asked_for(pairs, segments):
    assert {take.track_id for take in takes(pairs, segments[segments["track_id"] == 2])} == {2}


def test_a_perfect_system_is_perfect_and_silence_is_silence(pairs, segments):
    originals = iter([take.original for take in takes(pairs, segments)])
    systems = {
        "perfect": lambda take, cutoff, rate: next(originals),
        "silence": lambda take, cutoff, rate: torch.zeros_like(take.degraded),
    }
    gathered = Evaluation(systems, RATE, CUTOFF, "shared")
    for take in takes(pairs, segments):
        gathered.add(take)
    scores = gathered.by_track()
    assert set(scores["perfect"]) == {"1", "2"}
    for track in ("1", "2"):
        for key in ("l1", "mse", "stft", "lsd", "lsd_low", "lsd_high"):
            assert scores["perfect"][track][key] == pytest.approx(0, abs=1e-6)
        assert scores["silence"][track]["snr"] == pytest.approx(0, abs=1e-6)
        assert scores["silence"][track]["l1"] == pytest.approx(0.5, abs=0.02)  # noise scaled to a peak of 1
    assert float(gathered.distances()["perfect"][1].max()) == pytest.approx(0, abs=1e-6)


def test_systems_are_told_cutoff_and_rate(pairs, segments):
    told = []
    systems = {"it": lambda take, *rest: told.append(rest) or take.degraded}
    gathered = Evaluation(systems, RATE, CUTOFF, "shared")
    gathered.add(next(takes(pairs, segments)))
    assert told == [(CUTOFF, RATE)]


def test_the_papers_metrics_follow_the_scaling_asked_for(pairs, segments):
    take = next(takes(pairs, segments))
    half = take.original / 2
    shared = evaluation.score(take, half, RATE, CUTOFF, "shared")
    separate = evaluation.score(take, half, RATE, CUTOFF, "separate")
    assert separate["l1"] == pytest.approx(0, abs=1e-6)
    assert shared["l1"] > 0.1
    assert shared["snr"] == separate["snr"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"systems": ()}, "evaluate.systems is []; it is a list of names, at least one, each once"),
        ({"systems": ("a", "a")}, "evaluate.systems is ['a', 'a']; it is a list of names"),
        ({"resamples": 10}, "evaluate.resamples is 10; it is a whole number, 100 or more"),
        ({"pictures": 0}, "evaluate.pictures is 0; it is a whole number, 1 or more"),
        ({"excerpt": 0.0}, "evaluate.excerpt is 0.0; it is a time in seconds, above 0.1"),
        ({"seed": -1}, "evaluate.seed is -1; it is a whole number, 0 or more"),
    ],
)
def test_a_bad_param_is_one_line(changes, message):
    good = {"systems": ("model",), "resamples": 100, "pictures": 1, "excerpt": 1.0, "seed": 1}
    with pytest.raises(OvertoneError) as caught:
        EvaluateSettings(**(good | changes))
    assert message in str(caught.value)
