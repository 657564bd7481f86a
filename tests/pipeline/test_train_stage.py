"""The train stage on its own."""

import hashlib
import shutil

import pytest

from tests.helpers.workspace import SYSTEMS


def test_fine_tuning_starts_from_a_models_weights_and_records_them(workspace):
    base = workspace.folder / "base"
    shutil.copytree(workspace.folder / "data/model", base)
    workspace.set("train", **{"from": "base", "epochs": 2})
    output = workspace.stage("train")
    assert "starting from the weights of base" in output
    assert len(workspace.loss().splitlines()) == 3
    sha256 = hashlib.sha256((base / "weights.safetensors").read_bytes()).hexdigest()
    about = workspace.json("data/model/model.json")["about"]
    assert about["started_from"] == {"folder": "base", "sha256": sha256}
    assert about["train"]["from"] == "base"
    workspace.set("model", unet={"channels": [2, 2, 2, 3]})
    assert workspace.stage("train", code=2) == (
        "error: train.from is 'base', another network than params.yaml describes: model.unet.channels is "
        "[2, 2, 2, 3] there and [2, 2, 2, 2] in the folder; set model.* to the model's own values\n"
    )


def test_nuwave2_is_trained_on_its_own_loss_and_stands_in_the_table_as_a_model(workspace):
    workspace.set("model", name="nuwave2", nuwave2={"channels": 2, "layers": 1, "steps": 2})
    output = workspace.stage("train")
    workspace.stage("evaluate")
    assert "nuwave2 is trained on a loss of its own; train.loss is not used" in output
    card = workspace.json("data/model/model.json")
    assert card["about"]["train"]["loss"] == "its own"
    # It begins with predicting no noise: the mean magnitude of what it is to predict.
    assert float(workspace.rows("plots/loss.csv")[0]["train_loss"]) == pytest.approx(0.798, abs=0.02)
    rows = workspace.json("metrics/test.json")["systems"]
    assert [name for name in rows if not name.endswith(", aligned")] == SYSTEMS
    # Two epochs leave loud noise above the cutoff, some of which the window of the STFT shows below it.
    assert rows["model"]["lsd_low"]["mean"] < 1.2 * rows["input"]["lsd_low"]["mean"]


def test_segments_too_short_for_the_loss_are_one_line(workspace):
    workspace.set("segment", length=1024)
    output = workspace.stage("train", code=2)
    assert output == (
        "error: segment.length is 1024; it is long enough for train.loss, 1025 samples or more at any of "
        "train.augment's speeds\n"
    )
