"""What real files broke: joined, damaged, cut, with gaps, late, in other orders of channels."""

import re
import struct
from fractions import Fraction

import av
import numpy as np
import pytest
import soundfile

from overtone.core.errors import OvertoneError
from overtone.restoration.files import flac, layouts
from overtone.restoration.files.decode import open_sound
from overtone.restoration.files.ffmpeg import FFmpegFile
from overtone.restoration.files.file_bytes import FileBytes
from tests.helpers.sound import write_by_ffmpeg

RATE = 44100


@pytest.fixture
def music(rng):
    """A second of stereo, (time, 2), rising slowly in level so that a wrong place shows."""
    return rng.normal(0, 0.1, (RATE, 2)) * np.linspace(0.2, 1, RATE)[:, None]


def read(path, **options):
    with open_sound(path, **options) as file:
        samples = np.concatenate([np.zeros((file.channels, 0)), *file.blocks()], axis=1)
    return samples, file


def mp3(path, music, rate=RATE):
    """MP3 without a header that counts its frames."""
    return write_by_ffmpeg(path, music, rate, "libmp3lame", write_xing="0").read_bytes()


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (lambda music: (music[:, :1], RATE), r"44100 Hz, channels: 1; before 44100 Hz, 2"),
        (lambda music: (music, 48000), r"48000 Hz, channels: 2; before 44100 Hz, 2"),
    ],
)
def test_joined_mp3s_without_a_header_that_do_not_fit_are_named(tmp_path, music, second, said):
    first = mp3(tmp_path / "1.mp3", music)
    joined = tmp_path / "joined.mp3"
    joined.write_bytes(first + mp3(tmp_path / "2.mp3", *second(music)) + first)
    with pytest.raises(OvertoneError, match=rf"the one at 1\.0 s does not fit those before it \({said}\)"):
        read(joined)


def test_joined_mp3s_without_a_header_are_one(tmp_path, music):
    data = mp3(tmp_path / "1.mp3", music)
    (tmp_path / "joined.mp3").write_bytes(data * 3)
    single = read(tmp_path / "1.mp3")[0].shape[1]
    assert abs(read(tmp_path / "joined.mp3")[0].shape[1] - 3 * single) <= 2 * 1152


def test_a_header_that_counts_the_first_part_alone_does_not_hide_the_second(tmp_path, music):
    counted = write_by_ffmpeg(tmp_path / "1.mp3", music, RATE, "libmp3lame").read_bytes()
    (tmp_path / "joined.mp3").write_bytes(counted + mp3(tmp_path / "2.mp3", music))
    assert read(tmp_path / "joined.mp3")[0].shape[1] > 1.98 * RATE


@pytest.mark.parametrize("filling", [bytes, lambda size: np.random.default_rng(1).bytes(size)])
def test_damage_in_the_middle_of_an_mp3_is_named(tmp_path, music, filling):
    data = mp3(tmp_path / "1.mp3", music)
    middle = len(data) // 2
    (tmp_path / "1.mp3").write_bytes(data[:middle] + filling(9000) + data[middle:])
    with pytest.raises(OvertoneError, match=r"1\.mp3 is damaged: [89],\d+ bytes 0\.5 s in are no sound"):
        read(tmp_path / "1.mp3")


@pytest.mark.parametrize("before", [bytes(9000), b"ID3\4\0\0\0\0\x10\0" + b"Info" * 512, None])
def test_an_mp3_may_begin_with_something_else(tmp_path, music, before):
    data = mp3(tmp_path / "1.mp3", music)
    expected = read(tmp_path / "1.mp3")[0]
    (tmp_path / "1.mp3").write_bytes(data[50:] if before is None else before + data)
    samples, file = read(tmp_path / "1.mp3")
    assert abs(samples.shape[1] - expected.shape[1]) <= 2 * 1152
    assert file.notes == (
        ["its first 9,000 bytes are no sound and were passed over"] if before == bytes(9000) else []
    )


def test_two_id3_tags_are_not_sound(tmp_path, music):
    data = write_by_ffmpeg(tmp_path / "1.mp3", music, RATE, "libmp3lame").read_bytes()
    expected = read(tmp_path / "1.mp3")[0]
    tag = b"ID3\3\0\0\0\0\x40\0" + b"TIT2\0\0\0\x0c\0\0\0Information" + bytes(8192 - 22)
    (tmp_path / "1.mp3").write_bytes(tag + tag + data)
    np.testing.assert_array_equal(read(tmp_path / "1.mp3")[0], expected)


