"""Aggregation: chunks of a track are one track, weighted by length; cutoffs, notes and remarks."""

import numpy as np
import pytest

from overtone.evaluation.comparison import aggregate, systems
from overtone.evaluation.comparison.aggregate import Results
from overtone.evaluation.comparison.alignment import Correction
from overtone.evaluation.comparison.chunks import EvaluateSettings, list_chunks, read_chunks
from overtone.evaluation.comparison.named_systems import Prepared
from overtone.evaluation.comparison.runtime_cost import Cost
from overtone.evaluation.comparison.score_chunk import ChunkScores, RunSettings, score_chunk
from overtone.evaluation.comparison.systems import NOTHING, Baseline, Model, Output, Outside
from overtone.evaluation.metrics import c2st
from overtone.report import tables
from overtone.restoration.stream.separation import Findings

RATE, CUTOFF = 44100, 4800.0
SETTINGS = EvaluateSettings(("model",), (8000.0,), False, 100, 1, 0.5, 1)


def output(row="input", correction=None, **fields):
    return Output(row, NOTHING, Cost(1.0, 2.0, 3), correction)._replace(**fields)


def chunk(track, *, features=None, real=None, bandwidth=16000.0, weight=1, distance=0.0, **scores):
    by_bin = np.full(3, distance) if np.isscalar(distance) else distance
    found = output(scores=scores, distance=by_bin, features=features)
    return ChunkScores(track, weight, bandwidth, {"input": found}, {}, real, {})


def results_of(*compared, rate=RATE, cutoff=CUTOFF, failed=()):
    return Results(Prepared(list(compared) or [Baseline("input")], {}, dict(failed)), rate, cutoff)


def test_a_perfect_system_is_perfect_and_silence_is_silence(pairs, segments, monkeypatch):
    originals = {chunk.degraded.sum().item(): chunk.original for chunk in read_chunks(pairs, segments)}
    monkeypatch.setitem(systems.BASELINES, "perfect", lambda degraded, *_: originals[degraded.sum().item()])
    run = RunSettings(pairs.folder.absolute(), "shared", "cpu", False, False, 0.2)
    compared = [Baseline("perfect"), Baseline("silence")]
    results = results_of(*compared)
    for index in list_chunks(pairs, segments):
        results.add(score_chunk(run, index, compared, CUTOFF, False, False))
    scores = results.by_track()
    assert set(scores["perfect"]) == {"1", "2"}
    for track in ("1", "2"):
        for key in ("l1", "mse", "stft", "lsd", "lsd_low", "lsd_high"):
            assert scores["perfect"][track][key] == pytest.approx(0, abs=1e-6)
        assert scores["silence"][track]["snr"] == pytest.approx(0, abs=1e-6)
        assert scores["silence"][track]["l1"] == pytest.approx(0.5, abs=0.02)  # noise scaled to a peak of 1
    assert float(results.distances()["perfect"][1].max()) == pytest.approx(0, abs=1e-6)
    assert results.costs()["perfect"]["note"] == ""


def test_the_distance_table_has_the_share_of_originals_that_have_ended():
    results = results_of(rate=4)
    for bandwidth in (16000.0, 0.0, 0.5):
        results.add(chunk(7, bandwidth=bandwidth, distance=np.zeros(1025)))
    results.add(chunk(8, bandwidth=0.0, weight=0, distance=np.zeros(1025)))  # silent
    table = results.distance_table().set_index("frequency_hz")["ended"]
    assert table[0.0] == 0
    np.testing.assert_allclose([table[0.25], table[1.0]], [1 / 3, 2 / 3])


@pytest.mark.parametrize("tracks", [c2st.MIN_TRACKS - 1, c2st.MIN_TRACKS])
def test_the_two_sample_test_is_a_column_if_there_are_enough_tracks(rng, tracks):
    """Features with a large offset are always separated."""
    results = results_of()
    for track in range(tracks):
        real = rng.normal(0, 1, (6, 48))
        results.add(chunk(track, features=real + 9, real=real, snr=1.0))
    found = results.by_track()["input"]
    if tracks < c2st.MIN_TRACKS:
        assert all("c2st" not in values for values in found.values())
    else:
        assert [values["c2st"] for values in found.values()] == [100.0] * tracks


def test_chunks_of_a_track_are_one_track_and_their_costs_add_up():
    results = results_of()
    for snr in (1.0, 2.0):
        results.add(chunk(7, snr=snr))
    assert results.by_track() == {"input": {"7": {"snr": 1.5}}}
    assert results.costs()["input"]["seconds_per_second"] == 0.5


def test_a_chunk_counts_by_its_length_and_a_silent_one_not_at_all():
    results = results_of()
    results.add(chunk(7, weight=3000, snr=1.0, distance=1.0, lsd=2.0))
    results.add(chunk(7, weight=1000, snr=2.0, distance=5.0))
    results.add(chunk(7, weight=0, snr=100.0, distance=9.0))
    results.add(chunk(8, weight=1, snr=3.0, distance=0.0))
    assert results.by_track() == {"input": {"7": {"snr": 1.25, "lsd": 2.0}, "8": {"snr": 3.0}}}
    # Within a track the mean is that of squares, as over the frames of one chunk.
    np.testing.assert_allclose(results.distances()["input"][1], (7**0.5 + 0) / 2)


