import pytest
import torch

from overtone.core.errors import OvertoneError
from overtone.models import device
from tests.helpers.sound import make

CPU = torch.device("cpu")


def test_a_device_is_taken_as_asked_before_the_environments(monkeypatch):
    monkeypatch.setenv("OVERTONE_DEVICE", "nonsense")
    assert device.choose_device("cpu") == CPU


@pytest.mark.parametrize(("asked", "named"), [("nonsense", "the device"), (None, "OVERTONE_DEVICE")])
def test_a_device_that_is_not_there_is_one_line(monkeypatch, asked, named):
    monkeypatch.setenv("OVERTONE_DEVICE", "nonsense")
    with pytest.raises(OvertoneError, match=f"{named} is 'nonsense', which cannot be used here") as caught:
        device.choose_device(asked)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "asked", ["meta", "privateuseone", "mps", "cpu:1", "cuda:", "cuda:x", "cuda:2", "Cuda", ":"]
)
def test_only_devices_that_restore_are_taken(monkeypatch, asked):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert device.choose_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(
        OvertoneError,
        match=f"is '{asked}', which cannot be used here; .* there is cpu, cuda, cuda:0, cuda:1$",
    ) as caught:
        device.choose_device(asked)
    assert len(str(caught.value)) < 150


@pytest.mark.parametrize("fast", [True, False])
def test_auto_precision_is_bfloat16_only_where_it_is_fast(monkeypatch, fast):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: fast)
    assert device.choose_precision("auto", CPU) == ("bfloat16" if fast else "float32")
    assert device.choose_precision("float32", CPU) == "float32"
    assert device.choose_precision("bfloat16", CPU) == "bfloat16"


# Importing the compiler warns of what PyTorch itself uses.
@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")
@pytest.mark.parametrize("kind", ["unet", "spectral"])
def test_a_network_is_compiled_where_asked_and_its_weights_stay_its_own(monkeypatch, kind):
    net = make(kind)
    part = net.core() if kind == "spectral" else net
    names, weights = list(net.state_dict()), {id(weight) for weight in net.parameters()}
    device.compile_where_asked(net)
    assert part._compiled_call_impl is None
    monkeypatch.setenv("OVERTONE_COMPILE", "1")
    monkeypatch.setenv("CXX", "true")  # a program that is there; nothing is compiled before the first call
    device.compile_where_asked(net)
    assert part._compiled_call_impl is not None
    assert list(net.state_dict()) == names
    assert {id(weight) for weight in net.parameters()} == weights


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ("yes", "OVERTONE_COMPILE is 'yes'; it is 1 to compile the network in training, or 0"),
        ("1", "OVERTONE_COMPILE is 1, which needs a C++ compiler, and no-compiler is not here"),
    ],
)
def test_compiling_that_cannot_be_is_one_line(monkeypatch, asked, message):
    monkeypatch.setenv("OVERTONE_COMPILE", asked)
    monkeypatch.setenv("CXX", "no-compiler")
    with pytest.raises(OvertoneError) as caught:
        device.compile_where_asked(torch.nn.Linear(2, 2))
    assert str(caught.value) == message
