"""Tags: what a source says of itself is said by what is made of it, and its sound is untouched by that."""

import base64
import resource

import mediafile
import mutagen
import numpy as np
import pytest
import soundfile

from overtone.core.errors import OvertoneError
from overtone.formats import SUFFIXES
from overtone.restoration.files.encode import write
from overtone.restoration.files.formats import SoundForm
from overtone.restoration.files.metadata import Metadata
from overtone.restoration.files.tags import LARGEST, MOST_TEXT, read_tags, write_tags
from overtone.restoration.restore_file import restore_file
from tests.helpers.sound import CUTOFF, RATE, make, write_by_ffmpeg, written

SAID = {
    "title": "Über 日本",
    "artist": "A & B",
    "albumartist": "Several",
    "album": "First",
    "track": 3,
    "tracktotal": 9,
    "disc": 1,
    "genres": ["Folk", "Field recording"],
    "composers": ["C"],
    "lyrics": "la\nla",
    "comments": "from tape",
    "copyright": "CC BY",
    "year": 2001,
    "month": 5,
    "isrc": "QZES71982312",
    "mb_trackid": "f3c0a1b6-0000-4000-8000-000000000001",
    "url": "https://example.org",
}
# mediafile knows no tags of these.
UNTAGGED = {".au", ".caf", ".w64"}
SOURCES = sorted({*SUFFIXES, ".m4a", ".wma", ".wv"} - UNTAGGED)


def picture(size=64):
    """A PNG by its first bytes; nobody looks at the rest."""
    data = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + bytes(size)
    return mediafile.Image(data, desc="front", type=mediafile.ImageType.front)


def sound(path, rng):
    return written(path, rng.normal(0, 0.1, (48000, 2)), 48000)


def tagged(path, rng, tags):
    file = mediafile.MediaFile(sound(path, rng))
    file.update(tags)
    file.save()
    return path


def encoder(path):
    return mediafile.MediaFile(path).encoder


@pytest.fixture
def net():
    return make("spectral")


@pytest.mark.parametrize("suffix", [".flac", ".wav", ".ogg", ".mp3"])
@pytest.mark.parametrize("source", SOURCES)
def test_tags_and_pictures_go_from_any_format_to_any_other(tmp_path, rng, net, source, suffix):
    path = tagged(tmp_path / f"song{source}", rng, SAID | {"images": [picture()]})
    report = restore_file(path, tmp_path / f"out{suffix}", cutoff=CUTOFF, model=net)
    made = read_tags(report.target)
    assert {name: made.get(name) for name in SAID} == SAID
    # MP4 knows pictures without a kind and a description.
    kind, text = (
        (mediafile.ImageType.other, None) if source == ".m4a" else (mediafile.ImageType.front, "front")
    )
    assert [(image.data, image.type, image.desc or None) for image in made["images"]] == [
        (picture().data, kind, text)
    ]
    # A date of year and month has no day.
    assert "day" not in made


@pytest.mark.parametrize("source", sorted(UNTAGGED))
def test_what_is_not_tried_has_no_tags(tmp_path, rng, source):
    with pytest.raises(mediafile.FileTypeError):
        mediafile.MediaFile(sound(tmp_path / f"song{source}", rng))


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [("x.mp2", "mp2", {}), ("x.mp3", "libmp3lame", {"write_xing": "0"}), ("x.mp3", "libmp3lame", {})],
)
def test_a_cover_is_not_taken_for_sound(tmp_path, rng, net, name, codec, options):
    path = write_by_ffmpeg(tmp_path / name, rng.normal(0, 0.1, (96000, 2)), 48000, codec, **options)
    file = mediafile.MediaFile(path)
    file.images = [picture(300_000)]
    file.save()
    assert restore_file(path, cutoff=CUTOFF, model=net).seconds == pytest.approx(2, abs=0.05)
    if name == "x.mp3" and not options:
        path.write_bytes(path.read_bytes()[:-30_000])
        with pytest.raises(OvertoneError, match=r"is truncated: its header promises 2\.0 s"):
            restore_file(path, force=True)


