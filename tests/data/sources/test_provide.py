import bz2
import hashlib
import io
import json
import re
import shutil
import stat
import threading
import tracemalloc
import zipfile
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from dvc.repo import Repo

from overtone.core import params
from overtone.core.errors import OvertoneError
from overtone.core.storage import local_copy, locate
from overtone.core.tables import read_table
from overtone.data.catalog import read_catalog
from overtone.data.preparation.shard_writer import write_shard
from overtone.data.sources import http
from overtone.data.sources import provide as sources
from overtone.data.sources.archives import unpack
from overtone.data.sources.provide import Archive, DownloadSettings, provide, provide_archives

BODY = bytes(range(256)) * 4000  # 1 MB


class Server(ThreadingHTTPServer):
    """Serves `files`, and misbehaves once for each of `faults`."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.faults, self.ranges = {}, deque(), []
        self.takes_ranges = True
        self.url = f"http://127.0.0.1:{self.server_port}/"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        server = self.server
        wanted = self.headers.get("Range")
        server.ranges.append(wanted)
        body = server.files.get(self.path.strip("/"))
        fault = server.faults.popleft() if server.faults else None
        if body is None or (fault and fault["kind"] == "status"):
            return self.send_error(404 if body is None else fault["value"])
        begin = int(re.fullmatch(r"bytes=(\d+)-", wanted)[1]) if wanted and server.takes_ranges else 0
        if begin and begin >= len(body):
            return self.send_error(416)
        self.send_response(206 if begin else 200)
        if begin:
            claimed = fault["value"] if fault and fault["kind"] == "range" else begin
            self.send_header("Content-Range", f"bytes {claimed}-{len(body) - 1}/{len(body)}")
        self.send_header("Content-Length", str(len(body) - begin))
        self.end_headers()
        end = begin + fault["value"] if fault and fault["kind"] == "break" else len(body)
        self.wfile.write(memoryview(body)[begin:end])
        return None

    def log_message(self, *args):
        pass


def breaks_after(count):
    return {"kind": "break", "value": count}


def answers(status):
    return {"kind": "status", "value": status}


@pytest.fixture
def server(monkeypatch, tmp_path):
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        monkeypatch.setenv("no_proxy", "127.0.0.1")
        monkeypatch.setenv("OVERTONE_FMA_URL", server.url)
        monkeypatch.setenv("OVERTONE_DOWNLOADS", str(tmp_path / "downloads"))
        monkeypatch.setattr(http, "PAUSES", (0.0, 0.0))
        yield server
        server.shutdown()
        thread.join()


def zipped(files, compression=zipfile.ZIP_STORED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def music(clips, sums=None):
    """An archive laid out as FMA's."""
    sums = {name: hashlib.sha1(data).hexdigest() for name, data in clips.items()} | (sums or {})
    lines = "".join(f"{digest}  {name}\n" for name, digest in sums.items())
    files = {"fma_small/README.txt": "read me", "fma_small/checksums": lines}
    return zipped(files | {f"fma_small/{name}": data for name, data in clips.items()})


CLIPS = {"000/000002.mp3": b"not really music", "098/098565.mp3": b"", "000/000005.mp3": b"x" * 5000}


@pytest.fixture
def archives(server):
    """Music and metadata on the server, as `provide_archives` wants them."""
    server.files["music.zip"] = music(CLIPS)
    table = {"fma_metadata/tracks.csv": "the table", "fma_metadata/README.txt": "not wanted"}
    server.files["metadata.zip"] = zipped(table, zipfile.ZIP_BZIP2)
    return described(server)


def described(server):
    only = {"music.zip": None, "metadata.zip": "tracks.csv"}
    return tuple(
        Archive(name, hashlib.sha1(server.files[name]).hexdigest(), len(server.files[name]), only=only[name])
        for name in only
    )


# ------------------------------------------------------------------ download


