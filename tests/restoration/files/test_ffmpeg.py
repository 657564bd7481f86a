"""What libsndfile does not read: whole, in place, exact where the format is, and a line where it is none."""

import io
import threading
from fractions import Fraction

import av
import numpy as np
import pytest
import soundfile
import soxr

from overtone.core.errors import OvertoneError
from overtone.restoration.files import ffmpeg
from overtone.restoration.files.decode import open_sound
from overtone.restoration.files.ffmpeg import FFmpegFile, Unreadable
from overtone.restoration.restore_file import restore_file
from tests.helpers.sound import write_by_ffmpeg

RATE = 44100
LOSSLESS = [("x.m4a", "alac"), ("x.wv", "wavpack"), ("x.tta", "tta"), ("x.mka", "flac")]
LOSSY = [("x.m4a", "aac"), ("x.aac", "aac"), ("x.wma", "wmav2"), ("x.ac3", "ac3"), ("x.mka", "libopus")]


@pytest.fixture
def music(rng):
    """A second and a half of stereo, (time, 2): noise of 16 bits up to 6 kHz, one channel softer."""
    noise = soxr.resample(rng.normal(0, [0.06, 0.03], (18000, 2)), 12000, RATE)
    return np.round(noise * 32768) / 32768


def read(path, frames=10000):
    with path.open("rb") as raw, FFmpegFile(raw) as file:
        blocks = []
        while len(block := file.read(frames, dtype="float32", always_2d=True)):
            blocks.append(block)
        assert all(len(block) == frames for block in blocks[:-1])
        return np.concatenate(blocks), file.samplerate, file.frames


@pytest.mark.parametrize(("name", "codec"), LOSSLESS)
@pytest.mark.parametrize("frames", [777, 100_000])
def test_what_loses_nothing_comes_back_to_the_sample(tmp_path, music, name, codec, frames):
    samples, rate, promised = read(write_by_ffmpeg(tmp_path / name, music, RATE, codec), frames)
    np.testing.assert_array_equal(samples, music.astype(np.float32))
    assert rate == RATE
    # Matroska counts in milliseconds.
    assert abs(promised - len(music)) < RATE / 1000


@pytest.mark.parametrize(("name", "codec"), LOSSY)
def test_what_is_lossy_comes_back_alike(tmp_path, music, name, codec):
    rate = 48000 if codec == "libopus" else RATE
    samples, found, _ = read(write_by_ffmpeg(tmp_path / name, music, rate, codec))
    assert (found, samples.shape[1], samples.dtype) == (rate, 2, np.float32)
    # A codec's own delay and the filling of its last packet, if the format does not say how long they are.
    assert abs(len(samples) - len(music)) < 4096
    np.testing.assert_allclose(*(np.std(x, axis=0) for x in (samples, music)), rtol=0.05)


@pytest.mark.parametrize("length", [1024, 2047, 66150])
def test_m4a_has_neither_the_codecs_delay_nor_its_filling(tmp_path, music, length):
    path = write_by_ffmpeg(tmp_path / "x.m4a", music[:length], RATE, "aac")
    samples, _, promised = read(path)
    assert len(samples) == length
    assert abs(promised - length) < RATE / 1000
    assert np.corrcoef(samples[:, 0], music[:length, 0])[0, 1] > 0.98


@pytest.mark.parametrize("channels", [1, 6])
def test_channels_stay_in_their_places(tmp_path, rng, channels):
    loud = np.arange(1, channels + 1) / 10
    path = write_by_ffmpeg(tmp_path / "x.m4a", rng.uniform(-loud, loud, (9000, channels)), RATE, "alac")
    np.testing.assert_allclose(np.abs(read(path)[0]).max(axis=0), loud, rtol=0.01)


@pytest.fixture
def film(tmp_path, music):
    """Two seconds of pictures with the sound."""
    path = tmp_path / "film.mp4"
    with av.open(str(path), "w") as container:
        pictures = container.add_stream("mpeg4", rate=10)
        pictures.width = pictures.height = 32
        sound = container.add_stream("aac", rate=RATE, layout="stereo")
        for _ in range(20):
            container.mux(pictures.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))))
        container.mux(pictures.encode(None))
        frame = av.AudioFrame.from_ndarray(music.T.astype(np.float32, order="C"), "fltp", "stereo")
        frame.sample_rate, frame.time_base, frame.pts = RATE, Fraction(1, RATE), 0
        container.mux([*sound.encode(frame), *sound.encode(None)])
    return path


