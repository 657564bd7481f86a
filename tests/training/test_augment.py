import pytest
import torch

from overtone.core.errors import OvertoneError
from overtone.data.dataset.batch import Batch, BatchRows
from overtone.training.augment import KINDS, LEAST_BAND, AugmentSettings, augment

RATE, TIME, COUNT = 44100, 32768, 40


def settings(**changes):
    plain = {
        "kinds": KINDS,
        "lowest": 3000.0,
        "highest": 16000.0,
        "gain_db": 0.0,
        "speed": 1.0,
        "tilt_db": 0.0,
        "mix": 0.0,
        "coded": 0.0,
        "coded_whole": 0.0,
    }
    return AugmentSettings(**({"filters": True} | plain | changes))


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
    gain = response(made.degraded, made.original)
    frequency = torch.fft.rfftfreq(TIME, 1 / RATE)
    for row, end in enumerate(made.cutoff.tolist()):
        assert gain[row, frequency < end / 3].min() > 0.99
        half = float(frequency[(gain[row] > 0.5**0.5).nonzero().max()])  # the last at -3 dB
        assert end <= half + 2
        assert end >= 0.95 * half - 2


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_falls_as_its_name_says(batch, kind):
    made = augment(batch, settings(kinds=(kind,), lowest=4000.0, highest=8000.0), RATE, 1)
    gain = response(made.degraded, made.original)
    frequency = torch.fft.rfftfreq(TIME, 1 / RATE)
    floors, walls = set(), 0
    for row, end in enumerate(made.cutoff.tolist()):
        half = float(frequency[(gain[row] > 0.5**0.5).nonzero().max()])
        assert 0.95 * half - 2 <= end <= half + 2
        band = gain[row, (frequency > 100) & (frequency < end / 2)]
        ripple = 20 * torch.log10(band.max() / band.min())
        assert ripple < {"butterworth": 0.03, "sinc": 0.001}.get(kind, 0.06)
        if kind in ("chebyshev1", "elliptic"):
            assert ripple > 0.03
        deep = gain[row, frequency > 2.5 * half].median()
        floors.add(round(float(20 * torch.log10(deep.clamp_min(1e-12)))))
        power = torch.fft.rfft(made.degraded[row]).abs().square()
        walls += int(power[frequency > 1.2 * half].max() < 1e-9 * power.mean())
    if kind == "elliptic":
        assert all(-101 <= floor <= -39 for floor in floors)
        assert max(floors) - min(floors) > 30
    if kind == "sinc":
        assert walls == COUNT


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


def test_every_input_peaks_between_full_scale_and_the_softest(batch):
    loud = augment(batch, settings(), RATE, 1)
    torch.testing.assert_close(loud.degraded.abs().amax(-1), torch.ones(COUNT))
    soft = augment(batch, settings(gain_db=24.0), RATE, 1)
    peak = soft.degraded.abs().amax(-1)
    assert 10 ** (-24 / 20) <= peak.min() < 0.3
    assert 0.7 < peak.max() <= 1
    for name in ("degraded", "original"):
        torch.testing.assert_close(getattr(soft, name), getattr(loud, name) * peak[:, None])


@pytest.mark.parametrize("time", [1100, 2000, 8192])
def test_no_speed_plays_a_segment_in_less_than_the_shortest(batch, time):
    short = Batch(*(tensor[:, :time] if tensor.ndim > 1 else tensor for tensor in batch))
    made = [augment(short, settings(speed=1.25), RATE, seed).original.shape[1] for seed in range(30)]
    assert settings(speed=1.25).shortest(time) == min([*made, time])
    assert settings().shortest(time) == settings(speed=1.25, filters=False).shortest(time) == time


def test_speed_moves_frequencies_and_bandwidth_alike(batch):
    tone = torch.sin(2 * torch.pi * 1000 * torch.arange(TIME) / RATE).expand(COUNT, -1)
    made = augment(batch._replace(original=tone), settings(speed=1.25), RATE, 3)
    length = made.original.shape[-1]
    assert length % 512 == 0
    speed = TIME / length
    assert 0.8 <= speed <= 1.25
    assert speed != 1
    # Between the bins around the ends, where a tone that is cut off has all frequencies.
    peak = torch.fft.rfft(made.original * torch.hann_window(length)).abs().argmax(-1) * RATE / length
    assert ((peak - 1000 * speed).abs() < 2 * RATE / length).all()
    torch.testing.assert_close(made.bandwidth, (batch.bandwidth * speed).clamp(max=RATE / 2))


