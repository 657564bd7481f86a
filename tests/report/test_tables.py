"""tables: means and intervals against theory, JSON that diffs well, a table that fits a terminal."""

import csv
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from overtone.core.atomic import write_json
from overtone.evaluation.comparison.intervals import summarize, write_csv
from overtone.evaluation.metrics.registry import SCORES, TESTED, VIEWS
from overtone.report.tables import format_interval, main, text

SYSTEMS = ("input", "silence", "noise fill", "band replication", "model")
MEANS = dict.fromkeys(SCORES, 0.5) | {"l1": 0.04, "mse": 0.005, "lsd": 2.6, "si_sdr": 12.0, "snr": 13.0}
GENRES = {f"{track:06}": ("Rock", "Old-Time / Historic", "")[track % 3] for track in range(60)}


def scores() -> dict[str, Any]:
    draw = np.random.default_rng(0)
    made = {
        system: {track: {key: draw.normal(mean, mean / 5) for key, mean in MEANS.items()} for track in GENRES}
        for system in SYSTEMS
    }
    for values in made["silence"].values():
        values["si_sdr"] = -100.0
    return made


def results() -> dict[str, Any]:
    return summarize(scores(), GENRES)


def test_mean_is_over_all_tracks_to_five_digits() -> None:
    expected = np.mean([values["lsd"] for values in scores()["model"].values()])
    assert results()["systems"]["model"]["lsd"]["mean"] == float(f"{expected:.5g}")
    assert results()["tracks"] == 60


def test_genre_means_are_over_their_own_tracks() -> None:
    found = results()["genres"]
    assert list(found) == ["Old-Time / Historic", "Rock", "none"]
    rock = [scores()["model"][track]["snr"] for track, genre in GENRES.items() if genre == "Rock"]
    assert found["Rock"]["model"]["snr"]["mean"] == float(f"{np.mean(rock):.5g}")
    half = 1.96 * np.std(rock) / math.sqrt(len(rock))
    width = found["Rock"]["model"]["snr"]["high"] - found["Rock"]["model"]["snr"]["low"]
    assert width / 2 == pytest.approx(half, rel=0.15)


def test_interval_is_that_of_the_normal_distribution_for_normal_scores() -> None:
    values = [track["l1"] for track in scores()["input"].values()]
    half = 1.96 * np.std(values) / math.sqrt(len(values))
    found = summarize(scores(), GENRES, resamples=20_000)["systems"]["input"]["l1"]
    assert found["mean"] - found["low"] == pytest.approx(half, rel=0.05)
    assert found["high"] - found["mean"] == pytest.approx(half, rel=0.05)


def test_same_seed_gives_the_same_intervals() -> None:
    assert results() == results()
    assert summarize(scores(), GENRES, seed=1) != results()


def test_order_of_tracks_does_not_matter() -> None:
    turned = {system: dict(reversed(of_track.items())) for system, of_track in scores().items()}
    assert summarize(turned, GENRES) == results()


def test_one_track_has_an_interval_of_no_width() -> None:
    one = {system: {"000001": of_track["000001"]} for system, of_track in scores().items()}
    value = summarize(one, GENRES)["systems"]["model"]["snr"]
    assert value["low"] == value["mean"] == value["high"]


def test_what_is_written_is_what_is_read(tmp_path: Path) -> None:
    write_json(results(), tmp_path / "test.json")
    assert json.loads((tmp_path / "test.json").read_text()) == results()
    assert [path.name for path in tmp_path.iterdir()] == ["test.json"]


def test_a_value_that_is_not_finite_is_refused_and_the_old_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "test.json"
    write_json(results(), path)
    with pytest.raises(ValueError, match="JSON"):
        write_json({"tracks": math.nan}, path)
    assert json.loads(path.read_text()) == results()


def test_every_metric_is_in_one_view() -> None:
    assert sorted(key for keys in VIEWS.values() for key in keys) == sorted(SCORES)


def test_a_metric_that_a_track_lacks_is_a_mean_over_the_others() -> None:
    made = scores()
    for of_track in made.values():
        del of_track["000000"]["lsd_octave_2"]
    found = summarize(made, GENRES)["systems"]["model"]["lsd_octave_2"]["mean"]
    others = [values["lsd_octave_2"] for track, values in made["model"].items() if track != "000000"]
    assert found == float(f"{np.mean(others):.5g}")


def test_a_metric_that_no_track_has_is_left_out_and_shown_nowhere() -> None:
    made = scores()
    for of_track in made.values():
        for values in of_track.values():
            del values["visqol"]
    found = summarize(made, GENRES)
    assert "visqol" not in found["systems"]["model"]
    assert all("ViSQOL ↑" not in line for line in text(found).splitlines())


def test_the_paired_test_compares_track_by_track() -> None:
    found = results()["paired"]
    assert found["against"] == "model"
    assert list(found["systems"]) == [name for name in SYSTEMS if name != "model"]
    drawn = scores()
    differences = [drawn["input"][track]["snr"] - drawn["model"][track]["snr"] for track in GENRES]
    assert found["systems"]["input"]["snr"]["mean"] == float(f"{np.mean(differences):.5g}")
    assert set(found["systems"]["input"]) == set(TESTED)


