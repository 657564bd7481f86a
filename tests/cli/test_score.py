"""scoring: anyone's files get the numbers that the library gives their samples."""

import json
import sys

import numpy as np
import pytest
import soundfile

from overtone.audio.bandwidth import measure_bandwidth
from overtone.audio.resample import resample
from overtone.cli import main, score
from overtone.core.errors import OvertoneError
from overtone.evaluation.metrics import distances

RATE, CUTOFF = 44100, 6000.0


@pytest.fixture
def sound(rng):
    """A second and a half of stereo noise."""
    return rng.normal(0, 0.1, (2, 66150)).astype(np.float32)


@pytest.fixture
def save(tmp_path):
    def write(name, samples, rate=RATE):
        soundfile.write(tmp_path / name, samples.T, rate, subtype="FLOAT")
        return tmp_path / name

    return write


def test_files_get_the_scores_of_their_samples(sound, save, rng):
    other = sound + rng.normal(0, 0.01, sound.shape).astype(np.float32)
    reference, restored = save("a.wav", sound), save("b.wav", other)
    (found,) = score.score_files(reference, [restored], CUTOFF, visqol=False)
    bandwidth = measure_bandwidth(sound, RATE)
    assert found.values == distances.measure(sound, other, RATE, CUTOFF, bandwidth)
    assert found.bandwidth == bandwidth


def test_without_a_cutoff_the_treble_has_no_scores(sound, save):
    path = save("a.wav", sound)
    (found,) = score.score_files(path, [path], visqol=False)
    assert {*found.values} == {"lsd", "lsd_full", "si_sdr", "snr", "mrstft", "clipped"}


def test_rates_may_differ(sound, save):
    low = np.cumsum(sound, axis=1) / 100  # music falls towards the treble
    (found,) = score.score_files(
        save("a.wav", low), [save("b.wav", resample(low, RATE, 48000), 48000)], visqol=False
    )
    assert found.values["snr"] > 50


def test_a_little_more_at_the_end_is_cut(sound, save):
    longer = np.pad(sound, ((0, 0), (0, RATE // 20)))
    (found,) = score.score_files(save("a.wav", sound), [save("b.wav", longer)], CUTOFF, visqol=False)
    assert (found.values["snr"], found.seconds) == (distances.LIMIT, 1.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[:1], "has 1 channels and .* 2; they must agree"),
        (lambda x: x[:, :-8820], "is 0.20 s shorter than .*; up to 0.1 s are allowed"),
        (lambda x: np.pad(x, ((0, 0), (0, 22050))), "is 0.50 s longer"),
        (lambda x: x[:, :4410], "holds 0.1 s; 1 s are the least"),
        (lambda x: x * np.nan, "holds NaN or infinity"),
        (lambda x: x * 1e25, r"peaks at .*e\+2. times full scale; that is not sound"),
    ],
)
def test_what_does_not_belong_together_is_one_line(sound, save, change, message):
    with pytest.raises(OvertoneError, match=message):
        score.score_files(save("a.wav", sound), [save("b.wav", change(sound))], CUTOFF)


def test_a_silent_reference_is_one_line(sound, save):
    with pytest.raises(OvertoneError, match=r"a\.wav is silent, so that nothing can be compared with it"):
        score.score_files(save("a.wav", 0 * sound), [save("b.wav", sound)])


def test_a_cutoff_above_the_references_own_end_is_one_line(sound, save):
    path = save("a.wav", sound)
    with pytest.raises(OvertoneError, match="there is nothing to compare above a cutoff of 21900 Hz"):
        score.score_files(path, [path], 21900.0)


def test_the_command_prints_a_column_per_file(sound, save, capsys):
    reference, other = save("a.wav", sound), save("b.wav", 0.5 * sound)
    code = main.main(["score", str(reference), str(reference), str(other), "--cutoff", "6000"])
    lines = capsys.readouterr().out.splitlines()
    assert code == 0
    assert lines[0].startswith(f"against {reference}: cutoff 6000 Hz, its own bandwidth 22050 Hz")
    assert lines[1].split() == [str(reference), str(other)]
    values = {line[:17].strip(): line.split()[-2:] for line in lines[2:]}
    assert values["SNR dB ↑"] == ["100.0", "6.0"]
    assert values["level dB ↓"] == ["0.0", "6.0"]
    assert values["ViSQOL ↑"] == ["4.73", "4.73"]


def test_the_command_prints_json(sound, save, capsys):
    path = str(save("a.wav", sound))
    assert main.main(["score", path, path, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["reference"], found["cutoff"], found["values"]["lsd"]) == (path, None, 0)


def test_the_command_says_where_visqol_comes_from(sound, save, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "visqol", None)
    path = str(save("a.wav", sound))
    assert main.main(["score", path, path]) == 0
    printed = capsys.readouterr()
    assert "SNR" in printed.out
    assert printed.err == (
        "overtone: no ViSQOL score: visqol is not installed: pip install 'overtone[visqol]' (import of "
        "visqol halted; None in sys.modules)\n"
    )


@pytest.mark.parametrize("name", ["missing.wav", "text.wav"])
def test_a_file_that_cannot_be_read_is_one_line_and_status_2(tmp_path, sound, save, capsys, name):
    (tmp_path / "text.wav").write_text("no sound")
    assert main.main(["score", str(save("a.wav", sound)), str(tmp_path / name)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("\n") == 1
    assert name in printed.err