def test_a_film_is_its_sound(film, music):
    samples, _, promised = read(film)
    assert len(samples) == promised == len(music)


def test_a_film_without_sound_is_said_to_be_one(tmp_path):
    path = tmp_path / "mute.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 32
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))))
        container.mux(stream.encode(None))
    with pytest.raises(
        OvertoneError, match=r"mute.mp4 is not audio .*; FFmpeg: there is no sound in it that"
    ):
        restore_file(path)


@pytest.mark.parametrize("kind", ["WAV", "FLAC", "OGG", "AIFF"])
def test_what_libsndfile_reads_is_read_too(music, kind):
    raw = io.BytesIO()
    soundfile.write(raw, music, RATE, format=kind)
    raw.seek(0)
    with FFmpegFile(raw) as file:
        assert file.read(100_000).shape == music.shape


def test_a_list_of_other_files_is_not_followed(tmp_path, music):
    secret = write_by_ffmpeg(tmp_path / "secret.m4a", music, RATE, "alac")
    for name, text in (
        ("x.m3u8", f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{secret}\n#EXT-X-ENDLIST\n"),
        ("x.m4a", f"ffconcat version 1.0\nfile {secret.name}\n"),
    ):
        (tmp_path / name).write_text(text)
        with (
            pytest.raises(OvertoneError, match="is not audio that overtone reads"),
            open_sound(tmp_path / name),
        ):
            pass


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        # Not AC-3, of which what is left is whole.
        *[(name, codec, {}) for name, codec in LOSSLESS + LOSSY if name != "x.ac3"],
        ("x.m4a", "aac", {"movflags": "faststart"}),
    ],
)
def test_a_truncated_file_is_said_to_be_so(tmp_path, music, name, codec, options):
    rate = 48000 if codec == "libopus" else RATE
    path = write_by_ffmpeg(tmp_path / name, np.tile(music, (4, 1)), rate, codec, **options)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * 0.63)])
    # An M4A whose table stands at its end does not say what it is without that.
    with pytest.raises(OvertoneError, match=r"is truncated|not audio that overtone reads, or damaged"):
        restore_file(path, cutoff=8000)
    assert [file.name for file in tmp_path.iterdir()] == [name]


def test_what_lies_before_a_fault_is_given_first(tmp_path, music):
    path = write_by_ffmpeg(tmp_path / "x.m4a", music, RATE, "alac")
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(audio=0) if packet.size]
        whole = sum(packet.duration for packet in packets if packet.pos + packet.size <= middle)
    data[middle : middle + 20000] = bytes(20000)
    path.write_bytes(data)
    with path.open("rb") as raw, FFmpegFile(raw) as file:
        before = file.read(len(music))
        assert len(before) == whole > 10000
        np.testing.assert_array_equal(before, music[: len(before)].astype(np.float32))
        for _ in range(2):
            with pytest.raises(Unreadable):
                file.read(1)


def test_channels_that_change_are_a_fault(tmp_path, music):
    paths = [
        write_by_ffmpeg(tmp_path / f"{channels}.aac", music[:, :channels], RATE, "aac") for channels in (2, 1)
    ]
    joined = tmp_path / "joined.aac"
    joined.write_bytes(b"".join(path.read_bytes() for path in paths))
    with pytest.raises(OvertoneError, match=r"beyond 1\.5 s \(its rate or number of channels"):
        restore_file(joined, cutoff=8000)


def test_it_is_closed_only_when_no_thread_reads_it(tmp_path, music, monkeypatch):
    path = write_by_ffmpeg(tmp_path / "x.m4a", music, RATE, "aac")
    reading, go_on, read_after = threading.Event(), threading.Event(), []

    class Slow(ffmpeg.Fifo):
        def append(self, block):
            reading.set()
            go_on.wait(5)
            super().append(block)

    monkeypatch.setattr(ffmpeg, "Fifo", Slow)
    with path.open("rb") as raw:
        file = FFmpegFile(raw)
        reader = threading.Thread(target=lambda: read_after.append(file.read(5000)))
        reader.start()
        reading.wait(5)
        closer = threading.Thread(target=file.__exit__)
        closer.start()
        closer.join(0.1)
        assert closer.is_alive()
        go_on.set()
        closer.join(5)
        reader.join(5)
    assert [len(block) for block in read_after] == [5000]
