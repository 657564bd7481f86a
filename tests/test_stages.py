"""The pipeline for real: DVC runs all of it, on tiny audio, in a repository of its own."""

import copy
import csv
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

ROOT = Path(__file__).resolve().parents[1]
ALL = ["download_fma", "select_subset", "split", "degrade", "segment", "train", "evaluate", "report"]
SYSTEMS = ["input", "silence", "noise fill", "band replication", "model", "network alone"]
SYSTEMS += ["network alone, aligned"]  # two epochs leave its level off
TINY = {
    "select": {"tracks": None},
    "degrade": {"tracks_per_shard": 4},
    "segment": {"length": 8192, "hop": 8192, "per_track": 4},
    "model": {"unet": {"channels": [2, 2, 2, 2]}},
    "train": {"epochs": 2, "batch": 4, "micro_batch": 4, "precision": "float32"},
    "evaluate": {"resamples": 100, "pictures": 1, "excerpt": 0.5},
}


class Workspace:
    """A copy of this checkout's files with tiny settings and music, committed to a Git of its own."""

    def __init__(self, folder, music):
        self.folder = folder
        listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
        for name in subprocess.run(
            listed, cwd=ROOT, check=True, capture_output=True, text=True
        ).stdout.split():
            # Without results: this repository starts from nothing.
            if (ROOT / name).is_file() and not name.startswith(("metrics/", "plots/", "dvc.lock")):
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(ROOT / name, folder / name)
        values = yaml.safe_load((folder / "params.yaml").read_text())
        for group, changes in (TINY | {"download": {"folder": str(music)}}).items():
            values[group] |= changes
        (folder / "params.yaml").write_text(yaml.safe_dump(values))
        bin_folder = Path(sys.executable).parent
        self.environment = os.environ | {
            "PATH": f"{bin_folder}{os.pathsep}{os.environ['PATH']}",
            "OMP_NUM_THREADS": "1",
            "OVERTONE_JOBS": "2",
            "OVERTONE_DEVICE": "cpu",
            "COLUMNS": "200",
        }
        self.environment.pop("PYTHONPATH", None)
        self.run("git", "init", "-q")
        self.run("git", "config", "user.email", "test@example.org")
        self.run("git", "config", "user.name", "test")
        self.commit()

    def command(self, *words):
        return [sys.executable, "-m", "dvc", *words[1:]] if words[0] == "dvc" else list(words)

    def run(self, *words, code=0, **environment):
        """Run a command to its end; returns what it printed on both outputs."""
        done = subprocess.run(
            self.command(*words),
            cwd=self.folder,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == code, done.stdout
        return done.stdout

    def clone(self, folder):
        """Another workspace, cloned from this one's Git as a colleague would."""
        self.run("git", "clone", "-q", str(self.folder), str(folder))
        other = copy.copy(self)
        other.folder = folder
        return other

    def start(self, *words):
        """Start a command in a process group of its own, to be killed."""
        return subprocess.Popen(
            self.command(*words),
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def commit(self):
        self.run("git", "add", "-A")
        self.run("git", "commit", "-q", "--allow-empty", "-m", "state")

    def json(self, name):
        return json.loads((self.folder / name).read_text())

    def loss(self):
        return (self.folder / "plots/loss.csv").read_text()

    def rows(self, name):
        return list(csv.DictReader((self.folder / name).read_text().splitlines()))

    def set(self, group, **changes):
        values = yaml.safe_load((self.folder / "params.yaml").read_text())
        values[group] |= changes
        (self.folder / "params.yaml").write_text(yaml.safe_dump(values))


def stages_run(output):
    return re.findall(r"Running stage '(\w+)'", output)


@pytest.fixture(scope="module")
def music(tmp_path_factory):
    """Six artists with a file each, one of 48 kHz stereo; and one file that is no audio."""
    folder = tmp_path_factory.mktemp("music")
    rng = np.random.default_rng(5)
    for artist in range(6):
        rate, channels = (48000, 2) if artist == 2 else (44100, 1)
        (folder / f"artist {artist}").mkdir()
        samples = 0.3 * rng.uniform(-1, 1, (int(1.5 * rate), channels))
        soundfile.write(folder / f"artist {artist}" / "noise.flac", samples, rate)
    (folder / "artist 0" / "broken.mp3").write_bytes(b"no audio")
    return folder


@pytest.fixture(scope="module")
def first(tmp_path_factory, music):
    """A workspace after its first `dvc repro`, and what that printed."""
    workspace = Workspace(tmp_path_factory.mktemp("workspace"), music)
    output = workspace.run("dvc", "repro")
    workspace.commit()
    return workspace, output


@pytest.fixture
def workspace(first):
    """The workspace as the first `dvc repro` left it, committed."""
    workspace, _ = first
    yield workspace
    workspace.run("git", "checkout", "-q", "--force", "HEAD")
    workspace.run("git", "clean", "-qfd")
    workspace.run("dvc", "checkout", "-q", "--force")


def test_the_whole_chain_runs_once_in_order(first):
    assert stages_run(first[1]) == ALL


def test_the_first_run_ends_with_the_table_and_where_the_plots_lie(first):
    end = first[1][first[1].index("Mean over") :]
    for row in SYSTEMS:
        assert re.search(rf"^\W*{row}\b.*\d", end, re.MULTILINE), row
    assert "plots/" in end


def test_all_that_the_readme_promises_is_there(first):
    folder = first[0].folder
    results = first[0].json("metrics/test.json")
    assert list(results["systems"]) == SYSTEMS
    for values in results["systems"].values():
        for interval in values.values():
            assert interval["low"] <= interval["mean"] <= interval["high"]
    assert first[0].json("metrics/train.json")["epochs"] == 2
    assert len(first[0].rows("plots/loss.csv")) == 2
    for name in ("loss.png", "spectrum.png", "distance.png", "spectrograms/1.png"):
        assert (folder / "plots" / name).read_bytes().startswith(b"\x89PNG")
    page = (folder / "plots/report.html").read_text()
    assert page.count("<audio") == 3
    examples = {path.name for path in (folder / "data/examples").iterdir()}
    assert examples == {"1_degraded.flac", "1_restored.flac", "1_original.flac"}


def test_a_track_that_does_not_decode_is_listed_with_its_reason(first):
    rows = first[0].rows("data/left_out.csv")
    assert len(rows) == 1
    assert "does not decode" in rows[0]["reason"]
    assert first[0].json("metrics/segments.json")["tracks_left_out"] == 1


def test_silence_and_input_score_as_theory_says(first):
    systems = first[0].json("metrics/test.json")["systems"]
    assert systems["silence"]["snr"]["mean"] == pytest.approx(0, abs=1e-6)
    assert systems["input"]["snr"]["mean"] > 0
    # Noise fill changes only what lies above the cutoff.
    assert systems["noise fill"]["lsd_low"]["mean"] == pytest.approx(
        systems["input"]["lsd_low"]["mean"], rel=0.02
    )


def test_the_model_keeps_the_inputs_low_band_and_the_network_alone_does_not(first):
    systems = first[0].json("metrics/test.json")["systems"]
    low = {name: systems[name]["lsd_low"]["mean"] for name in ("input", "model", "network alone")}
    assert low["model"] == pytest.approx(low["input"], rel=0.02)
    assert low["network alone"] > 2 * low["input"]


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
    assert re.search(r"metrics/train\.json\s+train_loss", difference)
    assert "systems.model" in difference
    assert not re.search(r"\ssystems\.silence", difference)  # but as compared with the model
    page = workspace.run("dvc", "plots", "show")
    html = Path(re.search(r"file://(\S+)", page)[1]).read_text()
    assert "validation_loss" in html


def test_another_segment_length_leaves_the_pairs_alone(workspace):
    workspace.set("segment", length=4096)
    assert stages_run(workspace.run("dvc", "repro")) == ["segment", "train", "evaluate", "report"]


def test_changing_the_cutoff_and_back_finds_the_old_results(workspace):
    old = workspace.json("metrics/test.json")
    workspace.set("degrade", cutoff=0.5)
    assert stages_run(workspace.run("dvc", "repro")) == ["degrade", "segment", "train", "evaluate", "report"]
    assert workspace.json("metrics/test.json") != old
    workspace.set("degrade", cutoff=0.6)
    output = workspace.run("dvc", "repro")
    assert workspace.json("metrics/test.json") == old
    assert "Stage 'train' is cached" in output


def test_a_run_killed_in_the_middle_goes_on_and_ends_with_the_same_loss_curve(workspace, tmp_path):
    workspace.set("train", epochs=40, stop_patience=40)
    loss = workspace.folder / "plots/loss.csv"
    loss.unlink()
    process = workspace.start("dvc", "repro")
    deadline = time.monotonic() + 120
    while not (loss.is_file() and len(loss.read_text().splitlines()) >= 4):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = list((workspace.folder / ".runs").iterdir())
    assert len(kept) == 1
    output = workspace.run("dvc", "repro")
    assert re.search(r"going on in epoch ([3-9]|[1-3]\d), at step", output)
    assert not list((workspace.folder / ".runs").iterdir()), "a finished run's place is deleted"
    resumed = workspace.loss()
    assert len(resumed.splitlines()) == 41
    # The same run, never killed; its place is kept elsewhere, so it starts afresh.
    workspace.run("dvc", "repro", "--force", "--single-item", "train", OVERTONE_RUNS=str(tmp_path))
    assert workspace.loss() == resumed


def test_fine_tuning_starts_from_a_models_weights_and_records_them(workspace):
    base = workspace.folder / "base"
    shutil.copytree(workspace.folder / "data/model", base)
    workspace.set("train", **{"from": "base", "epochs": 2})
    output = workspace.run("dvc", "repro", "train")
    assert stages_run(output) == ["train"]
    assert "starting from the weights of base" in output
    assert len(workspace.loss().splitlines()) == 3
    sha256 = hashlib.sha256((base / "weights.safetensors").read_bytes()).hexdigest()
    about = workspace.json("data/model/model.json")["about"]
    assert about["started_from"] == {"folder": "base", "sha256": sha256}
    assert about["train"]["from"] == "base"
    workspace.set("model", unet={"channels": [2, 2, 2, 3]})
    assert workspace.run(sys.executable, "-m", "stages.train", code=2) == (
        "error: train.from is 'base', another network than params.yaml describes: model.unet.channels is "
        "[2, 2, 2, 3] there and [2, 2, 2, 2] in the folder; set model.* to the model's own values\n"
    )


def test_a_changed_param_starts_afresh(workspace):
    workspace.set("train", epochs=40, stop_patience=40)
    process = workspace.start(sys.executable, "-m", "stages.train")
    try:
        deadline = time.monotonic() + 120
        while not list(workspace.folder.glob(".runs/*/state.pt")):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    workspace.set("train", epochs=1, lr=0.0007)
    output = workspace.run(sys.executable, "-m", "stages.train")
    assert "going on" not in output
    assert len(workspace.loss().splitlines()) == 2


def test_other_models_and_programs_stand_in_the_table_and_a_failing_one_says_so(workspace):
    """The committed model, taken from DVC's cache, scores as the one in data/model that it is."""
    script = "import shutil, sys; shutil.copytree(sys.argv[1], sys.argv[2], dirs_exist_ok=True)"
    copy = {"command": "{python} {script} {input} {output}", "install": "ask", "python": sys.executable}
    recipes = {
        "copy": copy | {"script": script},
        "broken": copy | {"script": "raise ValueError('no weights')"},
    }
    (workspace.folder / "programs.yaml").write_text(yaml.safe_dump(recipes))
    before = workspace.json("metrics/test.json")
    workspace.set("evaluate", systems=["model", "broken", "model@HEAD", "copy"], cutoffs=[8000])
    output = workspace.run(sys.executable, "-m", "stages.evaluate")
    results = workspace.json("metrics/test.json")
    systems = results["systems"]
    others = [row.replace("network", "model@HEAD") for row in SYSTEMS[-2:]]
    assert list(systems) == [*SYSTEMS, "model@HEAD", *others, "copy", "copy alone"]
    assert {name: systems[name] for name in SYSTEMS} == before["systems"]
    assert results["failed"] == {"broken": "failed with exit code 1: ValueError: no weights"}
    assert list(results["cutoffs"]) == ["4800", "8000"]
    assert {row["cutoff"] for row in workspace.rows("plots/scores.csv")} == {"4800", "8000"}
    # All of the original up to 8 kHz is there, of what was degraded only up to 4.8.
    snr = [of["systems"]["input"]["snr"]["mean"] for of in results["cutoffs"].values()]
    assert snr[1] > snr[0]
    assert systems["model@HEAD"] == systems["model"]
    assert systems["model@HEAD alone"] == systems["network alone"]
    assert systems["copy"] == systems["copy alone"] == systems["input"]
    took = workspace.json("data/systems.json")["systems"]
    assert list(took) == [*systems, "broken"]
    assert all(took[name]["seconds_per_second"] > 0 for name in systems)
    assert took["broken"] == {"failed": "failed with exit code 1: ValueError: no weights"}
    assert re.search(r"^broken +- +- +failed with exit code 1", output, re.MULTILINE)
    assert re.search(r"^broken +failed with exit code 1", output, re.MULTILINE)


def test_a_bad_param_stops_a_stage_with_one_line_and_code_2(workspace):
    workspace.set("degrade", cutoff=1.4)
    output = workspace.run(sys.executable, "-m", "stages.degrade", code=2)
    assert output == (
        "error: degrade.cutoff is 1.4; it is a fraction of the Nyquist frequency, above 0 and below 1\n"
    )
    assert (workspace.folder / "data/pairs/index.csv").is_file(), "nothing is lost"


def test_scores_do_not_depend_on_the_number_of_workers(workspace):
    def content():
        names = ("metrics/test.json", "plots/scores.csv", "data/examples/1_restored.flac")
        return [(workspace.folder / name).read_bytes() for name in names]

    two = content()
    output = workspace.run(sys.executable, "-m", "stages.evaluate", OVERTONE_JOBS="1")
    assert "one track at a time" in output
    assert content() == two


def test_without_visqol_it_is_said_before_anything_runs(workspace):
    (workspace.folder / "visqol.py").write_text("raise ImportError('no compiler')")
    workspace.set("evaluate", visqol=True)
    output = workspace.run(sys.executable, "-m", "stages.evaluate", code=2)
    assert output == "error: ViSQOL is not installed; it needs an extra: pip install 'overtone[visqol]'\n"


def test_results_do_not_depend_on_the_number_of_workers(workspace):
    def content():
        folder = workspace.folder / "data/pairs"
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    two = content()
    workspace.run(sys.executable, "-m", "stages.degrade", OVERTONE_JOBS="1")
    assert content() == two


# ------------------------------------------------------------------ sharing, docs/sharing.md


@pytest.fixture
def team(workspace):
    """The workspace, whose commits are taken back afterwards, a remote of DVC among them."""
    state = workspace.run("git", "rev-parse", "HEAD").strip()
    yield workspace
    workspace.run("git", "reset", "-q", "--hard", state)


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_a_second_clone_pulls_data_and_model_and_repeats_nothing(team, tmp_path, request, kind):
    variables, address = {}, str(tmp_path / "remote")
    if kind == "s3":
        store = request.getfixturevalue("object_store")
        store.client.create_bucket(Bucket="team")
        variables, address = store.variables, "s3://team/overtone"
    team.run("dvc", "remote", "add", "--default", "team", address)
    team.commit()
    team.run("dvc", "push", "--run-cache", **variables)
    clone = team.clone(tmp_path / "clone")
    clone.run("dvc", "pull", "--run-cache", **variables)
    weights = "data/model/weights.safetensors"
    assert (clone.folder / weights).read_bytes() == (team.folder / weights).read_bytes()
    assert "Data and pipelines are up to date." in clone.run("dvc", "repro")
    # Without its lock it knows nothing of what was run; the run-cache does. Not for the stages with
    # metrics: Git has those files, a remote has not, and DVC restores all of a stage or nothing.
    (clone.folder / "dvc.lock").unlink()
    output = clone.run("dvc", "repro", "split", "degrade")
    assert sorted(re.findall(r"Stage '(\w+)' is cached", output)) == sorted(ALL[:4])
    assert not stages_run(output)
