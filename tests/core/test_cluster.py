"""A real scheduler and real workers, each a process, on loopback."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import zipfile
from types import SimpleNamespace

import distributed
import numpy as np
import pandas as pd
import pytest
import soundfile

from overtone.core import cluster, parallel
from overtone.core.errors import OvertoneError
from overtone.data.preparation.shard_writer import write_shard
from overtone.data.sources.archives import unpack
from overtone.evaluation.comparison import systems
from overtone.evaluation.comparison.chunks import list_chunks
from overtone.evaluation.comparison.score_chunk import RunSettings, score_chunk
from overtone.models import registry
from tests.helpers import ROOT, remote_work
from tests.helpers.chunk_scores import plain
from tests.helpers.sound import make

PATIENCE = 120  # seconds that a process may take to start where the machine is busy


def until(holds):
    deadline = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


class Cluster:
    """A scheduler and the workers that were asked for."""

    def __init__(self, folder):
        self.folder = folder
        self.processes = {}
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
        self.start("scheduler", "--host", self.address, "--no-dashboard")
        self.client = distributed.Client(self.address, timeout=PATIENCE, set_as_default=False)

    def start(self, kind, *words, name="scheduler"):
        command = [sys.executable, "-m", f"distributed.cli.dask_{kind}", *words]
        environment = os.environ | {
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{ROOT}",
            "OMP_NUM_THREADS": "1",
        }
        with (self.folder / f"{name}.log").open("wb") as log:
            self.processes[name] = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=log, stderr=log
            )

    def worker(self, name):
        words = ["--name", name, "--nthreads", "1", "--no-nanny", "--no-dashboard"]
        self.start("worker", self.address, *words, "--local-directory", str(self.folder), name=name)

    def names(self):
        return {worker["name"] for worker in self.client.scheduler_info(n_workers=-1)["workers"].values()}

    def close(self):
        self.client.close()
        for process in self.processes.values():
            process.kill()
            process.wait()


@contextlib.contextmanager
def two_workers(folder):
    """Start a scheduler and two workers, ``a`` and ``b``."""
    made = Cluster(folder)
    try:
        made.worker("a")
        made.worker("b")
        until(lambda: made.names() >= {"a", "b"})
        yield made
    finally:
        made.close()


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    """A scheduler and two workers for all tests that kill none of them."""
    with two_workers(tmp_path_factory.mktemp("cluster")) as made:
        yield made


@pytest.fixture
def doomed(tmp_path_factory, monkeypatch):
    """A scheduler and two workers of one test, as tests come in any order; the variable names them."""
    with two_workers(tmp_path_factory.mktemp("doomed")) as made:
        monkeypatch.setenv("OVERTONE_CLUSTER", made.address)
        yield made


@pytest.fixture
def on(two, monkeypatch):
    """The two workers, with the environment variable that names their scheduler."""
    monkeypatch.setenv("OVERTONE_CLUSTER", two.address)
    return two


def tracks(folder, count):
    rng = np.random.default_rng(3)
    folder.mkdir(parents=True)
    for number in range(count):
        soundfile.write(folder / f"{number}.wav", rng.uniform(-0.3, 0.3, 4410), 44100)
    return [(number, folder / f"{number}.wav") for number in range(count)]


def content(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.suffix != ".part"}


def test_the_stage_writes_the_same_bytes_and_shows_its_progress(
    two, tmp_path, monkeypatch, capsys, degrade_settings
):
    monkeypatch.syspath_prepend(ROOT)
    from stages import degrade

    names = [f"{number}.wav" for number, _ in tracks(tmp_path / "data/fma", 6)]
    (tmp_path / "data/fma/2.wav").write_bytes(b"no audio")
    pd.DataFrame({"path": names}).to_csv(tmp_path / "data/subset.csv", index_label="track_id")
    (tmp_path / "data/pairs").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("overtone.core.params.read", lambda *_: degrade_settings())
    monkeypatch.setenv("OVERTONE_JOBS", "1")
    degrade.main()
    here = content(tmp_path / "data/pairs")
    capsys.readouterr()
    monkeypatch.setenv("OVERTONE_CLUSTER", two.address)
    degrade.main()
    assert content(tmp_path / "data/pairs") == here
    assert len(here) == 3 + 3  # shards and tables
    assert "degrade: shard: 3/3" in capsys.readouterr().out
    assert not list(tmp_path.rglob("*.part"))


def test_an_archive_unpacks_to_the_same_files(on, tmp_path, monkeypatch):
    names = {f"fma/{number:03}/{number}.mp3": bytes([number]) * 300 for number in range(9)}
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name, data in names.items():
            archive.writestr(name, data)
    monkeypatch.setattr(parallel, "BATCH", 1000)  # three calls
    (tmp_path / "to").mkdir()
    unpack(tmp_path / "a.zip", tmp_path / "to")
    found = {
        f"fma/{p.relative_to(tmp_path / 'to')}": p.read_bytes() for p in (tmp_path / "to").rglob("*.mp3")
    }
    assert found == names


def test_a_chunk_is_scored_the_same_to_the_byte(two, pairs, segments, monkeypatch):
    registry.save(make("unet"), "unet", pairs.folder / "model", {})
    made_by = [systems.Baseline("noise fill"), systems.Model("model", pairs.folder / "model")]
    work = RunSettings(pairs.folder.absolute(), "shared", "cpu", False, True, 0.1)
    calls = [(work, part, made_by, 4800.0, False, True) for part in list_chunks(pairs, segments)]
    monkeypatch.setenv("OVERTONE_JOBS", "1")
    here = [plain(chunk) for chunk in parallel.run_all(score_chunk, calls)]
    monkeypatch.setenv("OVERTONE_CLUSTER", two.address)
    assert [plain(chunk) for chunk in parallel.run_all(score_chunk, calls)] == here
    assert list(here[0][1]) == ["noise fill", "model", "network alone", "network alone, aligned"]


def test_a_model_that_a_worker_does_not_see_is_one_line(on, pairs, segments, tmp_path):
    work = RunSettings(pairs.folder.absolute(), "shared", "cpu", False, False, 0.1)
    made_by = [systems.Model("far/away", tmp_path / "far/away")]
    call = (work, list_chunks(pairs, segments)[0], made_by, 4800.0, False, False)
    with pytest.raises(OvertoneError, match=r"worker at tcp://\S+ does not see .*far/away as this machine"):
        list(parallel.run_all(score_chunk, [call]))


def test_a_file_that_a_worker_does_not_see_is_no_track_left_out_but_one_line(on, tmp_path, degrade_settings):
    call = (0, [(1, tmp_path / "nowhere.wav")], tmp_path, degrade_settings())
    with pytest.raises(
        OvertoneError, match=r"worker at tcp://\S+ does not see .*nowhere.wav as this machine"
    ):
        list(parallel.run_all(write_shard, [call], tmp_path))
    assert not list(tmp_path.iterdir())


def test_shards_for_a_store_need_no_folder_of_pairs_in_common(on, tmp_path, degrade_settings):
    music = tracks(tmp_path / "music", 2)
    calls = [(n, [music[n]], str(tmp_path / "store"), degrade_settings()) for n in range(2)]
    (tmp_path / "here").mkdir()
    here = [write_shard(n, one, tmp_path / "here", settings) for n, one, _, settings in calls]
    assert list(parallel.run_all(write_shard, calls, None)) == here
    assert {path.stem for path in (tmp_path / "store").iterdir()} == {digest for *_, digest in here}


def test_an_error_of_the_call_itself_comes_back(on):
    with pytest.raises(TimeoutError, match="the call's own"):
        list(parallel.run_all(remote_work.run_out_of_time, [()]))


def test_a_worker_killed_and_one_that_joins_late_change_no_byte(doomed, tmp_path, degrade_settings):
    music, marks = tracks(tmp_path / "music", 24), tmp_path / "marks"
    folders = [tmp_path / "here", tmp_path / "there"]
    for folder in (*folders, marks):
        folder.mkdir()
    calls = [(number, music[2 * number : 2 * number + 2]) for number in range(12)]
    here = [write_shard(*call, folders[0], degrade_settings()) for call in calls]

    def numbers(state, name):
        found = (path.name.split("-") for path in marks.glob(f"{state}-*"))
        return {number for _, process, number in found if int(process) == doomed.processes[name].pid}

    work = [(marks, *call, folders[1], degrade_settings()) for call in calls]
    results = parallel.run_all(remote_work.shard_with_pauses, work, folders[1])
    there = [next(results)]
    until(lambda: numbers("began", "a") > numbers("ended", "a"))
    doomed.processes["a"].kill()
    doomed.worker("c")
    until(lambda: "c" in doomed.names())
    (marks / "late").touch()
    there += results
    assert there == here
    assert content(folders[1]) == content(folders[0])
    assert numbers("began", "a") > numbers("ended", "a"), "it was killed in the middle"
    assert numbers("ended", "c"), "the late one got its share"


def test_calls_that_kill_every_worker_end_in_one_line(doomed, tmp_path, monkeypatch):
    monkeypatch.setattr(cluster, "ALONE", 0.5)
    with pytest.raises(OvertoneError, match=r"scheduler at \S+ has had no worker for 0 s; start some"):
        list(parallel.run_all(remote_work.die, [(1,)]))


def test_a_scheduler_that_goes_away_is_one_line(doomed):
    results = parallel.run_all(time.sleep, [(0.01,), (600,)])
    next(results)
    doomed.processes["scheduler"].kill()
    with pytest.raises(OvertoneError, match=r"the Dask scheduler at \S+ went away; start it again"):
        next(results)


def test_a_scheduler_that_does_not_answer_is_one_line(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound, and not listening
        address = f"tcp://127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("OVERTONE_CLUSTER", address)
        monkeypatch.setattr(cluster, "CONNECT", 0.5)
        message = f"OVERTONE_CLUSTER is '{address}'; no Dask scheduler answers there: start one"
        with pytest.raises(OvertoneError, match=message):
            list(parallel.run_all(pow, [(1, 2)]))


@pytest.mark.parametrize("address", ["host:8786", "tcp://host", "tcp://", "http://host:80"])
def test_what_is_no_schedulers_address_is_one_line(monkeypatch, address):
    monkeypatch.setenv("OVERTONE_CLUSTER", address)
    with pytest.raises(OvertoneError, match=f"OVERTONE_CLUSTER is '{address}'; it is a scheduler's address"):
        list(parallel.run_all(pow, [(1, 2)]))


@pytest.fixture
def as_worker(monkeypatch):
    monkeypatch.setattr(distributed, "get_worker", lambda: SimpleNamespace(address="tcp://w:1"))


def test_a_worker_with_other_packages_refuses(as_worker):
    with pytest.raises(OvertoneError, match=r"worker at tcp://w:1 has numpy \S+, this machine 1\.0; results"):
        cluster._call(cluster.code_versions() | {"numpy": "1.0"}, None, pow, (1, 2))


def test_a_worker_that_does_not_share_the_folder_it_writes_to_refuses(as_worker, tmp_path):
    with pytest.raises(
        OvertoneError, match=f"does not see {tmp_path} as this machine does; put it in a folder"
    ):
        cluster._call(cluster.code_versions(), tmp_path / "mark", pow, (1, 2))
