"""Films in, films out: pictures and other tracks packet for packet, the restored sound in its place."""

import errno
import functools
import json
import os
from fractions import Fraction

import av
import numpy as np
import pytest
import torch
from av.stream import Disposition

from overtone.core.errors import OvertoneError
from overtone.models.spectral import Spectral, SpectralSettings
from overtone.restoration.files import film_writer
from overtone.restoration.files.decode import open_sound
from overtone.restoration.files.formats import default_target
from overtone.restoration.files.matroska_aspect import ROOM, write_aspects
from overtone.restoration.restore_file import restore_file
from tests.helpers.films import Sound, clicks, lag, packets, placed, write_film
from tests.helpers.small_disk import small_disk
from tests.helpers.sound import band

FILMS = {
    "a.mp4": {
        "sounds": [Sound("aac", "eng"), Sound("aac", "fra", 0.25, 44100)],
        "subtitles": "mov_text",
        "chapters": ("One", "Two"),
    },
    "odd.mp4": {"sounds": [Sound("aac", "eng", 0.317, channels=1)], "variable": True},
    "a.mkv": {
        "sounds": [Sound("flac", "eng", 0.25), Sound("aac", "fra", channels=6)],
        "subtitles": "subrip",
        "chapters": ("One", "Two"),
        "attached": ("notes.txt",),
    },
    "a.mov": {"sounds": [Sound("pcm_s16le", "eng", 0.1, 44100), Sound("alac", "fra")], "variable": True},
    "a.webm": {
        "sounds": [Sound("libopus", "eng", 0.25), Sound("libopus", "fra")],
        "codec": "libvpx",
        "subtitles": "webvtt",
    },
}
WRITTEN = {".mp4": "aac", ".mov": "pcm_s24le", ".mkv": "flac", ".webm": "opus"}


@pytest.fixture(scope="session")
def films(tmp_path_factory):
    folder = tmp_path_factory.mktemp("films")
    return {name: write_film(folder / name, **kinds) for name, kinds in FILMS.items()}


@pytest.fixture(scope="session")
def net():
    torch.manual_seed(0)
    return Spectral(SpectralSettings(features=8, blocks=1, expansion=1)).eval()


@pytest.fixture
def restored(films, net, tmp_path):
    """Restore a film to a new one; returns the report."""

    def restore(name, target=None, **options):
        options = {"cutoff": 6500, "model": net} | options
        return restore_file(films[name], tmp_path / (target or name), **options)

    return restore


@pytest.fixture(scope="session")
def done(films, net, tmp_path_factory):
    """Restore a track of a film; returns the report. What was done before is not done again."""

    @functools.cache
    def restore(name, track):
        target = tmp_path_factory.mktemp("restored") / name
        return restore_file(films[name], target, cutoff=6500, model=net, track=track)

    return restore


@pytest.mark.parametrize(
    ("name", "track"),
    [(name, track) for name, kinds in FILMS.items() for track in range(len(kinds["sounds"]))],
)
def test_all_but_one_track_is_copied_and_that_stays_in_step(films, done, name, track):
    report = done(name, track + 1)
    before, after = packets(films[name]), packets(report.target)
    with av.open(str(report.target)) as film:
        index = film.streams.audio[track].index
        assert film.streams.audio[track].codec_context.name == WRITTEN[report.target.suffix]
    assert before.keys() == after.keys()
    for number in before:
        assert (before[number] == after[number]) == (number != index)
    rate, offset = report.out_rate, FILMS[name]["sounds"][track].offset
    old, new = placed(films[name], track, rate), placed(report.target, track)
    assert abs(lag(old, new)) < 0.05
    assert clicks(old, rate, offset) == clicks(new, rate, offset)
    assert band(new, 7000, 15000, rate) > band(old, 7000, 15000, rate) + 20


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov", "a.webm"])
def test_what_is_said_of_tracks_and_film_is_kept(films, done, name):
    report = done(name, 1)
    told = []
    for path in (films[name], report.target):
        with av.open(str(path)) as film:
            tracks = [
                (stream.type, stream.language, stream.disposition, stream.metadata.get("filename"))
                for stream in film.streams
            ]
            chapters = [
                (
                    chapter["start"] * chapter["time_base"],
                    chapter["end"] * chapter["time_base"],
                    chapter["metadata"],
                )
                for chapter in film.chapters()
            ]
            told.append((tracks, chapters, film.metadata["title"]))
    assert told[0] == told[1]


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov", "a.webm"])
def test_the_length_is_that_of_the_sound_to_the_sample(films, done, name):
    report = done(name, 1)
    lengths = []
    for path in (films[name], report.target):
        with open_sound(path, 1) as file:
            lengths.append(sum(block.shape[1] for block in file.blocks()))
    assert lengths[0] == lengths[1] == round(report.seconds * report.rate)