@pytest.mark.parametrize(
    ("name", "options"), [("x.flac", {}), ("x.wav", {}), ("x.aiff", {"format": "AIFF"}), ("x.caf", {})]
)
def test_what_is_joined_is_read_as_one(tmp_path, music, name, options):
    soundfile.write(tmp_path / name, music, RATE, **options)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data * 2)
    assert read(tmp_path / name)[0].shape[1] == 2 * RATE


def test_a_tag_behind_a_flac_is_no_fault(tmp_path, music):
    soundfile.write(tmp_path / "x.flac", music, RATE)
    (tmp_path / "x.flac").write_bytes((tmp_path / "x.flac").read_bytes() + b"TAG" + bytes(125))
    assert read(tmp_path / "x.flac")[0].shape[1] == RATE


def test_what_follows_and_does_not_fit_is_named(tmp_path, music):
    soundfile.write(tmp_path / "x.wav", music, RATE)
    data = (tmp_path / "x.wav").read_bytes()
    (tmp_path / "x.wav").write_bytes(data + mp3(tmp_path / "1.mp3", music))
    with pytest.raises(OvertoneError, match=r"another sound file of .* bytes follows"):
        read(tmp_path / "x.wav")


@pytest.mark.parametrize("size", [0, 4000])
@pytest.mark.parametrize("kind", ["WAV", "WAVEX", "RF64", "AIFF"])
def test_a_header_that_tells_less_than_there_is_is_corrected(tmp_path, music, size, kind):
    path = tmp_path / "x.wav"
    soundfile.write(path, music, RATE, "PCM_16", format=kind)
    data = bytearray(path.read_bytes())
    if kind == "AIFF":
        start = data.index(b"SSND")
        data[start + 4 : start + 8] = struct.pack(">I", size + 8)
        start = data.index(b"COMM")
        data[start + 10 : start + 14] = struct.pack(">I", size // 4)
    elif kind == "RF64":
        start = data.index(b"ds64")
        data[start + 16 : start + 24] = struct.pack("<Q", size)
    else:
        start = data.index(b"data")
        data[start + 4 : start + 8] = struct.pack("<I", size)
    path.write_bytes(data)
    samples, file = read(path)
    np.testing.assert_allclose(samples.T, music, atol=2**-15)
    assert file.notes == [
        f"its header tells of {size / 4 / RATE:.1f} s, and 1.0 s are there (did the recorder not finish?): "
        "all were read"
    ]


@pytest.mark.parametrize(
    "rest", [b"TAG" + bytes(2000), b"LIST\xd0\x07\0\0" + bytes(2000), bytes(4096), b"x" * 500]
)
def test_what_is_no_sound_behind_a_wav_stays_so(tmp_path, music, rest):
    soundfile.write(tmp_path / "x.wav", music, RATE)
    (tmp_path / "x.wav").write_bytes((tmp_path / "x.wav").read_bytes() + rest)
    samples, file = read(tmp_path / "x.wav")
    assert (samples.shape[1], file.notes) == (RATE, [])


@pytest.mark.parametrize("name", ["x.wav", "x.mp3", "x.flac", "x.m4a", "x.mka", "x.ogg", "x.voc"])
def test_who_insists_has_what_is_there(tmp_path, music, name):
    path = tmp_path / name
    codec = {"x.m4a": "aac", "x.mka": "flac", "x.voc": "pcm_s16le"}.get(name)
    if codec:
        write_by_ffmpeg(path, music, RATE, codec, **({"movflags": "faststart"} if codec == "aac" else {}))
    else:
        soundfile.write(path, music, RATE)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    with pytest.raises(OvertoneError, match=r"is truncated: .* or insist with --accept-truncated"):
        read(path)
    samples, file = read(path, accept_truncated=True)
    assert 0.2 * RATE < samples.shape[1] < 0.8 * RATE
    assert file.notes[0].startswith("truncated: ")


def mux(path, codec, music, rate, left_out=(), late=0.0, pictures=False, tracks=1):
    """Write sound by FFmpeg without the packets between two times, beginning late, beside pictures."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=25) if pictures else None
        streams = [container.add_stream(codec, rate=rate, layout="stereo") for _ in range(tracks)]
        for stream, language in zip(streams, ("eng", "deu"), strict=False):
            stream.metadata["language"] = language
        if video:
            video.width = video.height = 32
            for number in range(30):
                picture = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8))
                picture.pts, picture.time_base = number, Fraction(1, 25)
                container.mux(video.encode(picture))
            container.mux(video.encode(None))
        for number, stream in enumerate(streams):
            size = stream.codec_context.frame_size or 1024
            samples = np.float32(music.T if number == 0 else music.T / 10)
            packets = []
            for start in range(0, samples.shape[1] - size + 1, size):
                frame = av.AudioFrame.from_ndarray(
                    np.ascontiguousarray(samples[:, start : start + size]), "fltp", "stereo"
                )
                frame.sample_rate, frame.time_base = rate, Fraction(1, rate)
                frame.pts = start + round(late * rate)
                packets += stream.encode(frame)
            for packet in [*packets, *stream.encode(None)]:
                seconds = float(packet.pts * packet.time_base)
                if not (left_out and left_out[0] <= seconds < left_out[1]):
                    container.mux(packet)
    return path


@pytest.mark.parametrize("name", ["x.m4a", "x.mka", "film.mkv", "film.mp4"])
def test_what_was_not_sent_is_silence(tmp_path, rng, name):
    music = np.repeat(rng.normal(0, 0.1, (48000, 2)), 1, axis=0)
    path = mux(tmp_path / name, "aac", music, 48000, (0.3, 0.7), pictures=name.startswith("film"))
    samples, file = read(path)
    [(start, end)] = file.silences
    assert 0.27 < start < 0.4
    assert 0.6 < end < 0.75
    assert abs(samples.shape[1] - 48000) < 2 * 1024
    quiet = np.flatnonzero(np.abs(samples).max(0) == 0)
    assert quiet[0] >= round(start * 48000)
    assert np.all(samples[:, round(start * 48000) : round(end * 48000)] == 0)
    assert np.abs(samples[:, -9000:-2048]).max() > 0.05


@pytest.mark.parametrize("name", ["film.mkv", "film.mp4", "film.mov", "film.ts"])
def test_sound_that_begins_late_is_in_step_with_the_picture(tmp_path, rng, name):
    path = mux(tmp_path / name, "aac", rng.normal(0, 0.1, (48000, 2)), 48000, late=0.5, pictures=True)
    samples, file = read(path)
    assert file.silences[0][0] == 0
    # AAC fades in for one frame, and MPEG's transport stream begins with what its encoder was delayed by.
    assert np.flatnonzero(np.abs(samples).max(0) > 0.03)[0] == pytest.approx(0.5 * 48000, abs=1100)


def test_a_track_is_chosen(tmp_path, rng):
    path = mux(tmp_path / "film.mkv", "aac", rng.normal(0, 0.1, (48000, 2)), 48000, pictures=True, tracks=2)
    levels = []
    for number in (None, 1, 2):
        samples, file = read(path, track=number)
        assert (file.track.number, file.track.of) == (number or 1, 2)
        levels.append(np.std(samples))
    assert str(file.track) == "track 2 of 2 (deu, aac, 2 ch)"
    assert levels[0] == levels[1] > 5 * levels[2]
    with pytest.raises(OvertoneError, match=r"film\.mkv: it has 2 sound tracks, and no track 3"):
        read(path, track=3)


@pytest.mark.parametrize("channels", [3, 5, 6, 7, 8])
def test_channels_of_opus_come_in_wavs_order(tmp_path, channels):
    """FFmpeg puts each channel where the mask has it; libsndfile leaves it where the file has it."""
    rate, loud = 48000, np.arange(1, channels + 1) / 20
    music = np.sin(np.arange(rate // 2) * 2 * np.pi * 440 / rate)[:, None] * loud
    layout = {3: "3.0", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}[channels]
    # Below 120 Hz, as codecs low-pass that channel.
    if "LFE" in [channel.name for channel in av.AudioLayout(layout).channels]:
        music[:, 3] = loud[3] * np.sin(np.arange(rate // 2) * 2 * np.pi * 60 / rate)
    path = tmp_path / "x.opus"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libopus", rate=rate, layout=layout)
        stream.codec_context.options = {"mapping_family": "1"}
        stream.bit_rate = 96_000 * channels
        convert = av.AudioResampler(stream.codec_context.codec.audio_formats[-1].name, layout, rate, 960)
        # Packed: PyAV has eight planes at most.
        frame = av.AudioFrame.from_ndarray(np.float32(music).reshape(1, -1), "flt", layout)
        frame.sample_rate, frame.time_base, frame.pts = rate, Fraction(1, rate), 0
        for part in [*convert.resample(frame), *convert.resample(None), None]:
            container.mux(stream.encode(part))
    samples, file = read(path)
    assert str(file.layout) == layout
    levels = np.abs(samples[:, 9600:-9600]).max(axis=1)
    np.testing.assert_allclose(levels, loud, rtol=0.25)


def test_channels_of_vorbis_come_in_wavs_order(tmp_path, rng):
    """soundfile writes channels as they are: what is given in Xiph's order comes in WAV's."""
    loud = np.arange(1, 7) / 50
    soundfile.write(tmp_path / "x.ogg", rng.normal(0, loud[layouts.to_xiph(6)], (RATE, 6)), RATE)
    levels = np.std(read(tmp_path / "x.ogg")[0], axis=1)
    # Vorbis low-passes the channel of effects, by which it is known as well.
    np.testing.assert_allclose(np.delete(levels, 3), np.delete(loud, 3), rtol=0.1)
    assert levels[3] < 0.02


def test_ffmpeg_gives_more_than_eight_channels(tmp_path, rng):
    music = np.round(rng.normal(0, 0.1, (5000, 16)) * 32768) / 32768
    soundfile.write(tmp_path / "x.wav", music, RATE)
    with (tmp_path / "x.wav").open("rb") as raw, FFmpegFile(raw) as file:
        np.testing.assert_array_equal(file.read(9000), np.float32(music))


@pytest.mark.parametrize("channels", range(1, 9))
def test_orders_of_xiph_undo_each_other(channels):
    there, back = layouts.to_xiph(channels), layouts.from_xiph(channels)
    assert (there is None) == (back is None)
    if there:
        assert [there[index] for index in back] == [*range(channels)]


def test_whole_numbers_stored_as_floats_are_refused_with_their_peak(tmp_path, music):
    soundfile.write(tmp_path / "x.wav", music / np.abs(music).max() * 16384, RATE, "FLOAT")
    with pytest.raises(OvertoneError, match=r"x\.wav peaks at 16,384 times full scale"):
        read(tmp_path / "x.wav")
    soundfile.write(tmp_path / "x.wav", music / np.abs(music).max() * 31, RATE, "FLOAT")
    assert read(tmp_path / "x.wav")[0].max() > 20


def test_both_reasons_are_said(tmp_path):
    (tmp_path / "x.wav").write_bytes(b"nothing that anybody reads" * 99)
    with pytest.raises(
        OvertoneError, match=re.escape("(libsndfile: format not recognised; FFmpeg: no format that")
    ):
        read(tmp_path / "x.wav")


def test_the_blocks_of_a_voc_are_sound_and_what_lies_between_them_is_not(tmp_path, music):
    write_by_ffmpeg(tmp_path / "x.voc", music, RATE, "pcm_s16le")
    assert soundfile.info(tmp_path / "x.voc").format == "VOC", "libsndfile opens it, and gives noise"
    samples, _ = read(tmp_path / "x.voc")
    np.testing.assert_allclose(samples, music.T, rtol=0, atol=2 / 32768)


def test_a_page_that_was_saved_as_sound_is_refused(tmp_path):
    """Lines of 32 bytes that begin with <: FFmpeg takes them for AMR without a header."""
    (tmp_path / "x.mp3").write_bytes(b"<html>error 404 not found</html>" * 200)
    with pytest.raises(OvertoneError, match=r"x\.mp3 is not audio that overtone reads"):
        read(tmp_path / "x.mp3")


def test_a_wav_with_two_chunks_of_sound_is_refused(tmp_path, music):
    soundfile.write(tmp_path / "x.wav", music, RATE)
    data = (tmp_path / "x.wav").read_bytes()
    (tmp_path / "x.wav").write_bytes(data + b"data" + struct.pack("<I", 8000) + bytes(8000))
    with pytest.raises(OvertoneError, match=r"is damaged: its sound is in 2 chunks"):
        read(tmp_path / "x.wav")


@pytest.mark.parametrize("size", [60, 4096, 4097, RATE])
def test_a_flac_header_that_tells_less_than_its_frames_is_corrected(tmp_path, music, size):
    soundfile.write(tmp_path / "x.flac", music[:size], RATE)
    assert read(tmp_path / "x.flac")[1].notes == []
    data = bytearray((tmp_path / "x.flac").read_bytes())
    with FileBytes(tmp_path / "x.flac") as before:
        patches = flac.count_patch(before, 0, size // 2)
    for at, patch in patches.items():
        data[at : at + len(patch)] = patch
    (tmp_path / "x.flac").write_bytes(data)
    samples, file = read(tmp_path / "x.flac")
    assert samples.shape[1] == size
    assert file.notes[0].startswith("its header tells of ")


@pytest.mark.parametrize("name", ["y.ogg", "y.mp3", "y.wav", "y.m4a"])
def test_another_file_behind_a_flac_is_named(tmp_path, music, name):
    soundfile.write(tmp_path / "x.flac", music, RATE)
    if name == "y.m4a":
        write_by_ffmpeg(tmp_path / name, music, RATE, "aac")
    else:
        soundfile.write(tmp_path / name, music, RATE)
    joined = (tmp_path / "x.flac").read_bytes() + (tmp_path / name).read_bytes()
    (tmp_path / "x.flac").write_bytes(joined)
    with pytest.raises(OvertoneError, match="another sound file follows its last frame"):
        read(tmp_path / "x.flac")
