"""The picture: both spectrograms, never more than so many columns, and a line when it cannot be drawn."""

import sys

import numpy as np
import pytest
import soundfile
from matplotlib import image

from overtone.cli import spectrogram
from overtone.core.errors import OvertoneError
from overtone.restoration.files.decode import open_sound

RATE = 44100


def tone(hertz, seconds, rate=RATE):
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 192000])
def test_a_tone_is_where_it_belongs_at_its_level(tmp_path, rate):
    soundfile.write(tmp_path / "tone.wav", tone(2500, 3, rate), rate, subtype="FLOAT")
    levels, found_rate = spectrogram.spectrogram(open_sound(tmp_path / "tone.wav"), 3.0)
    middle = levels[:, levels.shape[1] // 2]
    assert found_rate == rate
    assert np.argmax(middle) / (len(middle) - 1) * rate / 2 == pytest.approx(2500, abs=30)
    assert middle.max() == pytest.approx(20 * np.log10(0.5), abs=1.5)


def test_it_shows_when_something_sounds(tmp_path):
    samples = np.concatenate([np.zeros(RATE), tone(5000, 1), np.zeros(RATE)])
    soundfile.write(tmp_path / "x.flac", np.stack([samples, samples], axis=1), RATE)
    loud = spectrogram.spectrogram(open_sound(tmp_path / "x.flac"), 3.0)[0].max(axis=0) > -20
    assert loud[int(len(loud) * 0.36) : int(len(loud) * 0.64)].all()
    assert not loud[: int(len(loud) * 0.32)].any()
    assert not loud[int(len(loud) * 0.68) :].any()


def test_files_joined_together_are_drawn_to_their_end(tmp_path):
    soundfile.write(tmp_path / "one.mp3", tone(5000, 1), RATE)
    (tmp_path / "both.mp3").write_bytes(2 * (tmp_path / "one.mp3").read_bytes())
    levels, _ = spectrogram.spectrogram(open_sound(tmp_path / "both.mp3"), 2.0)
    assert (levels.max(axis=0) > -20).mean() > 0.95


@pytest.mark.parametrize("length", [2, 100, 2048, 50001, 1_000_000])
def test_any_length_fits_into_the_columns(tmp_path, rng, length, monkeypatch):
    monkeypatch.setattr(spectrogram, "COLUMNS", 200)
    soundfile.write(tmp_path / "x.wav", rng.normal(0, 0.1, length), RATE)
    levels, _ = spectrogram.spectrogram(open_sound(tmp_path / "x.wav"), length / RATE)
    assert levels.shape[0] == 1025
    assert 1 <= levels.shape[1] <= 200
    assert np.isfinite(levels).all()


def test_the_picture_is_a_png_of_all_files(tmp_path, rng):
    soundfile.write(tmp_path / "before.wav", rng.normal(0, 0.1, 8000), 16000)
    soundfile.write(tmp_path / "after.wav", rng.normal(0, 0.1, 24000), 48000)
    two = {name: tmp_path / f"{name}.wav" for name in ("before", "after")}
    heights = []
    for files in (two, two | {"original": tmp_path / "after.wav"}):
        opened = {name: open_sound(path) for name, path in files.items()}
        spectrogram.draw(opened, tmp_path / "x.png", 0.5, 8000, "a $1 title_with^signs \x1b\udcff 音楽")
        heights.append(image.imread(tmp_path / "x.png").shape[0])
    assert heights == [715, 1045]
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(("place", "reason"), [("no", "No such file"), ("x.wav", "Not a directory")])
def test_without_a_place_to_write_it_is_an_error(tmp_path, place, reason):
    soundfile.write(tmp_path / "x.wav", tone(500, 0.1), RATE)
    with pytest.raises(OvertoneError, match=rf"x.png cannot be written: {reason}"):
        spectrogram.draw(
            {"before": open_sound(tmp_path / "x.wav")}, tmp_path / place / "x.png", 0.1, 8000, "x"
        )


def test_without_matplotlib_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(OvertoneError, match=r"pip install 'overtone\[picture\]'"):
        spectrogram.draw({}, "x.png", 0.1, 8000, "x")
