"""Restoring stem by stem: a small HTDemucs in Demucs's own repository format, and known separators."""

import json
import subprocess
import sys
import urllib.error
from fractions import Fraction

import numpy as np
import pandas as pd
import pytest
import soundfile
import soxr
import torch
from demucs.api import Separator as DemucsSeparator
from demucs.htdemucs import HTDemucs
from demucs.states import save_with_checksum, serialize_model
from omegaconf import OmegaConf

from overtone.cli import main
from overtone.core.errors import OvertoneError
from overtone.evaluation.comparison import named_systems, systems
from overtone.evaluation.comparison.chunks import Chunk
from overtone.models import registry
from overtone.restoration.stream import restorer as restorer_module
from overtone.restoration.stream.restorer import Restorer
from overtone.restoration.stream.separation import Findings, Separation, Separator, open_separator
from overtone.restoration.stream.stems import StemsRestorer
from tests.helpers.sound import CUTOFF, RATE, band, level, make

NAMES = ("drums", "bass", "other", "vocals")
SIGNATURE = "0a1b2c3d"


def htdemucs():
    """The architecture of Demucs's own model, a quarter of a second long, with random weights."""
    torch.manual_seed(0)
    settings = {
        "channels": 4,
        "growth": 1,
        "dconv_comp": 2,
        "t_layers": 1,
        "t_heads": 2,
        "t_hidden_scale": 1.0,
    }
    return HTDemucs([*NAMES], segment=Fraction(1, 4), **settings).eval()


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A folder as Demucs writes and reads them: SIGNATURE-CHECKSUM.th, and a bag of it."""
    folder = tmp_path_factory.mktemp("demucs")
    package = serialize_model(htdemucs(), OmegaConf.create({}), half=False)
    save_with_checksum(package, folder / f"{SIGNATURE}.th")
    (folder / "htdemucs.yaml").write_text(f"models: ['{SIGNATURE}']\n")
    return folder


@pytest.fixture
def demucs(repository, monkeypatch):
    monkeypatch.setenv("OVERTONE_DEMUCS", f"{repository}/htdemucs")


def known(*stems, channels=2, segment=5000):
    """A separator whose stems are functions of the segment."""
    names = tuple(str(number) for number in range(len(stems)))
    return Separator(
        "known", names, RATE, channels, segment, lambda wave: np.stack([stem(wave) for stem in stems])
    )


def odd():
    """Stems that do not add up: quieter, late, distorted."""
    return known(
        lambda wave: 0.6 * wave, lambda wave: np.roll(wave, 50, 1), lambda wave: 3 * wave * abs(wave)
    )


def run(restorer, samples, cuts=()):
    blocks = [restorer.process(block) for block in np.split(samples, cuts, axis=1)]
    return np.concatenate([*blocks, restorer.flush()], axis=1)


def by_stems(separator, samples, rate=RATE, cuts=(), kind="spectral", **options):
    options = {"cutoff": CUTOFF, "peak": float(np.abs(samples).max())} | options
    return run(StemsRestorer(separator, make(kind), rate, len(samples), **options), samples, cuts)


def separated(separator, samples, cuts=()):
    """The stems of a stream that is cut into blocks."""
    stream = Separation(separator, len(samples), Findings("it", separator.stems))
    blocks = np.split(samples, cuts, axis=1)
    parts = [part for n, block in enumerate(blocks) for part in stream(block, n == len(blocks) - 1)]
    assert np.array_equal(np.concatenate([mix for mix, _ in parts], axis=1), samples)
    return np.concatenate([stems for _, stems in parts], axis=2)


@pytest.mark.parametrize("name", ["htdemucs", SIGNATURE])
def test_a_folder_in_demucs_own_format_is_loaded(repository, low, monkeypatch, name):
    """A bag of one, and the model by its signature."""
    monkeypatch.setenv("OVERTONE_DEMUCS", f"{repository}/{name}")
    separator = open_separator()
    assert (separator.name, separator.stems, separator.rate, separator.channels, separator.segment) == (
        name,
        NAMES,
        44100,
        2,
        11025,
    )
    segment = low[:, :11025].copy()
    with torch.no_grad():
        own = htdemucs()(torch.from_numpy(segment)[None])[0].numpy()
    assert np.abs(separator.separate(segment) - own).max() < 1e-3 * np.abs(own).max()


@pytest.mark.parametrize("cuts", [(1,), (5000, 11025, 25000)], ids=str)
@pytest.mark.parametrize("length", [30000, 24000, 8000])
def test_a_stream_is_separated_as_demucs_separates_the_whole(demucs, repository, low, cuts, length):
    """No seam is heard. What differs is each segment's own mean and level, which Demucs divides out."""
    low = low[:, :length]
    stems = separated(open_separator(), low, [cut for cut in cuts if cut < length])
    whole = DemucsSeparator("htdemucs", repository, "cpu", shifts=0)
    _, own = whole.separate_tensor(torch.from_numpy(low.copy()))
    assert stems.shape == (4, 2, length)
    for name, stem in zip(NAMES, stems, strict=True):
        assert band(stem - own[name].numpy(), 50, RATE) < band(own[name].numpy(), 50, RATE) - 60, name


