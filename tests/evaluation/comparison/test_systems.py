"""The rows of the table: models and outside programs on the same takes, low band both ways."""

import shutil
import sys
import textwrap

import numpy as np
import pandas as pd
import pytest
import soundfile
import torch
import yaml

from overtone.core.errors import OvertoneError
from overtone.evaluation.comparison import systems
from overtone.evaluation.comparison.aggregate import Results
from overtone.evaluation.comparison.baselines import BASELINES
from overtone.evaluation.comparison.chunks import Chunk
from overtone.evaluation.comparison.score_chunk import ChunkScores, RowScores
from overtone.models import registry
from overtone.restoration.stream.analysis import DEFAULTS, RestorerOptions
from tests.helpers import ROOT
from tests.helpers.sound import CUTOFF, RATE, band, make

EVERY_FILE = """
import pathlib, sys
import numpy, soundfile
for path in sorted(pathlib.Path(sys.argv[1]).glob("*.wav")):
    samples, rate = soundfile.read(path, always_2d=True, dtype="float32")
"""
WRITE = """
    soundfile.write(pathlib.Path(sys.argv[2]) / path.name, samples, rate, subtype="FLOAT")
"""


@pytest.fixture
def takes(low):
    """Two takes of music that stops at the cutoff."""
    none = pd.DataFrame(columns=["track_id", "pair", "start", "length", "channel"])
    both = [torch.from_numpy(low), torch.from_numpy(0.5 * low[:, ::-1].copy())]
    return [Chunk(5, part, samples, samples, none) for part, samples in enumerate(both)]


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Recipes by name, given as what each does to `samples` of every file, in a folder of their own."""
    monkeypatch.chdir(tmp_path)

    def write(**bodies):
        recipes = {
            name: {
                "command": "{python} {script} {input} {output}",
                "install": "ask",
                "python": sys.executable,
                "timeout": 60,
                "script": EVERY_FILE + textwrap.indent(body, "    ") + WRITE,
            }
            for name, body in bodies.items()
        }
        (tmp_path / "programs.yaml").write_text(yaml.safe_dump(recipes))

    return write


class Table:
    """Every row's samples, by take, and what the costs file says of them."""

    def __init__(self, names, takes, folder, cutoff=CUTOFF):
        prepared = systems.prepare(names, lambda: iter(takes), cutoff, RATE, folder)
        gathered = Results(prepared, RATE, cutoff)
        self.samples = {}
        for place, take in enumerate(takes):
            outcomes, failed = {}, {}
            for system in prepared.systems:
                try:
                    for made in systems.run_system(system, take, cutoff, RATE, "cpu"):
                        outcomes[made.row] = RowScores({}, np.zeros(1), None, made.cost, made.correction)
                        self.samples[made.row, place] = made.samples
                except OvertoneError as error:
                    failed[system.name] = str(error)
            gathered.add(ChunkScores(take.track_id, 1, 16000.0, outcomes, failed, None, {}))
        self.names = list(gathered.rows())
        self.failed = gathered.failed
        self.costs = gathered.costs()

    def __getitem__(self, row):
        return self.samples[row, 0]


