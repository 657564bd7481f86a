"""Parts that end lower than the rest: where they are, and that nothing but them is changed."""

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr

from overtone import restore, restore_file
from overtone.cli import main
from overtone.core.errors import OvertoneError
from overtone.models import registry
from overtone.restoration.stream.narrowband import PassageMeter
from overtone.restoration.stream.restorer import FADE, Restorer
from tests.helpers import ROOT
from tests.helpers.sound import band, make

RATE = 44100
# Relative: a transform may round differently where a block lies elsewhere in memory; spans are whole frames.
CUT_TOLERANCE = 1e-6
BUNDLE = ROOT / "data/bundle/fma_mini.zip"
# Start and end in seconds of what goes through a telephone.
CALLS = ((4.0, 9.0), (13.0, 19.0), (22.0, 25.0))


def telephone(samples, rate=8000):
    """(channels, time) without what lies above half that rate."""
    low = soxr.resample(soxr.resample(samples.T, RATE, rate), rate, RATE)
    return low[: samples.shape[1]].T.astype(np.float32)


@pytest.fixture(scope="module")
def song():
    """25 seconds of a real song, (channels, time), that reaches 19 kHz."""
    with zipfile.ZipFile(BUNDLE) as archive:
        data = archive.read("fma_mini/900/900012.mp3")
    samples, _ = soundfile.read(io.BytesIO(data), dtype="float32")
    return samples[2 * RATE : 27 * RATE].T / 4  # within full scale with what a random network adds


@pytest.fixture(scope="module")
def talk(song):
    """The song, of which the CALLS end at 4 kHz."""
    limited, mixed = telephone(song), song.copy()
    for start, end in CALLS:
        cut = slice(round(start * RATE), round(end * RATE))
        mixed[:, cut] = limited[:, cut]
    return mixed


def found(samples, rate=RATE, block=1 << 16):
    meter = PassageMeter(rate)
    for at in range(0, samples.shape[1], block):
        meter.add(samples[:, at : at + block])
    return meter.passages()


def test_parts_on_the_telephone_are_found_to_a_tenth_of_a_second(talk):
    parts = found(talk)
    assert parts.cutoff.hz == pytest.approx(0.946 * 4000, rel=0.05)
    assert parts.cutoff.confidence > 0.8
    assert not parts.cutoff.full_band
    assert np.abs(np.array(parts.spans) - CALLS).max() < 0.1


def test_parts_do_not_depend_on_the_blocks_nor_on_the_level(talk):
    whole = found(talk, block=talk.shape[1])
    cut = found(talk, block=7001)
    assert cut.spans == whole.spans
    assert cut.cutoff.hz == pytest.approx(whole.cutoff.hz, rel=CUT_TOLERANCE)
    assert cut.cutoff.confidence == pytest.approx(whole.cutoff.confidence, rel=CUT_TOLERANCE)
    assert cut.cutoff.kind == whole.cutoff.kind
    assert np.abs(np.array(found(talk / 30).spans) - CALLS).max() < 0.15


def test_a_call_that_lasts_to_the_end_lasts_to_the_last_sample(talk):
    assert found(talk).spans[-1][1] == talk.shape[1] / RATE


def test_a_pause_does_not_end_a_call(talk):
    paused = talk.copy()
    paused[:, 15 * RATE : 16 * RATE] = 0
    assert np.abs(np.array(found(paused).spans) - CALLS).max() < 0.1


def test_calls_over_a_hiss_are_found(talk, rng):
    # 19 dB under the song as a whole; a call stands out of it by less than STEEP_DB at the cutoff.
    noisy = 0.12 * talk + rng.normal(0, 1e-3, talk.shape).astype(np.float32)
    assert np.abs(np.array(found(noisy).spans) - CALLS).max() < 0.15


def test_what_ends_at_one_cutoff_is_one_part(song):
    parts = found(telephone(song, 16000))
    assert parts.cutoff.hz == pytest.approx(0.946 * 8000, rel=0.05)
    assert parts.spans == ((0.0, song.shape[1] / RATE),)


@pytest.mark.parametrize("what", ["full band", "noise", "silence", "two short calls", "nothing"])
def test_where_there_are_none_for_certain_there_are_none(song, talk, rng, what):
    samples = {
        "full band": song,
        "noise": rng.normal(0, 0.1, (1, 10 * RATE)).astype(np.float32),
        "silence": np.zeros((2, 10 * RATE), np.float32),
        "two short calls": talk[:, RATE : 8 * RATE],
        "nothing": np.zeros((1, 100), np.float32),
    }[what]
    assert found(samples) is None


def test_a_rate_that_leaves_no_room_above_has_no_parts(song):
    low = soxr.resample(song.T, RATE, 16000).T.astype(np.float32)
    assert found(np.concatenate([low, telephone(low)], axis=1), rate=16000) is None


def test_treble_is_added_to_the_spans_alone(low):
    net = make("spectral")
    low = low / 10  # within full scale with what is added

    def run(spans, out_rate):
        restorer = Restorer(net, RATE, 2, 6000.0, 0.05, out_rate, spans=spans)
        blocks = [restorer.process(block) for block in np.array_split(low, 5, axis=1)]
        return np.concatenate([*blocks, restorer.flush()], axis=1)

    for rate in (RATE, 48000):
        everywhere, nowhere = run(None, rate), run([], rate)
        assert np.array_equal(nowhere, run([(9.0, 10.0)], rate))
        some = run([(0.5, 0.8), (1.5, 2.0)], rate)
        times = np.arange(some.shape[1]) / rate
        inside = ((times >= 0.5) & (times <= 0.8)) | (times >= 1.5)
        near = ((times > 0.5 - FADE) & (times < 0.8 + FADE)) | (times > 1.5 - FADE)
        assert np.abs(everywhere - nowhere)[:, inside].max() > 1e-4
        assert np.array_equal(some[:, inside], everywhere[:, inside])
        assert np.array_equal(some[:, ~near], nowhere[:, ~near])
        # Between them it comes and goes evenly.
        share = (some - nowhere).std(0) / (everywhere - nowhere).std(0).clip(1e-9)
        middle = np.abs(times - (0.5 - FADE / 2)) < 1 / rate
        assert share[middle].mean() == pytest.approx(0.5, abs=0.1)


