"""Several processes: results in order, a failure or a death stops no other, and none is left at the end."""

import functools
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from overtone.cli.processes import Failure, Pool, Work
from overtone.core.errors import OvertoneError
from tests.helpers import ROOT

MEETS = 20  # a task that waits for a second process


def squares(folder, several=True):
    """Work that squares numbers; it leaves the number of its process in a folder."""
    Path(folder, str(os.getpid())).touch()
    return Work(functools.partial(square, folder), several)


def square(folder, number, progress):
    if number < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    Path(folder, f"worked-{os.getpid()}").touch()
    until = time.monotonic() + 2
    while number == MEETS and len(list(Path(folder).glob("[0-9]*"))) < 2 and time.monotonic() < until:
        time.sleep(0.01)
    try:
        for step in range(number):
            Path(folder, f"half-{number}").touch()
            progress(step / number)
            time.sleep(0.02)
    finally:
        Path(folder, f"half-{number}").unlink(missing_ok=True)
    return number**2, int(os.environ["THREADS"])


def refused():
    raise OvertoneError("no such model")


def run(pool, tasks):
    return list(pool.run(tasks, lambda: None))


def test_results_are_in_the_tasks_order_and_progress_is_known(tmp_path):
    pool = Pool(functools.partial(squares, tmp_path), 2, {"THREADS": "3"})
    seen = []
    results = list(pool.run([MEETS, 1, 2, 3], lambda: seen.append(list(pool.shares))))
    assert results == [(400, 3), (1, 3), (4, 3), (9, 3)]
    assert len(list(tmp_path.glob("worked-*"))) == 2
    assert any(0 < shares[0] < 1 and shares[3] == 1 for shares in seen)
    assert pool.shares == [1, 1, 1, 1]


def test_one_process_is_enough_where_the_first_says_so(tmp_path):
    pool = Pool(functools.partial(squares, tmp_path, False), 3, {"THREADS": "1"})
    assert run(pool, [1, 2, 3]) == [(1, 1), (4, 1), (9, 1)]
    assert len(list(tmp_path.glob("worked-*"))) == 1


def test_a_process_that_dies_fails_its_task_alone(tmp_path):
    pool = Pool(functools.partial(squares, tmp_path), 2, {"THREADS": "1"})
    assert run(pool, [2, -1, 3, -1, 4]) == [
        (4, 1),
        failure := Failure("its process ended by signal 9; is there memory for --jobs 2?"),
        (9, 1),
        failure,
        (16, 1),
    ]


def test_processes_that_die_before_they_are_open_are_an_error():
    with pytest.raises(OvertoneError, match=r"no process .* can be opened: its process ended with 7"):
        run(Pool(functools.partial(os._exit, 7), 2, {}), [1, 2])


def test_work_that_cannot_be_opened_is_one_error():
    with pytest.raises(OvertoneError, match="no such model"):
        run(Pool(refused, 2, {}), [1, 2])


def test_breaking_off_ends_all_and_lets_them_clean_up(tmp_path):
    pool = Pool(functools.partial(squares, tmp_path), 2, {"THREADS": "1"})
    results = pool.run([1, 1000, 1000], lambda: None)
    assert next(results) == (1, 1)
    while not (tmp_path / "half-1000").exists():
        time.sleep(0.01)
    results.close()
    assert not (tmp_path / "half-1000").exists()
    for process in tmp_path.glob("[0-9]*"):
        with pytest.raises(ProcessLookupError):
            os.kill(int(process.name), 0)


PARENT = f"""
import functools, sys
sys.path.insert(0, {str(ROOT)!r}); sys.path.insert(0, {str(ROOT / "src")!r})
from overtone.cli.processes import Pool
from tests.cli.test_processes import squares
list(Pool(functools.partial(squares, sys.argv[1]), 2, {{"THREADS": "1"}}).run([1000, 1001], lambda: None))
"""


def test_processes_whose_parent_was_killed_end_and_clean_up(tmp_path):
    with subprocess.Popen([sys.executable, "-c", PARENT, tmp_path], stderr=subprocess.DEVNULL) as parent:
        while len(list(tmp_path.glob("half-*"))) < 2:
            time.sleep(0.02)
        parent.kill()
    until = time.monotonic() + 10
    while list(tmp_path.glob("half-*")) and time.monotonic() < until:
        time.sleep(0.02)
    assert not list(tmp_path.glob("half-*"))
