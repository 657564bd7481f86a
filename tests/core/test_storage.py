import hashlib

import numpy as np
import pandas as pd
import pytest
import soundfile

from overtone.core.errors import OvertoneError
from overtone.core.storage import list_below, local_copy, locate
from overtone.data.dataset.reader import Pairs
from overtone.data.preparation.shard_writer import write_shard, write_store
from overtone.data.sources import http
from overtone.data.sources.provide import DownloadSettings, provide


@pytest.fixture
def music(tmp_path):
    """Two files below a folder, and one that is no music."""
    rng = np.random.default_rng(2)
    for name in ("x/a.flac", "x/b c.wav"):
        (tmp_path / "own/x").mkdir(parents=True, exist_ok=True)
        soundfile.write(tmp_path / "own" / name, rng.uniform(-0.3, 0.3, 4410), 44100)
    (tmp_path / "own/x/notes.txt").write_text("no music")
    return tmp_path / "own"


@pytest.fixture
def bucket(object_store, music, request):
    """The address of the same music in a bucket of this test's own."""
    name = hashlib.sha1(request.node.name.encode()).hexdigest()
    object_store.client.create_bucket(Bucket=name)
    for path in music.rglob("*.*"):
        object_store.client.upload_file(str(path), name, f"own/{path.relative_to(music)}")
    return f"s3://{name}"


def test_a_path_is_relative_to_its_folder_and_an_address_stands_for_itself(tmp_path):
    assert locate(tmp_path, "000/1.mp3") == tmp_path / "000/1.mp3"
    assert locate(tmp_path, "/music/1.mp3") == locate(tmp_path / "other", "/music/1.mp3")
    assert locate(tmp_path, "s3://bucket/1.mp3") == "s3://bucket/1.mp3"


def test_a_path_is_read_where_it_lies(music):
    with local_copy(music / "x/a.flac") as path:
        assert path == music / "x/a.flac"
    assert path.exists()


def test_an_object_is_read_from_a_copy_that_goes(bucket, music):
    with local_copy(f"{bucket}/own/x/a.flac") as path:
        assert path.read_bytes() == (music / "x/a.flac").read_bytes()
    assert not path.exists()


def test_all_objects_below_an_address_are_found_with_their_bytes(bucket, music):
    files = sorted(path for path in music.rglob("*.*") if path.is_file())
    assert list_below(f"{bucket}/own") == [
        (f"{bucket}/own/{path.relative_to(music)}", path.stat().st_size) for path in files
    ]


def test_own_music_in_a_store_is_described_as_in_a_folder(bucket, music, tmp_path):
    provide(DownloadSettings("mini", str(music)), tmp_path / "here")
    provide(DownloadSettings("mini", f"{bucket}/own"), tmp_path / "there")
    assert (tmp_path / "there/tracks.csv").read_text() == (tmp_path / "here/tracks.csv").read_text()
    here, there = (pd.read_csv(tmp_path / name / "files.csv") for name in ("here", "there"))
    assert there["sha1"].tolist() == here["sha1"].tolist()
    assert there["path"].tolist() == [f"{bucket}/own/x/a.flac", f"{bucket}/own/x/b c.wav"]


def test_a_shard_from_a_store_is_the_same_to_the_byte(bucket, music, tmp_path, degrade_settings):
    written = []
    for name, root in (("here", music), ("there", f"{bucket}/own")):
        (tmp_path / name).mkdir()
        tracks = [(n, locate(music, f"{root}/x/{file}")) for n, file in enumerate(["a.flac", "b c.wav"])]
        rows = write_shard(0, tracks, tmp_path / name, degrade_settings())
        written.append((rows, (tmp_path / name / "shard-0000.i16").read_bytes()))
    assert written[0] == written[1]


