"""A take judged: by one process, two, or a cluster's, with the same result; and what takes add up to."""

import numpy as np
import pytest
import torch

from overtone.core import parallel
from overtone.core.errors import OvertoneError
from overtone.evaluation.comparison import aggregate, systems
from overtone.evaluation.comparison.aggregate import Results
from overtone.evaluation.comparison.chunks import EvaluateSettings, list_chunks, read_chunks
from overtone.evaluation.comparison.runtime_cost import Cost
from overtone.evaluation.comparison.score_chunk import ChunkScores, RowScores, RunSettings, score_chunk
from overtone.evaluation.comparison.systems import Baseline, Outside, Prepared
from overtone.evaluation.metrics import c2st
from overtone.models import registry
from overtone.report import tables
from overtone.restoration.stream.separation import Findings
from tests.helpers.judged import plain
from tests.helpers.sound import make

RATE, CUTOFF = 44100, 4800.0
SETTINGS = EvaluateSettings(("model",), (8000.0,), False, 100, 1, 0.5, 1)


@pytest.fixture
def work(pairs):
    return RunSettings(pairs.folder.absolute(), "shared", "cpu", False, True, 0.2)


def test_results_are_the_same_to_the_byte_for_any_number_of_threads_and_processes(
    pairs, segments, work, tmp_path, monkeypatch
):
    """Costs aside, which are measured."""
    registry.save(make("unet"), "unet", tmp_path / "some/model", {})
    prepared = systems.prepare([str(tmp_path / "some/model")], list, CUTOFF, RATE, tmp_path)
    assert len(prepared.systems) == 5
    calls = [
        (work, part, prepared.systems, cutoff, anew, True)
        for cutoff, anew in ((CUTOFF, False), (8000.0, True))
        for part in list_chunks(pairs, segments)
    ]
    monkeypatch.setenv("OVERTONE_JOBS", "1")
    one = [plain(judged) for judged in parallel.run_all(score_chunk, calls)]
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert plain(score_chunk(*calls[0])) == one[0]
        assert torch.get_num_threads() == 3, "it gives the process its threads back"
    finally:
        torch.set_num_threads(threads)
    monkeypatch.setenv("OVERTONE_JOBS", "2")
    assert [plain(judged) for judged in parallel.run_all(score_chunk, calls)] == one
    assert all(one[0] != other for other in one[1:])


def test_a_perfect_system_is_perfect_and_silence_is_silence(pairs, segments, work, monkeypatch):
    originals = {take.degraded.sum().item(): take.original for take in read_chunks(pairs, segments)}
    monkeypatch.setitem(systems.BASELINES, "perfect", lambda degraded, *_: originals[degraded.sum().item()])
    systems_ = [Baseline("perfect"), Baseline("silence")]
    gathered = Results(Prepared(systems_, {}, {}), RATE, CUTOFF)
    for part in list_chunks(pairs, segments):
        gathered.add(score_chunk(work, part, systems_, CUTOFF, False, False))
    scores = gathered.by_track()
    assert set(scores["perfect"]) == {"1", "2"}
    for track in ("1", "2"):
        for key in ("l1", "mse", "stft", "lsd", "lsd_low", "lsd_high"):
            assert scores["perfect"][track][key] == pytest.approx(0, abs=1e-6)
        assert scores["silence"][track]["snr"] == pytest.approx(0, abs=1e-6)
        assert scores["silence"][track]["l1"] == pytest.approx(0.5, abs=0.02)  # noise scaled to a peak of 1
    assert float(gathered.distances()["perfect"][1].max()) == pytest.approx(0, abs=1e-6)
    assert gathered.costs()["perfect"]["note"] == ""


def test_systems_are_told_cutoff_and_rate(pairs, segments, work, monkeypatch):
    told = []
    monkeypatch.setitem(systems.BASELINES, "it", lambda samples, *rest: told.append(rest) or samples)
    score_chunk(work, list_chunks(pairs, segments)[0], [Baseline("it")], 6000.0, True, False)
    assert told == [(6000.0, RATE)]


