"""Sound that libsndfile does not read comes from FFmpeg, at its level and length."""

import shutil

import numpy as np
import pytest

from overtone.audio.ffmpeg import FFmpegFile
from overtone.audio.soundfiles import open_file, read_chunks
from overtone.core.errors import OvertoneError
from tests.helpers.sound import write_by_ffmpeg

RATE = 44100


@pytest.fixture
def music(rng):
    """Two seconds of stereo noise."""
    return rng.uniform(-0.4, 0.4, (2 * RATE, 2))


@pytest.mark.parametrize(("name", "codec"), [("a.wv", "wavpack"), ("a.mkv", "flac"), ("a.avi", "pcm_s16le")])
def test_lossless_sound_is_the_same_in_chunks(tmp_path, music, name, codec):
    write_by_ffmpeg(tmp_path / name, music, RATE, codec)
    chunks = [chunk[:, before:][:, :RATE] for chunk, _, before, _ in read_chunks(tmp_path / name, 1, 1)]
    # 16-bit steps.
    np.testing.assert_allclose(np.concatenate(chunks, axis=1), music.T, atol=1.1 / 32768)


def test_what_libsndfile_reads_is_not_left_to_ffmpeg(tmp_path, music):
    write_by_ffmpeg(tmp_path / "a.flac", music, RATE, "flac")
    with open_file(tmp_path / "a.flac") as file:
        assert not isinstance(file, FFmpegFile)


def test_a_film_without_sound_says_so(tmp_path, rng):
    import av

    with av.open(str(tmp_path / "a.mp4"), "w") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width = stream.height = 64
        frame = av.VideoFrame.from_ndarray(rng.integers(0, 255, (64, 64, 3), np.uint8))
        container.mux([*stream.encode(frame), *stream.encode(None)])
    with pytest.raises(OvertoneError, match=r"a.mp4 does not decode: .*; FFmpeg: no sound in it"):
        list(read_chunks(tmp_path / "a.mp4", 1, 1))


def test_a_playlist_that_names_another_file_is_not_followed(tmp_path, music):
    write_by_ffmpeg(tmp_path / "a.m4a", music, RATE, "aac")
    shutil.move(tmp_path / "a.m4a", tmp_path / "other.m4a")
    (tmp_path / "a.m4a").write_text("#EXTM3U\n#EXTINF:1,\nother.m4a\n")
    with pytest.raises(OvertoneError, match=r"a.m4a does not decode"):
        list(read_chunks(tmp_path / "a.m4a", 1, 1))


def test_a_voc_is_left_to_ffmpeg(tmp_path, rng):
    music = rng.uniform(-0.5, 0.5, (8000, 2))
    write_by_ffmpeg(tmp_path / "a.voc", music, 8000, "pcm_s16le")
    with open_file(tmp_path / "a.voc") as file:
        np.testing.assert_allclose(file.read(9000), music, rtol=0, atol=2 / 32768)
