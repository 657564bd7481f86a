import numpy as np
import pytest
import torch

from overtone.core.errors import OvertoneError
from overtone.core.rates import MODEL_RATE as RATE
from overtone.training import codecs
from overtone.training.codecs import (
    CODECS,
    FASTER,
    LOW_BITRATE_CODECS,
    STEREO_CODECS,
    CodecSettings,
    Sources,
    apply_codecs,
    encode_decode,
    encode_decode_side,
    round_trip,
)

COUNT, TIME = 12, 4096


@pytest.fixture
def degraded():
    return torch.randn(COUNT, TIME, generator=torch.Generator().manual_seed(2)) / 10


def coded(
    degraded, share=1.0, lowest=3000.0, seed=3, given=8000.0, rate=RATE, whole=None, ends=14000.0, mids=None
):
    """Behind their low-passes, or if they are given all of them whole."""
    draws = torch.rand((6, COUNT), generator=torch.Generator().manual_seed(seed))
    settings = CodecSettings(share, 0.0 if whole is None else 1.0, lowest)
    whole = torch.zeros_like(degraded) if whole is None else whole
    cutoff, highest = torch.full((COUNT,), given), torch.full((COUNT,), ends)
    return apply_codecs(Sources(degraded, cutoff, whole, highest, mids), settings, rate, draws)


@pytest.fixture
def used(monkeypatch):
    """What codings were asked for, and how fast, of signals that then stay as they are."""
    calls = []
    stay = lambda samples, choice, faster: calls.append((choice, faster)) or samples  # noqa: E731
    monkeypatch.setattr(codecs, "encode_decode", stay)
    monkeypatch.setenv("OVERTONE_JOBS", "1")
    return calls


def beside_mid(samples, coding, faster=1.0):
    """As the side of stereo whose mid is noise, as loud."""
    mid = np.random.default_rng(5).normal(size=len(samples)).astype(np.float32)
    return encode_decode_side(samples, mid * samples.std(), coding, faster)


every_coding = pytest.mark.parametrize(
    ("send", "choice"),
    dict.fromkeys(
        [
            *((encode_decode, mono) for mono in CODECS + LOW_BITRATE_CODECS),
            *((beside_mid, both) for both in STEREO_CODECS),
        ]
    ),
    ids=lambda value: getattr(value, "__name__", None) or f"{value.subtype}-{value.rate}-{value.level:.2f}",
)


@every_coding
@pytest.mark.parametrize("faster", [1 / FASTER, 1.0, FASTER])
def test_a_coded_signal_lies_on_its_source_to_the_sample(rng, send, choice, faster):
    # Hits in noise, under where the least of the codings ends.
    hits = np.zeros(32768)
    hits[rng.integers(1000, 31000, 20)] = 1
    kernel = np.sinc(np.arange(-64, 65) / 6) * np.hanning(129)
    source = np.convolve(hits + 0.01 * rng.normal(size=32768), kernel, "same").astype(np.float32)
    made = send(source, choice, faster)
    assert made.shape == source.shape
    assert made.dtype == np.float32
    match = np.correlate(made, source[100:-100], "valid")
    assert match.argmax() == 100
    # Within a tenth of a sample: the slope of the phase between them.
    both = np.fft.rfft(made) * np.fft.rfft(source).conj()
    turns = 2 * np.pi * np.fft.rfftfreq(len(source))
    slope = np.sum(np.abs(both) * turns * np.angle(both)) / np.sum(np.abs(both) * turns**2)
    assert abs(slope) < 0.1


@every_coding
@pytest.mark.parametrize("faster", [1.0, FASTER])
def test_a_codecs_own_low_pass_begins_where_it_is_said_to(send, choice, faster):
    def gain(hertz):
        tone = 0.1 * np.sin(2 * np.pi * hertz / RATE * np.arange(32768)).astype(np.float32)
        made = send(tone, choice, faster)[4096:-4096]
        return 20 * np.log10(made.std() / tone.std() + 1e-6)

    end = choice.limit / faster
    assert gain(min(end, 21000) - 50) > -4
    if choice.limit < RATE / 2:
        assert gain(end + 400) < -15