@pytest.mark.parametrize("skipped", [(30,), (30, 50, 51, 52)])
@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_packets_that_were_lost_are_silence(tmp_path, net, skipped, suffix):
    path = write_film(tmp_path / f"gap{suffix}", [Sound("aac", "eng", rate=44100, skipped=skipped)])
    report = restore_file(path, cutoff=6500, model=net)
    assert len(report.silences) == len({*skipped} & {30, 50})
    whole = write_film(tmp_path / f"whole{suffix}", [Sound("aac", "eng", rate=44100)])
    # In Matroska, pictures and sound may each be rounded by half a millisecond.
    tolerance = 0 if suffix == ".mp4" else 44
    places = [clicks(placed(film), 44100) for film in (whole, report.target)]
    np.testing.assert_allclose(*places, atol=tolerance)


@pytest.mark.parametrize("target", ["b.mkv", "b.mov", "b.mp4"])
def test_another_container_may_be_named(films, restored, target):
    source = "a.mkv" if target == "b.mp4" else "a.mp4"
    report = restored(source, target, track=1)
    old, new = placed(films[source], 0), placed(report.target, 0)
    # Matroska rounds the pictures' clock.
    assert abs(lag(old, new)) < 48
    before, after = packets(films[source])[0], packets(report.target)[0]
    assert [packet[0] for packet in before] == [packet[0] for packet in after]
    mp4 = ("track 3 (subtitle, srt)", "track 4 (attachment)")
    lost = {"b.mkv": ("track 3 (subtitle, mov_text)",), "b.mov": (), "b.mp4": mp4}[target]
    assert report.lost == lost
    if lost:
        assert report.line().endswith(f"; not kept: {', '.join(lost)}")


def test_a_film_that_lacks_nothing_is_copied(films, restored, tmp_path):
    report = restored("a.mp4", cutoff=None, amount=-np.inf, track=1)
    assert packets(films["a.mp4"]) == packets(report.target)
    assert "nothing added" in report.line()
    assert "all tracks copied" in report.line()
    assert (report.out_rate, report.silences, report.json()["film"]) == (48000, (), "all tracks copied")


def encoder(path, track=0):
    with av.open(str(path)) as film:
        tags = film.metadata | film.streams.audio[track].metadata
        return tags.get("overtone.encoder") or tags.get("ENCODER") or tags.get("encoder")


@pytest.mark.parametrize("name", ["a.mp4", "a.mkv", "a.mov", "a.webm"])
def test_the_encoder_says_what_is_predicted(done, name, tmp_path, net):
    report = done(name, 1)
    assert encoder(report.target).startswith("overtone ")
    assert encoder(report.target).endswith("treble above 6.5 kHz is predicted")
    again = restore_file(
        report.target, tmp_path / f"again{report.target.suffix}", track=1, amount=-np.inf, model=net
    )
    assert encoder(again.target) == encoder(report.target)


def test_the_line_and_json_say_it(done):
    report = done("a.mp4", 2)
    assert "; written as AAC, other tracks copied; track 2 of 2 (fra, aac, 2 ch); " in report.line()
    assert json.loads(json.dumps(report.json()))["film"] == "written as AAC, other tracks copied"


def test_the_default_output_of_a_film_is_a_film(films, tmp_path, net):
    assert default_target(films["a.mkv"]).name == "a.restored.mkv"
    for name, suffix in (("x.m4v", ".mp4"), ("x.qt", ".mov"), ("x.webm", ".mp4"), ("x.mp3", ".flac")):
        path = tmp_path / name
        path.write_bytes(films["a.mp4"].read_bytes())
        assert default_target(path).name == f"x.restored{suffix}"
    assert default_target(tmp_path / "none.mp4").name == "none.restored.flac"


