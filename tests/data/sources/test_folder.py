import os
import shutil
import unicodedata

import numpy as np
import pandas as pd
import pytest
import soundfile

from overtone.core.errors import OvertoneError
from overtone.core.storage import locate
from overtone.core.tables import read_table, write_table
from overtone.data.catalog import read_catalog
from overtone.data.preparation.shard_writer import write_shard
from overtone.data.sources.provide import DownloadSettings, provide
from tests.helpers.sound import forget_length, write_by_ffmpeg


def write(path, **tags):
    path.parent.mkdir(parents=True, exist_ok=True)
    with soundfile.SoundFile(path, "w", 44100, 1) as file:
        for key, value in tags.items():
            setattr(file, key, value)
        file.write(np.zeros(4410, np.float32))


@pytest.fixture
def own(tmp_path):
    """Two tagged files, one by its folder alone, one that does not open, and what is no music."""
    root = tmp_path / "own"
    write(root / "x/b.flac", artist="The Band", title="Bee", genre="Rock", license="CC BY")
    write(root / "x/deeper/A.WAV", artist="the band")
    write(root / "y/c.ogg")
    (root / "y/d.mp3").write_bytes(b"no sound at all")
    (root / "y/notes.txt").write_text("no music")
    (root / "y/._c.ogg").write_bytes(b"a system's own file")
    return root


def catalog(own, tmp_path):
    provide(DownloadSettings("mini", str(own)), tmp_path / "fma")
    return read_catalog(tmp_path / "fma")


def test_every_audio_file_is_a_track_even_one_that_does_not_open(own, tmp_path):
    paths = [str(own / name) for name in ("x/b.flac", "x/deeper/A.WAV", "y/c.ogg", "y/d.mp3")]
    tracks = catalog(own, tmp_path)
    assert tracks["path"].tolist() == paths
    assert tracks.index.tolist() == [1, 2, 3, 4]


def test_tags_tell_title_genre_and_license(own, tmp_path):
    tracks = catalog(own, tmp_path)
    assert tracks.loc[1, ["title", "genre", "license"]].tolist() == ["Bee", "Rock", "CC BY"]
    assert tracks.loc[3, ["title", "genre", "license"]].tolist() == ["c", "unknown", ""]


def test_artist_is_the_tag_in_any_spelling_else_the_folder(own, tmp_path):
    artist = catalog(own, tmp_path)["artist"].tolist()
    assert artist[0] == artist[1] != artist[2] == artist[3]


def test_artist_is_one_in_both_ways_to_write_an_accent(tmp_path):
    root = tmp_path / "own"
    for number, form in enumerate(("NFC", "NFD")):
        write(root / f"{number}.flac", artist=unicodedata.normalize(form, "Beyoncé"))
    assert catalog(root, tmp_path)["artist"].nunique() == 1


def test_artists_who_share_a_file_are_one_and_numbers_keep_their_order(tmp_path):
    root = tmp_path / "own"
    for name in ("a/1", "b/2", "b/3", "c/4", "d/5"):
        write(root / f"{name}.flac", title=name)
    shutil.copyfile(root / "b/3.flac", root / "d/again.flac")
    assert catalog(root, tmp_path)["artist"].tolist() == ["1", "2", "2", "3", "2", "2"]


def test_table_reads_as_fmas_own(own, tmp_path):
    catalog(own, tmp_path)
    tracks = pd.read_csv(tmp_path / "fma/tracks.csv", index_col=0, header=[0, 1])
    assert tracks["set", "subset"].unique().tolist() == ["folder"]
    assert tracks.loc[1, ("track", "duration")] == 0.1
    assert tracks.index.name == "track_id"


def test_length_that_a_file_does_not_know_is_left_empty(own, tmp_path):
    forget_length(own / "x/b.flac")
    catalog(own, tmp_path)
    tracks = pd.read_csv(tmp_path / "fma/tracks.csv", index_col=0, header=[0, 1])
    assert np.isnan(tracks.loc[1, ("track", "duration")])
    assert tracks.loc[1, ("track", "title")] == "Bee"


@pytest.mark.parametrize("name", [b"caf\xe9", b"two\rlines", b"two\nlines"])
def test_a_name_that_is_no_line_of_text_is_a_track_all_the_same(tmp_path, degrade_settings, name):
    path = tmp_path / "own" / os.fsdecode(name) / os.fsdecode(name + b".wav")
    path.parent.mkdir(parents=True)
    write(tmp_path / "plain.wav")
    (tmp_path / "plain.wav").rename(path)
    write_table(catalog(tmp_path / "own", tmp_path), tmp_path / "subset.csv")
    (track,) = read_table(tmp_path / "subset.csv").itertuples()
    assert locate(tmp_path, track.path) == path
    assert track.title == name.decode(errors="replace").replace("\r", " ").replace("\n", " ")
    _, left_out, *_ = write_shard(0, [(1, locate(tmp_path, track.path))], tmp_path, degrade_settings())
    assert [row["reason"] for row in left_out] == ["is silent"], "it was read"


def test_changed_file_changes_the_output(own, tmp_path):
    catalog(own, tmp_path)
    before = (tmp_path / "fma/files.csv").read_text()
    (own / "y/d.mp3").write_bytes(b"something else")
    catalog(own, tmp_path)
    assert (tmp_path / "fma/files.csv").read_text() != before


def test_m4a_and_films_are_tracks_by_ffmpeg_with_their_tags(tmp_path, rng, degrade_settings):
    root = tmp_path / "own/x"
    root.mkdir(parents=True)
    samples = rng.uniform(-0.3, 0.3, (22050, 2))
    write_by_ffmpeg(root / "a.m4a", samples, 44100, "aac", {"artist": "The Band", "title": "Bee"})
    write_by_ffmpeg(root / "b.mkv", samples, 44100, "aac")
    tracks = catalog(tmp_path / "own", tmp_path)
    assert tracks["title"].tolist() == ["Bee", "b"]
    locations = [(number, locate(tmp_path, path)) for number, path in tracks["path"].items()]
    rows, left_out, *_ = write_shard(0, locations, tmp_path, degrade_settings())
    assert left_out == []
    # AAC's encoder adds up to two frames at each end.
    assert [row["samples"] for row in rows] == pytest.approx([22050, 22050], abs=4096)


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("a.mp3", b"", "is empty: it has 0 bytes"),
        ("a.m4a", b"", "is empty: it has 0 bytes"),
        ("a.mp4", b"no film", "does not decode: Format not recognised; FFmpeg: "),
        ("a.wav", b"no sound at all", "does not decode: Format not recognised; FFmpeg: "),
    ],
)
def test_a_file_without_sound_is_left_out_with_its_reason(tmp_path, degrade_settings, name, content, reason):
    root = tmp_path / "own"
    root.mkdir()
    (root / name).write_bytes(content)
    ((number, path),) = catalog(root, tmp_path)["path"].items()
    _, left_out, *_ = write_shard(0, [(number, locate(tmp_path, path))], tmp_path, degrade_settings())
    assert left_out[0]["reason"].startswith(reason)


def test_folder_without_audio_is_refused(tmp_path):
    with pytest.raises(OvertoneError, match=r"download.folder is '.*'; it holds no file of .wav"):
        provide(DownloadSettings("mini", str(tmp_path)), tmp_path / "fma")
    assert not list(tmp_path.iterdir())


def test_missing_folder_is_refused(tmp_path):
    with pytest.raises(OvertoneError, match=r"download.folder is '.*nowhere'; there is no such folder"):
        provide(DownloadSettings("mini", str(tmp_path / "nowhere")), tmp_path / "fma")