@pytest.mark.parametrize("kind", ["s3", "folder"])
def test_shards_in_a_store_are_the_same_to_the_byte(
    bucket, object_store, music, tmp_path, degrade_settings, kind
):
    where = f"{bucket}/shards/" if kind == "s3" else str(tmp_path / "shared/shards")
    tracks = [(n, music / "x" / file) for n, file in enumerate(["a.flac", "b c.wav"])]
    (tmp_path / "here").mkdir()
    here = write_shard(0, tracks, tmp_path / "here", degrade_settings())
    assert write_shard(0, tracks, where, degrade_settings()) == here
    rows, _, name, digest = here
    content = (tmp_path / "here" / name).read_bytes()
    if kind == "s3":
        kept = object_store.client.list_objects(Bucket=bucket.removeprefix("s3://"), Prefix="shards/")
        assert [one["Key"] for one in kept["Contents"]] == [f"shards/{digest}.i16"]
        with local_copy(f"{where}{digest}.i16") as path:
            assert path.read_bytes() == content
    else:
        assert [path.name for path in (tmp_path / "shared/shards").iterdir()] == [f"{digest}.i16"]
        assert (tmp_path / "shared/shards" / f"{digest}.i16").read_bytes() == content
    assert hashlib.sha1(content).hexdigest() == digest
    (tmp_path / "there").mkdir()
    for folder in ("here", "there"):
        pd.DataFrame(rows).to_csv(tmp_path / folder / "index.csv", index_label="pair")
    pd.DataFrame([(name, digest)], columns=["shard", "sha1"]).to_csv(tmp_path / "there/shards.csv")
    write_store(tmp_path / "there", where)
    there, here = Pairs(tmp_path / "there"), Pairs(tmp_path / "here")
    for pair, start, length in ((0, 0, None), (1, 0, None), (1, 1000, 77)):
        assert np.array_equal(there.read(pair, start, length), here.read(pair, start, length))


def test_a_store_that_takes_nothing_is_one_line(object_store, music, degrade_settings):
    with pytest.raises(OvertoneError, match=r"s3://no-such-bucket/\S+.i16 cannot be written: ") as caught:
        write_shard(0, [(1, music / "x/a.flac")], "s3://no-such-bucket", degrade_settings())
    assert "\n" not in str(caught.value)


def test_a_shared_folder_that_takes_nothing_is_one_line(music, tmp_path, degrade_settings):
    (tmp_path / "full").write_text("no folder")
    with pytest.raises(OvertoneError, match=r"full/\S+.i16 cannot be written: File exists"):
        write_shard(0, [(1, music / "x/a.flac")], str(tmp_path / "full"), degrade_settings())


def test_an_object_that_does_not_come_is_an_error_and_no_track_left_out(bucket, tmp_path, degrade_settings):
    with pytest.raises(OvertoneError, match=r"s3://\S+/own/gone.wav cannot be read: .*; check the address"):
        write_shard(0, [(1, f"{bucket}/own/gone.wav")], tmp_path, degrade_settings())
    assert not list(tmp_path.glob("shard-*")), "nothing half-made is left"


def test_an_archive_comes_from_a_store_and_goes_on_where_it_broke(bucket, object_store, tmp_path, capsys):
    body = bytes(range(256)) * 5000
    object_store.client.put_object(Bucket=bucket.removeprefix("s3://"), Key="fma.zip", Body=body)
    (tmp_path / "part").write_bytes(body[:1000])
    http.download(f"{bucket}/fma.zip", tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == body
    assert capsys.readouterr().out.startswith("download fma.zip: 1.22M/1.22M, ")  # 1,280,000 bytes
    http.download(f"{bucket}/fma.zip", tmp_path / "part")
    assert (tmp_path / "part").read_bytes() == body


def test_a_bucket_that_is_not_there_is_one_line(object_store, tmp_path):
    with pytest.raises(OvertoneError, match=r"s3://no-such-bucket/music cannot be read") as caught:
        provide(DownloadSettings("mini", "s3://no-such-bucket/music"), tmp_path / "fma")
    assert "\n" not in str(caught.value)


def test_a_store_of_an_unknown_kind_is_one_line(tmp_path):
    with pytest.raises(OvertoneError, match=r"nosuch://bucket cannot be read: Protocol not known: nosuch"):
        provide(DownloadSettings("mini", "nosuch://bucket"), tmp_path / "fma")
