import shutil
from pathlib import Path

import pytest
import torch

from overtone.core.errors import OvertoneError
from overtone.training.checkpoint import Checkpoint, fingerprint
from tests.helpers.small_disk import small_disk


@pytest.fixture
def checkpoint(tmp_path, monkeypatch):
    monkeypatch.setenv("OVERTONE_RUNS", str(tmp_path / "runs"))
    return Checkpoint("abc")


def test_a_state_comes_back_as_it_was(checkpoint):
    assert checkpoint.load() is None
    checkpoint.keep({"epoch": 3, "history": [{"lr": 0.1}], "net": {"w": torch.arange(3.0)}})
    state = checkpoint.load()
    assert state["epoch"] == 3
    assert state["history"] == [{"lr": 0.1}]
    assert state["net"]["w"].tolist() == [0, 1, 2]


def test_a_break_while_writing_leaves_the_old_state(checkpoint, monkeypatch):
    checkpoint.keep({"epoch": 1})

    def breaks(state, file):
        file.write(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", breaks)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.keep({"epoch": 2})
    assert checkpoint.load() == {"epoch": 1}


@pytest.mark.parametrize("content", [b"", b"garbage"])
def test_a_file_that_does_not_load_counts_as_none(checkpoint, content):
    checkpoint.keep({"epoch": 1})
    (checkpoint.folder / "state.pt").write_bytes(content)
    assert checkpoint.load() is None


def test_deleting_leaves_nothing(checkpoint):
    checkpoint.keep({"epoch": 1})
    checkpoint.delete()
    assert not checkpoint.folder.exists()
    assert checkpoint.load() is None


def test_a_fingerprint_follows_settings_and_file_contents(tmp_path):
    path = tmp_path / "code.py"
    path.write_text("a")
    names = {fingerprint({"lr": 1}, [path]), fingerprint({"lr": 2}, [path]), fingerprint({"lr": 1}, [])}
    path.write_text("b")
    names.add(fingerprint({"lr": 1}, [path]))
    assert len(names) == 4
    path.write_text("a")
    assert fingerprint({"lr": 1}, [path]) in names


def test_two_workers_with_the_same_run_do_not_disturb_each_other(checkpoint, monkeypatch):
    """The other one keeps its place in the middle of this one's writing, then ends."""
    save = torch.save

    def meanwhile(state, file):
        monkeypatch.setattr(torch, "save", save)
        monkeypatch.setattr("os.getpid", lambda: 1)
        Checkpoint("abc").keep({"epoch": 1})
        save(state, file)

    monkeypatch.setattr(torch, "save", meanwhile)
    checkpoint.keep({"epoch": 2})
    assert checkpoint.load() == {"epoch": 2}

    def ends(state, file):
        save(state, file)
        Checkpoint("abc").delete()

    monkeypatch.setattr(torch, "save", ends)
    checkpoint.keep({"epoch": 3})
    monkeypatch.setattr(torch, "save", save)
    checkpoint.keep({"epoch": 4})
    assert checkpoint.load() == {"epoch": 4}


def test_a_folder_that_the_other_worker_takes_away_before_the_file_is_open_is_no_error(
    checkpoint, monkeypatch
):
    opened = Path.open

    def ends(path, *args, **kwargs):
        shutil.rmtree(path.parent)
        return opened(path, *args, **kwargs)

    monkeypatch.setattr(Path, "open", ends)
    checkpoint.keep({"epoch": 1})
    monkeypatch.undo()
    assert checkpoint.load() is None


def test_a_full_disk_is_one_line_and_the_last_state_stays(tmp_path, monkeypatch):
    monkeypatch.setenv("OVERTONE_RUNS", str(tmp_path / "disk"))
    with small_disk(tmp_path / "disk", "200k"):
        checkpoint = Checkpoint("run")
        checkpoint.keep({"step": 1, "weights": torch.zeros(40_000)})
        needs = r"has \d+ KiB free, the state of this run needs 15\d KiB: \d+ KiB are missing; make room"
        line = rf"^the disk of \S+/disk/run {needs}"
        with pytest.raises(OvertoneError, match=line):
            checkpoint.keep({"step": 2, "weights": torch.zeros(40_000)})
        assert checkpoint.load()["step"] == 1
        assert [path.name for path in checkpoint.folder.iterdir()] == ["state.pt"]
