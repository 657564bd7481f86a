"""plots: each a PNG that shows what it was given, written whole or not at all."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from overtone.audio import stft
from overtone.report import plots

RATE = 44_100
CUTOFF = 4800.0
HISTORY = [
    {"epoch": epoch, "train_loss": 1 / epoch, "validation_loss": 1 / epoch + 0.1, "lr": 0.001}
    for epoch in (1, 2)
]


def noise(seed: int) -> np.ndarray:
    return 0.1 * np.random.default_rng(seed).standard_normal((2, 12_000), np.float32)


@pytest.fixture
def figures(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """The figures that a test makes save, in order."""
    saved: list[Figure] = []
    save = plots._save
    monkeypatch.setattr(plots, "_save", lambda figure, path: (saved.append(figure), save(figure, path)))
    return saved


def check_png(path: Path) -> None:
    assert path.read_bytes().startswith(b"\x89PNG")
    assert [other.name for other in path.parent.iterdir()] == [path.name]


def labels(figure: Figure) -> list[str]:
    legends = [legend for legend in (figure.axes[0].get_legend(), *figure.legends) if legend]
    return [entry.get_text() for legend in legends for entry in legend.get_texts()]


@pytest.mark.parametrize("epochs", [1, 2])
def test_loss_curves_show_both_losses_and_the_best_epoch(
    tmp_path: Path, figures: list[Figure], epochs: int
) -> None:
    plots.loss_curves(pd.DataFrame(HISTORY[:epochs]), tmp_path / "loss.png")
    check_png(tmp_path / "loss.png")
    assert labels(figures[0])[:2] == ["training", "validation"]
    assert f"at epoch {epochs}" in labels(figures[0])[2]


def test_spectrograms_share_one_scale_and_mark_the_cutoff(tmp_path: Path, figures: list[Figure]) -> None:
    plots.spectrograms(0.1 * noise(0), noise(1), noise(2), RATE, CUTOFF, "000001", tmp_path / "track.png")
    check_png(tmp_path / "track.png")
    panels = figures[0].axes[:3]
    assert [panel.get_title() for panel in panels] == ["degraded", "restored", "original"]
    assert {panel.collections[0].get_clim() for panel in panels} == {(-plots.RANGE, 0)}
    assert all(list(panel.lines[0].get_ydata()) == [CUTOFF, CUTOFF] for panel in panels)
    degraded, _, original = (panel.collections[0].get_array().mean() for panel in panels)
    assert original - degraded == pytest.approx(20, abs=1)


def test_mean_spectra_differ_by_the_difference_in_level(tmp_path: Path, figures: list[Figure]) -> None:
    plots.mean_spectra(
        {"original": noise(0), "degraded": 0.1 * noise(0)}, RATE, CUTOFF, tmp_path / "mean.png"
    )
    check_png(tmp_path / "mean.png")
    _, loud, soft = (line.get_ydata() for line in figures[0].axes[0].lines)
    assert loud.max() == pytest.approx(0, abs=1e-5)
    assert loud - soft == pytest.approx(20, abs=0.01)
    assert labels(figures[0]) == ["cutoff, 4.8 kHz", "original", "degraded"]


def test_distance_by_frequency_draws_each_system(tmp_path: Path, figures: list[Figure]) -> None:
    frequencies = stft.frequencies(RATE)
    distance = np.linspace(0, 3, len(frequencies))
    systems = {"input": (frequencies, distance), "model": (frequencies, distance / 2)}
    plots.distance_by_frequency(systems, CUTOFF, RATE / 2, tmp_path / "distance.png")
    check_png(tmp_path / "distance.png")
    assert labels(figures[0]) == ["cutoff, 4.8 kHz", "input", "model"]
    assert list(figures[0].axes[0].lines[2].get_ydata()) == (distance / 2).tolist()


def test_what_lies_beyond_the_originals_is_shaded_and_silence_may_leave_the_picture(
    tmp_path: Path, figures: list[Figure]
) -> None:
    frequencies = stft.frequencies(RATE)
    curve = np.ones(len(frequencies))
    names = ("input", "noise fill", "band replication", "model")
    systems = dict.fromkeys(names, (frequencies, 2 * curve)) | {"silence": (frequencies, curve)}
    systems["silence"][1][:20] = 12
    plots.distance_by_frequency(systems, CUTOFF, 8000, tmp_path / "distance.png")
    axis = figures[0].axes[0]
    assert axis.get_ylim() == (0, pytest.approx(2.2))
    assert labels(figures[0])[1] == "half of the originals have ended"
    (shade,) = axis.patches
    assert shade.get_bbox().intervalx == pytest.approx([8000, RATE / 2])


def test_rows_of_a_network_alone_do_not_hide_their_model(tmp_path: Path, figures: list[Figure]) -> None:
    curve = stft.frequencies(RATE), np.ones(1025)
    names = ("input", "silence", "noise fill", "band replication", "model", "alone", "alone, aligned")
    plots.distance_by_frequency(dict.fromkeys(names, curve), CUTOFF, RATE / 2, tmp_path / "distance.png")
    _, *lines = figures[0].axes[0].lines
    assert [line.is_dashed() for line in lines] == [False] * 5 + [True] * 2


@pytest.mark.parametrize("time", [1, 600, 2048])
def test_an_excerpt_shorter_than_a_frame_draws(tmp_path: Path, time: int) -> None:
    short = noise(0)[:, :time]
    plots.spectrograms(short, short, short, RATE, CUTOFF, "short", tmp_path / "track.png")
    plots.mean_spectra({"original": short}, RATE, CUTOFF, tmp_path / "mean.png")


def test_a_title_is_no_formula(tmp_path: Path) -> None:
    plots.spectrograms(noise(0), noise(0), noise(0), RATE, CUTOFF, "$^$", tmp_path / "track.png")


def test_silence_draws_without_a_warning(tmp_path: Path) -> None:
    silent = np.zeros((1, 12_000), np.float32)
    plots.spectrograms(silent, silent, silent, RATE, CUTOFF, "silent", tmp_path / "track.png")
    plots.mean_spectra({"original": silent}, RATE, CUTOFF, tmp_path / "mean.png")
