import hashlib
import shutil

import pytest
import torch
import yaml

from overtone.core.errors import OvertoneError
from overtone.data.dataset.batch import Batch
from overtone.models import registry
from overtone.models.nuwave2 import NuWave2Settings
from overtone.models.registry import ModelSettings
from overtone.models.spectral import SpectralSettings
from overtone.models.unet import UNetSettings
from overtone.training.finetune import start
from overtone.training.loop import Trainer
from tests.helpers import ROOT

CPU = torch.device("cpu")
NUWAVE2 = NuWave2Settings(2, 1, 1)
SETTINGS = ModelSettings("spectral", UNetSettings((2, 2, 2, 2)), SpectralSettings(8, 1, 1), NUWAVE2)


class Noise:
    """Four segments of noise, low-passed roughly."""

    rate = 44100
    side = False

    def __init__(self, seed):
        self.original = torch.randn(4, 4096, generator=torch.Generator().manual_seed(seed)) / 10

    def __len__(self):
        return len(self.original)

    def batch(self, indices):
        original = self.original[indices]
        cutoff, bandwidth = torch.full((len(indices),), 6000.0), torch.full((len(indices),), 20000.0)
        return Batch((original + original.roll(1, -1)) / 2, original, cutoff, bandwidth)


@pytest.fixture
def saved(tmp_path):
    """A folder with a tiny network that is not as networks begin."""
    torch.manual_seed(5)
    net = registry.build(SETTINGS)
    torch.nn.init.normal_(net.leave.bias, 1.0, 0.2)
    registry.save(net, "spectral", tmp_path / "base", {})
    return tmp_path / "base"


def test_two_steps_from_a_saved_model_begin_with_its_loss(saved, tmp_path, train_settings):
    settings = train_settings(epochs=2, loss={"high_band": 1.0}, lr=0.01)  # four segments: a step an epoch
    net, _ = start(str(saved), SETTINGS, tmp_path / "model")
    before = {key: value.clone() for key, value in net.state_dict().items()}
    history = Trainer(net, settings, CPU, "float32").fit(Noise(0), Noise(1)).history

    def first_loss(net):
        return Trainer(net, settings, CPU, "float32").validate(Noise(0))

    assert len(history) == 2
    first, second = (row["train_loss"] for row in history)
    assert first == pytest.approx(first_loss(registry.load(saved)[0]), rel=1e-6)
    assert first != pytest.approx(first_loss(registry.build(SETTINGS)), rel=0.005), "that of fresh weights"
    assert second < first
    assert any(not torch.equal(value, before[key]) for key, value in net.state_dict().items())


def test_it_says_which_weights_it_started_from(saved, tmp_path):
    _, found = start(str(saved), SETTINGS, tmp_path / "model")
    digest = hashlib.sha256((saved / "weights.safetensors").read_bytes()).hexdigest()
    assert found == {"folder": str(saved), "sha256": digest}


def test_the_shipped_model_is_trained_on_in_single_precision(tmp_path):
    shipped, _ = registry.load(registry.SHIPPED)
    settings = ModelSettings("spectral", SETTINGS.unet, shipped.settings, NUWAVE2)
    net, found = start("shipped", settings, tmp_path)
    assert found["folder"] == "shipped"
    assert {weight.dtype for weight in net.parameters()} == {torch.float32}
    assert torch.equal(net.enter.weight, shipped.enter.weight)


def test_a_deeper_network_begins_as_the_saved_one(saved, tmp_path):
    deeper = ModelSettings("spectral", SETTINGS.unet, SpectralSettings(8, 4, 1), NUWAVE2)
    net, _ = start(str(saved), deeper, tmp_path / "model")
    batch = Noise(0).batch([0, 1])
    assert len(net.blocks) == 4
    expected = registry.load(saved)[0](batch.degraded, batch.cutoff)
    torch.testing.assert_close(net(batch.degraded, batch.cutoff), expected)
    registry.save(net, "spectral", tmp_path / "deep", {})
    with pytest.raises(OvertoneError, match=r"model.spectral.blocks is 1 there and 4 in the folder"):
        start(str(tmp_path / "deep"), SETTINGS, tmp_path / "model")


def test_other_harmonics_are_the_params(saved, tmp_path):
    harmonic = ModelSettings("spectral", SETTINGS.unet, SpectralSettings(8, 1, 1, 0.4), NUWAVE2)
    net, _ = start(str(saved), harmonic, tmp_path / "model")
    assert net.settings.harmonics == 0.4
    assert torch.equal(net.enter.weight, registry.load(saved)[0].enter.weight)


def test_weights_for_the_side_are_left_behind(saved, tmp_path):
    net, _ = registry.load(saved)
    net.give_side({"leave.bias": torch.ones(1025)})
    registry.save(net, "spectral", tmp_path / "stereo", {})
    begun, _ = start(str(tmp_path / "stereo"), SETTINGS, tmp_path / "model")
    assert begun.side is None
    assert torch.equal(begun.leave.bias, net.leave.bias)


def test_the_params_of_this_repository_are_the_shipped_models(tmp_path):
    """So that README's command for fine-tuning works as it is printed."""
    values = yaml.safe_load((ROOT / "params.yaml").read_text())["model"]["spectral"]
    settings = ModelSettings("spectral", SETTINGS.unet, SpectralSettings(**values), NUWAVE2)
    net, _ = start("shipped", settings, tmp_path / "model")
    assert net.settings == registry.load(registry.SHIPPED)[0].settings


def test_the_folder_that_training_writes_to_is_refused(saved, tmp_path):
    with pytest.raises(OvertoneError, match="where training writes its own model; copy it to another folder"):
        start(str(tmp_path / "." / "base"), SETTINGS, saved)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            ModelSettings("unet", SETTINGS.unet, SETTINGS.spectral, NUWAVE2),
            "model.name is 'unet' there and 'spectral' in the folder",
        ),
        (
            ModelSettings("spectral", SETTINGS.unet, SpectralSettings(9, 1, 2), NUWAVE2),
            "model.spectral.features is 9 there and 8 in the folder, "
            "model.spectral.expansion is 2 there and 1 in the folder",
        ),
    ],
)
def test_another_network_is_one_line_with_both_values(saved, tmp_path, settings, message):
    with pytest.raises(OvertoneError) as caught:
        start(str(saved), settings, tmp_path / "model")
    assert f"train.from is {str(saved)!r}, another network than params.yaml describes: {message};" in str(
        caught.value
    )
    assert "\n" not in str(caught.value)


def test_a_folder_without_a_model_is_one_line(saved, tmp_path):
    with pytest.raises(
        OvertoneError, match=r"train.from is 'nowhere': nowhere holds no model: model.json is"
    ):
        start("nowhere", SETTINGS, tmp_path / "model")
    shutil.rmtree(saved)
    saved.mkdir()
    with pytest.raises(OvertoneError, match=r"holds no model: model.json is missing"):
        start(str(saved), SETTINGS, tmp_path / "model")