def test_download_brings_the_bytes(server, tmp_path):
    server.files["a"] = BODY
    http.download(server.url + "a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == BODY
    assert server.ranges == [None]


def test_download_goes_on_where_an_earlier_run_broke(server, tmp_path):
    server.files["a"] = BODY
    (tmp_path / "a").write_bytes(BODY[:123_456])
    http.download(server.url + "a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == BODY
    assert server.ranges == ["bytes=123456-"]


def test_broken_connections_are_resumed_as_long_as_each_brings_something(server, tmp_path):
    server.files["a"] = BODY
    server.faults.extend([breaks_after(200_000)] * 4)  # more often than failures are allowed
    http.download(server.url + "a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == BODY
    assert server.ranges == [None, *(f"bytes={n}-" for n in (200_000, 400_000, 600_000, 800_000))]


def test_download_starts_over_where_the_server_ignores_ranges(server, tmp_path):
    server.files["a"] = BODY
    server.takes_ranges = False
    (tmp_path / "a").write_bytes(b"z" * 1000)
    http.download(server.url + "a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == BODY


def test_another_range_than_asked_is_not_written(server, tmp_path):
    server.files["a"] = BODY
    (tmp_path / "a").write_bytes(BODY[:1000])
    server.faults.append({"kind": "range", "value": 999})
    http.download(server.url + "a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == BODY
    assert server.ranges == ["bytes=1000-"] * 2


def test_complete_part_is_left_as_it_is(server, tmp_path):
    server.files["a"] = BODY
    (tmp_path / "a").write_bytes(BODY)
    http.download(server.url + "a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == BODY


def test_server_in_trouble_is_asked_again(server, tmp_path):
    server.files["a"] = BODY
    server.faults.extend([answers(503), answers(429)])
    http.download(server.url + "a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == BODY


def test_download_that_brings_nothing_new_ends_and_says_how_to_go_on(server, tmp_path):
    server.files["a"] = BODY
    server.takes_ranges = False
    server.faults.extend([breaks_after(102_400)] * 9)
    with pytest.raises(
        OvertoneError, match=r"/a broke off after 100 KiB \(.*\); run again: the bytes received are kept"
    ):
        http.download(server.url + "a", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == BODY[:102_400]
    assert len(server.ranges) == 4  # the first brought something, the pauses are two


def test_missing_file_is_an_error_at_once(server, tmp_path):
    with pytest.raises(OvertoneError, match=r"the server answers 404 .*; set OVERTONE_FMA_URL"):
        http.download(server.url + "nothing", tmp_path / "a")
    assert len(server.ranges) == 1


def test_address_must_be_http(tmp_path):
    with pytest.raises(OvertoneError, match="file:///etc/hosts is not an http or https address"):
        http.download("file:///etc/hosts", tmp_path / "a")


def test_archive_is_never_held_in_memory(server, tmp_path):
    server.files["a"] = bytes(30_000_000)
    tracemalloc.start()
    http.download(server.url + "a", tmp_path / "a")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (tmp_path / "a").stat().st_size == 30_000_000
    assert peak < 8_000_000


def test_progress_ends_at_the_total_and_counts_what_was_there(server, tmp_path, capsys):
    server.files["a"] = BODY
    (tmp_path / "a").write_bytes(BODY[:500_000])
    http.download(server.url + "a", tmp_path / "a")
    assert capsys.readouterr().out.startswith("download a: 0.98M/0.98M, 00:")


# ------------------------------------------------------------------ archives, from the server to the folder


def test_archives_become_clips_and_the_table(archives, tmp_path):
    assert provide_archives("small", archives, tmp_path / "fma")
    for (
        name,
        data,
    ) in CLIPS.items():  # one of zero length, one that no decoder takes: both as the archive has them
        assert (tmp_path / "fma" / name).read_bytes() == data
    assert (tmp_path / "fma/tracks.csv").read_text() == "the table"
    assert (tmp_path / "fma/README.txt").read_text() == "read me"
    assert json.loads((tmp_path / "fma/source.json").read_text())["subset"] == "small"


def test_second_run_does_nothing(archives, server, tmp_path):
    provide_archives("small", archives, tmp_path / "fma")
    server.ranges.clear()
    (tmp_path / "fma/tracks.csv").write_text("untouched")
    assert not provide_archives("small", archives, tmp_path / "fma")
    assert not server.ranges
    assert (tmp_path / "fma/tracks.csv").read_text() == "untouched"


def test_archives_are_kept_when_the_folder_is_deleted(archives, server, tmp_path):
    provide_archives("small", archives, tmp_path / "fma")
    server.ranges.clear()
    shutil.rmtree(tmp_path / "fma")  # as DVC does before it runs a stage
    assert provide_archives("small", archives, tmp_path / "fma")
    assert not server.ranges
    assert not list((tmp_path / "downloads").glob("*.part"))


def test_two_experiments_at_once_download_an_archive_once(archives, server, tmp_path):
    together = threading.Barrier(2)

    def experiment(name):
        together.wait()
        provide_archives("small", archives, tmp_path / name)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(experiment, ["a", "b"]))
    assert server.ranges == [None, None], "each of the two archives from its start, once"
    for name in "ab":
        assert (tmp_path / name / "000/000005.mp3").read_bytes() == CLIPS["000/000005.mp3"]


def test_another_subset_replaces_the_folder(archives, server, tmp_path):
    provide_archives("small", archives, tmp_path / "fma")
    server.files["music.zip"] = music({"001/001000.mp3": b"other"})
    (tmp_path / "downloads/music.zip").unlink()
    assert provide_archives("medium", described(server), tmp_path / "fma")
    assert [path.name for path in (tmp_path / "fma").rglob("*.mp3")] == ["001000.mp3"]


def test_corrupted_archive_is_removed_and_a_new_run_succeeds(archives, server, tmp_path):
    good = server.files["music.zip"]
    server.files["music.zip"] = good[:50] + bytes([good[50] ^ 1]) + good[51:]
    with pytest.raises(
        OvertoneError, match=r"music.zip.part has SHA-1 \w{40}, it should be \w{40}; it is removed"
    ):
        provide_archives("small", archives, tmp_path / "fma")
    assert not list((tmp_path / "downloads").iterdir())
    assert not (tmp_path / "fma").exists()
    server.files["music.zip"] = good
    assert provide_archives("small", archives, tmp_path / "fma")


def test_clip_that_does_not_match_its_checksum_is_named_and_nothing_is_left(archives, server, tmp_path):
    server.files["music.zip"] = music(CLIPS, {"000/000005.mp3": "0" * 40})
    with pytest.raises(OvertoneError, match=r"000/000005.mp3 does not match its line in checksums"):
        provide_archives("small", described(server), tmp_path / "fma")
    assert [path.name for path in tmp_path.iterdir()] == ["downloads"]


def test_clip_that_is_missing_is_named(archives, server, tmp_path):
    server.files["music.zip"] = music(CLIPS, {"000/000009.mp3": "0" * 40})
    with pytest.raises(OvertoneError, match=r"lacks 000/000009.mp3 "):
        provide_archives("small", described(server), tmp_path / "fma")


def test_too_little_disk_is_found_before_the_server_is_asked(archives, server, tmp_path, monkeypatch):
    room = sum(archive.size for archive in archives) * 2 - 1  # what comes, and the same again unpacked
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 0, room))
    with pytest.raises(
        OvertoneError,
        match=r"has \d+ KiB free, music.zip and metadata.zip needs \d+ KiB: \d+ B are missing; make room",
    ):
        provide_archives("small", archives, tmp_path / "fma")
    assert not server.ranges


def test_the_copy_in_dvcs_cache_needs_disk_too(archives, tmp_path, monkeypatch):
    size = sum(archive.size for archive in archives)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 0, 2 * size))
    sources._check_disk(archives, tmp_path / "data/fma", True)
    Repo.init(str(tmp_path), no_scm=True).close()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DVC_STAGE", "download_fma")
    with pytest.raises(OvertoneError, match=r"and \S+/fma in DVC's cache needs .*puts the cache on another"):
        sources._check_disk(archives, tmp_path / "data/fma", True)


def test_what_has_come_already_needs_no_more_disk(archives, tmp_path, monkeypatch):
    room = sum(archive.size for archive in archives) * 2 - 1
    (tmp_path / "downloads").mkdir()
    (tmp_path / "downloads/music.zip.part").write_bytes(b"x")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 0, room))
    with pytest.raises(OvertoneError, match="SHA-1"):  # so it got as far as the archive itself
        provide_archives("small", archives, tmp_path / "fma")


def test_disk_that_cannot_be_written_is_one_clear_line(tmp_path):
    (tmp_path / "data").write_text("a file where a folder should be")
    with pytest.raises(OvertoneError, match="put that right, run again"):
        provide(DownloadSettings("mini", None), tmp_path / "data/fma")


# ------------------------------------------------------------------ archives that are read in place


def places_in(folder):
    table = read_table(folder / "files.csv")
    return {track_id: locate(folder, path) for track_id, path in table["path"].items()}


def test_clips_are_read_in_the_archive_without_unpacking_it(archives, tmp_path):
    assert provide_archives("small", archives, tmp_path / "fma", unpacked=False)
    assert {path.name for path in (tmp_path / "fma").iterdir()} == {"tracks.csv", "files.csv", "source.json"}
    found = places_in(tmp_path / "fma")
    assert {f"{n:06d}"[:3] + f"/{n:06d}.mp3" for n in found} == set(CLIPS)
    for name, data in CLIPS.items():
        with local_copy(found[int(name[4:10])]) as path:
            assert path.name == name[4:]
            assert path.read_bytes() == data
        assert not path.exists()
    sums = read_table(tmp_path / "fma/files.csv")["sha1"]
    assert sums[5] == hashlib.sha1(CLIPS["000/000005.mp3"]).hexdigest()


def test_the_table_is_the_same_wherever_downloads_lie(archives, tmp_path, monkeypatch):
    tables = []
    for name in "ab":
        monkeypatch.setenv("OVERTONE_DOWNLOADS", str(tmp_path / name))
        provide_archives("small", archives, tmp_path / f"fma {name}", unpacked=False)
        tables.append((tmp_path / f"fma {name}/files.csv").read_text())
        assert places_in(tmp_path / f"fma {name}")[5].archive == tmp_path / name / "music.zip"
    assert tables[0] == tables[1]


def test_archives_read_in_place_need_no_disk_for_clips(archives, tmp_path, monkeypatch):
    room = sum(archive.size for archive in archives) + archives[1].size  # what comes, and the table
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 0, room))
    assert provide_archives("small", archives, tmp_path / "fma", unpacked=False)