def test_sound_with_a_cover_is_no_film(tmp_path, net):
    path = tmp_path / "cover.mp4"
    with av.open(str(path), "w") as sound:
        track = sound.add_stream("aac", rate=48000, layout="mono")
        cover = sound.add_stream("mjpeg", rate=1)
        cover.width = cover.height = 32
        cover.codec_context.pix_fmt = "yuvj420p"
        cover.disposition = Disposition.attached_pic
        sound.mux(cover.encode(av.VideoFrame(32, 32, "yuvj420p")))
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 48000), np.float32), "fltp", "mono")
        frame.sample_rate, frame.time_base, frame.pts = 48000, Fraction(1, 48000), 0
        sound.mux([*track.encode(frame), *track.encode(None)])
    assert default_target(path).name == "cover.restored.flac"
    with pytest.raises(OvertoneError, match=r"cover.mp4 has no pictures, and .*b.mp4 is a film: name .flac"):
        restore_file(path, tmp_path / "b.mp4", model=net)


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("b.webm", {}, r"b.webm does not hold the video of .*a.mp4 \(mpeg4\); name .mkv"),
        ("b.mkv", {"bits": 32}, "32 bits do not fit .*; .mkv takes 16 or 24"),
        ("b.mp4", {"out_rate": 37000}, "b.mp4 cannot have 37000 Hz; .mp4 takes 8000 or "),
        ("b.mp4", {"track": 3}, "it has 2 sound tracks, and no track 3"),
        ("b.avi", {}, "ends in '.avi'; it is one of .flac, .*, .webm"),
    ],
)
def test_what_a_film_does_not_take_is_said(restored, tmp_path, target, options, message):
    with pytest.raises(OvertoneError, match=message):
        restored("a.mp4", target, **options)
    assert not [*tmp_path.iterdir()]


def test_other_films_are_not_written(tmp_path, net):
    path = write_film(tmp_path / "a.avi", [Sound("mp2", "eng")])
    assert default_target(path).name == "a.restored.flac"
    with pytest.raises(OvertoneError, match=r"a.avi is no MP4, MOV, Matroska or WebM.* -c copy OUT.mkv does"):
        restore_file(path, tmp_path / "b.mkv", model=net)


def test_an_existing_film_is_kept_and_a_link_is_written_through(restored, tmp_path):
    real = tmp_path / "real.mp4"
    real.write_bytes(b"old")
    (tmp_path / "a.mp4").symlink_to(real)
    with pytest.raises(OvertoneError, match="exists; overwrite it with --force"):
        restored("a.mp4")
    assert real.read_bytes() == b"old"
    restored("a.mp4", force=True)
    assert (tmp_path / "a.mp4").is_symlink()
    assert len(packets(real)) == 4
    assert len([*tmp_path.iterdir()]) == 2


def test_a_full_disk_is_one_line_and_leaves_nothing(films, tmp_path, net):
    with small_disk(tmp_path / "small", "128k") as folder:
        with pytest.raises(OvertoneError, match=r"new/a.mov cannot be written: No space left on device"):
            restore_file(films["a.mov"], folder / "new/a.mov", cutoff=6500, model=net)
        assert not [*folder.iterdir()]


@pytest.mark.parametrize(("kind", "number"), [(OSError, errno.EIO), (av.FFmpegError, errno.EINVAL)])
def test_a_fault_on_the_way_leaves_nothing(restored, tmp_path, monkeypatch, kind, number):
    def fail(self, seconds):
        raise kind(number, os.strerror(number))

    monkeypatch.setattr(film_writer._Remuxer, "_copy", fail)
    with pytest.raises(
        OvertoneError, match=r"a.mp4 cannot be written.*(Input/output error|Invalid argument)"
    ):
        restored("a.mp4")
    assert not [*tmp_path.iterdir()]


def test_a_film_goes_through_in_pieces(films, restored, monkeypatch):
    """No packet is read long before the sound has come to its time."""
    ahead = []
    copy = film_writer._Remuxer._copy

    def watched(self, seconds):
        copy(self, seconds)
        if seconds is not None and self._next is not None:
            ahead.append(float(self._next.dts * self._next.time_base - seconds))

    monkeypatch.setattr(film_writer._Remuxer, "_copy", watched)
    monkeypatch.setattr("overtone.restoration.passes.BLOCK", 4800)
    restored("a.mov", track=1)
    assert len(ahead) > 10
    assert max(ahead) < 0.2


@pytest.mark.parametrize("suffix", [".webm", ".mkv"])
def test_the_shape_of_pixels_is_kept(films, tmp_path, net, suffix):
    path = tmp_path / f"wide{suffix}"
    with av.open(str(films["a.webm"])) as source, av.open(str(path), "w") as film:
        tracks = [film.add_stream_from_template(stream, opaque=True) for stream in [*source.streams][:2]]
        tracks[0].metadata["title"] = "Wide" + ROOM
        for packet in source.demux([*source.streams][:2]):
            if packet.size:
                packet.stream = tracks[packet.stream_index]
                film.mux(packet)
    with path.open("rb+") as file:
        write_aspects(file, [(43, 32)])
    report = restore_file(path, cutoff=6500, model=net)
    for name in (path, report.target):
        with av.open(str(name)) as film:
            assert film.streams.video[0].sample_aspect_ratio == Fraction(43, 32)
            assert film.streams.video[0].metadata["title"] == "Wide"
    assert packets(path)[0] == packets(report.target)[0] == packets(films["a.webm"])[0]
