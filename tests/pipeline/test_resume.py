"""A training that is killed goes on, alone and in ranks."""

import os
import random
import re
import signal
import subprocess
import sys
import time

import psutil
import pytest

from bench.kills import digests, run_with_kills


def test_a_run_killed_in_the_middle_goes_on_and_ends_with_the_same_loss_curve(workspace, tmp_path):
    workspace.set("train", epochs=40, stop_patience=40)
    loss = workspace.folder / "plots/loss.csv"
    loss.unlink()
    process = workspace.start("dvc", "repro", "train")
    deadline = time.monotonic() + 120
    while not (loss.is_file() and len(loss.read_text().splitlines()) >= 4):
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    kept = list((workspace.folder / ".runs").iterdir())
    assert len(kept) == 1
    output = workspace.run("dvc", "repro", "train")
    assert re.search(r"going on in epoch ([3-9]|[1-3]\d), at step", output)
    assert not list((workspace.folder / ".runs").iterdir()), "a finished run's place is deleted"
    resumed = workspace.loss()
    assert len(resumed.splitlines()) == 41
    # The same run, never killed; its place is kept elsewhere, so it starts afresh.
    workspace.stage("train", OVERTONE_RUNS=str(tmp_path / "runs"))
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
    _, printed = process.communicate(timeout=60)
    assert process.returncode == 2
    assert printed == (
        "error: rank 1 of 2 was killed (SIGKILL), and the others were ended; "
        "run again to go on from the last state kept\n"
    )
    assert re.search(r"going on in epoch ([3-9]|[12]\d), at step", workspace.run(*stage))
    curve = workspace.rows("plots/loss.csv")
    assert len(curve) == 30
    # The same run by one process from the start; its place is kept elsewhere.
    workspace.stage("train", OVERTONE_RUNS=str(tmp_path / "runs"))
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
    output = workspace.stage("train")
    assert "going on" not in output
    assert len(workspace.loss().splitlines()) == 2


def test_a_training_killed_three_times_at_random_moments_ends_in_the_same_bytes(workspace, tmp_path):
    """One hundred, of the pipeline as a whole, are for a night: bench/kills.py."""
    workspace.set("train", epochs=20, stop_patience=20)
    other = workspace.copy(tmp_path / "other")
    began = time.monotonic()
    workspace.run(sys.executable, "-m", "stages.train")
    longest = time.monotonic() - began
    command = (sys.executable, "-m", "stages.train")
    assert run_with_kills(other, command, longest, 3, random.Random(4)).kills > 0
    assert digests(other.folder) == digests(workspace.folder)