def test_the_stems_do_not_depend_on_where_a_segment_lies(low):
    """Of a separator that has no edges of its own, overlap and fade leave no trace."""
    stems = separated(known(lambda wave: 0.25 * wave, np.negative, segment=777), low)
    assert np.abs(stems[0] - 0.25 * low).max() < 1e-7
    assert np.abs(stems[1] + low).max() < 3e-7


@pytest.mark.parametrize(("channels", "rate"), [(1, 44100), (2, 44100), (3, 16000), (1, 48000)])
@pytest.mark.parametrize("kind", ["unet", "spectral"])
def test_one_stem_that_is_the_mix_gives_what_restoring_gives(low, channels, rate, kind):
    samples = np.stack([low[0], low[1], low[0] - low[1]])[:channels, :30000]
    samples = np.ascontiguousarray(soxr.resample(samples.T, RATE, rate).T) if rate != RATE else samples
    peak = float(np.abs(samples).max())
    plain = run(Restorer(make(kind), rate, channels, CUTOFF, peak), samples)
    out = by_stems(known(lambda wave: wave, np.zeros_like), samples, rate, (), kind)
    added = plain - by_stems(known(np.zeros_like), samples, rate, (), kind)
    assert level(added) > -60
    assert level(out - plain) < level(added) - 80


@pytest.mark.parametrize("kind", ["unet", "spectral"])
@pytest.mark.parametrize("rate", [16000, 44100])
def test_below_the_cutoff_the_output_is_the_input_whatever_the_stems(low, rate, kind):
    samples = np.ascontiguousarray(soxr.resample(low.T, RATE, rate).T) if rate != RATE else low
    out = by_stems(odd(), samples, rate, kind=kind, out_rate=RATE)
    same = soxr.resample(samples.T, rate, RATE, quality="VHQ").T if rate != RATE else samples
    assert out.shape == same.shape
    assert band(out - same, 0, CUTOFF) < band(same, 0, CUTOFF) - 80
    assert band(out, 8000, 20000) > band(same, 8000, 20000) + 20


def test_alone_it_is_the_sum_of_what_the_network_makes_of_each(low):
    samples, peak = low[:, :30000], float(np.abs(low).max())
    out = by_stems(odd(), samples, keep_low=False, peak=peak)
    each = [
        run(Restorer(make("spectral"), RATE, 2, CUTOFF, peak, keep_low=False), stem)
        for stem in separated(odd(), samples)
    ]
    assert np.abs(out - sum(each)).max() < 1e-5
    assert level(out - samples) > -30


@pytest.mark.parametrize("cuts", [(1,), (0, 5, 20000, 20001)], ids=str)
def test_windows_and_blocks_leave_no_trace(low, monkeypatch, cuts):
    low = low[:, :40000]
    whole = by_stems(odd(), low)
    monkeypatch.setattr(restorer_module, "CHUNK", 1 << 14)
    chunks = by_stems(odd(), low, cuts=cuts)
    assert level(whole - low) > -60
    assert level(chunks - whole) < level(whole - low) - 70


def test_what_waits_does_not_grow_with_the_stream(low, monkeypatch):
    monkeypatch.setattr(restorer_module, "CHUNK", 1 << 12)
    separator = odd()
    stream = StemsRestorer(separator, make("spectral"), RATE, 2, CUTOFF)
    most = (1 << 12) + round(Restorer(make("spectral"), RATE, 2, CUTOFF).latency * RATE) + separator.segment
    behind = 0
    for _ in range(4):
        for block in np.split(low, 10, axis=1):
            behind += block.shape[1] - stream.process(block).shape[1]
            assert behind < most
    assert most < 0.8 * low.shape[1]


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 48000, 96000, 192000])
def test_lengths_are_exact_at_every_rate(rng, rate):
    samples = rng.normal(0, 0.1, (1, 12346)).astype(np.float32)
    out_rate = 44100 if rate in (11025, 22050) else 48000
    out = by_stems(odd(), samples, rate, cutoff=3000)
    assert out.shape == (1, round(12346 * out_rate / rate))
    back = by_stems(odd(), samples, rate, cutoff=3000, out_rate=192000)
    assert back.shape == (1, round(12346 * 192000 / rate))