def test_excerpts_are_the_middle_of_each_version(pairs, segments, work):
    part = list_chunks(pairs, segments)[0]
    found = score_chunk(work, part, [Baseline("input")], CUTOFF, False, True).excerpts
    take = next(read_chunks(pairs, segments))
    start = (RATE - round(0.2 * RATE)) // 2
    for name, samples in (("degraded", take.degraded), ("input", take.degraded), ("original", take.original)):
        assert np.array_equal(found[name], samples[:, start : start + round(0.2 * RATE)])
    assert score_chunk(work, part, [Baseline("input")], CUTOFF, False, False).excerpts == {}


def test_a_missing_visqol_is_no_failed_program_but_the_runs_own_error(pairs, segments, work, monkeypatch):
    def missing(*_):
        raise OvertoneError("not here")

    monkeypatch.setattr("overtone.evaluation.metrics.visqol.visqol", missing)
    monkeypatch.setattr("overtone.evaluation.comparison.chunks.VISQOL_MIN_SECONDS", 0.1)
    with pytest.raises(OvertoneError, match="not here"):
        score_chunk(
            work._replace(visqol=True),
            list_chunks(pairs, segments)[0],
            [Baseline("input")],
            CUTOFF,
            False,
            False,
        )


def judged(track, seen, real, reach=16000.0, weight=1, distance=0.0, **values):
    outcome = RowScores(
        values, np.full(3, distance) if np.isscalar(distance) else distance, seen, Cost(1.0, 2.0, 3), None
    )
    return ChunkScores(track, weight, reach, {"input": outcome}, {}, real, {})


def test_the_distance_table_says_how_many_originals_have_ended():
    gathered = Results(Prepared([Baseline("input")], {}, {}), 4, CUTOFF)
    for reach in (16000.0, 0.0, 0.5):
        gathered.add(judged(7, None, None, reach, distance=np.zeros(1025)))
    gathered.add(judged(8, None, None, 0.0, weight=0))  # silent
    table = gathered.distance_table().set_index("frequency_hz")["ended"]
    assert table[0.0] == 0
    np.testing.assert_allclose([table[0.25], table[1.0]], [1 / 3, 2 / 3])


@pytest.mark.parametrize("tracks", [c2st.MIN_TRACKS - 1, c2st.MIN_TRACKS])
def test_the_probe_is_a_column_where_there_are_tracks_enough(rng, tracks):
    """What is always brighter is always told."""
    gathered = Results(Prepared([Baseline("input")], {}, {}), RATE, CUTOFF)
    for track in range(tracks):
        real = rng.normal(0, 1, (6, 48))
        gathered.add(judged(track, real + 9, real, snr=1.0))
    found = gathered.by_track()["input"]
    if tracks < c2st.MIN_TRACKS:
        assert all("c2st" not in values for values in found.values())
    else:
        assert [values["c2st"] for values in found.values()] == [100.0] * tracks


def test_parts_of_a_track_are_one_track_and_their_costs_add_up():
    gathered = Results(Prepared([Baseline("input")], {}, {}), RATE, CUTOFF)
    for snr in (1.0, 2.0):
        gathered.add(judged(7, None, None, snr=snr))
    assert gathered.by_track() == {"input": {"7": {"snr": 1.5}}}
    assert gathered.costs()["input"]["seconds_per_second"] == 0.5


def test_a_part_counts_by_its_length_and_a_silent_one_not_at_all():
    gathered = Results(Prepared([Baseline("input")], {}, {}), RATE, CUTOFF)
    gathered.add(judged(7, None, None, weight=3000, snr=1.0, distance=1.0, lsd=2.0))
    gathered.add(judged(7, None, None, weight=1000, snr=2.0, distance=5.0))
    gathered.add(judged(7, None, None, weight=0, snr=100.0, distance=9.0))
    gathered.add(judged(8, None, None, weight=1, snr=3.0, distance=0.0))
    assert gathered.by_track() == {"input": {"7": {"snr": 1.25, "lsd": 2.0}, "8": {"snr": 3.0}}}
    # Of a track the mean is that of squares, as over one part's frames.
    np.testing.assert_allclose(gathered.distances()["input"][1], (7**0.5 + 0) / 2)


