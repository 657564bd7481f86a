import pytest
import torch

from overtone.core.errors import OvertoneError
from overtone.evaluation.comparison import chunks
from overtone.evaluation.comparison.chunks import EvaluateSettings, middle, read_chunks
from overtone.evaluation.metrics import visqol
from tests.helpers.sound import band

RATE, CUTOFF = 44100, 4800.0
GOOD = {
    "systems": ("model",),
    "cutoffs": (),
    "visqol": False,
    "resamples": 100,
    "pictures": 1,
    "excerpt": 1.0,
    "seed": 1,
}


def test_chunks_have_all_their_samples_and_channels(pairs, segments):
    found = [
        (chunk.track_id, chunk.part, tuple(chunk.original.shape)) for chunk in read_chunks(pairs, segments)
    ]
    assert found == [(1, 0, (2, RATE)), (1, 1, (2, RATE // 2)), (2, 0, (1, int(0.6 * RATE)))]


def test_chunks_are_those_of_the_tracks_of_the_segments(pairs, segments):
    assert {chunk.track_id for chunk in read_chunks(pairs, segments[segments["track_id"] == 2])} == {2}


def test_with_a_cutoff_the_original_is_low_passed_there(pairs, segments):
    stored, lowpassed = next(read_chunks(pairs, segments)), next(read_chunks(pairs, segments, 8000.0))
    assert torch.equal(stored.original, lowpassed.original)
    inner = slice(4000, -4000)  # away from the ends, where music is cut off
    original, found = (samples.numpy()[:, inner] for samples in (lowpassed.original, lowpassed.degraded))
    assert band(found - original, 100, 7500) < band(original, 100, 7500) - 35  # a ripple of 0.1 dB
    assert band(found, 8400, 20000) < band(original, 8400, 20000) - 75


def test_a_few_seconds_of_a_chunk_begin_with_its_first_segment(pairs, segments):
    late = segments[segments["start"] > 0]
    whole, short = list(read_chunks(pairs, late)), list(read_chunks(pairs, late, seconds=0.25))
    assert len(whole) == len(short) == 3
    for all_of_it, few in zip(whole, short, strict=True):
        start = int(all_of_it.segments["start"].min())
        cut = slice(start, start + RATE // 4)
        assert torch.equal(few.original, all_of_it.original[:, cut])
        assert torch.equal(few.degraded, all_of_it.degraded[:, cut])
        assert few.segments["start"].min() == 0
        assert (few.segments["start"] + few.segments["length"]).max() <= RATE // 4


def test_less_than_a_segment_is_not_scored(pairs, segments):
    for chunk in read_chunks(pairs, segments, seconds=0.1):
        assert chunk.original.shape[1] == 8192
        assert set(chunk.segments["start"]) == {0}


@pytest.mark.parametrize("time", [1, 20, 34])
def test_the_shortest_chunk_is_low_passed_too(time):
    assert chunks.lowpass(torch.ones(2, time), 8000.0, RATE).shape == (2, time)


def test_the_middle_is_as_far_from_both_ends():
    samples = torch.arange(10.0)[None]
    assert middle(samples, 0.4, 10)[0].tolist() == [3, 4, 5, 6]
    assert middle(samples, 2.0, 10).shape == (1, 10)


def test_visqol_gets_the_middle_and_only_if_it_is_on(pairs, segments, monkeypatch):
    calls = []
    monkeypatch.setattr(visqol, "EXCERPT_SECONDS", 0.5)
    monkeypatch.setattr(chunks, "VISQOL_MIN_SECONDS", 0.55)
    monkeypatch.setattr(
        "overtone.evaluation.metrics.visqol.visqol", lambda *given: calls.append(given) or 4.0
    )
    found = list(read_chunks(pairs, segments))
    assert "visqol" not in chunks.measure(found[0], found[0].degraded, RATE, CUTOFF, "shared")
    assert not calls
    for chunk, long in zip(found, (True, False, True), strict=True):  # the second lasts half a second
        values = chunks.measure(chunk, chunk.degraded, RATE, CUTOFF, "shared", visqol=True)
        assert ("visqol" in values) == long
    assert [reference.shape[1] for reference, _, _ in calls] == [RATE // 2] * 2
    assert torch.equal(calls[0][0], middle(found[0].original, 0.5, RATE))
    assert torch.equal(calls[0][1], middle(found[0].degraded, 0.5, RATE))


def test_the_real_visqol_is_computed_if_it_is_installed(pairs, segments):
    pytest.importorskip("visqol", reason="visqol-python is not installed: no compiler")
    chunk = next(read_chunks(pairs, segments))
    values = chunks.measure(chunk, chunk.original, RATE, CUTOFF, "shared", visqol=True)
    assert values["visqol"] == pytest.approx(4.732, abs=1e-3)


def test_the_papers_metrics_follow_the_scaling_asked_for(pairs, segments):
    chunk = next(read_chunks(pairs, segments))
    half = chunk.original / 2
    shared = chunks.measure(chunk, half, RATE, CUTOFF, "shared")
    separate = chunks.measure(chunk, half, RATE, CUTOFF, "separate")
    assert separate["l1"] == pytest.approx(0, abs=1e-6)
    assert shared["l1"] > 0.1
    assert shared["snr"] == separate["snr"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"systems": ()}, "evaluate.systems is []; it is a list of names, at least one, each once"),
        ({"systems": ("a", "a")}, "evaluate.systems is ['a', 'a']; it is a list of names"),
        ({"systems": ("restored",)}, "it is a list of names, none of them degraded, original, restored"),
        (
            {"cutoffs": (100.0,)},
            "evaluate.cutoffs is [100.0]; it is a list of frequencies in Hz, 500 or more",
        ),
        ({"cutoffs": (8000.0, 8000.0)}, "evaluate.cutoffs is [8000.0, 8000.0]; it is a list of frequencies"),
        ({"resamples": 10}, "evaluate.resamples is 10; it is a whole number, 100 or more"),
        ({"pictures": 0}, "evaluate.pictures is 0; it is a whole number, 1 or more"),
        ({"excerpt": 0.0}, "evaluate.excerpt is 0.0; it is a finite time in seconds, above 0.1"),
        ({"excerpt": float("inf")}, "evaluate.excerpt is inf; it is a finite time in seconds, above 0.1"),
        ({"seed": -1}, "evaluate.seed is -1; it is a whole number, 0 or more"),
    ],
)
def test_a_bad_param_is_one_line(changes, message):
    with pytest.raises(OvertoneError) as caught:
        EvaluateSettings(**(GOOD | changes))
    assert message in str(caught.value)


@pytest.mark.parametrize("cutoffs", [(4800.0,), (8000.0, 22050.0)])
def test_a_cutoff_of_degrade_or_above_nyquist_is_one_line(cutoffs):
    settings = EvaluateSettings(**(GOOD | {"cutoffs": cutoffs}))
    with pytest.raises(
        OvertoneError, match=r"evaluate.cutoffs is \[.*; it is below 22050 Hz, half the pairs'"
    ):
        settings.check_cutoffs(CUTOFF, RATE)
    EvaluateSettings(**(GOOD | {"cutoffs": (4000.0,)})).check_cutoffs(CUTOFF, RATE)


def test_a_cutoff_above_the_output_of_networks_is_one_line():
    settings = EvaluateSettings(**(GOOD | {"cutoffs": (30000.0,)}))
    with pytest.raises(OvertoneError, match=r"is \[30000.0\]; it is below 22050 Hz and none that of degrade"):
        settings.check_cutoffs(CUTOFF, 96000)
