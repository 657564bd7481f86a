"""The command as a person uses it: what it writes, what it says, and what it leaves behind when it fails."""

import io
import json
import os
import resource
import shlex
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile
import soxr
import torch

from overtone import __version__
from overtone.cli import main, model_card, parser, restore
from overtone.cli.inputs import plan
from overtone.models import registry
from overtone.models.spectral import Spectral, SpectralSettings
from tests.helpers import ROOT
from tests.helpers.sound import forget_length, write_by_ffmpeg

RATE = 44100
# Run from any folder, the code beside these tests.
SOURCE = str(ROOT / "src")
START = f"import sys; sys.path.insert(0, {SOURCE!r});"
COMMAND = [sys.executable, "-c", f"{START} from overtone.cli.main import main; sys.exit(main())"]


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder with a tiny network with random weights."""
    folder = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    net = Spectral(SpectralSettings(features=8, blocks=1, expansion=1))
    about = {"train": {"lr": 0.001, "loss": {"l1": 1.0}}, "tracks": ["a", "b"], "rate_hz": 44100}
    registry.save(net, "spectral", folder, about)
    return folder


@pytest.fixture
def low(rng):
    """A second of stereo noise up to 6 kHz, (time, 2), at 44.1 kHz."""
    return soxr.resample(rng.normal(0, 0.1, (12000, 2)), 12000, RATE).astype(np.float32)


@pytest.fixture
def here(tmp_path, monkeypatch, low):
    """A folder to work in, with talk.wav."""
    monkeypatch.chdir(tmp_path)
    soundfile.write("talk.wav", low, RATE)
    return tmp_path


@pytest.fixture
def overtone(capsys):
    """Run the command; gives (exit code, lines on standard output, lines on standard error)."""

    def run(*args):
        try:
            code = main.main([str(arg) for arg in args])
        except SystemExit as stop:
            code = stop.code
        out, err = capsys.readouterr()
        return code, out.splitlines(), err.splitlines()

    return run


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_the_package_runs_as_the_command_does():
    for command in (COMMAND, [sys.executable, "-m", "overtone"]):
        environment = os.environ | {"PYTHONPATH": SOURCE}
        done = subprocess.run([*command, "restore"], capture_output=True, text=True, env=environment)
        assert (done.returncode, done.stderr) == (
            2,
            "overtone restore: the following arguments are required: IN; see overtone restore --help\n",
        )


def test_a_file_is_restored_and_a_line_says_how(here, model, overtone):
    code, out, err = overtone("restore", "talk.wav", "--model", model)
    assert (code, err) == (0, [])
    assert len(out) == 1
    assert out[0].startswith("talk.wav -> talk.restored.flac: cutoff ")
    assert files(here) == ["talk.restored.flac", "talk.wav"]


def test_json_is_an_object_per_line(here, model, overtone):
    code, out, _ = overtone(
        "restore", "talk.wav", "--model", model, "--json", "--cutoff", 6000, "--rate", 48000
    )
    said = json.loads(out[0])
    assert (code, len(out)) == (0, 1)
    assert (said["source"], said["target"], said["out_rate"]) == ("talk.wav", "talk.restored.flac", 48000)
    assert said["cutoff"] == {"hz": 6000, "confidence": 1.0, "full_band": False, "kind": "given"}


def test_folders_are_searched_and_their_structure_is_kept(here, model, overtone):
    (here / "in/sub/.hidden").mkdir(parents=True)
    for name in ("in/B.WAV", "in/sub/a.wav", "in/a.restored.wav", "in/.a.wav", "in/sub/.hidden/a.wav"):
        (here / name).write_bytes((here / "talk.wav").read_bytes())
    (here / "in/notes.txt").write_text("not music")
    code, out, _ = overtone("restore", "in", "-o", "out", "--model", model)
    assert (code, len(out)) == (0, 2)
    assert files(here / "out") == ["B.restored.flac", "sub/a.restored.flac"]
    code, _, _ = overtone("restore", "in", "talk.wav", "-o", "both", "--model", model)
    assert files(here / "both") == ["in/B.restored.flac", "in/sub/a.restored.flac", "talk.restored.flac"]
    code, out, _ = overtone("restore", "in", "--model", model)
    assert (code, len(out)) == (0, 2)
    assert (here / "in/sub/a.restored.flac").is_file()


def test_a_folder_again_does_what_is_new(here, model, overtone):
    (here / "in").mkdir()
    for name in ("a", "b"):
        (here / f"in/{name}.wav").write_bytes((here / "talk.wav").read_bytes())
    assert overtone("restore", "in", "--model", model)[0] == 0
    code, out, err = overtone("restore", "in", "--model", model)
    assert (code, out, err) == (0, ["2 there already, skipped (--force restores them again)"], [])
    (here / "in/c.wav").write_bytes((here / "talk.wav").read_bytes())
    code, out, _ = overtone("restore", "in", "--model", model)
    assert (code, len(out)) == (0, 2)
    assert "in/c.wav -> in/c.restored.flac" in out[1]
    code, out, _ = overtone("restore", "in", "--model", model, "--force")
    assert (code, len(out)) == (0, 3)


def test_what_lies_above_is_written_inside_the_output(here, model, overtone, monkeypatch):
    (here / "other").mkdir()
    (here / "other/b.wav").write_bytes((here / "talk.wav").read_bytes())
    (here / "work").mkdir()
    monkeypatch.chdir(here / "work")
    code, _, _ = overtone("restore", "..", "../other", "-o", "out/", "--model", model)
    assert code == 0
    assert files(here / "work") == ["out/other/b.restored.flac", "out/talk.restored.flac"]


def test_a_linked_folder_is_named_and_not_followed(here, model, overtone):
    (here / "in").mkdir()
    (here / "talk.wav").rename(here / "in/talk.wav")
    (here / "in/again").symlink_to(".")
    code, out, err = overtone("restore", "in", "--model", model)
    assert (code, len(out)) == (1, 1)
    assert err == ["overtone: in/again is a link to a folder, which is not followed; name it by itself"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([""], "a name is empty"),
        (["talk.wav", ""], "a name is empty"),
        (["talk.wav", "-o", ""], "a name is empty"),
        (["in", "-"], "standard output takes one file"),
        (["in", "-o", "-"], "standard output takes one file"),
        (["talk.wav", "talk.wav", "-o", "-"], "standard output takes one file"),
    ],
)
def test_names_that_make_no_sense_are_an_error(here, overtone, words, message):
    (here / "in").mkdir()
    (here / "in/a.wav").write_bytes((here / "talk.wav").read_bytes())
    code, out, err = overtone("restore", *words)
    assert (code, out, len(err)) == (2, [], 1)
    assert message in err[0]
    assert files(here) == ["in/a.wav", "talk.wav"]


LONG = "n" * 300


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["restore", f"{LONG}.wav"], f"{LONG}.restored.flac cannot be written: File name too long"),
        (["restore", f"{LONG}.wav", "-o", "x.flac"], f"{LONG}.wav cannot be read: File name too long"),
        (
            ["restore", "talk.wav", "-o", f"{LONG}/"],
            "talk.restored.flac cannot be written: File name too long",
        ),
        (["restore", "talk.wav", "-o", f"{LONG}.flac"], f"{LONG}.flac cannot be written: File name too long"),
        (["restore", "talk.wav", "-o", "talk.wav/"], "talk.restored.flac cannot be written: File exists"),
        (["restore", "talk.wav", "--model", LONG], f"{LONG}/model.json: File name too long"),
        (["models", LONG], f"{LONG}/model.json: File name too long"),
        (["export", f"{LONG}.onnx"], f"{LONG}.onnx cannot be written: File name too long"),
        (["export", "talk.wav/x.onnx"], "talk.wav/x.onnx cannot be written: Not a directory"),
        (["score", "talk.wav", LONG], f"{LONG} cannot be read: File name too long"),
    ],
)
def test_a_name_that_the_system_refuses_is_named(here, model, overtone, words, message):
    if words[0] in ("restore", "export") and "--model" not in words:
        words = [*words, "--model", model]
    code, out, err = overtone(*words)
    assert (code, out, len(err)) == (2, [], 1)
    assert message in err[0]
    assert "standard output" not in err[0]
    assert files(here) == ["talk.wav"]


def test_two_inputs_never_share_an_output(here, model, overtone, low):
    soundfile.write("talk.flac", low, RATE)
    code, out, err = overtone("restore", "talk.wav", "talk.flac", "talk.wav", "--model", model)
    assert (code, len(out), len(err)) == (1, 1, 1)
    assert "talk.flac and talk.wav would both be written to talk.restored.flac" in err[0]


@pytest.mark.parametrize("words", [["-01.wav"], ["talk.wav", "-01.wav"]])
def test_a_file_that_looks_like_an_option_is_told_how_to_write_it(here, overtone, words):
    (here / "-01.wav").write_bytes((here / "talk.wav").read_bytes())
    code, _, err = overtone("restore", *words)
    assert (code, len(err)) == (2, 1)
    assert "-01.wav begins with a dash and is taken for an option: write ./-01.wav; see" in err[0]


@pytest.mark.parametrize("output", ["there", "new/"])
def test_an_output_may_be_a_folder(here, model, overtone, output):
    (here / "there").mkdir()
    assert overtone("restore", "talk.wav", "-o", output, "--model", model)[0] == 0
    assert (here / output / "talk.restored.flac").is_file()


def test_standard_input_and_output_are_wav(here, model):
    # Without what only the pipeline needs, as `pip install .` leaves it.
    missing = ["scipy", "pandas", "librosa", "matplotlib", "torchaudio", "sklearn", "joblib"]
    code = (
        f"{START} sys.modules |= dict.fromkeys({missing}); from overtone.cli import main; "
        "sys.exit(main.main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "restore", "-", "--model", model, "--bits", "16"],
        input=(here / "talk.wav").read_bytes(),
        capture_output=True,
        check=True,
    )
    info = soundfile.info(io.BytesIO(done.stdout))
    assert (info.format, info.subtype, info.frames) == ("WAV", "PCM_16", RATE)
    assert done.stderr.decode().startswith("- -> -: cutoff ")
    assert done.stderr.count(b"\n") == 1
    assert files(here) == ["talk.wav"]


def test_standard_input_that_is_none_is_an_error(here, model, overtone, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO()))
    assert overtone("restore", "-", "--model", model) == (2, [], ["overtone: standard input is empty"])


def test_a_picture_is_drawn_beside_the_output(here, model, overtone):
    assert overtone("restore", "talk.wav", "--model", model, "--picture")[0] == 0
    assert files(here) == ["talk.restored.flac", "talk.restored.png", "talk.wav"]
    (here / "talk.restored.flac").unlink()
    code, _, err = overtone("restore", "talk.wav", "--model", model, "--picture")
    assert (code, err) == (2, ["overtone: talk.restored.png exists; overwrite it with --force"])
    assert not (here / "talk.restored.flac").exists()


def test_a_picture_is_drawn_of_a_file_that_does_not_know_its_length(here, model, overtone):
    soundfile.write(here / "talk.flac", *soundfile.read(here / "talk.wav"))
    forget_length(here / "talk.flac")
    assert overtone("restore", "talk.flac", "--model", model, "--picture")[0] == 0
    assert "talk.restored.png" in files(here)


def test_a_picture_without_matplotlib_is_an_error(here, model, overtone, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    code, _, err = overtone("restore", "talk.wav", "--model", model, "--picture")
    assert (code, len(err)) == (2, 1)
    assert "pip install 'overtone[picture]'" in err[0]


def test_nothing_is_overwritten_without_force(here, model, overtone):
    (here / "talk.restored.flac").write_text("dear to me")
    code, out, err = overtone("restore", "talk.wav", "--model", model)
    assert (code, out) == (2, [])
    assert err[0].startswith("overtone: talk.restored.flac exists; overwrite it with --force")
    assert (here / "talk.restored.flac").read_text() == "dear to me"
    assert overtone("restore", "talk.wav", "--model", model, "--force")[0] == 0


def test_a_failure_does_not_stop_the_others(here, model, overtone):
    code, out, err = overtone("restore", "missing.mp3", "talk.wav", "--model", model)
    assert (code, len(out)) == (1, 1)
    assert err == ["overtone: missing.mp3 cannot be read: No such file or directory"]


def not_audio(path, low):
    path.write_text("hello")


def empty(path, low):
    path.touch()


def no_samples(path, low):
    soundfile.write(path, low[:0], RATE)


def one_sample(path, low):
    soundfile.write(path, low[:1], RATE)


def nan(path, low):
    low[9] = np.nan
    soundfile.write(path, low, RATE, subtype="FLOAT")


def infinite(path, low):
    low[9] = np.inf
    soundfile.write(path, low, RATE, subtype="FLOAT")


def truncated(path, low):
    soundfile.write(path, low, RATE)
    path.write_bytes(path.read_bytes()[:50000])


def wrong_suffix(path, low):
    path.write_bytes(b"%PDF-1.7\n" * 100)


def dangling(path, low):
    path.symlink_to("nowhere")


def unreadable(path, low):
    soundfile.write(path, low, RATE)
    path.chmod(0)


@pytest.mark.parametrize(
    ("break_it", "message"),
    [
        (not_audio, "is not audio that overtone reads"),
        (empty, "is empty"),
        (no_samples, "holds no samples"),
        (one_sample, "holds one sample"),
        (nan, "holds NaN or infinity"),
        (infinite, "holds NaN or infinity"),
        (truncated, "is truncated"),
        (wrong_suffix, "is not audio that overtone reads"),
        (dangling, "cannot be read: No such file"),
        pytest.param(
            unreadable,
            "cannot be read: Permission denied",
            marks=pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything"),
        ),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(here, model, overtone, low, break_it, message):
    break_it(here / "bad.wav", low)
    code, out, err = overtone("restore", "bad.wav", "--model", model)
    assert (code, out, len(err)) == (2, [], 1)
    assert err[0].startswith("overtone: bad.wav ")
    assert message in err[0]
    code, out, err = overtone("restore", "bad.wav", "talk.wav", "--model", model)
    assert (code, len(out), len(err)) == (1, 1, 1)
    assert files(here) == sorted(
        [*(["bad.wav"] if (here / "bad.wav").exists() else []), "talk.restored.flac", "talk.wav"]
    )


def test_sound_in_a_folder_that_is_damaged_is_named(here, model, overtone):
    (here / "album").mkdir()
    (here / "talk.wav").rename(here / "album/talk.wav")
    (here / "album/Song.M4A").write_bytes(b"\0\0\0\x20ftypM4A " + bytes(100))
    (here / "album/._Song.m4a").write_bytes(b"")
    code, out, err = overtone("restore", "album", "--model", model)
    assert (code, len(out), len(err)) == (1, 1, 1)
    assert err[0] == (
        "overtone: album/Song.M4A is not audio that overtone reads, or damaged (libsndfile: format not "
        "recognised; FFmpeg: no format that it knows, or no sound in it): wav, flac, mp3, ogg, opus, aiff, "
        "m4a, wma, films and more"
    )


def test_a_folder_without_audio_is_an_error(here, model, overtone):
    (here / "none").mkdir()
    code, out, err = overtone("restore", "none", "--model", model)
    assert (code, out, len(err)) == (2, [], 1)
    assert "none is a folder without audio (.wav .flac" in err[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--bits", "12"], "invalid choice: 12"),
        (["--bits", "32"], "32 bits do not fit talk.restored.flac; .flac takes 16 or 24"),
        (["--cutoff", "low"], "'low' is not a frequency in Hz"),
        (["--cutoff", "nan"], "'nan' is not a frequency in Hz"),
        (["--cutoff", "-1"], "'-1' is not a frequency in Hz"),
        (["--cutoff", "30000"], "the cutoff is 30000 Hz; for this input it is 500 to 22050"),
        (["--rate", "44.1"], "'44.1' is not a whole number of Hz, 8000 to 192000"),
        (["--rate", "4000"], "'4000' is not a whole number of Hz"),
        (["--device", "abacus"], "the device is 'abacus', which cannot be used"),
        (["--model", "nowhere"], "nowhere holds no model: model.json is missing"),
        (["--loud"], "unrecognized arguments: --loud"),
        (
            ["-o", "out.txt"],
            "-o out.txt ends in none of .flac, .wav, .ogg, .mp3, .mp4, .mov, .mkv, .webm; for a new folder ",
        ),
        (["-o", "out"], "for a new folder write out/"),
        (["-o", "talk.wav", "--force"], "talk.wav is the input itself"),
        (["-o", "out.flac", "talk.wav"], "-o out.flac is one file for 2 inputs; name a folder"),
        (["-o", "-", "--picture"], "--picture is named after the output file"),
        (["--like", "nowhere.flac"], "nowhere.flac cannot be read: No such file or directory"),
        (["--like", "talk.wav", "--cutoff", "6000"], "the reference talk.wav ends at 5."),
        (["--strength", "0.5"], "a strength is of a reference's correction, and there is no reference"),
        (["--strength", "2"], "'2' is not a number from 0 to 1"),
        (["--brightness", "high"], "'high' is not a number of dB, -40 to 40"),
        (["--amount", "on"], "'on' is not a number of dB, -40 to 40, or off"),
        (["--top", "4000"], "the top is 4000 Hz, and the added band begins at "),
    ],
)
def test_a_wrong_option_is_one_line(here, model, overtone, options, message):
    code, out, err = overtone("restore", "--model", model, *options, "talk.wav")
    assert (code, out, len(err)) == (2, [], 1)
    assert message in err[0]
    assert files(here) == ["talk.wav"]


@pytest.mark.parametrize(
    ("seconds", "gain", "message"),
    [
        (0.5, 1, "the reference ref.wav is 0.50 s long; 1 s is the least"),
        (2, 0, "the reference ref.wav is silent"),
    ],
)
def test_an_unfit_reference_is_one_line(here, model, overtone, rng, seconds, gain, message):
    soundfile.write("ref.wav", gain * rng.normal(0, 0.1, int(seconds * RATE)), RATE)
    code, out, err = overtone("restore", "--model", model, "--like", "ref.wav", "talk.wav")
    assert (code, out, err) == (2, [], [f"overtone: {message}"])
    assert files(here) == ["ref.wav", "talk.wav"]


def test_the_controls_change_the_output_and_are_said(here, model, overtone, rng):
    soundfile.write("ref.wav", rng.normal(0, 0.1, (RATE, 2)), RATE)
    common = ("restore", "--model", model, "--force", "talk.wav")
    plain = overtone(*common)[1][0]
    changed = overtone(*common, "--like", "ref.wav", "--brightness", "-3", "--top", "16000")
    assert (changed[0], changed[2]) == (0, [])
    assert ", by the reference at strength " in changed[1][0]
    assert ", brightness -3 dB, nothing above 16 kHz" in changed[1][0]
    assert "brightness" not in plain
    off = json.loads(overtone(*common, "--amount", "off", "--json")[1][0])
    assert (off["added"], off["curve"]["amount"]) == (False, "off")


@pytest.mark.parametrize("args", [[], ["restore"], ["repair"]])
def test_wrong_usage_is_one_line(overtone, args):
    code, out, err = overtone(*args)
    assert (code, out, len(err)) == (2, [], 1)
    assert err[0].endswith("--help")


def damage_json(folder):
    (folder / "model.json").write_text("{")


def damage_weights(folder):
    path = folder / "weights.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def other_version(folder):
    model_card = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(model_card | {"format": 99}))


def other_network(folder):
    model_card = json.loads((folder / "model.json").read_text())
    model_card["settings"]["features"] = 9
    (folder / "model.json").write_text(json.dumps(model_card))


def without(key):
    def damage(folder):
        model_card = json.loads((folder / "model.json").read_text())
        del model_card[key]
        (folder / "model.json").write_text(json.dumps(model_card))

    damage.__name__ = f"without_{key}"
    return damage


def odd_settings(folder):
    model_card = json.loads((folder / "model.json").read_text())
    model_card["settings"] = {"features": "many", "blocks": 1, "expansion": None}
    (folder / "model.json").write_text(json.dumps(model_card))


def a_list(folder):
    (folder / "model.json").write_text('{"format": 1, "name": ["spectral"]}')


DAMAGES = [
    damage_json,
    damage_weights,
    other_version,
    other_network,
    odd_settings,
    a_list,
    *map(without, ("format", "name", "settings", "about")),
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_model_is_one_line(here, model, overtone, damage):
    broken = here / "broken"
    broken.mkdir()
    for part in model.iterdir():
        (broken / part.name).write_bytes(part.read_bytes())
    damage(broken)
    for command in (["restore", "talk.wav", "--model", broken], ["models", broken]):
        code, out, err = overtone(*command)
        assert (code, out, len(err)) == (2, [], 1)
        assert f"the model in {broken} is " in err[0]


def test_models_says_what_a_model_is(model, overtone):
    code, out, err = overtone("models", model)
    assert (code, err) == (0, [])
    assert out[0] == f"model in {model}"
    assert out[1].startswith("network: spectral, ")
    assert out[2:] == [
        "train:",
        "  lr: 0.001",
        "  loss:",
        "    l1: 1",
        "tracks: a, b",
        "rate hz: 44100",
        f"all that is known of it: {model / 'model.json'}",
    ]


def test_models_shows_the_shipped_models_words_and_scores_beside_those_of_fills(overtone):
    code, out, err = overtone("models")
    assert (code, err) == (0, [])
    assert max(map(len, out[2:-1])) <= model_card.WIDTH
    about = registry.load(registry.SHIPPED)[1]
    assert " ".join(about["does badly"].split()) in " ".join(" ".join(out).split())
    for of in ("figures on recordings", "figures on games' music"):
        for metric, meaning in model_card.METRICS.items():
            at = out.index(", ".join(filter(None, (meaning, of[8:]))) + ":")
            assert out[at + 1].split() == ["4", "kHz", "5.5", "kHz", "8", "kHz", "11", "kHz"]
            for line, system in zip(out[at + 2 :], about[of]["4000"], strict=False):
                assert line.startswith(system)
                scores = [float(cell) for cell in line.removeprefix(system).split()]
                assert scores == pytest.approx(
                    [about[of][cutoff][system][metric] for cutoff in ("4000", "5500", "8000", "11000")],
                    abs=5e-4,
                )
    assert not any("micro batch" in line for line in out)


def test_no_space_left_is_one_line(here, model, overtone):
    # A limit on the size of files stands in for a full disk.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20000, hard))
    try:
        code, out, err = overtone("restore", "talk.wav", "--model", model)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (code, out, err) == (2, [], ["overtone: talk.restored.flac cannot be written: File too large"])
    assert files(here) == ["talk.wav"]


def test_names_with_odd_characters_stay_on_one_line(here, model, overtone, low):
    odd = os.fsdecode(b"a\nb\x1b[31m\xff.wav")
    (here / odd).write_bytes((here / "talk.wav").read_bytes())
    code, out, err = overtone("restore", odd, "--model", model, "--picture")
    assert (code, len(out), err) == (0, 1, [])
    assert "\x1b" not in out[0]
    (here / odd).write_text("hello")
    code, _, err = overtone("restore", odd, "--model", model, "--force")
    assert (code, len(err)) == (2, 1)


@pytest.fixture
def long_run(here, low):
    """The command at work on a file of minutes with the shipped model: its output is begun."""
    soundfile.write("long.wav", np.tile(low, (150, 1)), RATE)
    command = [*COMMAND, "restore", "long.wav", "--cutoff", "6000"]
    # Tests that a shell runs in the background ignore Ctrl-C, and so would their children.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    signal.signal(signal.SIGINT, before)
    with process:
        while not list(here.glob(".overtone-*")) and process.poll() is None:
            time.sleep(0.05)
        yield process


@pytest.mark.parametrize("breaks", [1, 2])
def test_a_break_is_quiet_and_leaves_nothing(here, long_run, breaks):
    for _ in range(breaks):
        long_run.send_signal(signal.SIGINT)
        while list(here.glob(".overtone-*")):
            time.sleep(0.005)
    # After the first, what the network is at comes to its end; the second does not let it.
    assert long_run.wait(timeout=60) in [(130,), (130, -signal.SIGINT)][breaks - 1]
    assert long_run.stderr.read() == ""
    assert files(here) == ["long.wav", "talk.wav"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_being_told_to_end_leaves_nothing(here, long_run, number):
    long_run.send_signal(number)
    assert long_run.wait(timeout=60) == 128 + number, long_run.stderr.read()
    assert files(here) == ["long.wav", "talk.wav"]


def test_several_files_at_once_are_said_in_order_and_a_failure_stops_none(here, model, overtone, low):
    soundfile.write("long.wav", np.tile(low, (20, 1)), RATE)
    (here / "noise.wav").write_text("no sound")
    names = ["long.wav", "noise.wav", "talk.wav"]
    code, out, err = overtone("restore", *names, "--jobs", 2, "--json", "--model", model)
    assert code == 1
    assert [json.loads(line)["source"] for line in out] == ["long.wav", "talk.wav"]
    assert len(err) == 1
    assert "noise.wav is not audio" in err[0]
    # The same samples as one by one, but for the rounding that depends on the number of threads.
    overtone("restore", "talk.wav", "-o", "alone.flac", "--model", model)
    alone, among = (soundfile.read(name)[0] for name in ("alone.flac", "talk.restored.flac"))
    assert np.abs(alone - among).max() < 1e-4


@pytest.mark.parametrize(
    ("words", "count"),
    [
        (["a.wav", "b.wav"], 1),  # too short to be worth another process
        (["a.wav", "long.wav", "b.wav"], 3),
        (["a.wav", "long.wav", "b.wav", "--stems"], 1),
        (["a.wav", "long.wav", "--device", "cuda"], 1),
        (["a.wav", "b.wav", "--device", "cuda", "--jobs", "2"], 1),
        (["a.wav", "b.wav", "--jobs", "2"], 2),
        (["a.wav", "--jobs", "2"], 1),
        (["a.wav", "-", "--jobs", "2", "-o", "out/"], 1),
    ],
)
def test_the_number_at_once_is_as_asked_or_by_sizes(here, monkeypatch, words, count):
    monkeypatch.setattr(restore, "processor_count", lambda: 8)
    monkeypatch.setattr(restore, "free_memory", lambda: 5_000_000_000)
    for name, size in (("a", 10), ("b", 10), ("long", 9_000_000)):
        (here / f"{name}.wav").write_bytes(bytes(size))
    args = parser.parser().parse_args(["restore", *words])
    assert restore.choose_count(plan(args.inputs, args.output).jobs, args) == count
    monkeypatch.setattr(restore, "free_memory", lambda: 1_300_000_000)
    if count == 3:
        assert restore.choose_count(plan(args.inputs, args.output).jobs, args) == 2


def test_a_break_ends_all_files_at_once_and_leaves_nothing(here, model, low):
    for name in ("one", "two"):
        soundfile.write(f"{name}.wav", np.tile(low, (150, 1)), RATE)
    command = [*COMMAND, "restore", "one.wav", "two.wav", "--jobs", "2", "--cutoff", "6000", "--model", model]
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, start_new_session=True)
    signal.signal(signal.SIGINT, before)
    with process:
        while not list(here.glob(".overtone-*")) and process.poll() is None:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does, to all processes
        assert process.wait(timeout=60) == 130
        assert process.stderr.read() == ""
    assert files(here) == ["one.wav", "talk.wav", "two.wav"]


def test_a_closed_terminal_is_ignored_where_it_was_before(here, overtone):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    overtone("--version")
    assert signal.signal(signal.SIGHUP, before) == signal.SIG_IGN


def test_what_libraries_say_is_kept_from_people(here, model):
    """mpg123 writes to file descriptor 2 what it stumbles over."""
    soundfile.write("cut.mp3", np.tile(soundfile.read("talk.wav")[0], (4, 1)), RATE)
    data = (here / "cut.mp3").read_bytes()
    (here / "cut.mp3").write_bytes(data[: len(data) // 2])
    done = subprocess.run(
        [*COMMAND, "restore", "cut.mp3", "--model", model], capture_output=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith(b"overtone: cut.mp3 is truncated: its header promises")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        ("talk.wav 2>&-", 0, ""),
        ("talk.wav >&-", 0, ""),
        ("- <&-", 2, "overtone: standard input is empty\n"),
    ],
)
def test_standard_streams_may_be_closed(here, model, words, code, said):
    command = shlex.join([*COMMAND, "restore", "--cutoff", "6000", "--model", str(model)])
    done = subprocess.run(f"{command} {words}", shell=True, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, said)
    assert files(here) == [*["talk.restored.flac"] * (code == 0), "talk.wav"]


def test_a_reader_that_goes_away_is_no_error(here, model):
    args = [*COMMAND, "restore", "talk.wav", "-o", "-", "--model", str(model)]
    with subprocess.Popen(args, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait(timeout=60) == 141


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="there is no full device here")
@pytest.mark.parametrize("options", [["-o", "-"], ["--json"]], ids=["sound", "report"])
def test_standard_output_that_is_full_is_one_line(here, model, options):
    args = [*COMMAND, "restore", "talk.wav", *options, "--model", str(model)]
    with open("/dev/full", "wb") as full:
        done = subprocess.run(args, stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == 2
    assert done.stderr == b"overtone: standard output cannot be written: No space left on device\n"


class Terminal(io.StringIO):
    def isatty(self):
        return True

    def reconfigure(self, **_):
        pass


def test_a_terminal_sees_a_bar_with_the_time_left(here, model, monkeypatch, overtone):
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    assert overtone("restore", "talk.wav", "--model", model)[0] == 0
    assert "talk.wav [" in terminal.getvalue()
    assert " left\x1b[K" in terminal.getvalue()
    assert terminal.getvalue().endswith("\r\x1b[K")


def test_sound_is_not_written_to_a_terminal(here, model, monkeypatch):
    monkeypatch.setattr(sys, "stdout", Terminal())
    assert main.main(["restore", "talk.wav", "-o", "-", "--model", str(model)]) == 2


def damaged(seed, whole):
    """A sound file with bytes of its header replaced, cut short or swapped; or just random bytes."""
    rng = np.random.default_rng(seed)
    data = bytearray(whole[seed % len(whole)])
    kind = seed // len(whole) % 4
    if kind == 0:
        return rng.bytes(int(rng.integers(1, 5000)))
    if kind == 1:
        for place in rng.integers(0, 120, 6):
            data[place] = rng.integers(256)
    elif kind == 2:
        data = data[: int(rng.integers(1, 200))] + rng.bytes(2000)
    else:
        start = int(rng.integers(0, 60))
        data[start : start + 8] = b"\xff" * 8
    return bytes(data)


@pytest.mark.parametrize("seed", range(108))
def test_whatever_the_bytes_it_ends_well(here, model, overtone, sounds, seed):
    (here / "bad.wav").write_bytes(damaged(seed, sounds))
    code, out, err = overtone("restore", "bad.wav", "--model", model)
    assert (code, len(out), len(err)) in [(0, 1, 0), (2, 0, 1)]
    assert files(here) == [*(["bad.restored.flac"] if code == 0 else []), "bad.wav", "talk.wav"]


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """A tenth of a second in each format, as bytes."""
    noise, made = np.random.default_rng(0).normal(0, 0.1, (4800, 2)), []
    for kind, subtype in (
        ("WAV", "PCM_16"),
        ("WAV", "FLOAT"),
        ("FLAC", "PCM_24"),
        ("MP3", "MPEG_LAYER_III"),
        ("OGG", "VORBIS"),
        ("OGG", "OPUS"),
        ("AIFF", "PCM_16"),
    ):
        buffer = io.BytesIO()
        soundfile.write(buffer, noise, 48000, subtype, format=kind)
        made.append(buffer.getvalue())
    folder = tmp_path_factory.mktemp("sounds")
    for name, codec in (
        ("x.m4a", "aac"),
        ("y.m4a", "alac"),
        ("x.wma", "wmav2"),
        ("x.wv", "wavpack"),
        ("x.mka", "ac3"),
    ):
        made.append(write_by_ffmpeg(folder / name, noise, 48000, codec).read_bytes())
    return made


def test_help_reads_well(overtone):
    code, out, _ = overtone("restore", "--help")
    text = "\n".join(out)
    assert code == 0
    assert max(map(len, out)) < 100
    for word in ("examples:", "exit code:", "overtone restore talk.mp3", "--cutoff HZ", "talk.restored.flac"):
        assert word in text
    assert overtone("--version")[1] == [f"overtone {__version__}"]


@pytest.mark.parametrize(
    "code", ["import overtone", "from overtone.cli import main, parser; parser.parser().format_help()"]
)
def test_nothing_heavy_is_loaded_before_it_is_needed(code):
    check = f"{START} {code}; print([m for m in ('torch', 'numpy', 'soundfile') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
