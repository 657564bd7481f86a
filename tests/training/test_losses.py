import numpy as np
import pytest
import torch

from overtone.core.errors import OvertoneError
from overtone.evaluation.metrics import distances
from overtone.training import losses


@pytest.fixture
def pair(rng):
    return tuple(torch.from_numpy(rng.uniform(-1, 1, (2, 8192)).astype(np.float32)) for _ in range(2))


def frames(samples, n_fft):
    """An STFT in a few lines of NumPy: reflected ends, periodic Hann, hop a quarter."""
    padded = np.pad(samples, ((0, 0), (n_fft // 2, n_fft // 2)), mode="reflect")
    window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)
    starts = range(0, padded.shape[1] - n_fft + 1, n_fft // 4)
    return np.stack([np.fft.rfft(padded[:, at : at + n_fft] * window) for at in starts], axis=-1)


@pytest.mark.parametrize("name", losses.LOSSES)
def test_a_perfect_estimate_costs_nothing(pair, name):
    assert float(losses.LOSSES[name](pair[0], pair[0])) == 0


@pytest.mark.parametrize("name", losses.LOSSES)
def test_a_loss_goes_down_as_the_estimate_nears_the_original(pair, name):
    estimate, original = pair
    near = original + 0.1 * (estimate - original)
    assert float(losses.LOSSES[name](near, original)) < float(losses.LOSSES[name](estimate, original)) / 2


@pytest.mark.parametrize("name", losses.LOSSES | losses.BAND_LOSSES)
def test_the_shortest_segment_is_enough_and_a_sample_less_is_not(name):
    least, ends = losses.shortest([name]), (torch.tensor([4800.0]), torch.tensor([16000.0]))
    loss, ends = (losses.LOSSES[name], ()) if name in losses.LOSSES else (losses.BAND_LOSSES[name], ends)
    assert torch.isfinite(loss(torch.rand(1, least), torch.rand(1, least), *ends))
    if least > 1:
        with pytest.raises(RuntimeError, match="Padding size"):
            loss(torch.rand(1, least - 1), torch.rand(1, least - 1), *ends)
    assert losses.shortest([name, "stft_magnitude"]) == 2049


def test_the_complex_loss_is_the_mean_distance_of_bins(pair):
    ours, theirs = (frames(samples.numpy(), losses.COMPLEX_FFT) for samples in pair)
    assert float(losses.stft(*pair)) == pytest.approx(np.abs(ours - theirs).mean(), rel=1e-4)


def test_the_magnitude_loss_is_convergence_plus_l1(pair):
    expected = 0
    for n_fft in losses.MAGNITUDE_FFTS:
        ours, theirs = (np.abs(frames(samples.numpy(), n_fft)) for samples in pair)
        expected += np.linalg.norm(theirs - ours) / np.linalg.norm(theirs) + np.abs(theirs - ours).mean()
    result = float(losses.stft_magnitude(*pair))
    assert result == pytest.approx(expected / len(losses.MAGNITUDE_FFTS), rel=1e-4)


def test_only_the_magnitude_loss_cannot_see_the_sign(pair):
    original = pair[1]
    assert float(losses.stft_magnitude(-original, original)) < 1e-6
    for name in ("l1", "l2", "stft"):
        assert float(losses.LOSSES[name](-original, original)) > 0.1


@pytest.mark.parametrize("name", losses.LOSSES)
def test_gradients_are_finite_for_silence(name):
    estimate = torch.zeros(1, 8192, requires_grad=True)
    losses.LOSSES[name](estimate, torch.rand(1, 8192)).backward()
    assert torch.isfinite(estimate.grad).all()


def test_a_weighted_sum_is_one(pair):
    both = losses.weighted({"l1": 2.0, "stft": 0.5, "high_band": 0.1})
    band = torch.full((2,), 4000.0), torch.full((2,), 16000.0)
    expected = (
        2 * losses.LOSSES["l1"](*pair) + 0.5 * losses.stft(*pair) + 0.1 * losses.high_band(*pair, *band)
    )
    torch.testing.assert_close(both(*pair, *band), expected)


def high_band(estimate, original, cutoff=4000.0, bandwidth=22050.0):
    count = len(original)
    return float(
        losses.high_band(estimate, original, torch.full((count,), cutoff), torch.full((count,), bandwidth))
    )


def band(samples, low, high):
    """Only what lies between two frequencies in Hz."""
    spectrum = torch.fft.rfft(samples)
    frequency = torch.fft.rfftfreq(samples.shape[-1], 1 / 44100)
    return torch.fft.irfft(spectrum * ((frequency >= low) & (frequency < high)), n=samples.shape[-1])


def test_the_high_band_loss_is_nothing_for_a_perfect_estimate_and_deaf_below_the_cutoff(pair):
    original = pair[1]
    assert high_band(original, original) == pytest.approx(0, abs=1e-6)
    low = band(pair[0], 0, 3000)
    assert (
        high_band(original + low, original) < 0.01 < high_band(original + band(pair[0], 6000, 9000), original)
    )


def test_the_high_band_loss_of_a_wrong_level_is_its_logarithm(pair):
    # 20 dB too soft: one unit of log10 in magnitude, and 0.3 times 90 % of linear error.
    assert high_band(pair[1] * 0.1, pair[1]) == pytest.approx(1 + 0.3 * 0.9, rel=0.02)


def test_what_no_recording_shows_is_held_down_and_not_learnt(pair):
    original = band(pair[1], 0, 16000)
    soft = original + 0.05 * band(pair[0], 16500, 22050)
    loud = original + 20 * band(pair[0], 16500, 22050)
    assert high_band(soft, original, bandwidth=16000.0) < 0.1
    assert high_band(loud, original, bandwidth=16000.0) > 0.5


def level(estimate, original, cutoff=4000.0, bandwidth=16000.0):
    count = len(original)
    edges = torch.full((count,), cutoff), torch.full((count,), bandwidth)
    return float(losses.level(estimate, original, *edges))


@pytest.mark.parametrize("decibels", [-20, -6, 10])
def test_the_level_loss_is_the_level_error_in_bels(pair, decibels):
    assert level(pair[1] * 10 ** (decibels / 20), pair[1]) == pytest.approx(abs(decibels) / 10, rel=0.01)


def test_the_level_loss_sees_only_the_band_and_no_phase(pair):
    original = pair[1]
    assert level(-original, original) == pytest.approx(0, abs=1e-6)
    # Side lobes of the window reach a little over the edges.
    outside = band(pair[0], 0, 3500) + band(pair[0], 16500, 22050)
    assert level(original + outside, original) < 0.01 < level(original + band(pair[0], 6000, 9000), original)


def test_the_level_loss_is_least_at_the_power_of_noise_and_not_at_its_mean_logarithm(pair):
    """White noise has 2.5 dB more power than its mean log power says: 10 log10(e) times Euler's constant."""
    # A click has the same magnitude in every bin of a frame: a spectrum without peaks.
    clicks = torch.zeros_like(pair[1])
    clicks[:, ::512] = 1.0
    power, mean = (float(losses._stft(x, 2048)[..., 8:-8].abs().square().mean()) for x in (pair[1], clicks))
    flat = clicks * (power / mean) ** 0.5
    assert level(flat, pair[1]) < level(flat * 10 ** (-2.5 / 20), pair[1])


def lsd(estimate, original, cutoff, bandwidth):
    count = len(original)
    return losses.lsd(estimate, original, torch.full((count,), cutoff), torch.full((count,), bandwidth))


@pytest.mark.parametrize(("cutoff", "bandwidth"), [(4000.0, 22050.0), (8000.0, 16000.0)])
def test_the_distance_as_a_loss_is_the_metric(cutoff, bandwidth):
    original = torch.randn(2, 44100, generator=torch.Generator().manual_seed(1)) / 10
    estimate = 0.3 * band(original, 0, 6000) + torch.randn(
        original.shape, generator=torch.Generator().manual_seed(2)
    )
    one_by_one = [
        distances.log_spectral_distances(theirs[None], ours[None], 44100, [(cutoff, bandwidth)])[0]
        for theirs, ours in zip(original, estimate, strict=True)
    ]
    # The metric takes the frames that lie inside the samples, the loss those at the edges too.
    mean = sum(one_by_one) / 2
    assert float(lsd(estimate, original, cutoff, bandwidth)) == pytest.approx(mean, rel=0.03)


def test_the_distance_of_a_perfect_estimate_is_nothing_and_has_a_gradient():
    original = torch.cat([torch.zeros(1, 20000), torch.randn(1, 20000)], dim=-1)
    estimate = original.clone().requires_grad_()
    value = lsd(estimate, original, 4000.0, 16000.0)
    value.backward()
    assert value.item() < 0.002
    assert bool(torch.isfinite(estimate.grad).all())


def test_the_distance_counts_a_recording_that_ends_below_the_cutoff_for_nothing(pair):
    both = losses.lsd(*pair, torch.tensor([4000.0, 12000.0]), torch.tensor([16000.0, 11000.0]))
    first = losses.lsd(pair[0][:1], pair[1][:1], torch.tensor([4000.0]), torch.tensor([16000.0]))
    torch.testing.assert_close(both, first)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (
            {},
            "train.loss is {}; it is one or more of l1, l2, stft, stft_magnitude, high_band, lsd, level, "
            "each with a weight",
        ),
        (
            {"mel": 1.0},
            "train.loss is 'mel'; it is one of l1, l2, stft, stft_magnitude, high_band, lsd, level",
        ),
        ({"treble": 1.0}, "train.loss.treble is called train.loss.high_band now: rename it"),
        ({"l1": 0.0}, "train.loss.l1 is 0.0; it is a weight above 0"),
    ],
)
def test_a_bad_param_is_one_line(weights, message):
    with pytest.raises(OvertoneError) as caught:
        losses.check_weights(weights)
    assert message in str(caught.value)
