import numpy as np
import pytest
import torch

from overtone import coding
from overtone.coding import CODINGS, RATE, Choice, code, through
from overtone.errors import OvertoneError

COUNT, TIME = 12, 4096


@pytest.fixture
def degraded():
    return torch.randn(COUNT, TIME, generator=torch.Generator().manual_seed(2)) / 10


def coded(degraded, share=1.0, lowest=3000.0, seed=3, told=8000.0, rate=RATE, whole=None, ends=14000.0):
    """Behind their low-passes, or if they are given all of them whole."""
    draws = torch.rand((4, COUNT), generator=torch.Generator().manual_seed(seed))
    choice = Choice(share, 0.0 if whole is None else 1.0, lowest)
    whole = torch.zeros_like(degraded) if whole is None else whole
    return code(degraded, torch.full((COUNT,), told), whole, torch.full((COUNT,), ends), choice, rate, draws)


@pytest.mark.parametrize("choice", CODINGS, ids=lambda choice: f"{choice.subtype}-{choice.level:.2f}")
def test_a_coded_signal_lies_on_its_source_to_the_sample(rng, choice):
    # Hits in noise, as broad as the least of the codings lets through.
    hits = np.zeros(8192)
    hits[rng.integers(1000, 7000, 5)] = 1
    kernel = np.sinc(np.arange(-64, 65) / 4) * np.hanning(129)
    source = np.convolve(hits + 0.01 * rng.normal(size=8192), kernel, "same").astype(np.float32)
    made = through(source, choice)
    assert made.shape == source.shape
    assert made.dtype == np.float32
    match = np.correlate(made, source[100:-100], "valid")
    assert match.argmax() == 100
    # Within a tenth of a sample: the parabola through the peak and its neighbours.
    before, peak, after = match[99:102]
    assert abs((before - after) / (before - 2 * peak + after) / 2) < 0.1


@pytest.mark.parametrize("choice", CODINGS, ids=lambda choice: f"{choice.subtype}-{choice.level:.2f}")
def test_a_codecs_own_low_pass_begins_where_it_is_said_to(rng, choice):
    source = rng.normal(0, 0.1, 65536).astype(np.float32)
    made = through(source, choice)
    hertz = np.fft.rfftfreq(len(source), 1 / RATE)

    def gain(low, high):
        band = (hertz >= low) & (hertz < high)
        power = [np.square(np.abs(np.fft.rfft(samples)[band])).sum() for samples in (made, source)]
        return 10 * np.log10(power[0] / power[1])

    assert gain(choice.limit - 500, choice.limit) > -5
    if choice.limit < RATE / 2:
        assert gain(choice.limit + 1500, RATE / 2) < -15


def test_it_is_told_the_lower_of_the_two_cutoffs(degraded, monkeypatch):
    used = []
    monkeypatch.setattr(coding, "through", lambda samples, choice: used.append(choice) or samples)
    monkeypatch.setenv("OVERTONE_JOBS", "1")
    _, told = coded(degraded, told=15500.0)
    assert len(used) == COUNT
    for cutoff, choice in zip(told.tolist(), used, strict=True):
        assert cutoff == 15500 or 0.95 * choice.limit <= cutoff <= min(choice.limit, 15500)
        assert cutoff <= choice.limit
    assert 0 < sum(cutoff == 15500 for cutoff in told.tolist()) < COUNT


def test_a_share_is_coded_and_the_rest_is_as_it_was(degraded):
    made, told = coded(degraded, share=0.5, seed=5)
    same = [torch.equal(*rows) for rows in zip(made, degraded, strict=True)]
    assert 3 <= same.count(True) <= 9
    for row in range(COUNT):
        if same[row]:
            assert told[row] == 8000
        else:
            # White noise loses what lies above the codec's limit, and gets the codec's noise.
            error = (made - degraded)[row].square().mean() / degraded[row].square().mean()
            assert 1e-4 < error < 1


def test_what_goes_in_whole_is_ended_by_the_codec(degraded, monkeypatch):
    used = []
    monkeypatch.setattr(coding, "through", lambda samples, choice: used.append(choice) or samples)
    monkeypatch.setenv("OVERTONE_JOBS", "1")
    made, told = coded(degraded, told=4000.0, whole=2 * degraded)
    assert torch.equal(made, 2 * degraded)
    for cutoff, choice in zip(told.tolist(), used, strict=True):
        assert choice.limit <= 14000
        assert 0.95 * choice.limit <= cutoff <= choice.limit
    assert len(set(used)) > 2


def test_where_no_codec_ends_low_enough_a_low_pass_stays(degraded):
    behind = coded(degraded, told=4000.0)
    made = coded(degraded, told=4000.0, whole=2 * degraded, ends=5000.0)
    assert torch.equal(made[0], behind[0])
    assert torch.equal(made[1], behind[1])


def test_a_codec_of_few_bits_leaves_holes_where_a_low_pass_before_it_leaves_none(rng):
    few = next(choice for choice in CODINGS if choice.limit == 9200)
    hertz = np.fft.rfftfreq(65536, 1 / RATE)
    hits = np.tile(np.exp(-np.arange(8192) / 800), 8) * rng.normal(size=65536)
    spectrum = np.fft.rfft(hits) / np.maximum(hertz / 300, 1)

    def empty(end):
        """Share of bins in the octave below an end in Hz that are 20 dB and more under the source's."""
        source = np.fft.irfft(spectrum * (hertz < end)).astype(np.float32)
        low, high = (round(min(end, few.limit) * part / RATE * 2048) for part in (0.5, 0.97))
        source, made = (
            np.abs(np.fft.rfft(signal.reshape(-1, 2048) * np.hanning(2048))[:, low:high])
            for signal in (source, through(source, few))
        )
        return np.mean(made < 0.1 * source)

    assert empty(RATE / 2) > 0.1
    assert empty(4500) < 0.05


def test_the_input_stays_as_it_was(degraded):
    before = degraded.clone()
    coded(degraded)
    assert torch.equal(degraded, before)


def test_the_number_of_threads_does_not_change_a_sample(degraded, monkeypatch):
    made = []
    for jobs in ("1", "4"):
        monkeypatch.setenv("OVERTONE_JOBS", jobs)
        made.append(coded(degraded, seed=7))
    assert torch.equal(made[0][0], made[1][0])
    assert torch.equal(made[0][1], made[1][1])
    assert not torch.equal(made[0][0], coded(degraded, seed=8)[0])


def test_codecs_that_stop_under_the_lowest_cutoff_are_not_used(degraded, monkeypatch):
    used = []
    monkeypatch.setattr(coding, "through", lambda samples, choice: used.append(choice) or samples)
    for seed in range(10):
        coded(degraded, lowest=11000.0, seed=seed)
    assert {choice.limit for choice in used} == {c.limit for c in CODINGS if c.limit >= 11000}


def test_another_rate_is_one_line(degraded):
    with pytest.raises(OvertoneError, match=r"coded is 1\.0; it is 0 unless degrade\.rate is 44100"):
        coded(degraded, rate=48000)


def test_a_codec_that_shifts_is_one_line(rng):
    # A constant bitrate too low for the tag that holds the delay.
    shifting = CODINGS[1]._replace(mode="CONSTANT")
    with pytest.raises(OvertoneError, match="does not take out the codec's delay") as caught:
        through(rng.normal(0, 0.1, 8192).astype(np.float32), shifting)
    assert "\n" not in str(caught.value)
