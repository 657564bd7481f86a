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
import psutil
import pytest
import soundfile
import yaml

from overtone.report import runtime_cost_table, tables
from tests.helpers import ROOT

ALL = ["download_fma", "select_subset", "split", "degrade", "segment", "train", "evaluate", "report"]
# After two epochs the network's own level is too far off to be aligned: it has no row for that.
SYSTEMS = ["input", "silence", "noise fill", "band replication", "model", "network alone"]
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

    def start(self, *words, stderr=subprocess.DEVNULL, **environment):
        """Start a command in a process group of its own, to be killed."""
        return subprocess.Popen(
            self.command(*words),
            cwd=self.folder,
            env=self.environment | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=stderr,
            text=True,
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
    """Six artists with a file each, one of 48 kHz stereo; and one file that is no audio.

    Genre and title are words that pandas takes for gaps.
    """
    folder = tmp_path_factory.mktemp("music")
    rng = np.random.default_rng(5)
    for artist in range(6):
        rate, channels = (48000, 2) if artist == 2 else (44100, 1)
        (folder / f"artist {artist}").mkdir()
        samples = 0.3 * rng.uniform(-1, 1, (int(1.5 * rate), channels))
        path = folder / f"artist {artist}" / "noise.flac"
        with soundfile.SoundFile(path, "w", rate, channels) as file:
            file.genre, file.title = "None", "null"
            file.write(samples)
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
    # Git ignores it, so all that a killed run has left would be there for the next test.
    shutil.rmtree(workspace.folder / ".runs", ignore_errors=True)
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
            assert np.isfinite(interval["mean"])
            assert interval["low"] is interval["high"] is None, "one test track has no interval"
    assert "network alone" in results["remarks"]
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


def test_a_genre_or_title_that_pandas_would_take_for_a_gap_stays_a_word(first):
    assert {row["genre"] for row in first[0].rows("plots/scores.csv")} == {"None"}
    assert list(first[0].json("metrics/test.json")["genres"]) == ["None"]


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
    assert re.search(r"metrics/summary\.json\s+train_loss", difference)
    assert "systems.model" in difference
    assert 2 < len(difference.splitlines()) <= 31, "a heading, and rows that fit a screen"
    assert not re.search(r"\ssystems\.input", difference), "the input is the same"
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


def test_a_killed_rank_ends_the_run_with_one_line_and_one_process_goes_on(workspace, tmp_path):
    workspace.set("train", epochs=30, stop_patience=30)
    loss = workspace.folder / "plots/loss.csv"
    loss.unlink()
    stage = (sys.executable, "-m", "stages.train")
    process = workspace.start(*stage, stderr=subprocess.PIPE, OVERTONE_RANKS="2")
    deadline = time.monotonic() + 300
    while not (loss.is_file() and len(loss.read_text().splitlines()) >= 4):
        assert process.poll() is None, process.stderr.read()
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(psutil.Process(process.pid).children()[1].pid, signal.SIGKILL)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 2
    assert told == (
        "error: rank 1 of 2 was killed (SIGKILL), and the others were ended; "
        "run again to go on from the last state kept\n"
    )
    assert re.search(r"going on in epoch ([3-9]|[12]\d), at step", workspace.run(*stage))
    curve = workspace.rows("plots/loss.csv")
    assert len(curve) == 30
    # The same run by one process from the start; its place is kept elsewhere.
    workspace.run(*stage, OVERTONE_RANKS="1", OVERTONE_RUNS=str(tmp_path))
    for ours, theirs in zip(curve, workspace.rows("plots/loss.csv"), strict=True):
        assert float(ours["train_loss"]) == pytest.approx(float(theirs["train_loss"]), rel=1e-3)
        assert float(ours["validation_loss"]) == pytest.approx(float(theirs["validation_loss"]), rel=0.05)


def test_torchrun_starts_ranks_that_have_the_curve_of_one_process_and_leave_nothing_behind(workspace):
    alone = workspace.rows("plots/loss.csv")
    (workspace.folder / "plots/loss.csv").unlink()
    torchrun = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2")
    output = workspace.run(*torchrun, "-m", "stages.train")
    assert output.count("parameters, on cpu in float32") == 1, "rank 0 alone speaks"
    assert not list((workspace.folder / ".runs").iterdir())
    for ours, theirs in zip(workspace.rows("plots/loss.csv"), alone, strict=True):
        assert float(ours["train_loss"]) == pytest.approx(float(theirs["train_loss"]), rel=1e-3)
        assert float(ours["validation_loss"]) == pytest.approx(float(theirs["validation_loss"]), rel=0.05)


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


def test_nuwave2_is_trained_on_its_own_loss_and_stands_in_the_table_as_a_model(workspace):
    workspace.set("model", name="nuwave2", nuwave2={"channels": 2, "layers": 1, "steps": 2})
    output = workspace.run("dvc", "repro")
    assert stages_run(output) == ["train", "evaluate", "report"]
    assert "nuwave2 is trained on a loss of its own; train.loss is not used" in output
    card = workspace.json("data/model/model.json")
    assert card["about"]["train"]["loss"] == "its own"
    # It begins with predicting no noise: the mean magnitude of what it is to predict.
    assert float(workspace.rows("plots/loss.csv")[0]["train_loss"]) == pytest.approx(0.798, abs=0.02)
    rows = workspace.json("metrics/test.json")["systems"]
    assert [name for name in rows if not name.endswith(", aligned")] == SYSTEMS
    # Two epochs leave loud noise above the cutoff, some of which the window of the STFT shows below it.
    assert rows["model"]["lsd_low"]["mean"] < 1.2 * rows["input"]["lsd_low"]["mean"]


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
    workspace.run(sys.executable, "-m", "stages.evaluate")
    results = workspace.json("metrics/test.json")
    systems = results["systems"]
    others = [row.replace("network", "model@HEAD") for row in SYSTEMS[-1:]]
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
    heard = {path.name for path in (workspace.folder / "data/examples").iterdir()}
    versions = ("degraded", "restored", "original", "model@HEAD", "copy")
    assert heard == {f"1_{version}.flac" for version in versions}
    costs = runtime_cost_table.text(workspace.json("data/systems.json"))
    assert re.search(r"^broken +- +- +failed with exit code 1", costs, re.MULTILINE)
    assert re.search(r"^broken +failed with exit code 1", tables.text(results), re.MULTILINE)


def test_a_bad_param_stops_a_stage_with_one_line_and_code_2(workspace):
    workspace.set("degrade", cutoff=1.4)
    output = workspace.run(sys.executable, "-m", "stages.degrade", code=2)
    assert output == (
        "error: degrade.cutoff is 1.4; it is a fraction of the Nyquist frequency, above 0 and below 1\n"
    )
    assert (workspace.folder / "data/pairs/index.csv").is_file(), "nothing is lost"


def test_segments_too_short_for_the_loss_are_one_line(workspace):
    workspace.set("segment", length=1024)
    output = workspace.run(sys.executable, "-m", "stages.train", code=2)
    assert output == (
        "error: segment.length is 1024; it is long enough for train.loss, 1025 samples or more at any of "
        "train.augment's speeds\n"
    )


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
    assert output == "error: visqol is not installed: pip install 'overtone[visqol]' (no compiler)\n"


def test_results_do_not_depend_on_the_number_of_workers(workspace):
    def content():
        folder = workspace.folder / "data/pairs"
        return {path.name: path.read_bytes() for path in folder.iterdir()}

    two = content()
    workspace.run(sys.executable, "-m", "stages.degrade", OVERTONE_JOBS="1")
    assert content() == two


@pytest.fixture
def on_the_fly(workspace):
    """The workspace after a run with `degrade.store: false`, and its results with the halves stored."""
    names = ("metrics/train.json", "metrics/test.json")
    stored = [workspace.json(name) for name in names], workspace.rows("data/segments.csv")
    workspace.set("degrade", store=False)
    workspace.run("dvc", "repro")
    return workspace, stored


def test_all_stages_get_the_same_from_pairs_made_on_the_fly(on_the_fly):
    workspace, ((train, test), segments) = on_the_fly
    step = 1 / 32767
    for row, other in zip(segments, workspace.rows("data/segments.csv"), strict=True):
        for key in ("split", "track_id", "pair", "start", "length", "peak_original"):
            assert row[key] == other[key]
        assert float(row["peak_degraded"]) == pytest.approx(float(other["peak_degraded"]), abs=1.01 * step)
    again = workspace.json("metrics/train.json")
    for key in ("train_loss", "validation_loss"):
        assert again[key] == pytest.approx(train[key], rel=0.002)
    systems = workspace.json("metrics/test.json")["systems"]
    assert list(systems) == SYSTEMS
    for name, metrics in test["systems"].items():
        for key, interval in metrics.items():
            # Flatness looks at the deepest valleys of a spectrum, where a step is much; and a network whose
            # batches differed by steps has other weights, which nothing covers up where it stands alone.
            loose = key == "flatness_error" or name.startswith("network alone")
            # An SNR may be near 0 dB, of which a share is nothing.
            near_zero = 0.1 if loose and key == "snr" else 0.01
            near = pytest.approx(interval["mean"], rel=0.1 if loose else 0.01, abs=near_zero)
            assert systems[name][key]["mean"] == near, (name, key)
    examples = {path.name for path in (workspace.folder / "data/examples").iterdir()}
    assert examples == {"1_degraded.flac", "1_restored.flac", "1_original.flac"}


def test_another_cutoff_leaves_the_originals_as_they_are_and_reruns_all_that_hears_it(on_the_fly):
    workspace, _ = on_the_fly

    def content():
        return {path.name: path.read_bytes() for path in (workspace.folder / "data/pairs").iterdir()}

    before, old = content(), workspace.json("metrics/test.json")
    workspace.set("degrade", cutoff=0.5)
    assert stages_run(workspace.run("dvc", "repro")) == ["degrade", "segment", "train", "evaluate", "report"]
    after = content()
    assert {name for name in after if before.get(name) != after[name]} == {"degrade.json"}
    assert workspace.json("metrics/test.json")["systems"]["input"] != old["systems"]["input"]


# ------------------------------------------------------------------ sharing, docs/sharing.md


@pytest.fixture
def team(workspace):
    """The workspace, whose commits are taken back afterwards, a remote of DVC among them."""
    state = workspace.run("git", "rev-parse", "HEAD").strip()
    yield workspace
    workspace.run("git", "reset", "-q", "--hard", state)
    workspace.run("dvc", "checkout", "--force")


@pytest.mark.parametrize("kind", ["folder", "s3"])
def test_a_second_clone_pulls_data_and_model_and_repeats_nothing(team, tmp_path, request, kind):
    variables, address = {}, str(tmp_path / "remote")
    if kind == "s3":
        store = request.getfixturevalue("object_store")
        store.client.create_bucket(Bucket="team")
        variables, address = store.variables, "s3://team/overtone"
    team.run("dvc", "remote", "add", "--default", "team", address)
    team.commit()
    team.run("dvc", "push", **variables)
    told = team.run(sys.executable, "tools/push_runs.py", **variables)
    assert int(re.fullmatch(r"(\d+) runs are there, [1-9]\d* of their outputs new\n", told)[1]) >= len(ALL)
    clone = team.clone(tmp_path / "clone")
    clone.run("dvc", "pull", "--run-cache", **variables)
    weights = "data/model/weights.safetensors"
    assert (clone.folder / weights).read_bytes() == (team.folder / weights).read_bytes()
    assert "Data and pipelines are up to date." in clone.run("dvc", "repro")
    # Without its lock, and without the metrics that Git has, it knows nothing of what was run; the run-cache
    # does.
    (clone.folder / "dvc.lock").unlink()
    shutil.rmtree(clone.folder / "metrics")
    shutil.rmtree(clone.folder / "plots")
    output = clone.run("dvc", "repro", "--pull", **variables)
    assert sorted(re.findall(r"Stage '(\w+)' is cached", output)) == sorted(ALL)
    assert not stages_run(output)
    assert clone.json("metrics/test.json") == team.json("metrics/test.json")


def test_runs_without_a_remote_are_one_line(team):
    result = subprocess.run(
        [sys.executable, "tools/push_runs.py"],
        cwd=team.folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 2
    assert re.fullmatch(r"error: the runs cannot be pushed: .*no remote specified.*\n", result.stderr)


def test_samples_kept_in_an_object_store_change_no_result(team, object_store):
    object_store.client.create_bucket(Bucket="samples")
    kept = team.json("metrics/train.json"), team.json("metrics/test.json")
    index = (team.folder / "data/pairs/index.csv").read_bytes()
    store = object_store.variables | {"OVERTONE_SHARDS": "s3://samples/shards"}
    assert "at s3://samples/shards" in team.run(
        "dvc", "repro", "--force", "--single-item", "degrade", **store
    )
    assert sorted(path.name for path in (team.folder / "data/pairs").iterdir()) == [
        "index.csv",
        "left_out.csv",
        "shards.csv",
        "store.txt",
    ]
    assert (team.folder / "data/pairs/index.csv").read_bytes() == index
    objects = object_store.client.list_objects(Bucket="samples")["Contents"]
    digests = {row["sha1"] for row in team.rows("data/pairs/shards.csv")}
    assert {one["Key"] for one in objects} == {f"shards/{digest}.i16" for digest in digests}
    # Whoever has the tables reads from there.
    assert stages_run(team.run("dvc", "repro", **object_store.variables)) == ALL[4:]
    assert (team.json("metrics/train.json"), team.json("metrics/test.json")) == kept


# ------------------------------------------------------------------ a sweep, docs/sharing.md


def shared(folder):
    """The folders that stages of a checkout in this folder would use, as its stages/__init__.py says."""
    (folder / "stages").mkdir(parents=True)
    shutil.copyfile(ROOT / "stages/__init__.py", folder / "stages/__init__.py")
    names = "RUNS", "DOWNLOADS", "PROGRAMS"
    script = f"import os, stages; print(*(os.environ.get('OVERTONE_' + name) for name in {names}))"
    clean = {key: value for key, value in os.environ.items() if not key.startswith(("OVERTONE_", "PYTHON"))}
    return subprocess.run(
        [sys.executable, "-c", script], cwd=folder, env=clean, check=True, capture_output=True, text=True
    ).stdout.split()


@pytest.mark.parametrize("copy", ["tmpab", "standalone/tmpab"])
def test_a_queued_copy_shares_what_git_ignores_with_the_tree_it_came_from(tmp_path, copy):
    own = [str(tmp_path / name) for name in (".runs", ".downloads", ".programs")]
    assert shared(tmp_path / ".dvc/tmp/exps" / copy) == own


def test_a_checkout_of_its_own_keeps_its_own_folders(tmp_path):
    assert shared(tmp_path / "project") == ["None"] * 3


def refs(workspace):
    """The experiments that there are: name -> commit."""
    lines = workspace.run(
        "git", "for-each-ref", "refs/exps", "--format=%(refname) %(objectname)"
    ).splitlines()
    found = (line.split() for line in lines if re.match(r"refs/exps/[0-9a-f]{2}/", line))
    return {name.rpartition("/")[2]: commit for name, commit in found}


# In every Python that finds it: a train stage waits until another one has begun, or three minutes long.
MEET = """\
import os, pathlib, sys, time

if "stages.train" in sys.orig_argv:
    began = pathlib.Path(__file__).parent / "began"
    (began / str(os.getpid())).touch()
    until = time.monotonic() + 180
    while len(list(began.iterdir())) < 2 and time.monotonic() < until:
        time.sleep(0.1)
    if time.monotonic() >= until:
        sys.exit("no other one has begun to train")
"""


def test_two_workers_run_a_queue_side_by_side_as_each_would_alone(workspace, tmp_path):
    """About 40 s on a core of its own: DVC alone takes half of that."""
    (tmp_path / "sitecustomize.py").write_text(MEET)
    (tmp_path / "began").mkdir()
    rates = ("0.0004", "0.002")  # no other test's: a rate that has been trained with comes from the run-cache
    workspace.run("dvc", "exp", "run", "--queue", "-S", f"train.lr={','.join(rates)}", OVERTONE_JOBS="1")
    before = refs(workspace)
    # Not by `run`: the workers inherit its pipe, so that it would wait for their end.
    environment = {"OVERTONE_JOBS": "1", "PYTHONPATH": str(tmp_path)}
    assert workspace.start("dvc", "queue", "start", "--jobs", "2", **environment).wait(300) == 0
    copies, deadline = workspace.folder / ".dvc/tmp/exps", time.monotonic() + 900
    while len(refs(workspace).keys() - before.keys()) < 2 or list(copies.glob("tmp*")):
        status = workspace.run("dvc", "queue", "status")
        assert "Failed" not in status, status
        assert time.monotonic() < deadline, status
        time.sleep(5)
    assert len(list((tmp_path / "began").iterdir())) == 2

    def of(commit, name):
        return workspace.run("git", "show", f"{commit}:{name}")

    made = {}
    for name in refs(workspace).keys() - before.keys():
        commit = refs(workspace)[name]
        rate = str(yaml.safe_load(of(commit, "params.yaml"))["train"]["lr"])
        made[rate] = {path: of(commit, path) for path in ("metrics/train.json", "plots/loss.csv")}
        assert list(json.loads(of(commit, "metrics/test.json"))["systems"]) == SYSTEMS
    assert sorted(made) == sorted(rates)
    assert made[rates[0]] != made[rates[1]]
    assert not list((workspace.folder / ".runs").iterdir()), (
        "unfinished runs were kept here, now they are done"
    )
    workspace.set("train", lr=float(rates[0]))
    workspace.run(sys.executable, "-m", "stages.train")
    assert {path: (workspace.folder / path).read_text() for path in made[rates[0]]} == made[rates[0]]
