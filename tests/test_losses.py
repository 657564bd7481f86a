import numpy as np
import pytest
import torch

from overtone import losses
from overtone.errors import OvertoneError


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
    both = losses.weighted({"l1": 2.0, "stft": 0.5})
    expected = 2 * losses.LOSSES["l1"](*pair) + 0.5 * losses.stft(*pair)
    torch.testing.assert_close(both(*pair), expected)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({}, "train.loss is {}; it is one or more of l1, l2, stft, stft_magnitude, each with a weight"),
        ({"mel": 1.0}, "train.loss is 'mel'; it is one of l1, l2, stft, stft_magnitude"),
        ({"l1": 0.0}, "train.loss.l1 is 0.0; it is a weight above 0"),
    ],
)
def test_a_bad_param_is_one_line(weights, message):
    with pytest.raises(OvertoneError) as caught:
        losses.check_weights(weights)
    assert message in str(caught.value)
