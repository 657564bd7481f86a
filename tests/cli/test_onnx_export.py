import subprocess
import sys

import numpy as np
import onnx
import onnxruntime
import pytest
import soxr
import torch

from overtone.cli import main
from overtone.cli.onnx_export import export
from overtone.models import registry
from tests.helpers.sound import make

RATE = 44100


@pytest.fixture(scope="module", params=["spectral", "unet", "shipped"])
def pair(request, tmp_path_factory):
    """A network, and the path of what it was exported to."""
    path = tmp_path_factory.mktemp("onnx") / "net.onnx"
    net = registry.load(registry.SHIPPED)[0] if request.param == "shipped" else make(request.param)
    export(net, path, {"model": "a test's"})
    return net, path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a tiny network."""
    folder = tmp_path_factory.mktemp("model")
    registry.save(make("spectral"), "spectral", folder, {})
    return folder


def music(cutoff, time, seed):
    """Notes with overtones that die away, and hits of noise, all under a cutoff in Hz; peak 1."""
    rng = np.random.default_rng(seed)
    seconds = np.arange(max(time, 2000)) / RATE
    sound = 0.001 * rng.normal(size=len(seconds))
    for start in np.arange(0, seconds[-1], 0.15):
        age = np.maximum(seconds - start, 0)
        note = 110 * 2 ** rng.uniform(0, 3)
        tone = sum(np.sin(2 * np.pi * note * k * age) / k for k in range(1, 40) if note * k < RATE / 2)
        hit = rng.normal(size=len(seconds)) * np.exp(-age * 60)
        sound += (age > 0) * (tone * np.exp(-age * 8) + hit)
    low = soxr.resample(soxr.resample(sound, RATE, 2 * cutoff), 2 * cutoff, RATE)[:time]
    return (low / np.abs(low).max()).astype(np.float32)


def run(path, samples, cutoff):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"samples": samples, "cutoff": cutoff})[0]


@pytest.mark.parametrize("cutoffs", [(4000, 11000), (8000,)], ids=["two", "one"])
@pytest.mark.parametrize("time", [1, 700, 8192, 22051])
def test_the_file_makes_what_the_network_makes(pair, time, cutoffs):
    net, path = pair
    samples = np.stack([music(cutoff, time, seed) for seed, cutoff in enumerate(cutoffs)])
    cutoff = np.array(cutoffs, np.float32)
    with torch.inference_mode():
        expected = net(torch.from_numpy(samples), torch.from_numpy(cutoff)).numpy()
    made = run(path, samples, cutoff)
    assert made.shape == expected.shape
    assert made.dtype == np.float32
    for row in range(len(cutoffs)):
        error = np.square(made[row] - expected[row]).sum()
        assert error < 1e-6 * np.square(expected[row]).sum()  # under -60 dB
        if time > 8000 and not isinstance(net, registry.UNet):
            # In the band that is made, alone: a source bin that is empty has a phase of rounding errors.
            start = round((cutoffs[row] + 200) * time / RATE)
            high = np.abs(np.fft.rfft([made[row] - expected[row], expected[row]])[:, start:]) ** 2
            assert high[0].sum() < 1e-4 * high[1].sum()  # under -40 dB


@pytest.mark.parametrize("pair", ["spectral", "shipped"], indirect=True)
def test_silence_stays_silence(pair):
    assert not run(pair[1], np.zeros((1, 3000), np.float32), np.array([5000], np.float32)).any()


@pytest.mark.parametrize("pair", ["spectral"], indirect=True)
def test_it_runs_without_pytorch(pair, tmp_path):
    _, path = pair
    samples = music(6000, 4096, 1)[None]
    np.save(tmp_path / "in.npy", samples)
    code = f"""
import sys
sys.modules["torch"] = None
import numpy, onnxruntime
session = onnxruntime.InferenceSession({str(path)!r}, providers=["CPUExecutionProvider"])
inputs = {{"samples": numpy.load("in.npy"), "cutoff": numpy.array([6000], "float32")}}
numpy.save("out.npy", session.run(["restored"], inputs)[0])
"""
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True)
    assert np.array_equal(np.load(tmp_path / "out.npy"), run(path, samples, np.array([6000], np.float32)))


def test_the_file_names_its_inputs_its_free_sizes_and_its_model(pair):
    model = onnx.load(pair[1])
    sizes = {
        value.name: [size.dim_param for size in value.type.tensor_type.shape.dim]
        for value in [*model.graph.input, *model.graph.output]
    }
    assert sizes == {"samples": ["batch", "time"], "cutoff": ["batch"], "restored": ["batch", "time"]}
    assert {entry.key: entry.value for entry in model.metadata_props} == {"model": "a test's"}


def overtone(capsys, *args):
    code = main.main([str(arg) for arg in args])
    out, err = capsys.readouterr()
    return code, out.splitlines(), err.splitlines()


def test_the_command_writes_a_file_and_says_so(folder, tmp_path, capsys):
    target = tmp_path / "net.onnx"
    code, out, err = overtone(capsys, "export", target, "--model", folder)
    assert (code, err) == (0, [])
    assert out[0].startswith(f"{folder} -> {target}: Spectral, ")
    assert [path.name for path in tmp_path.iterdir()] == ["net.onnx"]
    before = target.read_bytes()
    assert overtone(capsys, "export", target) == (
        2,
        [],
        [f"overtone: {target} exists; overwrite it with --force"],
    )
    assert target.read_bytes() == before
    assert overtone(capsys, "export", target, "--model", folder, "--force")[0] == 0


def test_the_network_for_the_side_is_a_file_of_its_own(folder, tmp_path, capsys):
    net = make("spectral")
    net.give_side({"leave.bias": torch.ones(1025)})
    registry.save(net, "spectral", tmp_path / "both", {})
    for name, options in (("mid", []), ("side", ["--side"])):
        path = tmp_path / f"{name}.onnx"
        assert overtone(capsys, "export", path, "--model", tmp_path / "both", *options)[0] == 0
        run = onnxruntime.InferenceSession(path)
        samples, cutoff = torch.randn(1, 20_000) / 10, torch.tensor([6000.0])
        (made,) = run.run(None, {"samples": samples.numpy(), "cutoff": cutoff.numpy()})
        with torch.inference_mode():
            expected = (net.side if options else net)(samples, cutoff)
        torch.testing.assert_close(torch.from_numpy(made), expected, rtol=1e-3, atol=1e-4)
    code, out, err = overtone(capsys, "export", tmp_path / "none.onnx", "--model", folder, "--side")
    assert (code, out) == (2, [])
    assert err == [f"overtone: the model in {folder} has no other network for the side: leave out --side"]


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("net.pt", [], "net.pt does not end in .onnx"),
        ("nowhere/net.onnx", [], "net.onnx cannot be written: No such file or directory"),
        ("net.onnx", ["--model", "nowhere"], "nowhere holds no model: model.json is missing"),
    ],
)
def test_what_cannot_be_exported_is_one_line(folder, tmp_path, capsys, target, options, message):
    code, out, err = overtone(capsys, "export", tmp_path / target, *(options or ["--model", folder]))
    assert (code, out, len(err)) == (2, [], 1)
    assert message in err[0]
    assert not list(tmp_path.iterdir())


def test_without_onnx_it_says_what_to_install(folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    code, _, err = overtone(capsys, "export", tmp_path / "net.onnx", "--model", folder)
    assert (code, err) == (
        2,
        [
            "overtone: onnx is not installed: pip install 'overtone[export]' (import of onnx halted; None in "
            "sys.modules)"
        ],
    )
