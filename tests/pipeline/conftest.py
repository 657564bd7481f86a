"""One finished run of the pipeline for a session, whatever the number of pytest's processes."""

import pickle

import pytest
from filelock import FileLock

from tests.helpers.workspace import Workspace, write_music


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory, request):
    """A folder that all processes of this session share."""
    base = tmp_path_factory.getbasetemp()
    return base.parent if hasattr(request.config, "workerinput") else base


def once(folder, name, make):
    """What `make` returns for a new folder; only the first process that asks makes it."""
    with FileLock(folder / f"{name}.lock"):
        kept = folder / f"{name}.pickle"
        if not kept.exists():
            kept.write_bytes(pickle.dumps(make(folder / name)))
        return pickle.loads(kept.read_bytes())


@pytest.fixture(scope="session")
def first(shared_folder):
    """A workspace after its first `dvc repro`, committed, and what that printed; no test changes it."""

    def make(folder):
        music = write_music(folder / "music")
        (folder / "workspace").mkdir()
        workspace = Workspace(folder / "workspace", music)
        output = workspace.run("dvc", "repro", OVERTONE_JOBS="2")
        workspace.commit()
        return workspace, output

    return once(shared_folder, "first", make)


@pytest.fixture
def workspace(first, tmp_path):
    """A copy of the workspace as the first `dvc repro` left it."""
    return first[0].copy(tmp_path / "workspace")