def test_unpacking_later_replaces_the_table(archives, tmp_path):
    provide_archives("small", archives, tmp_path / "fma", unpacked=False)
    assert not provide_archives("small", archives, tmp_path / "fma", unpacked=False)
    assert provide_archives("small", archives, tmp_path / "fma")
    assert not (tmp_path / "fma/files.csv").exists()
    assert (tmp_path / "fma/000/000005.mp3").read_bytes() == CLIPS["000/000005.mp3"]


def test_an_archive_that_is_gone_is_one_clear_line(archives, tmp_path):
    provide_archives("small", archives, tmp_path / "fma", unpacked=False)
    (tmp_path / "downloads/music.zip").unlink()
    with (
        pytest.raises(OvertoneError, match=r"music.zip is missing, .*; set OVERTONE_DOWNLOADS"),
        local_copy(places_in(tmp_path / "fma")[5]),
    ):
        pass


def test_the_bundled_clips_give_the_same_pairs_in_place(tmp_path, degrade_settings):
    written = []
    for unpacked in (True, False):
        folder = tmp_path / str(unpacked)
        provide(DownloadSettings("mini", None, unpacked), folder / "fma")
        catalog = read_catalog(folder / "fma")
        tracks = [(n, locate(folder / "fma", path)) for n, path in catalog["path"].iloc[:1].items()]
        rows, left_out, *_ = write_shard(0, tracks, folder, degrade_settings(store=False))
        assert not left_out
        written.append((rows, (folder / "shard-0000.i16").read_bytes()))
    assert written[0] == written[1]


