"""Restoring files: formats, exact lengths, nothing lost or half-written, and a clear line for each fault."""

import json
import re
import resource
import struct
import threading
import time

import numpy as np
import pytest
import soundfile
import soxr
import torch

from overtone.core.errors import OvertoneError
from overtone.formats import SUFFIXES
from overtone.models import registry
from overtone.models.spectral import Spectral, SpectralSettings
from overtone.restoration import passes
from overtone.restoration.files import decode
from overtone.restoration.files.decode import open_sound
from overtone.restoration.restore_array import restore
from overtone.restoration.restore_file import restore_file
from tests.helpers.sound import band, forget_length, written

RATE = 44100


@pytest.fixture(scope="module")
def net():
    torch.manual_seed(0)
    return Spectral(SpectralSettings(features=8, blocks=1, expansion=1)).eval()


@pytest.fixture
def low(rng):
    """Two seconds of stereo noise up to 6 kHz, (time, 2), at 44.1 kHz."""
    return soxr.resample(rng.normal(0, 0.1, (24000, 2)), 12000, RATE).astype(np.float32)


@pytest.fixture
def talk(tmp_path, low):
    path = tmp_path / "talk.wav"
    soundfile.write(path, low, RATE, subtype="FLOAT")
    return path


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_restored_beside_itself(talk, net, low):
    report = restore_file(talk, model=net)
    assert names(talk.parent) == ["talk.restored.flac", "talk.wav"]
    made, rate = soundfile.read(report.target, dtype="float32")
    assert (rate, soundfile.info(report.target).subtype) == (RATE, "PCM_24")
    assert np.abs(made.T - restore(low.T, RATE, model=net)).max() < 2**-22
    assert (report.seconds, report.channels, report.added, report.clipped) == (2.0, 2, True, 0)
    assert 5000 < report.cutoff.hz < 6100
    assert report.line().startswith(f"{talk} -> {report.target}: cutoff ")
    assert "treble added and its hiss continued; 2.0 s at " in report.line()  # it is noise
    assert report.json()["cutoff"]["kind"] == report.cutoff.kind


@pytest.mark.parametrize(
    ("name", "bits", "subtype"),
    [
        ("x.flac", 16, "PCM_16"),
        ("x.FLAC", 24, "PCM_24"),
        ("x.wav", 16, "PCM_16"),
        ("x.wav", 24, "PCM_24"),
        ("x.wav", 32, "FLOAT"),
        ("x.ogg", 24, "VORBIS"),
        ("x.mp3", 24, "MPEG_LAYER_III"),
    ],
)
def test_the_suffix_decides_the_format(talk, net, name, bits, subtype):
    target = talk.parent / "new" / name
    restore_file(talk, target, model=net, bits=bits, cutoff=6000)
    info = soundfile.info(target)
    assert (info.subtype, info.samplerate, info.channels) == (subtype, RATE, 2)
    assert abs(info.frames - 88200) <= (0 if subtype.startswith(("PCM", "FLOAT")) else 2304)


@pytest.mark.parametrize("suffix", [".ogg", ".mp3"])
def test_lossy_formats_do_not_take_the_treble_away_again(tmp_path, rng, net, suffix):
    noise = rng.normal(0, 0.1, (3 * RATE, 2)).astype(np.float32)
    soundfile.write(tmp_path / "in.wav", noise, RATE, subtype="FLOAT")
    target = restore_file(tmp_path / "in.wav", tmp_path / f"out{suffix}", model=net).target
    made = soundfile.read(target, dtype="float32")[0]
    for low in (1000, 17000, 19000):
        assert abs(band(made.T, low, low + 1000) - band(noise.T, low, low + 1000)) < 1


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_every_format_is_read(tmp_path, low, net, suffix):
    rate = 48000 if suffix == ".opus" else RATE
    path = written(tmp_path / f"in{suffix}", low[:60000], rate)
    report = restore_file(path, cutoff=5000, model=net)
    expected = soundfile.read(path)[0].shape
    assert soundfile.info(report.target).frames == expected[0]
    assert (report.rate, report.out_rate) == (rate, rate)


