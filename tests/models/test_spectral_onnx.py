"""The shipped network by ONNX Runtime: what PyTorch makes of it, out of the same weights."""

import io
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from overtone.cli.onnx_layers import export_layers
from overtone.models import registry, spectral_onnx
from overtone.models.network import for_side
from overtone.models.processor import thread_count
from overtone.models.saved import SHIPPED, SavedModel, read_model
from overtone.models.spectral import Spectral
from overtone.models.spectral_settings import SpectralSettings

ROOT = Path(__file__).parents[2]
RATE, CUTOFF = 44100, 7200.0
SMALL = SpectralSettings(features=16, blocks=4, expansion=2, harmonics=1.0)


@pytest.fixture(scope="module")
def music():
    """Mid and side of five seconds of a bundled track, (2, time)."""
    with zipfile.ZipFile(ROOT / "data/bundle/fma_mini.zip") as clips:
        file = io.BytesIO(clips.read("fma_mini/900/900022.mp3"))
    left, right = soundfile.read(file, 5 * RATE, dtype="float32", always_2d=True)[0].T
    return np.stack([left + right, left - right]) / 2


def run(net, samples, piece=1 << 16):
    """The output of a stream for (time,) samples in pieces."""
    stream = net.stream(CUTOFF)
    blocks = [stream(samples[None, at : at + piece], False) for at in range(0, len(samples), piece)]
    return np.concatenate([*blocks, stream(samples[None, :0], True)], axis=1)[0]


def difference(made, expected):
    """In dB of the expected signal, in the added band."""
    first = round((CUTOFF + 200) * len(made) / RATE)
    powers = [np.square(np.abs(np.fft.rfft(x)[first:])).sum() for x in (made - expected, expected)]
    return 10 * np.log10(powers[0] / powers[1])


@pytest.mark.parametrize(("eight_bits", "most"), [(False, -80), (True, -45)], ids=["float32", "int8"])
@pytest.mark.parametrize("signal", ["mid", "side"])
def test_the_added_band_is_that_of_the_network_of_pytorch(music, eight_bits, most, signal):
    nets = spectral_onnx.open_network(read_model(SHIPPED), SHIPPED, eight_bits), registry.load_shipped()[0]
    if signal == "side":
        nets = tuple(for_side(net) for net in nets)
    made, expected = (run(net, music[int(signal == "side")]) for net in nets)
    assert difference(made, expected) < most


def open_small(folder, eight_bits=False):
    """A small network by both libraries, with weights as if it had learnt something."""
    torch.manual_seed(3)
    net = Spectral(SMALL).eval()
    torch.nn.init.normal_(net.leave.weight, std=0.05)
    export_layers(SMALL, folder / spectral_onnx.GRAPHS[eight_bits], eight_bits)
    weights = {name: value.numpy() for name, value in net.state_dict().items()}
    saved = SavedModel("spectral", vars(SMALL), weights, {})
    return spectral_onnx.open_network(saved, folder, eight_bits), net


@pytest.mark.parametrize("time", [1, 700, 20_000])
@pytest.mark.parametrize("piece", [111, 512, 3000, 20_000])
def test_a_stream_does_not_depend_on_its_blocks(tmp_path, time, piece):
    by_onnx, net = open_small(tmp_path)
    samples = np.random.default_rng(0).normal(0, 0.1, time).astype(np.float32)
    made = run(by_onnx, samples, piece)
    assert made.shape == samples.shape
    with torch.inference_mode():
        expected = net(torch.from_numpy(samples)[None], torch.tensor([CUTOFF]))[0]
    # Sums in another order, of levels as logarithms: some 1e-6 of the magnitudes.
    np.testing.assert_allclose(made, expected.numpy(), atol=2e-6)


def test_several_threads_give_the_same(tmp_path):
    by_onnx, _ = open_small(tmp_path)
    samples = np.random.default_rng(0).normal(0, 0.1, (1, 20_000)).astype(np.float32)
    one, two = (by_onnx.stream(CUTOFF, threads)(samples, True) for threads in (1, 2))
    np.testing.assert_allclose(one, two, atol=1e-6)


@pytest.mark.parametrize("eight_bits", [False, True])
def test_the_shipped_graph_is_what_export_writes(tmp_path, eight_bits):
    path = tmp_path / spectral_onnx.GRAPHS[eight_bits]
    export_layers(SpectralSettings(**read_model(SHIPPED).settings), path, eight_bits)
    assert path.read_bytes() == (SHIPPED / path.name).read_bytes()


def test_quantized_weights_are_near_the_weights():
    weights = {"blocks.0.wide.weight": np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)}
    weights |= {"blocks.0.narrow.weight": np.zeros((4, 8), np.float32), "norm.bias": np.ones(4, np.float32)}
    quantized = spectral_onnx.quantize(weights, 1)
    steps, scale = (quantized[f"blocks.0.wide.weight.{name}"] for name in ("steps", "scale"))
    assert np.abs(steps.T * scale[:, None] - weights["blocks.0.wide.weight"]).max() <= scale.max() / 2 + 1e-7
    assert not quantized["blocks.0.narrow.weight.steps"].any()
    assert quantized["norm.bias"] is weights["norm.bias"]


@pytest.mark.parametrize(("asked", "number"), [("3", 3), ("0", None), ("many", None), ("", None)])
def test_threads_are_those_asked_for(monkeypatch, asked, number):
    monkeypatch.setenv("OMP_NUM_THREADS", asked)
    assert thread_count() == number or (number is None and thread_count() >= 1)


def test_nothing_of_restoring_imports_pytorch():
    code = """
import sys
import numpy, overtone, overtone.cli.main, overtone.cli.score, overtone.app.worker
from overtone import restore
restore(numpy.random.default_rng(0).normal(0, 0.1, 20_000), 16000, cutoff=7000.0)
print("torch" in sys.modules)
"""
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"