def test_the_equaliser_bends_both_of_a_pair_alike_within_its_limits(batch):
    made = augment(batch, settings(tilt_db=4.0), RATE, 1)
    gain = 20 * torch.log10(response(made.original, batch.original))
    frequency = torch.fft.rfftfreq(TIME, 1 / RATE)
    gain = gain[:, (frequency > 100) & (frequency < 16000)]
    gain = gain - gain.mean(-1, keepdim=True)
    spread = gain.amax(-1) - gain.amin(-1)
    octaves = torch.log2(torch.tensor(16000 / 100))
    assert 5 < spread.median() < 4 * octaves + 2 * 2 * 8
    low = slice(10, 2000)  # up to 2.7 kHz: under every cutoff
    torch.testing.assert_close(
        torch.fft.rfft(made.degraded)[:, low].abs(),
        torch.fft.rfft(made.original)[:, low].abs(),
        rtol=0.02,
        atol=0.1,
    )


def test_a_mix_ends_where_the_first_of_its_two_recordings_ends(batch):
    made = augment(batch, settings(mix=1.0), RATE, 1)
    expected = torch.minimum(batch.bandwidth, batch.bandwidth.roll(1))
    assert torch.equal(made.bandwidth, expected)
    # Each is a recording plus up to as much of its neighbour: a least-squares fit of the two leaves nothing.
    for row in range(3):
        parts = torch.stack([batch.original[row], batch.original[row - 1]], 1)
        share = torch.linalg.lstsq(parts, made.original[row, :, None]).solution[:, 0]
        assert 0 <= share[1] / share[0] <= 1
        torch.testing.assert_close(parts @ share, made.original[row], atol=1e-4, rtol=1e-3)


def test_sides_are_coded_with_the_segment_before_as_mid(batch, monkeypatch):
    given = []
    monkeypatch.setattr(
        "overtone.training.augment.apply_codecs",
        lambda sources, *rest: given.append(sources.mid) or sources[:2],
    )
    plan, rows = settings(coded=0.5, mix=0.5), BatchRows(COUNT, [1, 2, 5])
    augment(batch, plan, RATE, 1, side=True)
    mids = given.pop()
    assert torch.allclose(mids, batch.original.roll(1, 0), atol=1e-5)
    some = [0, 1, 2, 4, 5]
    assert rows.read(plan.filters) == some
    augment(Batch(*(part[some] for part in batch)), plan, RATE, 1, rows, side=True)
    assert torch.allclose(given.pop(), mids[rows.own], atol=1e-5)
    augment(batch, plan, RATE, 1)
    assert given.pop() is None


def test_only_the_input_is_coded_and_all_else_stays(batch):
    plain, coded = (augment(batch, settings(coded=share), RATE, 1) for share in (0.0, 0.5))
    assert torch.equal(plain.original, coded.original)
    same = [torch.equal(*rows) for rows in zip(plain.degraded, coded.degraded, strict=True)]
    assert 0.2 * COUNT < same.count(True) < 0.8 * COUNT
    assert (coded.cutoff <= plain.cutoff).all()


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
        ({"kinds": ("fir",)}, f"train.augment.kinds is 'fir'; it is one of {', '.join(KINDS)}"),
        ({"kinds": ()}, f"train.augment.kinds is []; it is one or more of {', '.join(KINDS)}"),
        ({"lowest": 20000.0}, "train.augment.lowest is 20000.0; it is a frequency in Hz, 500 to"),
        ({"gain_db": -1.0}, "train.augment.gain_db is -1.0; it is a gain in dB, 0 to 60"),
        ({"speed": 0.5}, "train.augment.speed is 0.5; it is a factor, 1 to 2"),
        ({"tilt_db": 20.0}, "train.augment.tilt_db is 20.0; it is dB per octave, 0 to 12"),
        ({"mix": 2.0}, "train.augment.mix is 2.0; it is a share, 0 to 1"),
        ({"coded": 1.5}, "train.augment.coded is 1.5; it is a share, 0 to 1"),
        ({"coded_whole": -1}, "train.augment.coded_whole is -1; it is a share, 0 to 1"),
    ],
)
def test_a_bad_param_is_one_line(changes, message):
    with pytest.raises(OvertoneError) as caught:
        settings(**changes)
    assert message in str(caught.value)