@pytest.mark.parametrize("suffix", [".flac", ".ogg", ".mp3"])
def test_other_readers_see_them(tmp_path, rng, net, suffix):
    path = tagged(tmp_path / "song.wav", rng, SAID)
    restore_file(path, tmp_path / f"out{suffix}", cutoff=CUTOFF, model=net)
    with soundfile.SoundFile(tmp_path / f"out{suffix}") as file:
        assert (file.title, file.artist, file.album) == (SAID["title"], SAID["artist"], SAID["album"])


@pytest.mark.parametrize("suffix", [".flac", ".wav", ".ogg", ".mp3"])
@pytest.mark.parametrize("rate", [8000, 44100])
def test_the_sound_is_the_same_with_tags_and_without(tmp_path, rng, suffix, rate):
    # MP3 at 8 kHz is of a kind that mutagen knows by its suffix alone.
    blocks = [rng.normal(0, 0.1, (2, rate)).astype(np.float32)]
    for name, tags in (("plain", {}), ("said", SAID | {"images": [picture(500_000)]})):
        write(tmp_path / f"{name}{suffix}", iter(blocks), SoundForm(rate, 2, 16, rate), Metadata(tags))
    plain, said = (soundfile.read(tmp_path / f"{name}{suffix}")[0] for name in ("plain", "said"))
    np.testing.assert_array_equal(plain, said)
    assert read_tags(tmp_path / f"plain{suffix}").keys() <= {"encoder"}
    assert len(read_tags(tmp_path / f"said{suffix}")["images"][0].data) > 500_000


def test_text_chunks_of_wav_count_too(tmp_path, rng, net):
    path = tmp_path / "tape.wav"
    with soundfile.SoundFile(path, "w", RATE, 1) as file:
        file.title, file.artist, file.comment, file.date = "Tape 7", "Ü", "side A", "1999-02-03"
        file.tracknumber = "3/9"
        file.write(rng.normal(0, 0.1, RATE))
    said = read_tags(restore_file(path, cutoff=CUTOFF, model=net).target)
    assert {name: said[name] for name in ("title", "artist", "comments", "year", "track")} == {
        "title": "Tape 7",
        "artist": "Ü",
        "comments": "side A",
        "year": 1999,
        "track": 3,
    }


@pytest.mark.parametrize(("suffix", "codec"), [(".mka", "flac"), (".webm", "libopus")])
def test_what_ffmpeg_reads_and_mediafile_does_not_counts_too(tmp_path, rng, net, suffix, codec):
    said = {"title": "Tape 7", "ARTIST": "Ü", "date": "1999", "track": "3/9"}
    path = write_by_ffmpeg(tmp_path / f"tape{suffix}", rng.normal(0, 0.1, (48000, 2)), 48000, codec, said)
    assert read_tags(path) == {"title": "Tape 7", "artist": "Ü", "year": 1999, "track": 3}
    made = read_tags(restore_file(path, cutoff=CUTOFF, model=net).target)
    assert made["title"] == "Tape 7"


def test_a_number_that_is_none_is_left_out(tmp_path, rng):
    path = tmp_path / "tape.wav"
    with soundfile.SoundFile(path, "w", RATE, 1) as file:
        file.title, file.date, file.tracknumber = "Tape", "in May", "A"
        file.write(rng.normal(0, 0.1, RATE))
    assert read_tags(path) == {"title": "Tape"}


def test_a_file_says_by_what_it_was_made(tmp_path, rng, net):
    path = sound(tmp_path / "plain.flac", rng)
    made = restore_file(path, cutoff=CUTOFF, model=net).target
    assert encoder(made).startswith("overtone ")
    assert encoder(made).endswith(", treble above 6 kHz is predicted")
    # White noise has its treble already.
    kept = restore_file(path, tmp_path / "kept.flac", model=net)
    assert not kept.added
    assert encoder(kept.target).startswith("overtone ")
    assert "predicted" not in encoder(kept.target)


@pytest.mark.parametrize("suffix", [".flac", ".wav"])
def test_what_was_predicted_once_stays_so(tmp_path, rng, net, suffix):
    path = tagged(tmp_path / "made.flac", rng, {"encoder": "overtone 0.0.1, treble above 3 kHz is predicted"})
    # White noise has its treble already.
    kept = restore_file(path, tmp_path / f"kept{suffix}", model=net)
    assert not kept.added
    assert encoder(kept.target) == "overtone 0.0.1, treble above 3 kHz is predicted"
    again = restore_file(path, tmp_path / f"again{suffix}", cutoff=CUTOFF, model=net)
    assert encoder(again.target).endswith("treble above 6 kHz is predicted")