def test_digital_silence_stays_digital_silence(low):
    noise = np.random.default_rng(0)
    hum = known(lambda wave: wave, lambda wave: wave + np.float32(0.01) * noise.standard_normal(wave.shape))
    low = low[:, :40000]
    low[:, 10000:30000] = 0
    assert not by_stems(hum, low)[:, 11100:28900].any()
    assert not by_stems(hum, np.zeros((2, 9000), np.float32)).any()


def test_a_channel_by_itself_goes_in_on_all_of_the_models_channels(low):
    given = []

    def left_louder(wave):
        given.append(wave)
        return wave * np.array([[0.5], [0.25]], np.float32)

    stems = separated(known(left_louder, segment=len(low[0])), low[:1])
    assert np.array_equal(given[0], low[[0, 0]])
    assert np.abs(stems[0] - 0.375 * low[:1]).max() < 1e-6
    of_three = separated(known(np.negative), np.stack([low[0], low[1], low[0]]))
    assert np.abs(of_three[0, 1] + low[1]).max() < 1e-6


@pytest.mark.parametrize(("shares", "decibels"), [((0.5, 0.4), -20), ((0.5, 0.51), -40)])
def test_how_far_the_sum_of_the_stems_is_off_is_measured(low, shares, decibels):
    parts = [lambda wave, share=share: share * wave for share in shares]
    restorer = StemsRestorer(known(*parts), make("spectral"), RATE, 2, CUTOFF)
    run(restorer, low)
    assert restorer.findings.sum_error_db == pytest.approx(decibels, abs=1e-3)
    assert restorer.findings.line() == (
        f"{len(shares)} stems by known, their sum {decibels}.0 dB off the mix"
    )
    assert restorer.findings.seconds > 0


def test_of_silence_the_sum_is_not_off(low):
    findings = Findings("it", ("one",))
    assert findings.sum_error_db == -200
    assert json.dumps(findings.json(), allow_nan=False)


def test_a_cutoff_beyond_the_input_is_refused(low):
    with pytest.raises(OvertoneError, match="the cutoff is 5000 Hz; for this input it is 500 to 4000"):
        StemsRestorer(odd(), make("spectral"), 8000, 1, 5000)


def test_without_demucs_it_is_said_how_to_install_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "demucs.api", None)
    with pytest.raises(OvertoneError, match=r"^demucs is not installed: pip install 'overtone\[stems\]'"):
        open_separator()


def spoil(repository, folder):
    """The same weights with one byte changed, under the same checksum."""
    source = next(repository.glob("*.th"))
    data = bytearray(source.read_bytes())
    data[1000] ^= 1
    (folder / source.name).write_bytes(data)
    (folder / "htdemucs.yaml").write_bytes((repository / "htdemucs.yaml").read_bytes())


@pytest.mark.parametrize(
    ("prepare", "named", "reason"),
    [
        (None, "nowhere/htdemucs", "nowhere: there is no such folder"),
        (None, "here/htdemucs", "here: htdemucs is neither a single pre-trained model or a bag of models."),
        (spoil, "here/htdemucs", "here: Invalid checksum for file here/0a1b2c3d-"),
    ],
)
def test_a_folder_without_the_model_is_one_line(repository, tmp_path, monkeypatch, prepare, named, reason):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    if prepare:
        prepare(repository, tmp_path / "here")
    monkeypatch.setenv("OVERTONE_DEMUCS", named)
    with pytest.raises(OvertoneError) as caught:
        open_separator()
    assert str(caught.value).startswith(f"Demucs's model htdemucs cannot be had from {reason}")
    assert "OVERTONE_DEMUCS=FOLDER/htdemucs" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_without_a_network_it_is_said_where_the_model_is_looked_for(monkeypatch):
    def offline(*_, **__):
        raise urllib.error.URLError("Name or service not known")

    monkeypatch.delenv("OVERTONE_DEMUCS", raising=False)
    monkeypatch.setattr("demucs.hf.get_hf_model", offline)
    monkeypatch.setattr("torch.hub.load_state_dict_from_url", offline)
    with pytest.raises(OvertoneError) as caught:
        open_separator()
    assert str(caught.value) == (
        "Demucs's model htdemucs cannot be had from its own repository (huggingface.co/adefossez, then "
        "dl.fbaipublicfiles.com): <urlopen error Name or service not known>; a folder with it can be named: "
        "OVERTONE_DEMUCS=FOLDER/htdemucs"
    )


@pytest.fixture
def song(tmp_path, low, monkeypatch):
    """A folder with a mono song at 16 kHz and a network."""
    monkeypatch.chdir(tmp_path)
    soundfile.write("song.wav", soxr.resample(low[:1].T, RATE, 16000), 16000)
    registry.save(make("spectral"), "spectral", tmp_path / "model", {})
    return tmp_path