def test_a_system_that_is_always_a_little_worse_is_told_apart_where_the_intervals_overlap() -> None:
    made = scores()
    made["input"] = {
        track: values | {"snr": values["snr"] - 0.1 - 0.001 * int(track)}
        for track, values in made["model"].items()
    }
    found = summarize(made, GENRES)
    assert found["systems"]["input"]["snr"]["high"] > found["systems"]["model"]["snr"]["low"]
    assert found["paired"]["systems"]["input"]["snr"]["p"] < 0.01


def test_without_the_system_to_compare_with_there_is_no_paired_test() -> None:
    assert summarize(scores(), GENRES, against="unet")["paired"] == {"against": "unet", "systems": {}}


def test_the_csv_has_a_row_per_cutoff_system_and_track(tmp_path: Path) -> None:
    made = scores()
    del made["input"]["000003"]["lsd_octave_2"]
    other = scores()
    write_csv({4800.0: made, 8000.0: other}, GENRES, tmp_path / "scores.csv")
    rows = list(csv.DictReader((tmp_path / "scores.csv").read_text().splitlines()))
    assert len(rows) == 2 * len(SYSTEMS) * len(GENRES)
    first, second = (row for row in rows if (row["system"], row["track"]) == ("input", "000003"))
    assert (first["genre"], first["cutoff"], first["lsd_octave_2"]) == ("Rock", "4800", "")
    assert float(first["snr"]) == pytest.approx(made["input"]["000003"]["snr"], rel=1e-4)
    assert second["cutoff"] == "8000"
    assert float(second["lsd_octave_2"]) == pytest.approx(other["input"]["000003"]["lsd_octave_2"], rel=1e-4)


def test_text_fits_110_columns() -> None:
    assert max(map(len, text(results()).splitlines())) <= 110


def test_text_has_a_row_per_system_and_genre_and_a_line_per_metric() -> None:
    lines = text(results()).splitlines()
    for name in SYSTEMS:  # in every view, and in the paired test, but for the one compared with
        expected = len(VIEWS) + (name != "model")
        assert sum(line.startswith(name + "  ") for line in lines) == expected
    for name in ("Rock", "none"):
        assert sum(line.startswith(name + "  ") for line in lines) == 1
    for score in SCORES.values():
        assert any(line.startswith(score.heading) and line.endswith(score.says) for line in lines)


def test_every_genre_and_cutoff_has_each_system_with_its_interval() -> None:
    made = results()
    made["cutoffs"] = {"8000": {"systems": made["systems"]}}
    shown = text(made)
    for group, of_system in (*made["genres"].items(), ("8000 Hz", made["systems"])):
        block = shown[shown.index(f"\n{group} ") :].splitlines()[1 : len(SYSTEMS) + 1]
        for line, (system, values) in zip(block, of_system.items(), strict=True):
            snr = values["snr"]
            assert f" {system} " in line
            assert line.endswith(f"{snr['mean']:.1f} {format_interval(snr, 'snr'):>11}")


def test_a_system_without_scores_is_a_row_of_each_table_that_says_why() -> None:
    lines = text(results() | {"failed": {"sox": "not installed: apt-get install sox"}}).splitlines()
    assert sum(line.startswith("sox  ") for line in lines) == len(VIEWS)
    assert all(line.endswith("  not installed: apt-get install sox") for line in lines if "sox" in line)
    assert not [line for line in text(results()).splitlines() if "sox" in line]


def test_what_is_missing_from_the_tables_is_said_with_its_reason() -> None:
    made = results()
    assert "Not here" not in text(made)
    for values in made["systems"].values():
        del values["c2st"], values["visqol"]
    assert (
        "Not here: ViSQOL (evaluate.visqol is off); C2ST (it takes 5 test tracks with a high band)"
        in text(made)
    )


def test_text_shows_the_interval_under_its_mean() -> None:
    made = results()
    made["systems"]["model"]["snr"] = {"mean": 12.34, "low": -3.21, "high": 14.56}
    lines = text(made).splitlines()
    row = next(index for index, line in enumerate(lines) if line.startswith("model ") and " 12.3" in line)
    column = lines[row].index(" 12.3") + 5
    assert lines[row + 1][:column].endswith(" -3.2\N{EN DASH}14.6")


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [(0.12, 0.34, ".1\N{EN DASH}.3"), (-0.5, 10.04, "-.5\N{EN DASH}10.0"), (-100.0, -100.0, "-100.0")],
)
def test_intervals_are_short(low: float, high: float, shown: str) -> None:
    made = results()
    made["systems"]["model"]["snr"] = {"mean": low, "low": low, "high": high}
    assert any(f" {shown}  " in line + "  " for line in text(made).splitlines())


def test_module_prints_the_table_without_torch(tmp_path: Path) -> None:
    write_json(results(), tmp_path / "test.json")
    code = (
        "import runpy, sys; runpy.run_module('overtone.report.tables', run_name='__main__', alter_sys=True)"
    )
    guarded = f"import sys; sys.modules['torch'] = None; sys.argv[1:] = [sys.argv[1]]; {code}"
    run = [sys.executable, "-c", guarded, str(tmp_path / "test.json")]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout == text(results())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not here; `dvc repro` writes it"),
        ("{", "is not JSON"),
        ('{"tracks": 1}', "is not a results file"),
    ],
)
def test_a_file_that_is_no_result_is_one_line_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, message: str
) -> None:
    path = tmp_path / "test.json"
    if content is not None:
        path.write_text(content)
    assert main([str(path)]) == 2
    told = capsys.readouterr().err
    assert message in told
    assert told.count("\n") == 1
