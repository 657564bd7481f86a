import math

import pytest
import torch

from overtone.core.errors import OvertoneError
from overtone.data.dataset.batch import Batch
from overtone.training import discriminators
from overtone.training.discriminators import AdversarialSettings, Adversary

CPU = torch.device("cpu")
RATE, CUTOFF, BANDWIDTH, TIME = 44100, 4000.0, 16000.0, 8192


def noise(seed, low, high, count=2, time=TIME):
    """White noise between two frequencies in Hz and nothing outside; its ends meet."""
    samples = torch.randn(count, time, generator=torch.Generator().manual_seed(seed))
    frequency = torch.fft.rfftfreq(time, 1 / RATE)
    return torch.fft.irfft(torch.fft.rfft(samples) * ((frequency >= low) & (frequency < high)), n=time)


def tones(seed, low, high, count=2, time=TIME):
    """Twenty steady tones between two frequencies, as loud as noise there would be."""
    draw = torch.rand(2, count, 20, 1, generator=torch.Generator().manual_seed(seed))
    hertz, phase = low + draw[0] * (high - low), draw[1] * 2 * torch.pi
    samples = torch.sin(2 * torch.pi * hertz / RATE * torch.arange(time) + phase).sum(dim=1)
    return samples * (noise(seed, low, high, count, time).std() / samples.std())


def music(band, seed, time=TIME):
    """Loud noise under the cutoff and a band above it."""
    return 10 * noise(seed + 1000, 0, CUTOFF, time=time) + band(seed, CUTOFF, BANDWIDTH - 500, time=time)


def batch(original):
    count = len(original)
    return Batch(original, original, torch.full((count,), CUTOFF), torch.full((count,), BANDWIDTH))


@pytest.fixture
def adversary():
    return Adversary(AdversarialSettings(1.0, 1.0, 0.002, 1), 1, RATE, CPU)


@pytest.fixture
def terms(adversary):
    """The three terms of an estimate, in the same crop each time."""
    return lambda estimate, original: adversary.terms(estimate, batch(original), 1, "float32")


def test_it_learns_to_tell_noise_from_tones_it_has_not_seen(adversary):
    def judge(seed):
        return adversary.terms(music(noise, seed), batch(music(tones, seed)), seed, "float32")

    # Between -1 and 1, where it starts, hinge losses of a judge that sees no difference add up to 2.
    assert judge(99).discriminator.item() == pytest.approx(2, abs=0.3)
    for seed in range(30):
        adversary.learn(judge(seed), 1.0)
        adversary.step(1.0)
    fresh = judge(99)
    assert fresh.discriminator.item() < 1 < fresh.adversarial.item()


def test_what_lies_outside_the_band_changes_nothing(terms):
    original, estimate = music(tones, 1), music(noise, 2)
    whole = terms(estimate, original)
    matching = whole.feature_matching.item()
    low, high = noise(3, 0, CUTOFF - 10), noise(4, BANDWIDTH - discriminators.EDGE + 10, RATE / 2)
    for outside in (30 * low, 30 * high):
        assert torch.allclose(torch.stack(terms(estimate + outside, original)), torch.stack(whole), rtol=1e-4)
    inside = noise(5, CUTOFF, BANDWIDTH)
    assert abs(terms(estimate + inside, original).feature_matching.item() / matching - 1) > 0.05


def test_both_losses_move_the_band_of_the_estimate_and_only_that(terms):
    frequency = torch.fft.rfftfreq(TIME, 1 / RATE)
    inside = (frequency >= CUTOFF) & (frequency < BANDWIDTH - discriminators.EDGE)
    for name in ("adversarial", "feature_matching"):
        estimate = music(noise, 2).requires_grad_()
        getattr(terms(estimate, music(tones, 1)), name).backward()
        power = torch.fft.rfft(estimate.grad).abs().square()
        assert torch.isfinite(power).all()
        assert power[:, inside].sum() > 0
        assert power[:, ~inside].sum() < 1e-9 * power[:, inside].sum()