def test_the_command_restores_stem_by_stem_and_reports(demucs, song, capsys):
    arguments = ["restore", "song.wav", "--stems", "--model", "model", "--cutoff", "6000", "-o", "out.wav"]
    assert main.main(arguments) == 0
    printed = capsys.readouterr().out
    assert "treble added to 4 stems by htdemucs, their sum " in printed
    assert "% of it separating\n" in printed
    out, rate = soundfile.read("out.wav", always_2d=True)
    assert (rate, out.shape) == (48000, (96000, 1))
    same = soxr.resample(soundfile.read("song.wav")[0], 16000, 48000, quality="VHQ")[None]
    # The resampler has taken 1 dB at 5.84 kHz: from there on, what it took is filled.
    assert band(out.T - same, 0, 5700, 48000) < band(same, 0, 5700, 48000) - 80
    assert main.main([*arguments, "--force", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)["stems"]
    assert (report["model"], report["stems"]) == ("htdemucs", list(NAMES))
    assert 0 < report["separating_seconds"] < 60
    assert f"{report['sum_error_db']:.1f} dB off" in printed


@pytest.mark.parametrize(
    ("stands", "message"),
    [
        ("missing", "overtone: demucs is not installed: pip install 'overtone[stems]' ("),
        (
            "elsewhere",
            "overtone: Demucs's model htdemucs cannot be had from nowhere: there is no such folder;",
        ),
    ],
)
def test_the_command_without_demucs_is_one_line(song, capsys, monkeypatch, stands, message):
    monkeypatch.setenv("OVERTONE_DEMUCS", "nowhere/htdemucs")
    if stands == "missing":
        monkeypatch.setitem(sys.modules, "demucs.api", None)
    assert main.main(["restore", "song.wav", "--stems", "--model", "model"]) == 2
    printed = capsys.readouterr()
    assert (printed.out, printed.err.count("\n")) == ("", 1)
    assert printed.err.startswith(message)
    assert sorted(path.name for path in song.iterdir()) == ["model", "song.wav"]


def test_demucs_is_loaded_only_when_it_is_asked_for():
    code = (
        "import sys, overtone.restoration.restore_file, overtone.restoration.stream.stems; "
        "print('demucs' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.fixture
def take(low):
    none = pd.DataFrame(columns=["track_id", "pair", "start", "length", "channel"])
    samples = torch.from_numpy(low[:, :40000].copy())
    return Chunk(5, 0, samples, samples, none)


def test_the_table_has_a_row_of_it_with_the_low_band_both_ways(demucs, take, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    registry.save(make("spectral"), "spectral", tmp_path / "data/model", {})
    prepared = named_systems.prepare(["stems"], lambda: iter([take]), CUTOFF, RATE, tmp_path / "own")
    assert prepared.failed == {}
    made = {row.row: row for row in systems.run_system(prepared.systems[-1], take, CUTOFF, RATE, "cpu")}
    assert list(made) == systems.rows(prepared.systems[-1])
    kept, alone = (made[name].samples.numpy() for name in ("stems", "stems alone"))
    samples = take.degraded.numpy()
    assert kept.shape == alone.shape == samples.shape
    low = CUTOFF - 450  # the roll-off of the samples is filled, and a limiter spreads what is added
    assert band(kept - samples, 0, low) < band(samples, 0, low) - 80
    assert band(alone - samples, 0, CUTOFF) > band(samples, 0, CUTOFF) - 40
    for name in ("stems", "stems alone"):
        assert made[name].findings.line().startswith("4 stems by htdemucs, their sum ")
        assert made[name].cost.json()["seconds_per_second"] > 0


@pytest.mark.parametrize(
    ("module", "reason"),
    [
        ({"demucs.api": None}, "demucs is not installed: pip install 'overtone[stems]'"),
        ({}, "Demucs's model htdemucs cannot be had from nowhere: there is no such folder"),
    ],
)
def test_without_demucs_the_row_says_so(take, tmp_path, monkeypatch, module, reason):
    monkeypatch.setenv("OVERTONE_DEMUCS", "nowhere/htdemucs")
    for name, value in module.items():
        monkeypatch.setitem(sys.modules, name, value)
    prepared = named_systems.prepare(
        ["stems", "shipped"], lambda: iter([take]), CUTOFF, RATE, tmp_path / "own"
    )
    assert [system.name for system in prepared.systems][-1] == "shipped"
    assert "stems" not in [system.name for system in prepared.systems]
    assert prepared.failed["stems"].startswith(reason)