def test_the_baselines_come_first_and_every_other_system_has_its_low_band_both_ways(
    takes, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    for folder in ("data/model", "other/one"):
        registry.save(make("unet"), "unet", tmp_path / folder, {})
    table = Table(["model", "other/one", "shipped"], takes, tmp_path)
    assert table.names == [
        *BASELINES,
        "model",
        "network alone",
        "network alone, aligned",  # its random weights change the level
        "other/one",
        "other/one alone",
        "other/one alone, aligned",
        "shipped",
        "shipped alone",
    ]
    assert table.failed == {}
    assert torch.equal(table["input"], takes[0].degraded)
    assert torch.equal(table["model"], table["other/one"])
    assert table.costs["model"]["seconds_per_second"] > 0


@pytest.mark.parametrize("kind", ["unet", "spectral"])
def test_the_low_band_put_back_is_what_restoring_keeps(takes, kind):
    """With the crossover of `overtone restore`, a network's output alone becomes its restored file."""
    # It swells: steady noise would go on above the cutoff, which is not the network's work.
    net, samples = make(kind), takes[0].degraded * torch.linspace(0.1, 1, takes[0].degraded.shape[1])
    alone = systems.run_network(net, samples, CUTOFF, RATE, RestorerOptions(keep_low=False))
    kept = systems.with_low_band(alone, samples, CUTOFF, RATE)
    restored = systems.run_network(net, samples, CUTOFF, RATE)
    assert (restored - samples).abs().max() > 1e-3
    assert (kept - restored).abs().max() < 1e-5 * alone.abs().max()


@pytest.mark.parametrize("rate", [44100, 48000])
def test_below_the_cutoff_what_is_put_back_is_the_input(rng, rate):
    samples, made = rng.normal(0, 0.1, (2, 2, rate)).astype(np.float32)
    kept = systems.with_low_band(torch.from_numpy(made), torch.from_numpy(samples), CUTOFF, rate).numpy()
    assert kept.shape == samples.shape
    inner = slice(2000, -2000)
    below, above = (0, CUTOFF), (CUTOFF + 300, 19000)
    assert band((kept - samples)[:, inner], *below, rate) < band(samples, *below, rate) - 70
    assert band((kept - made)[:, inner], *above, rate) < band(samples, *above, rate) - 70


def test_a_late_quiet_program_is_brought_back_and_it_is_said(takes, programs, tmp_path):
    programs(late="samples = numpy.pad(samples, ((100, 0), (0, 0))) * numpy.float32(10 ** (-3 / 20))")
    table = Table(["late"], takes, tmp_path / "own")
    assert table.failed == {}
    for place, take in enumerate(takes):
        for row in ("late alone", "late"):
            assert (table.samples[row, place] - take.degraded).abs().max() < 1e-4
    told = table.costs["late"]
    assert told["note"] == "corrected: +100.00 samples late, -3.00 dB, +0.002 s longer"
    assert told["aligning"]["lag"] == [100, 100]
    assert told["seconds_per_second"] > 0
    assert table.costs["late alone"] == told


@pytest.fixture
def network(tmp_path, monkeypatch):
    """Stands in for the model: gives what is made of the samples, whatever the network."""
    registry.save(make("unet"), "unet", tmp_path / "some/model", {})

    def gives(made):
        def whole(net, samples, cutoff, rate, options=DEFAULTS):
            own = made(samples)
            return systems.with_low_band(own, samples, cutoff, rate) if options.keep_low else own

        monkeypatch.setattr(systems, "run_network", whole)
        return str(tmp_path / "some/model")

    return gives


def test_a_network_in_its_place_is_said_to_be_and_scored_to_the_bit_as_it_is(takes, tmp_path):
    """The shipped one: 0 samples, 0 dB, and no third row."""
    table = Table(["shipped"], takes[:1], tmp_path)
    net, _ = registry.load(registry.SHIPPED)
    for row, keep_low in (("shipped", True), ("shipped alone", False)):
        options = RestorerOptions(keep_low=keep_low)
        assert torch.equal(table[row], systems.run_network(net, takes[0].degraded, CUTOFF, RATE, options))
        assert table.costs[row]["note"] == "in its place: 0 samples late, 0 dB"
        assert table.costs[row]["aligning"]["lag"] == table.costs[row]["aligning"]["gain_db"] == [0, 0]
    assert "shipped alone, aligned" not in table.names


def test_a_late_quiet_network_is_scored_as_it_comes_and_aligned(takes, tmp_path, network):
    name = network(lambda samples: 0.5 * torch.nn.functional.pad(samples, (100, 0))[:, : samples.shape[1]])
    table = Table([name], takes[:1], tmp_path)
    assert table.names == [*BASELINES, name, f"{name} alone", f"{name} alone, aligned"]
    samples = takes[0].degraded
    late = 0.5 * torch.nn.functional.pad(samples, (100, 0))[:, : samples.shape[1]]
    assert torch.equal(table[f"{name} alone"], late)
    aligned = table[f"{name} alone, aligned"]
    assert (aligned - samples)[:, :-200].abs().max() < 1e-4
    notes = [table.costs[row]["note"] for row in (name, f"{name} alone", f"{name} alone, aligned")]
    assert notes == [
        "in its place: 0 samples late, 0 dB",
        "as it comes: +100.00 samples late, -6.02 dB",
        "corrected: +100.00 samples late, -6.02 dB",
    ]


def test_a_network_that_makes_something_else_is_scored_all_the_same(takes, tmp_path, network):
    name = network(torch.zeros_like)
    table = Table([name], takes[:1], tmp_path)
    assert table.names == [*BASELINES, name, f"{name} alone"]
    assert not table[f"{name} alone"].any()


@pytest.mark.parametrize("side", [False, True])
def test_sides_are_restored_by_the_weights_for_them(takes, tmp_path, side):
    take = takes[0]._replace(degraded=takes[0].degraded[:1], original=takes[0].original[:1])
    (system,) = systems.prepare(["shipped"], list, CUTOFF, RATE, tmp_path, side).systems[-1:]
    made = next(systems.run_system(system, take, CUTOFF, RATE, "cpu")).samples
    net, _ = registry.load(registry.SHIPPED)
    expected = [
        systems.run_network(one, take.degraded, CUTOFF, RATE) for one in (net, registry.for_side(net))
    ]
    assert not torch.allclose(*expected)
    assert torch.equal(made, expected[side])


def test_a_programs_own_low_band_stays_in_one_row_only(takes, programs, tmp_path):
    """It takes out a half of the input's low band from 2 kHz on, and adds the treble."""
    programs(
        odd="""
spectrum = numpy.fft.rfft(samples, axis=0)
hertz = numpy.fft.rfftfreq(len(samples), 1 / rate)
spectrum[(hertz > 2000) & (hertz < 5000)] *= 0.5
high = (hertz > 8000) & (hertz < 15000)
spectrum[high] = 20 * numpy.exp(1j * hertz[high, None] ** 2)
samples = numpy.fft.irfft(spectrum, len(samples), axis=0).astype("float32")
"""
    )
    table = Table(["odd"], takes, tmp_path / "own")
    assert table.failed == {}
    samples = takes[0].degraded.numpy()
    given, kept = (table[name].numpy() for name in ("odd alone", "odd"))
    middle = (2500, 4500)
    assert band(kept - samples, *middle) < band(samples, *middle) - 60
    assert band(given - samples, *middle) > band(samples, *middle) - 10
    assert band(kept, 9000, 14000) > band(samples, 9000, 14000) + 20


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("raise ValueError('no weights')", "failed with exit code 1: ValueError: no weights"),
        ("import time; time.sleep(60)", "stopped after 1 s, its time-out"),
        ("continue", "wrote nothing: 000005-0.wav is not in its output folder"),
        ("samples = samples * 0", "wrong output: 000005-0.wav: it has nothing in common with the input"),
        ("samples = samples[:1000]", "wrong output: 000005-0.wav: it is 2.0 s shorter than the input"),
        ("samples = samples[:, :1]", "wrong output: 000005-0.wav: it has 1 channels, the input 2"),
        (
            "open(sys.argv[2] + '/' + path.name, 'w').write('text'); continue",
            "wrong output: 000005-0.wav does not decode: Format not recognised",
        ),
    ],
)
def test_a_program_that_goes_wrong_is_a_row_that_says_so(takes, programs, tmp_path, body, reason):
    programs(wrong=body)
    if "sleep" in body:
        path = tmp_path / "programs.yaml"
        path.write_text(path.read_text().replace("timeout: 60", "timeout: 1"))
    registry.save(make("unet"), "unet", tmp_path / "a/model", {})
    table = Table(["wrong", "a/model"], takes, tmp_path / "own")
    assert table.names == [*BASELINES, "a/model", "a/model alone", "a/model alone, aligned"]
    assert table.failed["wrong"].startswith(reason)
    assert table.costs["wrong"] == {"failed": table.failed["wrong"]}
    assert "\n" not in table.failed["wrong"]


