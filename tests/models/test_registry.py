import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from overtone.core.errors import OvertoneError
from overtone.models import registry
from overtone.models.nuwave2 import NuWave2Settings
from overtone.models.spectral import Spectral, SpectralSettings
from overtone.models.unet import UNet, UNetSettings

SMALL = UNetSettings((2, 3, 4, 5))
NUWAVE2 = NuWave2Settings(2, 1, 1)
NO_CUTOFF = torch.zeros(2)  # the U-Net hears by itself where the band ends


@pytest.fixture
def net():
    torch.manual_seed(1)
    net = UNet(SMALL)
    # Batch norm that has seen something: with fresh statistics a mistake in it would not show.
    with torch.no_grad():
        for _ in range(3):
            net(torch.randn(2, 512), NO_CUTOFF)
    return net.eval()


@pytest.mark.parametrize("time", [1, 7, 64, 1001, 4096])
def test_the_output_is_as_long_as_the_input(net, time):
    assert net(torch.zeros(2, time), NO_CUTOFF).shape == (2, time)


def test_the_papers_network_has_the_papers_layers():
    net = UNet(UNetSettings((64, 128, 256, 512)))
    convolutions = [m for m in net.modules() if isinstance(m, torch.nn.Conv1d | torch.nn.ConvTranspose1d)]
    assert [(m.in_channels, m.out_channels, m.kernel_size[0], m.stride[0]) for m in convolutions] == [
        (1, 64, 15, 1),
        (64, 128, 15, 2),
        (128, 256, 15, 2),
        (256, 512, 15, 2),
        (512, 256, 16, 2),
        (512, 128, 16, 2),
        (256, 64, 16, 2),
        (128, 1, 15, 1),
    ]


def test_the_network_starts_out_time_invariant(net):
    # A shift by its stride shifts the output: nothing depends on where a window starts.
    samples = torch.randn(1, 4096)
    shifted = net(samples[:, 8:], NO_CUTOFF)
    middle = slice(net.context, -net.context)
    torch.testing.assert_close(net(samples, NO_CUTOFF)[:, 8:][:, middle], shifted[:, middle])


def test_an_output_sample_depends_on_no_more_than_the_stated_context(net):
    samples = torch.randn(1, 4096, requires_grad=True)
    net(samples, NO_CUTOFF)[0, 2048].backward()
    touched = samples.grad[0].nonzero()[:, 0]
    assert 2048 - net.context <= touched.min()
    assert touched.max() <= 2048 + net.context


def test_a_saved_model_comes_back_whole(net, tmp_path):
    registry.save(net, "unet", tmp_path, {"rate": 44100})
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1, "weights may be read by whoever may read the rest"
    loaded, about = registry.load(tmp_path)
    assert about == {"rate": 44100}
    assert loaded.settings == SMALL
    assert not loaded.training
    samples = torch.randn(1, 999)
    torch.testing.assert_close(loaded(samples, NO_CUTOFF), net(samples, NO_CUTOFF), rtol=0, atol=0)


def test_weights_for_the_side_come_back_and_what_is_shared_is_there_once(tmp_path):
    torch.manual_seed(0)
    net = Spectral(SpectralSettings(8, 2, 2)).eval()
    net.give_side({"leave.bias": torch.ones(1025), "enter.weight": net.enter.weight.clone()})
    registry.save(net, "spectral", tmp_path, {})
    assert set(load_file(tmp_path / "weights.safetensors")) == {*net.without_side(), "side.leave.bias"}
    loaded, _ = registry.load(tmp_path)
    assert not loaded.side.training
    assert loaded.side.blocks[1].wide.weight is loaded.blocks[1].wide.weight
    assert sum(weight.numel() for weight in loaded.parameters()) == 1025 + sum(
        weight.numel() for weight in loaded.without_side().values() if weight is not loaded.window
    )
    samples, cutoff = torch.randn(1, 9999), torch.tensor([6000.0])
    assert torch.equal(loaded(samples, cutoff), net(samples, cutoff))
    assert torch.equal(loaded.side(samples, cutoff), net.side(samples, cutoff))
    assert not torch.equal(loaded.side(samples, cutoff), net(samples, cutoff))
    assert registry.for_side(loaded) is loaded.side
    assert registry.for_side(loaded.side) is loaded.side


@pytest.mark.parametrize("weights", [{"unknown": torch.ones(1)}, {"leave.bias": torch.ones(3)}])
def test_weights_for_the_side_that_do_not_fit_are_one_line(tmp_path, weights):
    net = Spectral(SpectralSettings(8, 1, 1))
    registry.save(net, "spectral", tmp_path, {})
    sides = {f"side.{name}": weight for name, weight in weights.items()}
    save_file(load_file(tmp_path / "weights.safetensors") | sides, tmp_path / "weights.safetensors")
    with pytest.raises(OvertoneError, match="is damaged"):
        registry.load(tmp_path)


def test_a_model_is_built_by_the_name_in_the_settings():
    built = registry.build(registry.ModelSettings("unet", SMALL, SpectralSettings(8, 1, 1), NUWAVE2))
    assert isinstance(built, UNet)
    assert built.settings == SMALL


def spoil_weights(folder):
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:100])


def spoil_json(folder):
    (folder / "model.json").write_text("{")


def change(folder, **values):
    card = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(card | values))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "model.json").unlink(), "holds no model: model.json is missing"),
        (lambda folder: (folder / "weights.safetensors").unlink(), "weights.safetensors is missing"),
        (spoil_weights, "is damaged"),
        (spoil_json, "is damaged"),
        (lambda folder: change(folder, format=99), "of another version"),
        (lambda folder: change(folder, name="unknown"), "of another version"),
        (lambda folder: change(folder, settings={"texture": 0.1}), "of another version"),
        (lambda folder: change(folder, settings={"channels": [2, 3, 4, 6]}), "is damaged"),
    ],
)
def test_a_folder_that_holds_no_good_model_is_one_line(net, tmp_path, spoil, message):
    registry.save(net, "unet", tmp_path, {})
    spoil(tmp_path)
    with pytest.raises(OvertoneError) as caught:
        registry.load(tmp_path)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: UNetSettings((8, 16)), "model.unet.channels is [8, 16]; it is four numbers of channels"),
        (
            lambda: registry.ModelSettings("wavenet", SMALL, SpectralSettings(8, 1, 1), NUWAVE2),
            "model.name is 'wavenet'; it is one of unet, spectral, nuwave2",
        ),
    ],
)
def test_a_bad_param_is_one_line(make, message):
    with pytest.raises(OvertoneError) as caught:
        make()
    assert message in str(caught.value)
