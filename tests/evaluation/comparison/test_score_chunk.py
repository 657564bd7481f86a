"""The scores of a chunk: the same from one process or several; excerpts, weights, failures."""

import numpy as np
import pytest
import torch

from overtone.core import parallel
from overtone.core.errors import OvertoneError
from overtone.evaluation.comparison import score_chunk, systems
from overtone.evaluation.comparison.chunks import list_chunks, read_chunks
from overtone.evaluation.comparison.score_chunk import RunSettings
from overtone.evaluation.comparison.systems import Baseline
from overtone.models import registry
from tests.helpers.chunk_scores import plain
from tests.helpers.sound import make

RATE, CUTOFF = 44100, 4800.0


@pytest.fixture
def run(pairs):
    return RunSettings(pairs.folder.absolute(), "shared", "cpu", False, True, 0.2)


def score(run, index, *names, cutoff=CUTOFF, lowpass=False, excerpts=False):
    return score_chunk.score_chunk(run, index, list(map(Baseline, names)), cutoff, lowpass, excerpts)


def test_results_do_not_depend_on_the_number_of_threads_and_processes(
    pairs, segments, run, tmp_path, monkeypatch
):
    """To the byte, since every process computes with one thread; runtime cost is measured and left out."""
    registry.save(make("unet"), "unet", tmp_path / "some/model", {})
    compared = [Baseline("noise fill"), systems.Model("some/model", tmp_path / "some/model")]
    first, second, third = list_chunks(pairs, segments)
    calls = [
        (run, first, compared, CUTOFF, False, True),
        (run, second, compared, CUTOFF, False, True),
        (run, third, compared, 8000.0, True, True),
    ]
    monkeypatch.setenv("OVERTONE_JOBS", "1")
    expected = [plain(chunk) for chunk in parallel.run_all(score_chunk.score_chunk, calls)]
    threads = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        assert plain(score_chunk.score_chunk(*calls[0])) == expected[0]
        assert torch.get_num_threads() == 3, "the process has its threads back"
    finally:
        torch.set_num_threads(threads)
    monkeypatch.setenv("OVERTONE_JOBS", "2")
    assert [plain(chunk) for chunk in parallel.run_all(score_chunk.score_chunk, calls)] == expected
    assert all(expected[0] != other for other in expected[1:])


def test_systems_get_cutoff_and_rate(pairs, segments, run, monkeypatch):
    calls = []
    monkeypatch.setitem(systems.BASELINES, "it", lambda samples, *rest: calls.append(rest) or samples)
    score(run, list_chunks(pairs, segments)[0], "it", cutoff=6000.0, lowpass=True)
    assert calls == [(6000.0, RATE)]


def test_scored_outputs_hold_no_samples(pairs, segments, run):
    output = score(run, list_chunks(pairs, segments)[0], "input").outputs["input"]
    assert output.samples.numel() == 0
    assert output.scores["snr"] > 0


def test_excerpts_are_the_middle_of_each_version(pairs, segments, run):
    index = list_chunks(pairs, segments)[0]
    found = score(run, index, "input", excerpts=True).excerpts
    chunk = next(read_chunks(pairs, segments))
    start = (RATE - round(0.2 * RATE)) // 2
    versions = {"degraded": chunk.degraded, "input": chunk.degraded, "original": chunk.original}
    for name, samples in versions.items():
        assert np.array_equal(found[name], samples[:, start : start + round(0.2 * RATE)])
    assert score(run, index, "input").excerpts == {}


def test_a_missing_visqol_is_no_failed_program_but_the_error_of_the_run(pairs, segments, run, monkeypatch):
    def missing(*_):
        raise OvertoneError("not here")

    monkeypatch.setattr("overtone.evaluation.metrics.visqol.visqol", missing)
    monkeypatch.setattr("overtone.evaluation.comparison.chunks.VISQOL_MIN_SECONDS", 0.1)
    with pytest.raises(OvertoneError, match="not here"):
        score(run._replace(visqol=True), list_chunks(pairs, segments)[0], "input")


def test_an_output_for_silence_has_no_weight(pairs, segments, run, monkeypatch):
    first, second, _ = list_chunks(pairs, segments)
    weights = [score(run, index, "input").weight for index in (first, second)]
    monkeypatch.setattr(
        "overtone.data.dataset.reader.Pairs.read", lambda self, pair, *_: np.zeros((2, RATE), np.float32)
    )
    weights.append(score(run, second, "input").weight)
    assert weights == [RATE, RATE // 2, 0]
