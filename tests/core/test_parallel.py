import pytest

from overtone.core import parallel
from overtone.core.errors import OvertoneError


@pytest.mark.parametrize("jobs", ["1", "2"])
def test_results_come_in_order_whatever_the_number_of_workers(monkeypatch, jobs):
    monkeypatch.setenv("OVERTONE_JOBS", jobs)
    assert list(parallel.run_all(pow, [(n, 2) for n in range(6)])) == [0, 1, 4, 9, 16, 25]


@pytest.mark.parametrize("asked", ["0", "-1", "many", ""])
def test_a_number_of_workers_that_is_none_is_one_line(monkeypatch, asked):
    monkeypatch.setenv("OVERTONE_JOBS", asked)
    with pytest.raises(OvertoneError, match=f"OVERTONE_JOBS is '{asked}'; it is a whole number, 1 or more"):
        parallel.worker_count()