def test_a_perfect_estimate_matches_every_feature_and_leaves_nothing_to_tell(terms):
    original = music(tones, 1)
    result = terms(original.clone(), original)
    assert result.feature_matching.item() == pytest.approx(0, abs=1e-5)
    assert result.discriminator.item() >= 2 - 1e-5


def test_loudness_is_not_judged(terms):
    original, estimate = music(tones, 1), music(noise, 2)
    loud, soft = (torch.stack(terms(gain * estimate, gain * original)) for gain in (1.0, 0.05))
    assert torch.allclose(loud, soft, rtol=1e-3)


@pytest.mark.parametrize("silent", [True, False])
def test_silence_and_an_empty_band_give_finite_losses_and_gradients(adversary, silent):
    original = music(tones, 1) * (0 if silent else 1)
    whole = batch(original)._replace(cutoff=torch.full((2,), CUTOFF if silent else 20000.0))
    estimate = music(noise, 2).requires_grad_()
    result = adversary.terms(estimate, whole, 1, "float32")
    (adversary.learn(result, 1.0)).backward()
    assert torch.isfinite(torch.stack(result)).all()
    assert torch.isfinite(estimate.grad).all()


def test_the_seed_draws_which_part_of_a_long_segment_is_judged(adversary):
    time = discriminators.CROP + 9000
    original, estimate = music(tones, 1, time), music(noise, 2, time)
    first, again, other = (
        adversary.terms(estimate, batch(original), seed, "float32").feature_matching.item()
        for seed in (1, 1, 2)
    )
    assert first == again != other


def test_in_half_precision_it_judges_about_the_same(adversary):
    original, estimate = music(tones, 1), music(noise, 2)
    whole, half = (
        torch.stack(adversary.terms(estimate, batch(original), 1, precision))
        for precision in ("float32", "bfloat16")
    )
    assert torch.allclose(whole, half, rtol=0.05)


def layers(*values):
    """One discriminator of one hidden layer and its judgement, over two rows; the second is in the band."""
    share = torch.tensor([0.0, 1.0]).reshape(1, 1, 2, 1)
    return [[(torch.tensor(rows).reshape(1, 1, 2, 1), share) for rows in values]]


def test_the_hinge_losses_are_those_of_the_papers_over_the_band():
    real, made = layers([0.0, 0.0], [9.0, 0.25]), layers([0.0, 0.0], [-9.0, 0.5])
    assert float(discriminators.discriminator_loss(real, made)) == pytest.approx((1 - 0.25) + (1 + 0.5))
    assert float(discriminators.adversarial_loss(made)) == pytest.approx(1 - 0.5)
    sure = layers([0.0, 0.0], [0.0, 2.0]), layers([0.0, 0.0], [0.0, -2.0])
    assert float(discriminators.discriminator_loss(*sure)) == 0
    assert float(discriminators.adversarial_loss(sure[1])) == 1 + 2


def test_feature_matching_is_relative_and_leaves_the_judgement_out():
    real, made = layers([7.0, -4.0], [0.0, 1.0]), layers([0.0, -3.0], [0.0, -5.0])
    assert float(discriminators.feature_matching_loss(real, made)) == pytest.approx(1 / 4)


def test_its_first_weights_leave_the_random_state_alone():
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    Adversary(AdversarialSettings(1.0, 1.0, 0.002, 1), 1, RATE, CPU)
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"weight": -1.0}, "train.adversarial.weight is -1.0; it is a weight, 0 (off) or more"),
        ({"feature_matching": -1.0}, "train.adversarial.feature_matching is -1.0; it is a weight"),
        ({"lr": math.inf}, "train.adversarial.lr is inf; it is a learning rate, above 0 and up to 1"),
        ({"start": 0}, "train.adversarial.start is 0; it is an epoch, counted from 1"),
    ],
)
def test_a_bad_param_is_one_line(changes, message):
    values = {"weight": 1.0, "feature_matching": 1.0, "lr": 0.001, "start": 1}
    with pytest.raises(OvertoneError) as caught:
        AdversarialSettings(**(values | changes))
    assert message in str(caught.value)