@pytest.mark.parametrize("rate", [8000, 11025, 32000, 96000, 192000])
@pytest.mark.parametrize("asked", [None, 22050])
def test_lengths_are_exact(tmp_path, rng, net, rate, asked):
    soundfile.write(tmp_path / "in.wav", rng.normal(0, 0.1, 12347), rate)
    report = restore_file(tmp_path / "in.wav", cutoff=3000, model=net, out_rate=asked)
    out_rate = asked or (44100 if rate == 11025 else 48000)
    assert report.out_rate == out_rate
    assert soundfile.info(report.target).frames == round(12347 * out_rate / rate)


def test_blocks_leave_no_trace(talk, net, monkeypatch):
    whole, _ = soundfile.read(restore_file(talk, model=net).target, dtype="float32")
    for module in decode, passes:
        monkeypatch.setattr(module, "BLOCK", 3001)
    blocks, _ = soundfile.read(restore_file(talk, model=net, force=True).target, dtype="float32")
    assert np.abs(whole - blocks).max() < 1e-6


@pytest.mark.parametrize(("subtype", "bits"), [("PCM_16", 16), ("PCM_16", 24), ("PCM_24", 24), ("FLOAT", 32)])
def test_full_band_comes_out_bit_for_bit(tmp_path, rng, subtype, bits):
    noise = np.clip(rng.normal(0, 0.4, (RATE, 2)), -1, 1)
    soundfile.write(tmp_path / "in.wav", noise, RATE, subtype=subtype)
    report = restore_file(tmp_path / "in.wav", tmp_path / "out.wav", bits=bits, model="no such folder")
    before, after = (soundfile.read(tmp_path / name, dtype="int32")[0] for name in ("in.wav", "out.wav"))
    assert np.array_equal(before, after)
    assert not report.added
    assert "full band already (up to 2" in report.line()


def test_silence_comes_out_silent(tmp_path):
    soundfile.write(tmp_path / "in.wav", np.zeros((9000, 2)), 22050)
    report = restore_file(tmp_path / "in.wav")
    made, rate = soundfile.read(report.target)
    assert (made.shape, rate, made.any()) == ((9000, 2), 22050, False)
    assert "silent (but for bass, if any), left as it is" in report.line()


def test_what_is_beyond_full_scale_is_clipped_and_counted(tmp_path, rng):
    noise = rng.normal(0, 0.1, (RATE, 1))
    noise[100:103] = 3.0
    soundfile.write(tmp_path / "in.wav", noise, RATE, subtype="FLOAT")
    report = restore_file(tmp_path / "in.wav")
    assert report.clipped == 3
    assert "; 3 samples clipped" in report.line()
    assert soundfile.read(report.target)[0].max() == pytest.approx(1, abs=1e-6)
    kept = restore_file(tmp_path / "in.wav", tmp_path / "out.wav", bits=32)
    assert (kept.clipped, soundfile.read(kept.target)[0].max()) == (0, 3.0)


def test_the_added_band_clips_nothing_and_the_report_says_that_it_was_lowered(tmp_path, low):
    soundfile.write(tmp_path / "in.wav", low / np.abs(low).max(), RATE, subtype="FLOAT")
    report = restore_file(tmp_path / "in.wav", bits=24, amount=10)
    assert (report.clipped, report.limited.decibels > 1) == (0, True)
    assert f"lowered for {report.limited.seconds:.2g} s by up to" in report.line()
    assert json.loads(json.dumps(report.json()))["limited"]["seconds"] == report.limited.seconds


def test_progress_goes_from_nothing_to_all(talk, net):
    shares = []
    restore_file(talk, model=net, progress=shares.append)
    assert shares == sorted(shares)
    assert 0 < shares[0] < 0.2
    assert shares[-1] == 1


