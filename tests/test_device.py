import pytest
import torch

from overtone import device, training
from overtone.errors import OvertoneError

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


@pytest.mark.parametrize("fast", [True, False])
def test_auto_precision_is_bfloat16_only_where_it_is_fast(monkeypatch, fast):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: fast)
    assert training.choose_precision("auto", CPU) == ("bfloat16" if fast else "float32")
    assert training.choose_precision("float32", CPU) == "float32"
    assert training.choose_precision("bfloat16", CPU) == "bfloat16"