@pytest.mark.parametrize(
    ("rows", "against"), [(("sox", "model"), "model"), (("late", "sox"), "sox"), ((), "model")]
)
def test_systems_are_compared_with_the_model_or_else_with_the_first_that_has_a_row(rows, against):
    results = results_of(failed={"gone": "not installed"})
    settings = EvaluateSettings(("gone", "sox", "late", "model"), (), False, 100, 1, 0.5, 1)
    scores = {row: {"7": {"snr": 1.0}} for row in ("input", *rows)}
    results.add(chunk(7, snr=1.0))
    paired = aggregate.results([results], [scores], {"7": "Rock"}, settings)["paired"]
    assert paired["against"] == against
    assert {*paired["systems"]} == ({"input", *rows} - {against} if rows else set())


def test_the_distance_table_separates_baselines_systems_and_networks_alone(tmp_path):
    compared = [Baseline("input"), Outside("copy", tmp_path)]
    results = results_of(*compared)
    names = [name for system in compared for name in systems.rows(system)]
    outputs = dict.fromkeys(names, output(distance=np.zeros(1025)))
    results.add(ChunkScores(7, 1, 16000.0, outputs, {}, None, {}))
    table = results.distance_table().drop_duplicates("system")
    assert dict(zip(table["system"], table["kind"], strict=True)) == {
        "input": "baseline",
        "copy": "system",
        "copy alone": "network",
    }


def test_the_note_of_a_row_describes_the_separation_into_stems():
    results = results_of()
    found = Findings("htdemucs", ("drums", "bass"), seconds=1.0, mix=1.0, error=0.01)
    separated = output(findings=found)._replace(cost=Cost(4.0, 9.0, 3))
    for _ in range(2):
        results.add(ChunkScores(7, 1, 16000.0, {"input": separated}, {}, None, {}))
    note = results.costs()["input"]["note"]
    assert note == "2 stems by htdemucs, their sum -20.0 dB off the mix, 25% of the time separating"


def test_several_cutoffs_stand_side_by_side_and_a_single_one_alone():
    compared = []
    for cutoff, snr in ((CUTOFF, 1.0), (8000.0, 2.0)):
        compared.append(results_of(cutoff=cutoff, failed={"gone": "not installed"}))
        compared[-1].add(chunk(7, snr=snr))
    scores = [results.by_track() for results in compared]
    alone = aggregate.results(compared[:1], scores[:1], {"7": "Rock"}, SETTINGS)
    both = aggregate.results(compared, scores, {"7": "Rock"}, SETTINGS)
    assert "cutoffs" not in alone
    assert {key: both[key] for key in alone} == alone
    assert alone["failed"] == {"gone": "not installed"}
    assert list(both["cutoffs"]) == ["4800", "8000"]
    assert both["cutoffs"]["8000"]["systems"]["input"]["snr"] == {"mean": 2, "low": None, "high": None}
    shown = tables.text(both).splitlines()
    assert any(line.split() == ["8000", "Hz", "input", "-", "2.0"] for line in shown)


SMALL = Correction(RATE, 0.0, -3.0, False, 0.0)
LARGE = Correction(RATE, 0.0, -19.5, True, 0.0)


def network_results(*corrections):
    """Results of a network whose own output has these corrections, by chunk."""
    results = results_of(Model("model", None))
    for correction in corrections:
        outputs = {
            "model": output(correction=Correction(RATE, 0.0, 0.0, False, 0.0)),
            "network alone": output(correction=correction),
            "network alone, aligned": output(correction=correction),
        }
        results.add(ChunkScores(7, 1, 16000.0, outputs, {}, None, {}))
    return results


def test_a_correction_that_inverts_or_changes_the_level_much_is_marked_and_not_applied():
    results = network_results(LARGE, LARGE)
    assert list(results.rows()) == ["model", "network alone"]
    assert results.remarks() == {"network alone": "-19.50 dB, inverted: not corrected"}
    assert results.costs()["network alone"]["note"] == (
        "not corrected: -19.50 dB, inverted; too much to align"
    )


def test_a_small_correction_has_a_row_and_no_remark():
    results = network_results(SMALL, SMALL)
    assert list(results.rows()) == ["model", "network alone", "network alone, aligned"]
    assert results.remarks() == {}


def test_a_large_correction_of_some_chunks_is_marked_with_their_number():
    results = network_results(SMALL, LARGE)
    marked = "-19.50 dB, inverted in 1 of 2 files: not corrected"
    assert results.remarks() == {"network alone": marked, "network alone, aligned": marked}
    assert results.costs()["network alone, aligned"]["note"] == (
        "corrected: -19.50 to -3.00 dB, inverted in 1 of 2 files; not in 1 of 2 files: too much to align"
    )


def test_a_large_correction_of_a_program_is_applied_and_marked(tmp_path):
    results = results_of(Outside("sox", tmp_path))
    outputs = {name: output(correction=LARGE, scores={"snr": 1.0}) for name in ("sox", "sox alone")}
    results.add(ChunkScores(7, 1, 16000.0, outputs, {}, None, {}))
    marked = dict.fromkeys(outputs, "-19.50 dB, inverted: corrected")
    assert results.remarks() == marked
    found = aggregate.results([results], [results.by_track()], {"7": "Rock"}, SETTINGS)
    assert found["remarks"] == marked
    assert "sox alone: -19.50 dB, inverted: corrected" in tables.text(found)