def test_it_is_told_the_lower_of_the_two_cutoffs(degraded, used):
    _, given = coded(degraded, given=15500.0)
    assert len(used) == COUNT
    for cutoff, (choice, faster) in zip(given.tolist(), used, strict=True):
        end = choice.limit / faster
        assert cutoff == 15500 or 0.95 * end <= cutoff <= min(end, 15500)
        assert cutoff <= end
    assert 0 < sum(cutoff == 15500 for cutoff in given.tolist()) < COUNT


def test_a_share_is_coded_and_the_rest_is_as_it_was(degraded):
    made, given = coded(degraded, share=0.5, seed=5)
    same = [torch.equal(*rows) for rows in zip(made, degraded, strict=True)]
    assert 3 <= same.count(True) <= 9
    for row in range(COUNT):
        if same[row]:
            assert given[row] == 8000
        else:
            # White noise loses what lies above the codec's limit, and gets the codec's noise.
            error = (made - degraded)[row].square().mean() / degraded[row].square().mean()
            assert 1e-4 < error < 1


def test_what_goes_in_whole_is_ended_by_the_codec(degraded, used):
    made, given = coded(degraded, given=4000.0, whole=2 * degraded)
    assert torch.equal(made, 2 * degraded)
    for cutoff, (choice, faster) in zip(given.tolist(), used, strict=True):
        assert choice in LOW_BITRATE_CODECS
        end = choice.limit / faster
        assert end <= 14000
        assert 0.95 * end <= cutoff <= end
    assert len(set(used)) > 2


def test_a_side_goes_in_whole_beside_a_mid(degraded, monkeypatch):
    sent = []
    stay = lambda both, coding, faster: sent.append((both, coding)) or both  # noqa: E731
    monkeypatch.setattr(codecs, "encode_decode", stay)
    monkeypatch.setenv("OVERTONE_JOBS", "1")
    mids = 3 * degraded.roll(1, 0)
    made, _ = coded(degraded, given=4000.0, whole=20 * degraded, mids=mids)
    # What is beyond full scale is brought under it, and back.
    assert torch.allclose(made, 20 * degraded, atol=1e-5)
    louder = []
    for row, (both, choice) in enumerate(sent):
        assert choice in STEREO_CODECS
        assert np.abs(both).max() <= 1
        mid, side = (both[:, 0] + both[:, 1]) / 2, (both[:, 0] - both[:, 1]) / 2
        assert np.corrcoef(mid, mids[row])[0, 1] > 0.999
        assert np.corrcoef(side, degraded[row])[0, 1] > 0.999
        louder.append(20 * np.log10(mid.std() / side.std()))
    assert 0 <= min(louder) < 6
    assert 14 < max(louder) <= 20
    # Behind a low-pass nothing changes.
    plain, beside = (coded(degraded, seed=4, mids=other)[0] for other in (None, mids))
    assert torch.equal(plain, beside)


def test_a_silent_mid_or_side_is_no_fault(degraded):
    for side, mid in ((degraded, 0 * degraded), (0 * degraded, degraded)):
        made, _ = coded(0 * degraded, whole=side, mids=mid)
        assert torch.isfinite(made).all()


def test_codecs_end_it_anywhere(degraded, used):
    for seed in range(20):
        coded(degraded, seed=seed, whole=degraded)
    ends = np.sort([choice.limit / faster for choice, faster in used])
    assert ends[0] < 4500
    assert ends[-1] > 11000
    assert np.diff(ends).max() < 1000
    assert len(np.unique(ends)) == len(ends)


def test_where_no_codec_ends_low_enough_a_low_pass_stays(degraded):
    behind = coded(degraded, given=4000.0)
    made = coded(degraded, given=4000.0, whole=2 * degraded, ends=3500.0)
    assert torch.equal(made[0], behind[0])
    assert torch.equal(made[1], behind[1])