def test_what_systems_make_of_silence_has_no_weight(pairs, segments, work, monkeypatch):
    read = lambda self, pair: np.zeros((2, RATE), np.float32)  # noqa: E731
    first, second, _ = list_chunks(pairs, segments)
    weights = [
        score_chunk(work, part, [Baseline("input")], CUTOFF, False, False).weight for part in (first, second)
    ]
    monkeypatch.setattr("overtone.data.dataset.reader.Pairs.read", read)
    weights.append(score_chunk(work, second, [Baseline("input")], CUTOFF, False, False).weight)
    assert weights == [RATE, RATE // 2, 0]


@pytest.mark.parametrize(
    ("rows", "against"), [(("sox", "model"), "model"), (("late", "sox"), "sox"), ((), "model")]
)
def test_others_are_compared_with_the_model_or_else_with_the_first_that_gave_output(rows, against):
    gathered = Results(Prepared([], {}, {"gone": "not installed"}), RATE, CUTOFF)
    settings = EvaluateSettings(("gone", "sox", "late", "model"), (), False, 100, 1, 0.5, 1)
    scores = {row: {"7": {"snr": 1.0}} for row in ("input", *rows)}
    paired = aggregate.results([gathered], [scores], {"7": "Rock"}, settings)["paired"]
    assert paired["against"] == against
    assert {*paired["systems"]} == ({"input", *rows} - {against} if rows else set())


def test_the_distance_table_tells_baselines_systems_and_networks_alone(tmp_path):
    made_by = [Baseline("input"), Outside("copy", tmp_path)]
    gathered = Results(Prepared(made_by, {}, {}), RATE, CUTOFF)
    outcome = RowScores({}, np.zeros(1025), None, Cost(), None)
    names = [name for system in made_by for name in systems.rows(system)]
    gathered.add(ChunkScores(7, 1, 16000.0, dict.fromkeys(names, outcome), {}, None, {}))
    table = gathered.distance_table().drop_duplicates("system")
    assert dict(zip(table["system"], table["kind"], strict=True)) == {
        "input": "baseline",
        "copy": "system",
        "copy alone": "network",
    }


def test_what_separating_found_stands_in_the_rows_note():
    gathered = Results(Prepared([Baseline("input")], {}, {}), RATE, CUTOFF)
    found = Findings("htdemucs", ("drums", "bass"), seconds=1.0, mix=1.0, error=0.01)
    outcome = RowScores({}, np.zeros(3), None, Cost(4.0, 9.0, 3), None, found)
    for _ in range(2):
        gathered.add(ChunkScores(7, 1, 16000.0, {"input": outcome}, {}, None, {}))
    note = gathered.costs()["input"]["note"]
    assert note == "2 stems by htdemucs, their sum -20.0 dB off the mix, 25% of the time separating"


def test_several_cutoffs_stand_side_by_side_and_one_alone_as_ever():
    gathered = []
    for cutoff, snr in ((CUTOFF, 1.0), (8000.0, 2.0)):
        gathered.append(Results(Prepared([Baseline("input")], {}, {"gone": "not installed"}), RATE, cutoff))
        gathered[-1].add(judged(7, None, None, snr=snr))
    scores = [one.by_track() for one in gathered]
    alone = aggregate.results(gathered[:1], scores[:1], {"7": "Rock"}, SETTINGS)
    both = aggregate.results(gathered, scores, {"7": "Rock"}, SETTINGS)
    assert "cutoffs" not in alone
    assert {key: both[key] for key in alone} == alone
    assert alone["failed"] == {"gone": "not installed"}
    assert list(both["cutoffs"]) == ["4800", "8000"]
    assert both["cutoffs"]["8000"]["systems"]["input"]["snr"] == {"mean": 2, "low": 2, "high": 2}
    shown = tables.text(both).splitlines()
    assert any(line.split() == ["8000", "Hz", "input", "-", "2.0", "2.0"] for line in shown)