def test_a_target_is_overwritten_only_if_asked(talk, net):
    target = talk.parent / "out.flac"
    target.write_text("dear to me")
    with pytest.raises(OvertoneError, match="exists; overwrite it with --force"):
        restore_file(talk, target, model=net)
    assert target.read_text() == "dear to me"
    restore_file(talk, target, model=net, force=True)
    assert soundfile.info(target).frames == 88200


def test_a_link_is_written_through(talk, net):
    (talk.parent / "far").mkdir()
    link, real = talk.parent / "out.flac", talk.parent / "far/real.flac"
    link.symlink_to("far/real.flac")
    restore_file(talk, link, model=net)
    assert link.is_symlink()
    assert soundfile.info(real).frames == 88200
    restore_file(talk, link, model=net, force=True)
    assert link.is_symlink()
    assert names(talk.parent / "far") == ["real.flac"]


@pytest.mark.parametrize(("suffix", "rate"), [(".flac", 96000), (".wav", 96000), (".mp3", 48000)])
def test_what_is_left_as_it_is_keeps_its_rate(tmp_path, rng, suffix, rate):
    noise = rng.uniform(-0.5, 0.5, (96000, 1))
    soundfile.write(tmp_path / "in.wav", noise, 96000, "PCM_16")
    report = restore_file(tmp_path / "in.wav", tmp_path / f"out{suffix}", bits=16)
    assert (report.added, report.out_rate) == (False, rate)
    if suffix != ".mp3":
        before, after = (soundfile.read(path, dtype="int16")[0] for path in (report.source, report.target))
        np.testing.assert_array_equal(before, after)


def test_the_report_tells_what_is_special_about_the_source(talk, net):
    cut(talk, 0.7)
    with pytest.raises(OvertoneError, match="insist with --accept-truncated"):
        restore_file(talk, model=net)
    report = restore_file(talk, model=net, accept_truncated=True)
    assert report.seconds == pytest.approx(1.4, abs=0.01)
    assert "; truncated: its header promises" in report.line()
    assert report.json()["notes"] == report.notes


def test_the_input_is_never_overwritten(talk, net):
    link = talk.parent / "link.wav"
    link.symlink_to(talk)
    for target in (talk, link):
        with pytest.raises(OvertoneError, match="is the input itself"):
            restore_file(talk, target, model=net, force=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": "out.txt"}, r"out.txt ends in '.txt'; it is one of .flac, .wav, .ogg, .mp3"),
        ({"target": "out"}, "ends in 'no suffix'"),
        ({"target": "out.flac", "bits": 32}, "32 bits do not fit .*; .flac takes 16 or 24"),
        ({"target": "out.wav", "bits": 8}, "takes 16 or 24 or 32"),
        ({"out_rate": 4000}, "4000 Hz; it is 8000 to 192000"),
        ({"cutoff": 30000}, "talk.wav: the cutoff is 30000 Hz; for this input it is 500 to 22050"),
        ({"model": "nowhere"}, "nowhere holds no model"),
        ({"model": None, "device": "abacus"}, "abacus|holds no model"),
    ],
)
def test_an_option_that_is_not_allowed_is_an_error(talk, net, options, message):
    options = {"model": net, "cutoff": 6000} | options
    if "target" in options:
        options["target"] = talk.parent / options["target"]
    with pytest.raises(OvertoneError, match=message):
        restore_file(talk, **options)
    assert names(talk.parent) == ["talk.wav"]


def cut(path, share):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


# MPEG layer 2 has no header that knows the length.
@pytest.mark.parametrize("suffix", [suffix for suffix in SUFFIXES if suffix != ".mp2"])
def test_a_truncated_file_is_said_to_be_so(tmp_path, low, suffix):
    path = written(tmp_path / f"in{suffix}", np.tile(low, (4, 1))[:300000], 48000)
    cut(path, 0.7)
    with pytest.raises(OvertoneError, match=re.escape(f"in{suffix} is truncated")):
        restore_file(path)
    assert names(tmp_path) == [path.name]


