"""Ranks as processes: these are plain Python, and quick; tests/test_stages.py has real ones."""

import os
import subprocess
import sys
import time

import pytest

from overtone.core.errors import OvertoneError
from overtone.training import launch

RANK = "import os, signal, sys, time; rank = int(os.environ['RANK']); "


def start(code, count=2):
    launch.launch([sys.executable, "-c", RANK + code], count)


@pytest.fixture(autouse=True)
def _little_patience(monkeypatch):
    monkeypatch.setattr(launch, "GRACE_SECONDS", 1.0)


def test_each_rank_is_told_its_number_and_where_to_meet_the_others(tmp_path, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(launch, "workers", lambda: 8)
    names = ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "OMP_NUM_THREADS")
    start(f"open(f'{tmp_path}/{{rank}}', 'w').write(' '.join(os.environ[name] for name in {names}))", 3)
    told = [(tmp_path / str(rank)).read_text().split() for rank in range(3)]
    ports = {line.pop(4) for line in told}
    assert len(ports) == 1
    assert 0 < int(ports.pop()) < 65536
    assert told == [[str(rank), str(rank), "3", "127.0.0.1", "2"] for rank in range(3)]


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_rank_ends_the_others_and_is_named(victim, tmp_path):
    began = time.monotonic()
    with pytest.raises(OvertoneError) as caught:
        start(
            f"open(f'{tmp_path}/{{os.getpid()}}', 'w'); "
            f"os.kill(os.getpid(), signal.SIGKILL) if rank == {victim} else time.sleep(60)"
        )
    assert str(caught.value) == (
        f"rank {victim} of 2 was killed (SIGKILL), and the others were ended; "
        "run again to go on from the last state kept"
    )
    assert time.monotonic() - began < 30
    for process in map(int, os.listdir(tmp_path)):
        with pytest.raises(ProcessLookupError):
            os.kill(process, 0)


def test_ranks_that_lose_a_killed_one_do_not_hide_it():
    with pytest.raises(OvertoneError, match=r"rank 2 of 3 was killed \(SIGKILL\)"):
        start("os.kill(os.getpid(), signal.SIGKILL) if rank == 2 else sys.exit(3)", 3)


def test_ranks_that_only_lost_one_another_say_so():
    with pytest.raises(OvertoneError, match="the 2 ranks lost one another; run again"):
        start("sys.exit(3)")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("print('error: all', file=sys.stderr); sys.exit(2)", "error: all\n"),
        ("rank == 1 and (print('error: one', file=sys.stderr), sys.exit(2)); time.sleep(60)", "error: one\n"),
    ],
    ids=["of all ranks", "of the second"],
)
def test_an_error_of_ranks_is_said_once_and_its_code_passed_on(code, said, capfd):
    with pytest.raises(SystemExit) as caught:
        start(code)
    assert caught.value.code == 2
    assert capfd.readouterr().err == said


@pytest.mark.parametrize("value", ["0", "two", "-1", ""])
def test_a_number_of_ranks_that_makes_no_sense_is_one_line(value, monkeypatch):
    monkeypatch.setenv("OVERTONE_RANKS", value)
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(OvertoneError) as caught:
        launch.run(lambda: None, [])
    assert str(caught.value) == f"OVERTONE_RANKS is {value!r}; it is a whole number of ranks, 1 or more"


def test_one_rank_is_this_process(monkeypatch):
    monkeypatch.setenv("OVERTONE_RANKS", "1")
    monkeypatch.delenv("RANK", raising=False)
    done = []
    launch.run(lambda: done.append(os.getpid()), ["/nowhere"])
    assert done == [os.getpid()]


def test_a_rank_ends_when_its_parent_is_killed(tmp_path):
    rank = (
        "import os, threading, time; from overtone import launching; "
        f"open('{tmp_path}/up', 'w').write(str(os.getpid())); launching._end_with(os.getppid())"
    )
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {rank!r}])"
    process = subprocess.Popen([sys.executable, "-c", parent])
    deadline = time.monotonic() + 60
    while not (tmp_path / "up").is_file() or not (tmp_path / "up").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.wait()
    while True:
        try:
            os.kill(int((tmp_path / "up").read_text()), 0)
        except ProcessLookupError:
            break
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize(
    ("gpus", "device", "line"),
    [
        (1, "cuda", "2 ranks are more than this machine's GPUs (1); start fewer, or set OVERTONE_DEVICE=cpu"),
        (0, "mps", "ranks train on cuda or cpu, not on mps; set OVERTONE_DEVICE=cpu"),
    ],
)
def test_a_device_that_ranks_cannot_share_is_one_line(monkeypatch, gpus, device, line):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(launch.torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(launch, "choose_device", lambda: launch.torch.device(device))
    with pytest.raises(OvertoneError) as caught:
        launch.join()
    assert str(caught.value) == line
