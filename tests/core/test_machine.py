"""The smaller of the machine's and the container's limits counts; what is not known limits nothing."""

import os

import pytest

from overtone.core import machine


@pytest.fixture
def system(tmp_path, monkeypatch):
    """A machine of 8 processors and 4 GB; gives the folder of its control group."""
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)
    monkeypatch.setattr(machine, "CGROUP", tmp_path)
    monkeypatch.setattr(machine, "MEMORY", tmp_path / "meminfo")
    (tmp_path / "meminfo").write_text("MemTotal: 8000000 kB\nMemAvailable: 4000000 kB\n")
    return tmp_path


@pytest.mark.parametrize(
    ("quota", "count"), [("max 100000", 8), ("250000 100000", 2), ("50000 100000", 1), ("", 8)]
)
def test_a_containers_share_of_the_processors_counts(system, quota, count):
    (system / "cpu.max").write_text(quota)
    assert machine.processor_count() == count


@pytest.mark.parametrize(
    ("limit", "free"), [("1000000000", 700_000_000), ("max", 4_096_000_000), ("200000000", 0)]
)
def test_a_containers_memory_counts(system, limit, free):
    (system / "memory.max").write_text(limit)
    (system / "memory.current").write_text("300000000")
    assert machine.free_memory() == free


def test_memory_that_is_not_known_is_none(system):
    (system / "meminfo").unlink()
    assert machine.free_memory() is None