def test_a_missing_program_is_a_row_that_says_how_to_install_it(takes, programs, tmp_path):
    programs(gone="pass")
    path = tmp_path / "programs.yaml"
    path.write_text(path.read_text().replace(sys.executable, "/no/such/python"))
    assert Table(["gone"], takes, tmp_path / "own").failed == {"gone": "not installed: ask"}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("modell", "evaluate.systems names 'modell'; it is model, model@REVISION, shipped, stems, a model's"),
        ("modell", "or a recipe of programs.yaml: known"),
        ("no/where", "no/where holds no model: model.json is missing"),
        ("input", "evaluate.systems names 'input'; it is model"),
        ("model@nowhere", "evaluate.systems names model@nowhere, which cannot be had: "),
    ],
)
def test_a_name_that_stands_for_nothing_is_one_line(takes, programs, tmp_path, name, message):
    programs(known="pass")
    with pytest.raises(OvertoneError) as caught:
        Table([name], takes, tmp_path / "own")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["sox", "ffmpeg"])
def test_a_real_program_is_aligned_and_adds_treble(name, takes, tmp_path, monkeypatch):
    """Both are asked for 48 kHz; their low band is the input's, and above the cutoff is what they made."""
    if shutil.which(name) is None:
        pytest.skip(f"{name} is not installed (apt-get install {name})")
    shutil.copy(ROOT / "programs.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    table = Table([name], takes, tmp_path / "own")
    assert table.failed == {}
    assert table.costs[name]["note"].startswith("corrected: 48 kHz")
    samples = takes[0].degraded.numpy()
    # ffmpeg's exciter turns the phase of the low band a little, and so does not give it back as it was.
    for row, least in ((name, 100), (f"{name} alone", 10 if name == "ffmpeg" else 100)):
        out = table[row].numpy()
        assert out.shape == samples.shape
        assert band(out - samples, 100, 3000) < band(samples, 100, 3000) - least, row
        assert band(out, 7000, 12000) > band(samples, 7000, 12000) + 20, row


@pytest.mark.parametrize(("effect", "lag"), [("delay 100s 100s", 100), ("vol -3dB", 0), ("pad 0 1", 0)])
def test_what_sox_does_is_found(effect, lag, takes, tmp_path, monkeypatch):
    if shutil.which("sox") is None:
        pytest.skip("sox is not installed (apt-get install sox)")
    monkeypatch.chdir(tmp_path)
    command = f"sh -ec 'cd {{input}}; for f in *.wav; do sox $f {{output}}/$f {effect}; done'"
    (tmp_path / "programs.yaml").write_text(yaml.safe_dump({"it": {"command": command, "install": "ask"}}))
    table = Table(["it"], takes, tmp_path / "own")
    assert table.failed == {}
    found = table.costs["it"]["aligning"]
    assert found["lag"] == [lag, lag]
    assert found["gain_db"] == pytest.approx([-3 if "vol" in effect else 0] * 2, abs=0.002)
    assert found["longer"] == pytest.approx([1 if "pad" in effect else lag / RATE] * 2, abs=1e-4)
    assert (table["it alone"] - takes[0].degraded).abs().max() < 1e-4


def test_files_hold_more_than_full_scale(takes, programs, tmp_path):
    """A decoded MP3 does; no system gets a clipped one."""
    programs(copy="pass")
    loud = [takes[0]._replace(degraded=takes[0].degraded * 20)]
    table = Table(["copy"], loud, tmp_path / "own")
    assert float(loud[0].degraded.abs().max()) > 2
    assert torch.equal(table["copy alone"], loud[0].degraded)
    written, _ = soundfile.read(tmp_path / "own/0/input/000005-0.wav", dtype="float32")
    assert np.array_equal(written.T, loud[0].degraded.numpy())


STAND_INS = {
    "audiosr": {
        "audiosr.py": """
import soundfile
class Wave:
    def __init__(self, samples):
        self.samples = samples
    def __getitem__(self, place):
        return Wave(self.samples[place])
    def cpu(self):
        return self
    def numpy(self):
        return self.samples
def build_model(ckpt_path=None, config=None, device=None, model_name="basic"):
    assert model_name == "basic" and open(ckpt_path)
    return "model"
def super_resolution_long_audio(latent_diffusion, input_file, seed=42, ddim_steps=200):
    import soxr
    samples, rate = soundfile.read(input_file, always_2d=True)
    assert latent_diffusion == "model"
    return Wave(soxr.resample(samples, rate, 48000).T[None])
""",
        "audiosr/basic.bin": "",
    },
    "nuwave2": {
        "nuwave2/model.py": "",
        "nuwave2/hparameter.yaml": """
dpm: {infer_schedule: "torch.tensor([-2.6, 17.2])"}
logsnr: {logsnr_min: -20, logsnr_max: 20}
""",
        "nuwave2/diffusion.py": """
import torch
class Diffusion(torch.nn.Module):
    def __init__(self, hparams):
        super().__init__()
        self.model = torch.nn.Linear(1, 1)
        assert hparams.logsnr.logsnr_max == 20
    def denoise_ddim(self, y, y_l, band, logsnr_t, logsnr_s):
        assert y.shape == y_l.shape and y.shape[-1] % 256 == 0 and float(y_l.abs().max()) <= 1.0001
        assert band.shape == (1, 513) and int(band.sum()) == int(6000 / 24000 * 513)
        assert (float(logsnr_t), float(logsnr_s)) in ((-2.5999999046325684, 17.200000762939453),
                                                      (17.200000762939453, 20.0))
        return y_l + 0 * self.model.bias, y
""",
    },
    "ap-bwe-16k": {
        "ap-bwe/env.py": """
class AttrDict(dict):
    __getattr__ = dict.__getitem__
""",
        "ap-bwe/datasets/dataset.py": """
import torch
def amp_pha_stft(audio, n_fft, hop_size, win_size):
    s = torch.stft(audio, n_fft, hop_size, win_size, torch.hann_window(win_size), return_complex=True)
    return s.abs(), s.angle(), s
def amp_pha_istft(amplitude, phase, n_fft, hop_size, win_size):
    s = torch.polar(amplitude, phase)
    return torch.istft(s, n_fft, hop_size, win_size, torch.hann_window(win_size))
""",
        "ap-bwe/models/model.py": """
import torch
class APNet_BWE_Model(torch.nn.Module):
    def __init__(self, h):
        super().__init__()
        self.gain = torch.nn.Parameter(torch.zeros(1))
    def forward(self, amplitude, phase):
        return amplitude * self.gain, phase, None
""",
        "ap-bwe/checkpoints/16kto48k/config.json": """
{"n_fft": 1024, "hop_size": 80, "win_size": 320, "hr_sampling_rate": 48000, "lr_sampling_rate": 16000}
""",
    },
}


@pytest.mark.parametrize("name", STAND_INS)
def test_a_recipes_script_runs_on_a_stand_in_of_its_program(name, takes, tmp_path, monkeypatch):
    """What stands in has the program's functions and gives the input back: its weights are not to be had."""
    home = tmp_path / "programs"
    for path, text in STAND_INS[name].items():
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        (home / path).write_text(text)
    weights = {"model.model.weight": torch.ones(1, 1), "model.model.bias": torch.zeros(1)}
    if name == "nuwave2":
        torch.save({"state_dict": weights}, home / "nuwave2/checkpoint")
    if name == "ap-bwe-16k":
        torch.save({"generator": {"gain": torch.ones(1)}}, home / "ap-bwe/checkpoints/16kto48k/g_1")
    python = home / programs_python(name)
    python.parent.mkdir(parents=True, exist_ok=True)
    python.write_text(f'#!/bin/sh\nPYTHONPATH="{home}" exec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    shutil.copy(ROOT / "programs.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OVERTONE_PROGRAMS", str(home))
    table = Table([name], takes[:1], tmp_path / "own")
    assert table.failed == {}
    samples = takes[0].degraded.numpy()
    out = table[f"{name} alone"].numpy()
    assert band(out - samples, 100, 5000) < band(samples, 100, 5000) - 30
    assert table.costs[name]["note"].startswith("corrected: 48 kHz")


@pytest.mark.parametrize("name", ["ap-bwe-8k", "ap-bwe-12k", "ap-bwe-16k", "ap-bwe-24k"])
def test_every_ap_bwe_recipe_runs_the_checkpoint_that_it_needs(name):
    recipe = systems.external.recipe(name, ROOT / "programs.yaml")
    checkpoint = f"{name.removeprefix('ap-bwe-')}to48k"
    assert recipe.command.endswith(f" {checkpoint}")
    assert recipe.needs[-1].endswith(f"/checkpoints/{checkpoint}/config.json")


def programs_python(name):
    """Where a recipe's Python lies below the folder of programs."""
    return systems.external.recipe(name, ROOT / "programs.yaml").python.removeprefix("{programs}/")