# ------------------------------------------------------------------ the zip itself


def write_zip(path, *entries):
    with zipfile.ZipFile(path, "w") as archive:
        for entry in entries:
            archive.writestr(entry, b"data")
    return path


@pytest.mark.parametrize(
    "name", ["../out.mp3", "fma/../../out.mp3", "/out.mp3", "C:/out.mp3", "fma\\..\\..\\out.mp3"]
)
def test_entry_that_would_leave_the_folder_is_refused(tmp_path, name):
    path = write_zip(tmp_path / "a.zip", "fma/fine.mp3", name)
    with pytest.raises(OvertoneError, match="would leave the folder"):
        unpack(path, tmp_path / "to")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_link_is_refused(tmp_path):
    link = zipfile.ZipInfo("fma/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    with pytest.raises(OvertoneError, match="'fma/link' would leave the folder"):
        unpack(write_zip(tmp_path / "a.zip", link), tmp_path / "to")


def test_zip_cut_short_is_one_clear_line(tmp_path):
    (tmp_path / "a.zip").write_bytes(music(CLIPS)[:-30])
    with pytest.raises(OvertoneError, match=r"a.zip does not unpack"):
        unpack(tmp_path / "a.zip", tmp_path)


@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2])
def test_zip_with_a_damaged_entry_is_one_clear_line(tmp_path, compression):
    data = bytearray(zipped({"fma/a.mp3": b"abc" * 1000}, compression))
    data[39:60] = bytes(21)  # just after the entry's header of 30 bytes and its name of 9
    (tmp_path / "a.zip").write_bytes(data)
    with pytest.raises(OvertoneError, match=r"a.zip does not unpack"):
        unpack(tmp_path / "a.zip", tmp_path)


