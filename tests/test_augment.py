import pytest
import torch

from overtone.augment import LEAST_BAND, AugmentSettings, Batch, augment
from overtone.errors import OvertoneError

RATE, TIME, COUNT = 44100, 32768, 40


def settings(**changes):
    return AugmentSettings(
        **({"filters": True, "lowest": 3000.0, "highest": 16000.0, "gain_db": 0.0} | changes)
    )


@pytest.fixture
def batch():
    original = torch.randn(COUNT, TIME, generator=torch.Generator().manual_seed(2)) / 10
    bandwidth = torch.full((COUNT,), 20000.0)
    bandwidth[:5] = 9000.0
    return Batch(original / 2, original, torch.full((COUNT,), 4800.0), bandwidth)


def response(made, original):
    """Gain by frequency bin, smoothed."""
    ratio = torch.fft.rfft(made).abs().square() / torch.fft.rfft(original).abs().square()
    return ratio.sqrt()


def test_without_filters_the_batch_stays_as_it_is(batch):
    assert augment(batch, settings(filters=False), RATE, 1) is batch


def test_every_segment_gets_a_filter_of_its_own_that_ends_where_the_network_is_told(batch):
    made = augment(batch, settings(), RATE, 1)
    assert len(set(made.cutoff.tolist())) == COUNT
    gain = response(made.degraded, batch.original)
    frequency = torch.fft.rfftfreq(TIME, 1 / RATE)
    for row, told in enumerate(made.cutoff.tolist()):
        assert gain[row, frequency < told / 3].min() > 0.99
        half = float(frequency[(gain[row] > 0.5**0.5).nonzero().max()])  # the last at -3 dB
        assert told <= half + 2
        assert told >= 0.95 * half - 2


def test_cutoffs_stay_in_their_range_and_under_each_recordings_bandwidth(batch):
    for seed in range(5):
        told = augment(batch, settings(), RATE, seed).cutoff
        assert told.min() >= 0.95 * 3000
        assert told.max() <= 16000
        assert told[:5].max() <= 9000 - LEAST_BAND


def test_a_filter_neither_delays_nor_turns_phases(batch):
    made = augment(batch, settings(), RATE, 1)
    cross = torch.fft.rfft(made.degraded) * torch.fft.rfft(batch.original).conj()
    low = slice(10, 2000)  # up to 2.7 kHz: under every cutoff
    assert (cross[:, low].imag.abs() / cross[:, low].abs()).max() < 1e-3


def test_level_changes_alike_for_both_of_a_pair(batch):
    made = augment(batch, settings(gain_db=24.0), RATE, 1)
    gain = (made.original / batch.original).median(dim=1).values
    assert 10 ** (-24 / 20) <= gain.min() < 0.3
    assert 0.7 < gain.max() <= 1
    torch.testing.assert_close(made.original, batch.original * gain[:, None])
    flat = augment(batch, settings(), RATE, 1)
    torch.testing.assert_close(made.degraded, flat.degraded * gain[:, None], atol=1e-5, rtol=1e-3)


def test_the_same_seed_draws_the_same_and_another_does_not(batch):
    first, again, other = (augment(batch, settings(), RATE, seed) for seed in (1, 1, 2))
    assert torch.equal(first.degraded, again.degraded)
    assert not torch.equal(first.cutoff, other.cutoff)


def test_micro_batches_hold_the_same_rows(batch):
    pieces = batch.split(16)
    assert [len(piece.original) for piece in pieces] == [16, 16, 8]
    for name in Batch._fields:
        assert torch.equal(torch.cat([getattr(piece, name) for piece in pieces]), getattr(batch, name))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lowest": 20000.0}, "train.augment.lowest is 20000.0; it is a frequency in Hz, 500 to"),
        ({"gain_db": -1.0}, "train.augment.gain_db is -1.0; it is a gain in dB, 0 to 60"),
        ({"coded": 1.5}, "train.augment.coded is 1.5; it is a share, 0 to 1"),
        ({"coded": 0.5, "filters": False}, "coded is 0.5; it is 0 unless train.augment.filters is true"),
    ],
)
def test_a_bad_param_is_one_line(changes, message):
    with pytest.raises(OvertoneError) as caught:
        settings(**changes)
    assert message in str(caught.value)
