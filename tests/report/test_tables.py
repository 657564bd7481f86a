"""Text tables: every value with its interval, rows and reasons, narrow enough for a terminal."""

import subprocess
import sys
from pathlib import Path

import pytest

from overtone.core.atomic import write_json
from overtone.evaluation.comparison.intervals import summarize
from overtone.evaluation.metrics.registry import SCORES, VIEWS
from overtone.report.tables import format_interval, main, text
from tests.helpers import ROOT
from tests.helpers.scores import GENRES, SYSTEMS, results, scores


def test_every_metric_is_in_one_view() -> None:
    assert sorted(key for keys in VIEWS.values() for key in keys) == sorted(SCORES)


def test_a_metric_that_no_track_has_is_shown_nowhere() -> None:
    found = scores()
    for of_track in found.values():
        for values in of_track.values():
            del values["visqol"]
    found = summarize(found, GENRES)
    assert "visqol" not in found["systems"]["model"]
    assert all("ViSQOL ↑" not in line for line in text(found).splitlines())


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
    found = results()
    found["cutoffs"] = {"8000": {"systems": found["systems"]}}
    shown = text(found)
    for group, of_system in (*found["genres"].items(), ("8000 Hz", found["systems"])):
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


def test_missing_metrics_are_listed_with_their_reasons() -> None:
    found = results()
    assert "Left out" not in text(found)
    for values in found["systems"].values():
        del values["c2st"], values["visqol"]
    assert "Left out: ViSQOL (evaluate.visqol is off); C2ST (needs 5 tracks with a high band)" in text(found)


def test_text_shows_the_interval_under_its_mean() -> None:
    found = results()
    found["systems"]["model"]["snr"] = {"mean": 12.34, "low": -3.21, "high": 14.56}
    lines = text(found).splitlines()
    row = next(index for index, line in enumerate(lines) if line.startswith("model ") and " 12.3" in line)
    column = lines[row].index(" 12.3") + 5
    assert lines[row + 1][:column].endswith(" -3.2\N{EN DASH}14.6")


@pytest.mark.parametrize(
    ("low", "high", "shown"),
    [(0.12, 0.34, ".1\N{EN DASH}.3"), (-0.5, 10.04, "-.5\N{EN DASH}10.0"), (-100.0, -100.0, "-100.0")],
)
def test_intervals_are_short(low: float, high: float, shown: str) -> None:
    found = results()
    found["systems"]["model"]["snr"] = {"mean": low, "low": low, "high": high}
    assert any(f" {shown}  " in line + "  " for line in text(found).splitlines())


def test_module_prints_the_table_without_torch(tmp_path: Path) -> None:
    write_json(results(), tmp_path / "test.json")
    code = (
        "import runpy, sys; runpy.run_module('overtone.report.tables', run_name='__main__', alter_sys=True)"
    )
    guarded = f"import sys; sys.modules['torch'] = None; sys.argv[1:] = [sys.argv[1]]; {code}"
    run = [sys.executable, "-c", guarded, str(tmp_path / "test.json")]
    environment = {"PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run(run, capture_output=True, text=True, check=True, env=environment)
    assert done.stdout == text(results())


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not here; `dvc repro` writes it"),
        ("{", "is not JSON"),
        ('{"tracks": 1}', "is not a results file"),
    ],
)
def test_a_file_without_results_is_one_line_and_status_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, message: str
) -> None:
    path = tmp_path / "test.json"
    if content is not None:
        path.write_text(content)
    assert main([str(path)]) == 2
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1


def test_one_track_is_written_in_the_singular_and_without_intervals() -> None:
    one = {system: {"000001": of_track["000001"]} for system, of_track in scores().items()}
    lines = text(summarize(one, GENRES)).splitlines()
    assert lines[0] == "Mean over 1 test track"
    first = lines.index(next(line for line in lines if line.startswith("input ")))
    assert lines[first + 1].startswith("silence ")
    assert "\N{EN DASH}" not in "\n".join(lines[: lines.index(next(x for x in lines if "Minus" in x))])


def test_a_remark_stands_below_the_scores() -> None:
    found = results() | {"remarks": {"network alone": "-19.50 dB, inverted: not corrected"}}
    assert "Note on network alone: -19.50 dB, inverted: not corrected" in text(found).splitlines()
    assert "Note on" not in text(results())