@pytest.mark.parametrize("few", LOW_BITRATE_CODECS, ids=lambda choice: f"{choice.rate}-{choice.level:.2f}")
def test_a_codec_of_few_bits_leaves_holes_and_more_than_where_a_low_pass_is_before_it(rng, few):
    hertz = np.fft.rfftfreq(65536, 1 / RATE)
    hits = np.tile(np.exp(-np.arange(8192) / 800), 8) * rng.normal(size=65536)
    spectrum = np.fft.rfft(hits) / np.maximum(hertz / 300, 1)

    def empty(end):
        """Share of bins in the octave below an end in Hz that are 20 dB and more under the source's."""
        source = np.fft.irfft(spectrum * (hertz < end)).astype(np.float32)
        low, high = (round(min(end, few.limit) * part / RATE * 2048) for part in (0.5, 0.97))
        source, made = (
            np.abs(np.fft.rfft(signal.reshape(-1, 2048) * np.hanning(2048))[:, low:high])
            for signal in (source, encode_decode(source, few))
        )
        return np.mean(made < 0.1 * source)

    assert empty(RATE / 2) > (0.1 if few.limit > 8000 else 0.05)
    assert empty(few.limit / 2) < empty(RATE / 2) / 2
    if few.limit > 8000:
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


def test_codecs_that_stop_under_the_lowest_cutoff_are_not_used(degraded, used):
    for seed in range(20):
        coded(degraded, lowest=11000.0, seed=seed)
    assert min(choice.limit / faster for choice, faster in used) >= 11000
    assert {choice.limit for choice, _ in used} == {c.limit for c in CODECS if c.limit * FASTER >= 11000}


def test_where_all_codecs_end_too_low_a_signal_stays_as_it_is(degraded):
    made, given = coded(degraded, lowest=21900.0, given=21900.0)
    whole, _ = coded(degraded, lowest=21900.0, given=21900.0, whole=degraded, ends=22000.0)
    same = [torch.equal(row, before) for row, before in zip(made, degraded, strict=True)]
    assert any(same)
    assert not all(same)
    assert (given[same] == 21900).all()
    assert [torch.equal(row, before) for row, before in zip(whole, degraded, strict=True)] == same


def test_another_rate_is_one_line(degraded):
    with pytest.raises(OvertoneError, match=r"coded is 1\.0; it is 0 unless degrade\.rate is 44100"):
        coded(degraded, rate=48000)


def test_a_codec_that_shifts_is_one_line(rng):
    # A constant bitrate too low for the tag that holds the delay.
    shifting = next(c for c in LOW_BITRATE_CODECS if (c.rate, c.limit) == (RATE, 8200))._replace(
        mode="CONSTANT"
    )
    with pytest.raises(OvertoneError, match="does not take out the codec's delay") as caught:
        encode_decode(rng.normal(0, 0.1, 8192).astype(np.float32), shifting)
    assert "\n" not in str(caught.value)


def test_a_minute_of_vorbis_comes_back(rng):
    samples = rng.normal(0, 0.1, 60 * RATE).astype(np.float32)
    assert abs(len(round_trip(samples, RATE, format="OGG", subtype="VORBIS")) - len(samples)) < 4096


@pytest.mark.parametrize("shape", [(44100,), (44100, 1), (44100, 2)])
def test_a_file_gives_back_what_was_written(rng, shape):
    samples = rng.normal(0, 0.1, shape).astype(np.float32)
    assert np.array_equal(round_trip(samples, 22050, format="WAV", subtype="FLOAT"), samples)
    coded = round_trip(samples, RATE, format="MP3", compression_level=0.0, bitrate_mode="CONSTANT")
    assert coded.shape == shape
    assert np.corrcoef(coded.ravel(), samples.ravel())[0, 1] > 0.9