def test_a_truncated_wav_of_64_bits_is_said_to_be_so(tmp_path, low):
    path = tmp_path / "in.wav"
    soundfile.write(path, low, RATE, format="RF64")
    cut(path, 0.7)
    with pytest.raises(OvertoneError, match="promises 88,200 samples, and"):
        restore_file(path)


def test_a_file_damaged_in_the_middle_is_said_to_be_so(tmp_path, low):
    path = tmp_path / "in.flac"
    soundfile.write(path, low, RATE)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 3000] = bytes(3000)
    path.write_bytes(data)
    with pytest.raises(OvertoneError, match=r"damaged: it does not decode beyond \d\.\d s"):
        restore_file(path)


TAGS = [
    b"",
    b"TAG" + bytes(125),
    b"APETAGEX" + struct.pack("<II16x40x", 2000, 40),
    b"ID3\4\0\0\0\0\1\0" + bytes(128),
]


@pytest.mark.parametrize("kept", [passes.KEPT, 0])
@pytest.mark.parametrize(("suffix", "tag"), [(".ogg", b""), (".opus", b""), *((".mp3", tag) for tag in TAGS)])
def test_files_joined_together_are_read_as_one(tmp_path, low, net, monkeypatch, suffix, tag, kept):
    monkeypatch.setattr(passes, "KEPT", kept)
    pieces = [low, low[: len(low) // 2] * 0.5, low[::-1]]
    datas, decoded = [], []
    for number, piece in enumerate(pieces):
        one = written(tmp_path / f"{number}{suffix}", piece, 48000)
        datas.append(one.read_bytes() + tag)
        decoded.append(soundfile.read(one, dtype="float32")[0])
    joined = tmp_path / f"joined{suffix}"
    joined.write_bytes(b"".join(datas))
    with open_sound(joined) as file:
        whole = np.concatenate(list(decode.blocks(file, joined)), axis=1)
    np.testing.assert_array_equal(whole.T, np.concatenate(decoded))
    report = restore_file(joined, cutoff=5000, model=net)
    assert report.added
    assert soundfile.info(report.target).frames == sum(map(len, decoded))


@pytest.mark.parametrize("suffix", [".mp3", ".ogg"])
def test_what_is_joined_and_does_not_go_together_is_said_to_be_so(tmp_path, low, net, suffix):
    first = written(tmp_path / f"first{suffix}", low, 48000).read_bytes()
    second = written(tmp_path / f"second{suffix}", low[:, :1], RATE).read_bytes()
    joined = tmp_path / f"joined{suffix}"
    joined.write_bytes(first + second)
    with pytest.raises(
        OvertoneError, match=r"the one at 1\.8 s .* \(44100 Hz, channels: 1; before 48000 Hz, 2\)"
    ):
        restore_file(joined, model=net)


def test_the_last_of_joined_files_is_truncated(tmp_path, low, net):
    data = written(tmp_path / "in.mp3", low, 48000).read_bytes()
    joined = tmp_path / "joined.mp3"
    joined.write_bytes(data + data[: len(data) // 2])
    with pytest.raises(OvertoneError, match=r"truncated: its header promises 1\.8 s, and 0\.\d s are there"):
        restore_file(joined, model=net)


@pytest.mark.parametrize("size", [0xFFFFFFFF, 0x7FFFF000])
def test_a_wav_from_a_pipe_is_whole(talk, net, low, size):
    soundfile.write(talk, low, RATE, subtype="PCM_16")
    data = bytearray(talk.read_bytes())
    data[4:8] = data[40:44] = struct.pack("<I", size)
    talk.write_bytes(data)
    assert restore_file(talk, model=net).seconds == 2.0


def test_a_flac_of_unknown_length_is_whole(tmp_path, low, net):
    path = tmp_path / "in.flac"
    soundfile.write(path, low, RATE)
    forget_length(path)
    assert restore_file(path, model=net).seconds == 2.0


FAULTS = [
    (np.zeros((0, 1)), "holds no samples; 2 are the least"),
    (np.zeros((1, 1)), "holds one sample; 2 are the least"),
    (np.array([[0, 0], [0, np.nan]]), "holds NaN or infinity, first at 0.000 s"),
    (np.array([[0, 0]] * 44100 + [[0, np.inf]]), "holds NaN or infinity, first at 1.000 s"),
    (np.array([[0, 1e30]] * 2), r"peaks at 1e\+30 times full scale; that is not sound"),
    (np.zeros((9, 65)), "has 65 channels; up to 64 are allowed"),
    (np.zeros((9, 12)), "has 12 channels; a .flac holds 8 at most"),
]


@pytest.mark.parametrize(("samples", "message"), FAULTS, ids=[message[:20] for _, message in FAULTS])
def test_samples_that_are_no_sound_are_an_error(tmp_path, samples, message):
    soundfile.write(tmp_path / "in.wav", samples, RATE, subtype="FLOAT")
    with pytest.raises(OvertoneError, match=message):
        restore_file(tmp_path / "in.wav")
    assert names(tmp_path) == ["in.wav"]


@pytest.mark.parametrize("suffix", [".flac", ".wav", ".ogg"])
def test_samples_too_few_for_one_at_the_outputs_rate_are_an_error(tmp_path, suffix):
    soundfile.write(tmp_path / "in.wav", np.full(2, 0.1), 192000)
    with pytest.raises(
        OvertoneError, match=r"in\.wav holds 2 samples at 192000 Hz, which leaves none at 44100"
    ):
        restore_file(tmp_path / "in.wav", tmp_path / f"out{suffix}", out_rate=44100)
    assert names(tmp_path) == ["in.wav"]


@pytest.mark.parametrize("rate", [4000, 384000])
def test_a_rate_out_of_range_is_an_error(tmp_path, rate):
    soundfile.write(tmp_path / "in.wav", np.zeros(99), rate)
    with pytest.raises(OvertoneError, match=rf"in.wav: the sample rate is {rate} Hz; it is 8000 to 192000"):
        restore_file(tmp_path / "in.wav")


def test_what_cannot_be_opened_is_an_error(tmp_path):
    (tmp_path / "empty.mp3").touch()
    (tmp_path / "note.raw").write_text("not music at all")
    (tmp_path / "dangling.wav").symlink_to("nowhere")
    for name, message in (
        ("empty.mp3", "empty.mp3 is empty"),
        ("note.raw", "note.raw is not audio that overtone reads"),
        ("dangling.wav", "dangling.wav cannot be read: No such file"),
        ("", "is a folder; name a file"),
        ("missing.wav", "missing.wav cannot be read: No such file"),
    ):
        with pytest.raises(OvertoneError, match=message):
            restore_file(tmp_path / name, tmp_path / "out.flac")
    with pytest.raises(OvertoneError, match="is no regular file"):
        restore_file("/dev/zero", tmp_path / "out.flac")


def test_what_the_file_is_counts_not_its_name(talk, net):
    wrong = talk.rename(talk.with_suffix(".mp3"))
    assert restore_file(wrong, model=net).seconds == 2.0


@pytest.mark.parametrize("suffix", [".flac", ".wav", ".mp3"])
def test_no_space_left_is_said_and_nothing_is_left(talk, net, suffix):
    # A limit on the size of files stands in for a full disk.
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20000, hard))
    try:
        with pytest.raises(OvertoneError, match=rf"out\{suffix} cannot be written: File too large"):
            restore_file(talk, talk.parent / f"new/folder/out{suffix}", model=net)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert names(talk.parent) == ["talk.wav"]


def test_a_rate_that_mp3_does_not_have_is_said(talk, net):
    with pytest.raises(
        OvertoneError, match=r"out\.mp3 cannot be written: MPEG-1/2/2\.5 only supports .* 48000$"
    ):
        restore_file(talk, talk.parent / "out.mp3", model=net, out_rate=96000, cutoff=6000)
    assert names(talk.parent) == ["talk.wav"]


def test_a_rate_that_flac_does_not_have_is_said_at_once(talk, net):
    shares = []
    with pytest.raises(OvertoneError, match=r"cannot have 65537 Hz; \.flac takes up to 65535 Hz, and above"):
        restore_file(talk, talk.parent / "out.flac", model=net, out_rate=65537, progress=shares.append)
    assert (shares, names(talk.parent)) == ([], ["talk.wav"])
    for rate in (65535, 65540):
        made = restore_file(talk, talk.parent / "out.flac", model=net, out_rate=rate, cutoff=6000, force=True)
        assert soundfile.info(made.target).samplerate == rate


def test_a_folder_that_cannot_be_made_is_an_error(talk, net):
    with pytest.raises(OvertoneError, match="cannot be written: Not a directory"):
        restore_file(talk, talk / "sub" / "out.flac", model=net)


@pytest.mark.parametrize("fault", [KeyboardInterrupt, RuntimeError])
def test_a_break_leaves_nothing(talk, fault, net):
    def stop(share):
        if share > 0.5:
            raise fault

    target = talk.parent / "out.flac"
    target.write_text("what was there")
    with pytest.raises(fault):
        restore_file(talk, target, model=net, force=True, progress=stop)
    assert names(talk.parent) == ["out.flac", "talk.wav"]
    assert target.read_text() == "what was there"


@pytest.mark.parametrize("suffix", [".flac", ".wav", ".ogg", ".mp3"])
@pytest.mark.parametrize("share", [0.5, 2])
def test_a_source_that_changes_meanwhile_is_an_error(talk, net, low, monkeypatch, suffix, share):
    def change(done):
        if done == passes.SCAN_SHARE:  # between the two passes
            soundfile.write(talk, np.tile(low, (2, 1))[: int(share * len(low))], RATE, subtype="FLOAT")

    monkeypatch.setattr(passes, "KEPT", 0)
    with pytest.raises(OvertoneError, match=r"talk\.wav changed while it was read"):
        restore_file(talk, talk.parent / f"out{suffix}", cutoff=6000, model=net, progress=change)
    assert names(talk.parent) == ["talk.wav"]


@pytest.mark.parametrize("thread", [1, 2], ids=["decoding", "encoding"])
def test_a_break_while_a_thread_starts_waits_until_it_lets_go_of_the_file(talk, net, monkeypatch, thread):
    """The thread runs then, and the pool that should wait for it does not know of it."""
    started, closed = [], []
    start, array_io = threading.Thread.start, soundfile.SoundFile._array_io

    def broken(self):
        start(self)
        if self.name.startswith("ThreadPoolExecutor"):
            started.append(self)
            if len(started) == thread:
                time.sleep(0.1)
                raise KeyboardInterrupt

    def slow(self, *args):
        time.sleep(0.3)
        closed.append(self.closed)
        return 0 if self.closed else array_io(self, *args)

    monkeypatch.setattr(threading.Thread, "start", broken)
    monkeypatch.setattr(soundfile.SoundFile, "_array_io", slow)
    with pytest.raises(KeyboardInterrupt):
        restore_file(talk, model=net)
    started[-1].join()
    assert len(started) == thread
    assert closed
    assert not any(closed)
    assert names(talk.parent) == ["talk.wav"]


def test_two_at_once_do_not_meet(talk, net):
    runs = [
        threading.Thread(target=restore_file, args=(talk, talk.parent / f"{n}.flac"), kwargs={"model": net})
        for n in range(2)
    ]
    for run in runs:
        run.start()
    for run in runs:
        run.join()
    assert names(talk.parent) == ["0.flac", "1.flac", "talk.wav"]


def test_a_saved_model_is_taken_from_its_folder(talk, net, tmp_path):
    registry.save(net, "spectral", tmp_path / "model", {})
    assert restore_file(talk, model=tmp_path / "model", device="cpu").added
