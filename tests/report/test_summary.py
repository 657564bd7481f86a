"""The summary for DVC: few values, of the systems that matter most."""

import json
import shutil

import pytest

from overtone.core import atomic
from overtone.evaluation.comparison.intervals import summarize
from overtone.evaluation.metrics.registry import SUMMARY
from overtone.report import summary
from tests.helpers import ROOT
from tests.helpers.scores import GENRES, scores

MAX_ROWS = 30
TRAINING = {"train_loss": 0.5, "validation_loss": 0.25, "best_epoch": 2, "epochs": 3, "parameters": 94457}
NAMED = ["model", "shipped", "model@HEAD~1", "sox"]


def flatten(values, above=""):
    """List the dotted keys of nested values, as DVC prints them."""
    for key, value in values.items():
        name = f"{above}{key}"
        yield from flatten(value, f"{name}.") if isinstance(value, dict) else [name]


@pytest.fixture
def results():
    """Results of every metric for the baselines and four named systems with their own outputs."""
    drawn = scores()
    names = [*drawn, "network alone", "network alone, aligned"]
    names += [name for other in NAMED[1:] for name in (other, f"{other} alone")]
    return summarize({name: drawn.get(name, drawn["model"]) for name in names}, GENRES, 100)


@pytest.mark.parametrize(
    ("named", "shown"),
    [
        (["model"], ["model", "input", "network alone", "noise fill"]),
        (["model", "shipped"], ["model", "shipped", "input", "network alone"]),
        (NAMED, NAMED),
        (["gone"], ["input", "noise fill", "band replication", "silence"]),
    ],
)
def test_named_systems_come_first_and_all_fits_a_screen(results, named, shown):
    found = summary.summarize(results, TRAINING, named)
    assert list(found["systems"]) == shown
    assert len(list(flatten(found))) <= MAX_ROWS
    for name in shown:
        assert found["systems"][name] == {key: results["systems"][name][key]["mean"] for key in SUMMARY}


def test_the_losses_are_those_of_the_best_epoch(results):
    found = summary.summarize(results, TRAINING, ["model"])
    assert {key: found[key] for key in ("train_loss", "validation_loss")} == {
        "train_loss": 0.5,
        "validation_loss": 0.25,
    }


def test_a_metric_that_no_track_has_is_left_out(results):
    del results["systems"]["model"]["visqol"]
    assert "visqol" not in summary.summarize(results, TRAINING, ["model"])["systems"]["model"]


def test_the_file_is_written_from_those_of_the_stages(results, tmp_path):
    (tmp_path / "metrics").mkdir()
    shutil.copy(ROOT / "params.yaml", tmp_path)
    atomic.write_json(results, tmp_path / "metrics/test.json")
    atomic.write_json(TRAINING, tmp_path / "metrics/train.json")
    summary.write(tmp_path)
    written = json.loads((tmp_path / "metrics/summary.json").read_text())
    assert written == summary.summarize(results, TRAINING, ["model"])


def test_the_committed_summary_fits_a_screen_and_agrees_with_the_full_results():
    committed = json.loads((ROOT / "metrics/summary.json").read_text())
    full = json.loads((ROOT / "metrics/test.json").read_text())["systems"]
    assert 10 < len(list(flatten(committed))) <= MAX_ROWS
    for name, values in committed["systems"].items():
        assert values == {key: full[name][key]["mean"] for key in values}, name