def test_bzip2_entries_unpack(tmp_path):
    packed = zipped({"fma/a.mp3": b"abc" * 1000}, zipfile.ZIP_BZIP2)
    assert bz2.compress(b"abc" * 1000) in packed
    (tmp_path / "a.zip").write_bytes(packed)
    unpack(tmp_path / "a.zip", tmp_path)
    assert (tmp_path / "a.mp3").read_bytes() == b"abc" * 1000


# ------------------------------------------------------------------ what is asked for


def test_bundled_music_is_whole(tmp_path):
    assert provide(DownloadSettings("mini", None), tmp_path / "fma")
    assert len(list((tmp_path / "fma").rglob("*.mp3"))) == 24
    assert (tmp_path / "fma/tracks.csv").read_text().startswith(",album")


def test_bundled_archive_that_changed_says_how_to_restore_it(tmp_path, monkeypatch):
    (tmp_path / "fma_mini.zip").write_bytes(b"not the archive")
    monkeypatch.setattr(sources, "BUNDLE", tmp_path)
    with pytest.raises(OvertoneError, match=r"restore it: git checkout .*fma_mini.zip"):
        provide(DownloadSettings("mini", None), tmp_path / "fma")
    assert (tmp_path / "fma_mini.zip").exists()


def test_unknown_subset_names_those_there_are():
    message = "download.subset is 'tiny'; it is one of mini, small, medium, large, full"
    with pytest.raises(OvertoneError, match=message):
        params.build("download", DownloadSettings, {"subset": "tiny", "folder": None})


def test_empty_folder_name_is_refused():
    with pytest.raises(OvertoneError, match=r"download.folder is ''; it is the path of a folder, or null"):
        params.build("download", DownloadSettings, {"subset": "mini", "folder": ""})
