import dataclasses
from pathlib import Path

import pytest

from overtone.core.errors import OvertoneError
from overtone.data.dataset.segments import SegmentSettings
from overtone.models.nuwave2 import NuWave2Settings
from overtone.models.registry import ModelSettings
from overtone.models.spectral import SpectralSettings
from overtone.models.unet import UNetSettings
from overtone.training.checks import check_params
from overtone.training.discriminators import AdversarialSettings

SEGMENT = SegmentSettings(8192, 8192, 0.0, 0.001, None, "shared")
ADVERSARIAL = AdversarialSettings(weight=1.0, feature_matching=1.0, lr=0.001, start=1)


def model(name="unet"):
    return ModelSettings(
        name, UNetSettings((2, 2, 2, 2)), SpectralSettings(8, 1, 1), NuWave2Settings(2, 1, 1)
    )


def segment(length):
    return dataclasses.replace(SEGMENT, length=length)


@pytest.fixture
def check(train_settings, degrade_settings):
    """Check params of which some are given."""

    def run(train=None, model_=None, segment_=SEGMENT, **degrade):
        check_params(
            train_settings(**(train or {})), model_ or model(), segment_, degrade_settings(**degrade)
        )

    return run


@pytest.mark.parametrize("name", ["unet", "spectral", "nuwave2"])
def test_params_that_fit_pass(check, name):
    check({"loss": {"l1": 1.0, "stft_magnitude": 1.0}, "freeze": ("bias",)}, model(name), segment(2049))


def test_a_network_with_a_loss_of_its_own_takes_segments_too_short_for_the_loss(check):
    check({"loss": {"stft": 1.0}}, model("nuwave2"), segment(1024))


def test_pairs_of_another_rate_are_not_trained_on(check):
    with pytest.raises(OvertoneError, match=r"degrade\.rate is 22050; it is 44100 to train with"):
        check(rate=22050)


def test_segments_too_short_for_the_loss_are_one_line(check):
    with pytest.raises(
        OvertoneError, match=r"segment.length is 1024; .* 1025 samples or more at any of train.aug"
    ):
        check({"loss": {"stft": 1.0}}, segment_=segment(1024))
    check({"loss": {"stft": 1.0}}, segment_=segment(1025))


def test_segments_too_short_at_the_fastest_speed_are_one_line(check, train_settings):
    augment = dataclasses.replace(train_settings().augment, filters=True, speed=2.0)
    with pytest.raises(
        OvertoneError, match=r"segment.length is 2048; .* 1025 samples or more at any of train.aug"
    ):
        check({"loss": {"stft": 1.0}, "augment": augment}, segment_=segment(2048))


def test_a_discriminator_has_nothing_to_judge_of_a_network_with_a_loss_of_its_own(check):
    train = {"schedule": "cosine", "adversarial": ADVERSARIAL}
    with pytest.raises(OvertoneError, match=r"train.adversarial.weight is 1.0; it is 0 for a network with"):
        check(train, model("nuwave2"))
    check(train, model("spectral"))


def test_weights_to_freeze_that_the_network_has_not_are_one_line(check):
    with pytest.raises(
        OvertoneError, match=r"train.freeze is 'wide.weight'; it is the end of a weight's name"
    ):
        check({"freeze": ("wide.weight",)})


def test_a_model_to_start_from_that_is_missing_is_one_line(check):
    with pytest.raises(OvertoneError, match=r"train.from is 'nowhere': nowhere holds no model"):
        check({"from_": "nowhere"})


def test_the_folder_that_training_writes_to_is_no_model_to_start_from(check):
    with pytest.raises(OvertoneError, match="where training writes its own model"):
        check({"from_": str(Path("data") / "model")})
