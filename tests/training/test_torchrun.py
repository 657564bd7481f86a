"""Ranks as processes: these are plain Python, and quick; tests/pipeline/test_resume.py has real ones."""

import gc
import os
import subprocess
import sys
import time

import pytest

from overtone.core.errors import OvertoneError
from overtone.training import torchrun
from tests.helpers import ROOT

# torchrun's library leaves the log of a rank that has ended open.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")

RANK = "import os, signal, sys, time\nrank = int(os.environ['RANK'])\n"


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Start a number of ranks that run some code."""
    for name in ("OMP_NUM_THREADS", "OVERTONE_JOBS", "GLOO_SOCKET_IFNAME", "TORCHELASTIC_SIGNALS_TO_HANDLE"):
        monkeypatch.setenv(name, "")  # so that what is set is taken back
        monkeypatch.delenv(name)
    monkeypatch.setattr(torchrun, "GRACE_SECONDS", 1)
    monkeypatch.setattr(torchrun, "worker_count", lambda: 8)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    def run(code, count=2):
        (tmp_path / "rank_code.py").write_text(RANK + code)
        torchrun.launch("rank_code", count)

    yield run
    gc.collect()


def ended(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    return False


def test_the_ranks_share_the_cores(start, tmp_path):
    start(
        f"open(f'{tmp_path}/{{rank}}', 'w').write(os.environ['OMP_NUM_THREADS'] + os.environ['WORLD_SIZE'])"
    )
    assert [(tmp_path / str(rank)).read_text() for rank in range(2)] == ["42", "42"]


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_rank_ends_the_others_and_is_named(start, victim, tmp_path, capfd):
    began = time.monotonic()
    with pytest.raises(OvertoneError) as caught:
        start(
            f"open(f'{tmp_path}/{{os.getpid()}}.pid', 'w')\n"
            f"os.kill(os.getpid(), signal.SIGKILL) if rank == {victim} else time.sleep(60)"
        )
    assert str(caught.value) == (
        f"rank {victim} of 2 was killed (SIGKILL), and the others were ended; "
        "run again to go on from the last state kept"
    )
    assert time.monotonic() - began < 30
    assert all(ended(int(path.stem)) for path in tmp_path.glob("*.pid"))
    assert capfd.readouterr() == ("", "")


def test_a_rank_that_loses_a_killed_one_does_not_hide_it(start):
    # A rank finds out that it has lost another one only after that one has ended.
    lost = f"(time.sleep(2), sys.exit({torchrun.LOST}))"
    with pytest.raises(OvertoneError, match=r"rank 1 of 2 was killed \(SIGKILL\)"):
        start(f"os.kill(os.getpid(), signal.SIGKILL) if rank == 1 else {lost}")


def test_ranks_that_only_lost_one_another_say_so(start):
    with pytest.raises(OvertoneError, match="the 2 ranks lost one another; run again"):
        start(f"sys.exit({torchrun.LOST})")


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("print('error: all', file=sys.stderr); sys.exit(2)", "error: all\n"),
        ("rank == 1 and (print('error: one', file=sys.stderr), sys.exit(2)); time.sleep(60)", "error: one\n"),
    ],
    ids=["of all ranks", "of the second"],
)
def test_an_error_of_ranks_is_said_once_and_its_code_passed_on(start, code, said, capfd):
    with pytest.raises(SystemExit) as caught:
        start(code)
    assert caught.value.code == 2
    assert capfd.readouterr().err == said


@pytest.mark.parametrize("value", ["0", "two", "-1", ""])
def test_a_number_of_ranks_that_makes_no_sense_is_one_line(value, monkeypatch):
    monkeypatch.setenv("OVERTONE_RANKS", value)
    monkeypatch.delenv("RANK", raising=False)
    with pytest.raises(OvertoneError) as caught:
        torchrun.run(lambda: None, "nothing")
    assert str(caught.value) == f"OVERTONE_RANKS is {value!r}; it is a whole number of ranks, 1 or more"


def test_one_rank_is_this_process(monkeypatch):
    monkeypatch.setenv("OVERTONE_RANKS", "1")
    monkeypatch.delenv("RANK", raising=False)
    done = []
    torchrun.run(lambda: done.append(os.getpid()), "nothing")
    assert done == [os.getpid()]


def test_a_rank_ends_when_its_parent_is_killed(tmp_path):
    rank = (
        "import os; from overtone.training import torchrun; "
        f"open('{tmp_path}/up', 'w').write(str(os.getpid())); torchrun._end_with(os.getppid())"
    )
    parent = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {rank!r}])"
    environment = os.environ | {"PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen([sys.executable, "-c", parent], env=environment)
    deadline = time.monotonic() + 60
    while not (tmp_path / "up").is_file() or not (tmp_path / "up").read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.wait()
    while not ended(int((tmp_path / "up").read_text())):
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
    monkeypatch.setattr(torchrun.torch.cuda, "device_count", lambda: gpus)
    monkeypatch.setattr(torchrun, "choose_device", lambda: torchrun.torch.device(device))
    with pytest.raises(OvertoneError) as caught:
        torchrun.join()
    assert str(caught.value) == line
