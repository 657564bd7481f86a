"""DVC runs again what a change touches, and nothing else."""

import json
import re
import shlex
from pathlib import Path

from tests.helpers import ROOT
from tests.helpers.workspace import stages_run

# As the documentation prints it: `dvc exp show` alone has some 150 columns.
SHOW = shlex.split(re.search(r"\$ (dvc exp show .*)", (ROOT / "docs/training.md").read_text())[1])
COLUMNS = ["Experiment", "Created", "train_loss", "validation_loss"]
COLUMNS += [f"systems.model.{name}" for name in ("lsd_high", "lsd", "snr")] + ["train.lr"]


def test_running_again_does_nothing(workspace):
    output = workspace.run("dvc", "repro")
    assert "Data and pipelines are up to date." in output
    assert not stages_run(output)


def test_an_experiment_with_another_learning_rate_reruns_training_alone(workspace):
    before = workspace.json("metrics/train.json")["train_loss"]
    output = workspace.run("dvc", "exp", "run", "-S", "train.lr=0.0005")
    assert stages_run(output) == ["train", "evaluate", "report"]
    assert workspace.json("metrics/train.json")["train_loss"] != before
    difference = workspace.run("dvc", "metrics", "diff")
    assert re.search(r"metrics/summary\.json\s+train_loss", difference)
    assert "systems.model" in difference
    assert 2 < len(difference.splitlines()) <= 31, "a heading, and rows that fit a screen"
    assert not re.search(r"\ssystems\.input", difference), "the input is the same"
    shown = workspace.run(*SHOW).strip().splitlines()
    assert [name.strip() for name in shown[0].split("|")[1:-1]] == COLUMNS
    assert len(shown) == 5, "heading, line, workspace, commit, experiment"
    page = workspace.run("dvc", "plots", "show")
    html = Path(re.search(r"file://(\S+)", page)[1]).read_text()
    assert "validation_loss" in html


def test_another_segment_length_leaves_the_pairs_alone(workspace):
    workspace.set("segment", length=4096)
    assert stages_run(workspace.run("dvc", "repro", "segment")) == ["segment"]
    changed = json.loads(workspace.run("dvc", "status", "--json"))
    assert set(changed) == {"train", "evaluate", "report"}
    for stage in ("train", "evaluate", "report"):  # here, which saves loading PyTorch three times
        workspace.stage(stage)


def test_changing_the_cutoff_and_back_finds_the_old_results(workspace):
    old = workspace.json("metrics/test.json")
    workspace.set("degrade", cutoff=0.5)
    assert stages_run(workspace.run("dvc", "repro")) == ["degrade", "segment", "train", "evaluate", "report"]
    assert workspace.json("metrics/test.json") != old
    workspace.set("degrade", cutoff=0.6)
    output = workspace.run("dvc", "repro")
    assert workspace.json("metrics/test.json") == old
    assert "Stage 'train' is cached" in output