def test_what_was_measured_on_the_source_is_not_said_of_the_other(tmp_path, rng, net):
    measured = {"rg_track_gain": -3.2, "rg_track_peak": 0.9, "rg_album_gain": -3.0, "rg_album_peak": 1.0}
    path = tagged(tmp_path / "song.mp3", rng, {"title": "T", "encoder": "LAME"} | measured)
    made = mediafile.MediaFile(restore_file(path, cutoff=CUTOFF, model=net).target)
    assert made.title == "T"
    assert [getattr(made, name) for name in measured] == [None] * 4
    assert "LAME" not in made.encoder


def test_an_untagged_wav_ends_with_its_sound(tmp_path, rng, net):
    path = sound(tmp_path / "plain.wav", rng)
    made = restore_file(path, tmp_path / "out.wav", cutoff=CUTOFF, model=net).target.read_bytes()
    data = made.index(b"data")
    assert len(made) == data + 8 + int.from_bytes(made[data + 4 : data + 8], "little")


def test_what_no_format_holds_is_left_out(tmp_path, rng, net):
    path = tagged(
        tmp_path / "song.ogg",
        rng,
        {"title": "T", "url": "https://例え.jp", "images": [picture(LARGEST), picture()]},
    )
    for name in ("out.mp3", "out.flac"):
        said = read_tags(restore_file(path, tmp_path / name, cutoff=CUTOFF, model=net).target)
        assert (said["title"], len(said["images"]), "url" in said) == ("T", 1, False)


def test_text_that_no_flac_holds_is_left_out(tmp_path, rng, net):
    said = {"title": "T", "comments": "ü" * (MOST_TEXT // 2 - 9), "lyrics": "la" * LARGEST, "year": 2001}
    path = tagged(tmp_path / "song.mp3", rng, said)
    made = read_tags(restore_file(path, cutoff=CUTOFF, model=net).target)
    assert (made["title"], len(made["comments"]), made.get("lyrics"), made["year"]) == (
        "T",
        len(said["comments"]),
        None,
        2001,
    )


@pytest.mark.parametrize("suffix", [".ogg", ".opus"])
@pytest.mark.parametrize("cover", ["xxxxx", "AAAA", base64.b64encode(bytes(40)).decode(), "ü"])
def test_a_field_that_does_not_decode_is_left_out(tmp_path, rng, net, suffix, cover):
    path = sound(tmp_path / f"song{suffix}", rng)
    file = mutagen.File(path)
    file["metadata_block_picture"], file["title"] = [cover], ["T"]
    file.save()
    said = read_tags(restore_file(path, cutoff=CUTOFF, model=net).target)
    assert (said["title"], said.keys()) == ("T", {"title", "encoder"})


def test_a_source_that_mediafile_does_not_know_has_what_libsndfile_reads(tmp_path, rng, net):
    path = tmp_path / "tape.wav"
    with soundfile.SoundFile(path, "w", RATE, 1, format="RF64") as file:
        file.title = "Tape 7"
        file.write(rng.normal(0, 0.1, RATE))
    said = read_tags(restore_file(path, cutoff=CUTOFF, model=net).target)
    assert said.keys() == {"title", "encoder"}
    assert said["title"] == "Tape 7"


def test_no_space_left_for_the_tags_leaves_nothing(tmp_path, rng, net):
    path = tagged(tmp_path / "song.wav", rng, {"images": [picture(3_000_000)]})
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2_000_000, hard))
    try:
        with pytest.raises(OvertoneError, match=r"out\.flac cannot be written: File too large"):
            restore_file(path, tmp_path / "out.flac", cutoff=CUTOFF, model=net)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [file.name for file in tmp_path.iterdir()] == ["song.wav"]


def test_what_is_no_file_of_sound_cannot_be_tagged(tmp_path):
    path = tmp_path / "note.mp3"
    path.write_text("no sound")
    with pytest.raises(OSError, match=r"note\.mp3"):
        write_tags(path, {"title": "T"})
