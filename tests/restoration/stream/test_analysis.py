"""The analysis of an input, and the restorer that is opened for it."""

from dataclasses import replace

import numpy as np
import pytest
from scipy import signal

from overtone.core.errors import OvertoneError
from overtone.restoration.stream.analysis import Analyzer, RestorerOptions, analyze, open_restorer
from overtone.restoration.stream.resampling import Unchanged
from overtone.restoration.stream.restorer import Restorer
from overtone.restoration.stream.separation import Findings, Separator
from overtone.restoration.stream.stems import StemsRestorer
from tests.helpers.sound import CUTOFF, RATE, make

# Relative: transforms of another number of frames round differently.
CUT_TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def net():
    return make("spectral")


@pytest.fixture
def calls(low, rng):
    """Noise in full band, of which the first and the last third end at 6 kHz; (2, time)."""
    low = np.tile(low, (1, 4))
    return np.concatenate([low, rng.normal(0, 0.1, low.shape).astype(np.float32), low], axis=1)


def test_an_input_is_measured(low):
    low = np.tile(low, (1, 4))  # long enough for both noise floors
    analysis = analyze(0.5 * low, RATE)
    assert (analysis.rate, analysis.channels, analysis.samples) == (RATE, 2, low.shape[1])
    assert analysis.peak == 0.5 * np.abs(low).max()
    assert 0.9 * CUTOFF < analysis.cutoff.hz < CUTOFF
    assert analysis.needs_restoring
    assert analysis.spans is None
    # Mid is half the sum of two independent channels: half of their variance, over 6 kHz.
    for floor in analysis.floors:
        assert floor.density == pytest.approx((0.5 * low).var() / 2 / (2 * CUTOFF), rel=0.3)


@pytest.mark.parametrize("passages", [False, True])
def test_the_blocks_of_an_input_do_not_matter(calls, passages):
    analyzer = Analyzer(RATE, 2, passages=passages)
    for block in np.array_split(calls, 7, axis=1):
        analyzer.add(block)
    cut, expected = analyzer.finish(), analyze(calls, RATE, passages=passages)
    assert cut.cutoff.hz == pytest.approx(expected.cutoff.hz, rel=CUT_TOLERANCE)
    assert cut.cutoff.confidence == pytest.approx(expected.cutoff.confidence, rel=CUT_TOLERANCE)
    for floor, other in zip(cut.floors, expected.floors, strict=True):
        assert floor == other or np.allclose(floor, other, rtol=CUT_TOLERANCE)
    assert (cut.spans, cut.samples, cut.peak) == (expected.spans, expected.samples, expected.peak)


def test_a_given_cutoff_is_not_measured(rng):
    analysis = analyze(rng.normal(0, 0.1, (1, RATE)).astype(np.float32), RATE, 5000.0)
    assert (analysis.cutoff.hz, analysis.cutoff.kind) == (5000.0, "given")
    assert analysis.needs_restoring


def test_narrowband_passages_have_no_floor_of_the_recording(calls):
    analysis = analyze(calls, RATE, passages=True)
    assert np.abs(np.array(analysis.spans) - [(0, 8), (16, 24)]).max() < 0.1
    assert analysis.floors == (None, None)
    assert analyze(calls[:, : 8 * RATE], RATE, passages=True).spans == ((0, 8),)
    assert analyze(calls[:, 8 * RATE : 16 * RATE], RATE, passages=True).spans == ()


def test_floors_are_measured_if_asked_for(low):
    assert analyze(low, RATE, noise=False).floors == (None, None)


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (np.nan, r"^x.wav holds NaN or infinity, first at 1\.500 s; repair it first$"),
        (-np.inf, r"^x.wav holds NaN or infinity, first at 1\.500 s"),
        (-1e8, r"^x.wav peaks at 1e\+08 times full scale; that is not sound$"),
    ],
)
def test_what_is_no_sound_is_an_error(low, sample, message):
    analyzer = Analyzer(RATE, 2, name="x.wav")
    analyzer.add(low[:, :RATE])
    low[1, RATE * 3 // 2] = sample
    with pytest.raises(OvertoneError, match=message):
        analyzer.add(low[:, RATE:])


def test_the_restorer_follows_from_the_analysis(net, low, rng):
    limited = analyze(low, RATE)
    assert isinstance(open_restorer(limited, net), Restorer)
    full = analyze(rng.normal(0, 0.1, (1, RATE)).astype(np.float32), RATE)
    for unchanged in (open_restorer(full, net, 48000), open_restorer(full, None, 48000)):
        assert isinstance(unchanged, Unchanged)
        assert unchanged.out_rate == 48000
    separator = Separator("one", ("all",), RATE, 2, 5000, lambda wave: np.stack([wave]))
    findings = Findings("one", ("all",))
    stems = open_restorer(limited, net, options=RestorerOptions(separator, findings))
    assert isinstance(stems, StemsRestorer)
    assert stems.findings is findings


def run(stream, samples):
    return np.concatenate([stream.process(samples), stream.flush()], axis=1)


def test_the_restorer_has_the_spans_peak_and_rate_of_the_analysis(net, calls):
    analysis = analyze(0.5 * calls, RATE, passages=True)
    samples = calls[:, 6 * RATE : 10 * RATE]
    expected = Restorer(net, RATE, 2, analysis.cutoff.hz, analysis.peak, 48000, spans=analysis.spans)
    assert np.array_equal(run(open_restorer(analysis, net, 48000), samples), run(expected, samples))


def test_a_cliffs_corner_is_the_cutoff_and_begins_the_added_band(rng):
    noise = rng.normal(0, 0.1, (1, 8 * RATE))
    cliff = signal.sosfiltfilt(signal.ellip(10, 0.05, 40, 6200, fs=RATE, output="sos"), noise).astype(
        np.float32
    )
    analysis = analyze(cliff, RATE)
    assert analysis.cutoff.hz == pytest.approx(6215, abs=25)
    assert analysis.cutoff.hz - 60 < analysis.start < analysis.cutoff.hz


def test_above_a_cutoff_that_is_given_where_nothing_falls_all_is_replaced(rng):
    noise = rng.normal(0, 0.1, (1, 4 * RATE)).astype(np.float32)
    assert analyze(noise, RATE, 5000.0).rolloff is None
    assert analyze(noise, RATE, 5000.0).start == 5000


def test_the_restorer_has_the_floors_of_the_analysis(net, low):
    analysis = analyze(np.tile(low, (1, 4)), RATE)
    assert all(analysis.floors)
    expected = Restorer(net, RATE, 2, analysis.cutoff.hz, analysis.peak, floors=analysis.floors)
    analysis = replace(analysis, rolloff=None)
    assert np.array_equal(run(open_restorer(analysis, net), low), run(expected, low))


def test_the_restorer_gives_all_bands_of_the_network_if_asked_to(net, low):
    analysis = analyze(low, RATE, CUTOFF, noise=False)
    alone = run(open_restorer(analysis, net, options=RestorerOptions(keep_low=False)), low)
    assert np.array_equal(alone, run(Restorer(net, RATE, 2, CUTOFF, analysis.peak, keep_low=False), low))
