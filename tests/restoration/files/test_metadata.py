"""What a file holds besides samples: kept where the output holds it, named where it does not."""

import struct

import mutagen
import numpy as np
import pytest
import soundfile

from overtone.restoration.files import riff
from overtone.restoration.files.chapters import Chapter
from overtone.restoration.files.encode import write
from overtone.restoration.files.formats import SoundForm
from overtone.restoration.files.layouts import Layout
from overtone.restoration.files.metadata import Metadata, read_metadata

RATE = 44100
SUFFIXES = [".flac", ".wav", ".ogg", ".mp3"]


def written(path, metadata, rate=RATE, channels=2, bits=16):
    blocks = iter([np.zeros((channels, rate // 2), np.float32)])
    write(path, blocks, SoundForm(rate, channels, bits, rate // 2), metadata)
    return read_metadata(path)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_all_values_of_a_tag_survive(tmp_path, suffix):
    source = tmp_path / "in.flac"
    soundfile.write(source, np.zeros((RATE, 2)), RATE)
    file = mutagen.File(source)
    file["artist"], file["title"], file["performer"], file["mood"] = (
        ["A", "B"],
        ["T1", "T2"],
        ["P", "Q"],
        ["calm"],
    )
    file.save()
    found = written(tmp_path / f"out{suffix}", read_metadata(source))
    assert (found.tags["all_artists"], found.tags["all_titles"]) == (["A", "B"], ["T1", "T2"])
    assert found.custom == {"PERFORMER": ["P", "Q"], "MOOD": ["calm"]}


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_chapters_survive(tmp_path, suffix):
    chapters = [Chapter(0, 0.1, "Über"), Chapter(0.1, 0.5, "B")]
    found = written(tmp_path / f"out{suffix}", Metadata(chapters=chapters)).chapters
    assert [(chapter.start, chapter.title) for chapter in found] == [(0, "Über"), (0.1, "B")]


CUE = struct.pack("<I", 1) + struct.pack("<II4sIII", 1, 22050, b"data", 0, 0, 22050)
LOOP = struct.pack("<9I", 0, 0, round(1e9 / RATE), 60, 0, 0, 0, 1, 0) + struct.pack(
    "<6I", 0, 0, 100, 2000, 0, 0
)
BEXT = b"Interview".ljust(338, b"\0") + struct.pack("<Q", RATE * 3600) + bytes(256)


@pytest.mark.parametrize("rate", [44100, 22050])
def test_chunks_of_wav_survive_in_wav_at_the_targets_rate(tmp_path, rate):
    chunks = {b"bext": BEXT, b"cue ": CUE, b"smpl": LOOP, b"iXML": b"<BWFXML/>"}
    metadata = Metadata({"title": "T"}, chunks=chunks, rate=RATE)
    found = written(tmp_path / "out.wav", metadata, rate)
    assert (found.tags["title"], found.chunks[b"iXML"]) == ("T", b"<BWFXML/>")
    assert struct.unpack_from("<Q", found.chunks[b"bext"], 338)[0] == rate * 3600
    assert struct.unpack_from("<I", found.chunks[b"cue "], 8)[0] == rate / 2
    assert abs(struct.unpack_from("<2I", found.chunks[b"smpl"], 44)[1] - 2000 * rate / RATE) <= 1
    assert soundfile.info(tmp_path / "out.wav").frames == rate // 2
    assert metadata.lost(".wav", 2) == []


def test_what_an_output_does_not_hold_is_named():
    metadata = Metadata(chunks={b"bext": BEXT, b"cue ": CUE, b"smpl": LOOP}, layout=Layout(0xF))
    assert metadata.lost(".flac", 4) == ["broadcast time reference", "cue points", "loops"]
    assert metadata.lost(".ogg", 4)[-1] == "the layout 3.1"
    assert Metadata(layout=Layout(0, True)).lost(".flac", 4) == ["the layout ambisonic"]


@pytest.mark.parametrize("suffix", [".wav", ".flac"])
@pytest.mark.parametrize(("mask", "channels"), [(0xF, 4), (0x60F, 6), (0x3F, 6), (0x63F, 8), (0x603, 4)])
def test_layouts_survive(tmp_path, suffix, mask, channels):
    path = tmp_path / f"out{suffix}"
    assert written(path, Metadata(layout=Layout(mask)), channels=channels).layout == Layout(mask)


def test_an_ambisonic_layout_survives_in_wav(tmp_path):
    layout = Layout(0, True)
    assert written(tmp_path / "out.wav", Metadata(layout=layout), channels=4).layout == layout


def test_a_plain_wav_stays_one(tmp_path):
    for layout in (Layout(), Layout(3)):
        written(tmp_path / "out.wav", Metadata(layout=layout))
        shape = riff.read(tmp_path / "out.wav").find(b"fmt ")
        assert shape.size == 16