@pytest.fixture
def here(tmp_path, monkeypatch, talk):
    """A folder to work in, with talk.wav and a model."""
    monkeypatch.chdir(tmp_path)
    soundfile.write("talk.wav", talk.T, RATE, subtype="FLOAT")
    registry.save(make("spectral"), "spectral", tmp_path / "model", {})
    return tmp_path


def test_a_file_gets_treble_in_its_parts_alone(here, talk):
    report = restore_file("talk.wav", "out.wav", bits=32, model="model", parts=True)
    assert np.abs(np.array(report.parts) - CALLS).max() < 0.1
    assert f"in 3 parts, {sum(end - start for start, end in report.parts):.1f} s in all" in report.line()
    made = soundfile.read("out.wav", dtype="float32")[0].T
    changed = np.abs(made - talk).max(0) > 0
    times = np.arange(len(changed)) / RATE
    outside = ~np.any([(times > s - 2 * FADE) & (times < e + 2 * FADE) for s, e in report.parts], axis=0)
    assert not changed[outside].any()
    assert changed[~outside].mean() > 0.9


def test_a_reference_serves_the_parts(here, talk, song, capsys):
    soundfile.write("song.flac", song.T, RATE)
    command = ["restore", "talk.wav", "--parts", "--model", "model", "--bits", "32", "--json"]
    assert main.main([*command, "-o", "plain.wav"]) == 0
    assert main.main([*command, "-o", "like.wav", "--like", "song.flac", "--strength", "1"]) == 0
    plain, like = (json.loads(line) for line in capsys.readouterr().out.splitlines())
    assert like["parts"] == plain["parts"]
    assert like["reference"] == "song.flac"
    assert like["curve"]["bands"][0]["low"] == pytest.approx(like["cutoff"]["hz"], abs=0.1)
    start, end = (round(seconds * RATE) for seconds in like["parts"][0])

    def error(name):
        """How far the level from 5 to 9 kHz of the first part is from the song's."""
        made = soundfile.read(name, dtype="float32")[0].T
        return abs(band(made[:, start:end], 5000, 9000) - band(song[:, start:end], 5000, 9000))

    assert error("like.wav") < error("plain.wav") - 3
    changed = (soundfile.read("like.wav")[0] != soundfile.read("talk.wav")[0]).any(axis=1)
    times = np.arange(len(changed)) / RATE
    outside = ~np.any([(times > s - 2 * FADE) & (times < e + 2 * FADE) for s, e in like["parts"]], axis=0)
    assert not changed[outside].any()


def test_an_array_gets_treble_in_its_parts_alone(talk):
    made = restore(talk, RATE, model=make("spectral"), parts=True)
    changed = np.abs(made - talk).max(0) > 0
    times = np.arange(len(changed)) / RATE
    inside = np.any([(times > start) & (times < end) for start, end in found(talk).spans], axis=0)
    assert changed[inside].mean() > 0.9
    assert changed[~inside].mean() < 0.02  # fades


def test_the_command_says_what_it_found(here, capsys):
    assert main.main(["restore", "talk.wav", "--parts", "--model", "model", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert np.abs(np.array(said["parts"]) - CALLS).max() < 0.1
    assert said["cutoff"]["hz"] < 4200


def test_a_file_without_parts_is_restored_as_a_whole(here, song, capsys):
    soundfile.write("song.flac", song.T, RATE)
    assert main.main(["restore", "song.flac", "--parts", "--model", "model"]) == 0
    assert "no parts that end lower than the rest; full band already" in capsys.readouterr().out
    given = soundfile.read("song.flac")[0]
    assert np.array_equal(soundfile.read("song.restored.flac")[0], given)


@pytest.mark.parametrize("other", [["--cutoff", "4000"], ["--stems"]], ids="".join)
def test_parts_go_with_no_cutoff_and_no_stems(here, capsys, other):
    Path("again.wav").symlink_to("talk.wav")
    assert main.main(["restore", "talk.wav", "again.wav", "--parts", "--model", "model", *other]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1
    assert not Path("talk.restored.flac").exists()
    with pytest.raises(OvertoneError, match="leave out"):
        restore_file("talk.wav", model="model", parts=True, cutoff=4000.0)
    with pytest.raises(OvertoneError, match="leave out"):
        restore(np.zeros(RATE, np.float32), RATE, parts=True, cutoff=4000.0)


def test_a_few_windows_do_not_speak_for_sound_that_is_soft_above(rng):
    # Falling by 35 dB an octave, every frame looks limited at 4 kHz; only four windows in ten really are.
    spectrum = np.fft.rfft(rng.normal(0, 1, 20 * RATE))
    hertz = np.fft.rfftfreq(20 * RATE, 1 / RATE)
    soft = np.fft.irfft(spectrum * np.maximum(hertz / 500, 1) ** -5.75)[None].astype(np.float32)
    soft[:, : 8 * RATE] = telephone(soft[:, : 8 * RATE])
    assert found(soft) is None
