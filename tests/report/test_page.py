"""The page needs no other file, shows the numbers of the metrics, plays, and escapes text of others."""

import base64
import io
import json
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import soundfile
import yaml
from PIL import Image

from overtone.core import atomic
from overtone.core.errors import OvertoneError
from overtone.evaluation.comparison import intervals
from overtone.evaluation.metrics.registry import IN_GENRES, SCORES, VIEWS
from overtone.report import data_uris, tables
from overtone.report import page as page_module
from tests.helpers import ROOT

RATE = 44100
SYSTEMS = ["input", "silence", "model", "network alone", "<i>sox</i>"]
TRACKS = list(range(1, 15))
HOSTILE = "</title><script>alert(1)</script>"
ARTIST = '"><img src="http://example.org/x" onerror="alert(2)">'
GENRE = "<b>Rock & Roll"


class Page(HTMLParser):
    """Every tag with its attributes, the texts, and the cells of each table by its class."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.tables, self.words = [], [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        if tag == "table":
            self.tables.append((dict(attrs).get("class"), []))
        elif tag == "tr":
            self.tables[-1][1].append([])
        elif tag in ("td", "th"):
            self.tables[-1][1][-1].append([])

    def handle_data(self, data):
        self.words.append(data)
        if self.tables and self.tables[-1][1] and self.tables[-1][1][-1]:
            self.tables[-1][1][-1][-1].append(data.strip())

    def rows(self, kind):
        """The rows of all tables of a class; a cell is its texts."""
        found = [rows for name, rows in self.tables if name == kind]
        return [[[word for word in cell if word] for cell in row] for rows in found for row in rows]

    def sounds(self):
        return [attributes["src"] for tag, attributes in self.tags if tag == "audio"]


@pytest.fixture(scope="module")
def sound():
    """A second of noise up to Nyquist, and as much with a loud tone of 5 kHz in it."""
    noise = np.random.default_rng(3).normal(0, 0.05, RATE).astype(np.float32)
    tone = 0.3 * np.sin(2 * np.pi * 5000 * np.arange(RATE) / RATE).astype(np.float32)
    return {"degraded": noise, "restored": noise[::-1].copy(), "original": noise + tone}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, sound):
    """The files of the other stages, for fourteen test tracks of two genres."""
    folder = tmp_path_factory.mktemp("run")
    for name in ("metrics", "plots", "data/examples", "data/fma", "data/pairs"):
        (folder / name).mkdir(parents=True)
    for name in ("params.yaml", "dvc.yaml"):
        (folder / name).write_text((ROOT / name).read_text())
    rng = np.random.default_rng(1)
    scores = {
        system: {str(track): {key: float(rng.uniform(1, 9)) for key in SCORES} for track in TRACKS}
        for system in SYSTEMS
    }
    for of_track in scores.values():
        del of_track["3"]["lsd_high"]  # a track without treble lacks its metrics
        for values in of_track.values():
            del values["image_level"]  # mono music has no image
    genres = {str(track): GENRE if track % 2 else "Folk" for track in TRACKS}
    found = intervals.summarize(scores, genres, 100)
    # At another cutoff all is better by 100.
    other = {
        system: {track: {key: value - 100 for key, value in of.items()} for track, of in of_track.items()}
        for system, of_track in scores.items()
    }
    cutoffs = {"4800": found, "8000": intervals.summarize(other, genres, 100)}
    results = found | {"cutoffs": cutoffs, "failed": {"gone": "not installed: <u>ask</u>"}}
    results["remarks"] = {"network alone": "-19.5 dB, inverted: not corrected"}
    atomic.write_json(results, folder / "metrics/test.json")
    intervals.write_csv({4800: scores, 8000: other}, genres, folder / "plots/scores.csv")
    training = {"train_loss": 0.5, "validation_loss": 0.25, "best_epoch": 2, "epochs": 3, "parameters": 94457}
    (folder / "metrics/train.json").write_text(json.dumps(training))
    (folder / "metrics/segments.json").write_text(
        json.dumps({"tracks": 14, "tracks_left_out": 1, "segments": {}, "hours": 0.1})
    )
    costs = {"machine": "a machine", "systems": {"input": {"failed": "not installed: <u>ask</u>"}}}
    (folder / "data/systems.json").write_text(json.dumps(costs))
    loss = {"epoch": [1, 2, 3], "train_loss": [3, 2, 1.5], "validation_loss": [3, 2, 2.5], "lr": [0.1] * 3}
    pd.DataFrame(loss).to_csv(folder / "plots/loss.csv", index=False)
    for name in ("spectrum", "distance"):
        Image.new("RGB", (4, 4)).save(folder / f"plots/{name}.png")
    table = pd.DataFrame({"track_id": TRACKS, "artist": "7", "title": HOSTILE, "license": "<s>free"})
    table["genre"] = [genres[str(track)] for track in TRACKS]
    table.to_csv(folder / "data/subset.csv", index=False)
    pd.DataFrame({"track_id": TRACKS, "split": "test"}).to_csv(folder / "data/split.csv", index=False)
    pairs = pd.DataFrame({"pair": TRACKS, "track_id": TRACKS, "part": 0, "rate": RATE})
    pairs.to_csv(folder / "data/pairs/index.csv", index=False)
    segments = pd.DataFrame({"split": "test", "track_id": TRACKS, "pair": TRACKS, "length": RATE})
    segments.to_csv(folder / "data/segments.csv", index=False)
    left = pd.DataFrame({"track_id": [99], "reason": ["<em>silent"]})
    left.to_csv(folder / "data/left_out.csv", index=False)
    named = pd.DataFrame({("artist", "name"): [ARTIST] * 14}, index=pd.Index(TRACKS, name="track_id"))
    named.to_csv(folder / "data/fma/tracks.csv")
    for number in (1, 2):
        for name, samples in sound.items():
            soundfile.write(folder / f"data/examples/{number}_{name}.flac", samples, RATE)
    soundfile.write(folder / "data/examples/2_..%2Fbig.flac", sound["restored"], RATE)
    return folder


@pytest.fixture(scope="module")
def text(folder):
    return page_module.page(folder)


@pytest.fixture(scope="module")
def page(text):
    return Page(text)


def test_the_page_loads_nothing(text, page):
    loading = ("src", "srcset", "href", "poster", "data", "action", "background", "xlink:href")
    named = [
        value for _, attributes in page.tags for name, value in attributes.items() if name.lower() in loading
    ]
    assert len(named) > 10
    assert all(value.startswith(("data:", "#")) for value in named)
    style = text[text.index("<style>") : text.index("</style>")]
    assert "url(" not in style
    assert "@import" not in style
    policies = [tag["content"] for name, tag in page.tags if name == "meta" and "http-equiv" in tag]
    assert len(policies) == 1
    assert policies[0].startswith("default-src 'none';")


def test_every_cell_of_its_tables_is_that_of_the_metrics(folder, page):
    systems = json.loads((folder / "metrics/test.json").read_text())["systems"]
    of_head = {tables.heading(key): key for key in SCORES}
    rows = page.rows("scores")
    checked = set()
    for row in rows:
        if row[0] == ["system"]:
            keys = [of_head[cell[0]] for cell in row[1:]]
            continue
        (system,) = row[0]
        if system == "gone":
            assert row[1][0] == "not installed: <u>ask</u>"
            continue
        assert len(row) == 1 + len(keys)
        for key, cell in zip(keys, row[1:], strict=True):
            interval = systems[system][key]
            assert float(cell[0]) == pytest.approx(interval["mean"], abs=0.5001 * 10 ** -SCORES[key].decimals)
            low, _, high = cell[1].partition("\N{EN DASH}")
            for end, shown in (("low", low), ("high", high or low)):
                assert float(shown) == pytest.approx(interval[end], abs=0.5001 * 10 ** -SCORES[key].decimals)
            checked.add((system, key))
    keys = {key for keys in VIEWS.values() for key in keys} - {"image_level"}
    assert checked == {(system, key) for system in SYSTEMS for key in keys}


def test_every_cutoff_has_dots_with_figures(folder, text):
    results = json.loads((folder / "metrics/test.json").read_text())
    section = text[text.index('<section id="cutoffs">') : text.index('<section id="tracks">')]
    assert section.count('class="dot"') == len(IN_GENRES) * 2 * len(SYSTEMS)
    assert section.index("4.8 kHz</text>") < section.index(
        "8 kHz</text>", section.index("4.8 kHz</text>") + 9
    )
    for of_cutoff in results["cutoffs"].values():
        for key in IN_GENRES:
            assert f">{tables.format_mean(of_cutoff['systems']['model'], key)}</text>" in section


def test_with_one_cutoff_there_is_no_picture_by_cutoff(folder):
    path = folder / "metrics/test.json"
    kept = path.read_text()
    try:
        atomic.write_json({key: value for key, value in json.loads(kept).items() if key != "cutoffs"}, path)
        assert 'id="cutoffs"' not in page_module.page(folder)
    finally:
        path.write_text(kept)


def test_differences_have_their_p(folder, page):
    paired = json.loads((folder / "metrics/test.json").read_text())["paired"]["systems"]
    rows = {row[0][0]: row[1:] for row in page.rows("paired")}
    assert list(rows) == ["system", *paired]
    value = paired["input"]["lsd_high"]
    cell = rows["input"][rows["system"].index([tables.heading("lsd_high")])]
    assert float(cell[0]) == pytest.approx(value["mean"], abs=0.0051)
    assert float(cell[1].removeprefix("p=")) == pytest.approx(value["p"], abs=0.00051)


def test_every_player_plays_its_example(page, sound):
    sounds = page.sounds()
    names = ["degraded", "restored", "original"]
    assert len(sounds) == 7
    for uri, name in zip(sounds, [*names, *names[:2], "restored", "original"], strict=True):
        assert uri.startswith("data:audio/mpeg;base64,")
        played, rate = soundfile.read(io.BytesIO(base64.b64decode(uri.partition(",")[2])))
        assert rate == RATE
        assert len(played) == RATE
        # White noise is what MP3 keeps worst; another version would correlate by 0.5 at most.
        assert np.corrcoef(played, sound[name])[0, 1] > 0.9
    assert "../big" in page.words


@pytest.mark.parametrize("rate", [44100, 96000])
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_a_sound_keeps_its_high_band(rng, rate, channels):
    samples = rng.normal(0, 0.05, (rate, channels)).astype(np.float32)
    uri = data_uris.sound(samples, rate)
    played, out_rate = soundfile.read(io.BytesIO(base64.b64decode(uri.partition(",")[2])), always_2d=True)
    assert played.shape[1] == (channels if channels < 3 else 1)
    assert len(played) / out_rate == pytest.approx(1, abs=0.05)
    before = samples if channels < 3 else samples.mean(axis=1, keepdims=True)

    def power(sound, of_rate, low):
        spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound))[:, None], axis=0)) ** 2
        hertz = np.fft.rfftfreq(len(sound), 1 / of_rate)
        return 10 * np.log10(spectrum[(hertz > low) & (hertz < low + 1000)].mean() / len(sound))

    # The change of rate changes the density of the spectrum, the same at all frequencies.
    offset = power(played, out_rate, 1000) - power(before, rate, 1000)
    for low in (12000, 18000):
        assert power(played, out_rate, low) - power(before, rate, low) == pytest.approx(offset, abs=1)


def test_a_tone_lies_at_its_frequency_in_the_spectrogram(page):
    pictures = [attributes["href"] for tag, attributes in page.tags if tag == "image"]
    assert len(pictures) == 7
    image = Image.open(io.BytesIO(base64.b64decode(pictures[2].partition(",")[2])))
    shades = np.asarray(image).astype(float).mean(axis=1)  # before the palette: the level
    height = 1 - (shades.argmax() + 0.5) / len(shades)  # the lowest row is 0 Hz
    assert height * RATE / 2 == pytest.approx(5000, abs=150)


def test_text_of_others_is_escaped(page):
    tags = [tag for tag, _ in page.tags]
    assert tags.count("script") == 1
    assert tags.count("img") == 2
    assert not {"b", "i", "s", "u", "em"} & set(tags)
    assert not any(name.startswith("on") for _, attributes in page.tags for name in attributes)
    words = " ".join(page.words)
    for foreign in (HOSTILE, ARTIST, GENRE, "<s>free", "<u>ask</u>", "<em>silent", "<i>sox</i>"):
        assert foreign in words


def test_the_hardest_tracks_come_first_and_then_the_best(folder, page):
    table = (
        pd.read_csv(folder / "plots/scores.csv")
        .query("system == 'model' and cutoff == 4800")
        .dropna(subset="lsd_high")
    )
    order = [f"{track:06d}" for track in table.sort_values("lsd_high", ascending=False)["track"]]
    listed = [row[0][-1] for row in page.rows("tracks") if row[0] != ["track"]]
    assert len(order) == 13
    assert listed == order[:5] + order[::-1][:5]


def test_a_large_correction_is_noted_below_the_scores(text):
    assert "Note on network alone: -19.5 dB, inverted: not corrected." in text


def test_a_single_test_track_has_no_interval(folder):
    path = folder / "metrics/test.json"
    kept = path.read_text()
    scores = {system: {"1": dict.fromkeys(SCORES, 0.5)} for system in SYSTEMS}
    try:
        atomic.write_json(intervals.summarize(scores, {"1": "Folk"}, 100), path)
        single = page_module.page(folder)
    finally:
        path.write_text(kept)
    assert "Means over 1 test track;" in single
    assert "With 1 track, small differences mean nothing." in single
    assert "1 tracks" not in single
    genres = single[single.index('<section id="genres">') : single.index('<section id="tracks">')]
    assert genres.count('class="dot"') == len(IN_GENRES) * len(SYSTEMS)
    assert 'class="bar"' not in genres
    tables_of_scores = single[single.index('<section id="scores">') : single.index("<h3>Minus")]
    assert "0.50" in tables_of_scores
    assert "<small>" not in tables_of_scores, "an interval below a mean"


def test_the_scores_of_a_track_are_those_of_its_row(folder, page):
    table = pd.read_csv(folder / "plots/scores.csv").query("cutoff == 4800").set_index(["system", "track"])
    for row in page.rows("tracks"):
        if row[0] == ["track"]:
            continue
        wanted = [
            table.loc[(system, int(row[0][-1])), key] for key in IN_GENRES for system in ("model", "input")
        ]
        assert [float(cell[0]) for cell in row[2:]] == pytest.approx(wanted, abs=0.0501)


def test_the_same_files_give_the_same_bytes(folder, text):
    assert page_module.page(folder) == text


def test_checksums_are_those_that_dvc_recorded_of_its_files(folder, text):
    assert "MD5 by DVC" not in text
    outs = [{"path": path, "md5": f"sum of {path}", "size": 12345} for path in ("data/model", "data/pairs")]
    lock = folder / "dvc.lock"
    lock.write_text(yaml.safe_dump({"stages": {"train": {"outs": outs}}}))
    try:
        with_lock = page_module.page(folder)
    finally:
        lock.unlink()
    assert "sum of data/model" in with_lock
    assert "sum of data/pairs" not in with_lock
    assert "12,345" in with_lock


def test_sounds_beyond_the_limit_stay_in_their_folder(folder, monkeypatch):
    monkeypatch.setattr(page_module, "SOUND_LIMIT", 1000)
    shorter = page_module.page(folder)
    assert len(Page(shorter).sounds()) == 3
    assert "1 more in" in shorter


def test_a_missing_file_is_named(folder):
    path = folder / "data/split.csv"
    kept = path.rename(folder / "kept")
    try:
        with pytest.raises(OvertoneError, match=r"split\.csv is not here; `dvc repro` writes it"):
            page_module.write(folder / "plots/report.html", folder)
    finally:
        kept.rename(path)
    assert not (folder / "plots/report.html").exists()
