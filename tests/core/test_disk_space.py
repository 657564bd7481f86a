"""A full disk is one line with its folder and what is missing."""

import errno
import re
import shutil

import pytest

from overtone.core.disk_space import check_free_space, format_bytes, naming_full_disk
from overtone.core.errors import OvertoneError


@pytest.fixture
def free(monkeypatch):
    """Let every disk have 3 MiB free."""
    usage = shutil._ntuple_diskusage(10**9, 0, 3 << 20)
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage)


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (1023, "1023 B"), (1536, "2 KiB"), (5 << 30, "5.0 GiB")]
)
def test_bytes_have_a_unit(count, text):
    assert format_bytes(count) == text


def test_a_disk_with_room_passes(free, tmp_path):
    check_free_space(tmp_path, 3 << 20, "a file")


def test_a_disk_without_room_says_what_is_missing(free, tmp_path):
    line = f"the disk of {tmp_path} has 3 MiB free, pairs needs 5 MiB: 2 MiB are missing; make room"
    with pytest.raises(OvertoneError, match=f"^{re.escape(line)}$"):
        check_free_space(tmp_path, 5 << 20, "pairs")


@pytest.mark.parametrize("need", [1, 5 << 20])
def test_a_disk_that_runs_full_is_one_line(free, tmp_path, need):
    with (
        pytest.raises(OvertoneError, match=rf"the disk of {tmp_path} .*pairs.*; go elsewhere$"),
        naming_full_disk(tmp_path, need, "pairs", "go elsewhere"),
    ):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_other_errors_pass(tmp_path):
    with pytest.raises(PermissionError), naming_full_disk(tmp_path, 1, "pairs", "go elsewhere"):
        raise PermissionError(errno.EACCES, "Permission denied")
