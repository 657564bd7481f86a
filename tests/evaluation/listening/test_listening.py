"""Listening tests: loudness, orders, ratings kept, folders that travel, and what the scores say."""

import concurrent.futures
import http.client
import io
import json
import math
import socket
import sqlite3
import threading
import time
import uuid

import numpy as np
import pytest
import soundfile
from scipy import signal, stats

from overtone.cli import main
from overtone.core.errors import OvertoneError
from overtone.evaluation.listening import examples, exchange, loudness, server, session, summary
from overtone.evaluation.listening.store import Rating, RefusedError, Store
from overtone.web import serving
from tests.helpers import listening_examples

RATE = 44100
SYSTEMS = ("degraded", "restored", "original", "stems")
ANNE, BEN = "a" * 32, "b" * 32


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return listening_examples.write(tmp_path_factory.mktemp("test") / "data/examples", 3, SYSTEMS)


@pytest.fixture(scope="module")
def found(folder):
    return examples.load(folder)


@pytest.fixture
def store(tmp_path):
    return Store(tmp_path / "ratings.sqlite")


@pytest.fixture
def names(found, store):
    names = session.clips(found, store.secret)
    store.know(found.test, names)
    return names


def name_of(names, *clip):
    return next(name for name, own in names.items() if own == clip)


def samples_of(wav):
    samples, rate = soundfile.read(io.BytesIO(wav))
    return samples.T, rate


# ---- loudness and examples


@pytest.mark.parametrize("rate", [44100, 48000])
def test_a_full_scale_sine_of_997_hz_in_one_channel_has_minus_3_lufs(rate):
    # The calibration that BS.1770 itself gives: -3.01 LKFS.
    sine = np.sin(2 * np.pi * 997 * np.arange(3 * rate) / rate)[None]
    assert loudness.integrated(sine, rate) == pytest.approx(-3.01, abs=0.02)


@pytest.mark.parametrize("hertz", [30, 100, 997, 2000, 12000])
def test_the_weighting_is_the_table_of_the_standard_at_48_khz(hertz):
    table = [
        [1.53512485958697, -2.69169618940638, 1.19839281085285, 1.0, -1.69065929318241, 0.73248077421585],
        [1.0, -2.0, 1.0, 1.0, -1.99004745483398, 0.99007225036621],
    ]
    gain = np.abs(signal.sosfreqz(table, [hertz], fs=48000)[1][0])
    sine = 0.5 * np.sin(2 * np.pi * hertz * np.arange(3 * 48000) / 48000)[None]
    expected = -0.691 + 10 * np.log10((0.5 * gain) ** 2 / 2)
    assert loudness.integrated(sine, 48000) == pytest.approx(expected, abs=0.02)


def test_a_sound_shorter_than_a_gating_block_is_one_block(rng):
    noise = rng.normal(0, 0.1, (2, RATE // 10))
    assert loudness.integrated(noise, RATE) == pytest.approx(
        loudness.integrated(np.tile(noise, 20), RATE), abs=0.1
    )


def test_silence_is_gated_away(rng):
    noise = rng.normal(0, 0.1, (1, 2 * RATE))
    padded = np.concatenate([noise, np.zeros((1, 10 * RATE))], axis=1)
    assert loudness.integrated(padded, RATE) == pytest.approx(loudness.integrated(noise, RATE), abs=0.7)
    assert loudness.integrated(np.zeros((1, RATE)), RATE) == -math.inf


def test_all_sounds_are_equally_loud_equally_long_and_unclipped(found):
    sounds = [wav for versions in found.sounds.values() for wav in versions.values()]
    assert len({len(wav) for wav in sounds}) == 1
    levels = [loudness.integrated(*samples_of(wav)) for wav in sounds]
    assert max(levels) - min(levels) < 0.1
    assert all(np.abs(samples_of(wav)[0]).max() <= examples.CEILING for wav in sounds)


def test_versions_of_other_rates_lengths_and_channels_are_brought_together(tmp_path, rng):
    for system, rate, seconds, channels in (
        ("original", 44100, 1.0, 1),
        ("degraded", 16000, 1.2, 1),
        ("restored", 48000, 0.9, 2),
    ):
        noise = rng.normal(0, 0.05, (round(seconds * rate), channels))
        soundfile.write(tmp_path / f"1_{system}.flac", noise, rate)
    made = {system: samples_of(wav) for system, wav in examples.load(tmp_path).sounds["1"].items()}
    assert {(samples.shape, rate) for samples, rate in made.values()} == {((2, round(0.9 * 44100)), 44100)}


def test_the_test_has_another_name_when_a_file_differs(tmp_path, folder):
    before = examples.identify(folder)[0]
    assert before == examples.identify(folder)[0]
    other = listening_examples.write(tmp_path / "other", 3, SYSTEMS)
    soundfile.write(other / "2_restored.flac", np.zeros(RATE), RATE)
    assert examples.identify(other)[0] != before


def test_a_systems_name_is_what_the_files_name_stands_for(tmp_path):
    folder = listening_examples.write(tmp_path / "some", 1)
    (folder / "1_stems.flac").rename(folder / "1_..%2Fruns%2Fbig.flac")
    assert examples.load(folder).systems == ["original", "degraded", "../runs/big", "restored"]


def test_a_sample_without_its_original_is_named(tmp_path):
    listening_examples.write(tmp_path / "some", 1, ("degraded", "restored"))
    with pytest.raises(OvertoneError, match=r"1_original\.flac is not there"):
        examples.load(tmp_path / "some")


# ---- orders


def test_a_listener_rates_each_sample_once_in_each_part_opinions_first(found, names):
    order = session.order(names, ANNE, b"secret")
    assert [trial["part"] for trial in order] == ["opinion"] * 3 + ["comparison"] * 3
    made = {"degraded", "restored", "stems"}
    for trial, systems in zip(order, [made] * 3 + [set(SYSTEMS)] * 3, strict=True):
        assert {names[clip].system for clip in trial["clips"]} == systems
        assert len({names[clip].sample for clip in trial["clips"]}) == 1
        assert len(trial["clips"]) == len(systems)
    for trial in order[3:]:
        reference = names[trial["reference"]]
        assert reference == ("reference", names[trial["clips"][0]].sample, "original")
        assert trial["reference"] not in trial["clips"]
    assert len({names[trial["clips"][0]].sample for trial in order[:3]}) == 3


def test_every_order_comes_up_about_equally_often(names):
    places = {name: np.zeros(4) for name in names}
    for number in range(400):
        for trial in session.order(names, f"{number:032x}", b"secret")[3:]:
            for place, clip in enumerate(trial["clips"]):
                places[clip][place] += 1
    for name, counts in places.items():
        if names[name].part == "comparison":
            # A fair draw fails this once in some thousand clips; the draws are seeded, so never or always.
            assert stats.chisquare(counts).pvalue > 1e-4


def test_an_order_stays_and_says_nothing(names, found):
    again = dict(reversed(names.items()))
    assert session.order(names, ANNE, b"secret") == session.order(again, ANNE, b"secret")
    assert session.order(names, ANNE, b"secret") != session.order(names, BEN, b"secret")
    shown = json.dumps(session.order(names, ANNE, b"secret"))
    assert not [system for system in SYSTEMS if system in shown]
    assert not set(session.clips(found, b"another secret")) & set(names)


# ---- the store


def test_the_later_rating_counts_in_whichever_order_they_arrive(names, store, found):
    clip = name_of(names, "opinion", "1", "restored")
    assert store.rate(ANNE, [{"clip": clip, "value": 3, "at": 20}]) == 1
    assert store.rate(ANNE, [{"clip": clip, "value": 1, "at": 10}]) == 0
    assert store.rate(ANNE, [{"clip": clip, "value": 3, "at": 20}]) == 0
    assert store.ratings(found.test) == [Rating(ANNE, "opinion", "1", "restored", 3)]
    assert store.rate(ANNE, [{"clip": clip, "value": 4, "at": 30}]) == 1
    assert store.rated(ANNE, found.test) == [{"clip": clip, "value": 4, "at": 30}]


def test_two_tabs_are_merged_by_item_in_either_order(names, store, found):
    first, second = (name_of(names, "opinion", "1", system) for system in ("restored", "degraded"))
    # The same millisecond in both tabs, too: the order of arrival must not decide.
    one = [{"clip": first, "value": 3, "at": 7}, {"clip": second, "value": 1, "at": 7}]
    other = [{"clip": first, "value": 5, "at": 7}]
    for listener, tabs in ((ANNE, (one, other)), (BEN, (other, one))):
        for ratings in tabs:
            store.rate(listener, ratings)
        rated = {rating["clip"]: rating["value"] for rating in store.rated(listener, found.test)}
        assert rated == {first: 5, second: 1}


def test_listeners_at_the_same_time_do_not_mix(names, store, found):
    clips = [name for name, clip in names.items() if clip.part == "comparison"]
    listeners = {uuid.UUID(int=number).hex: number for number in range(4)}

    def listen(listener):
        for at, clip in enumerate(clips):
            Store(store.path).rate(listener, [{"clip": clip, "value": listeners[listener], "at": at}])

    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        list(pool.map(listen, listeners))
    ratings = store.ratings(found.test)
    assert len(ratings) == 4 * len(clips)
    assert all(rating.value == listeners[rating.listener] for rating in ratings)


@pytest.mark.parametrize(
    "change",
    [
        {"clip": "0" * 20},
        {"clip": 7},
        {"value": 0},
        {"value": 6},
        {"value": True},
        {"value": "3"},
        {"at": -1},
    ],
)
def test_a_bad_rating_is_refused_with_all_that_came_with_it(names, store, found, change):
    good = {"clip": name_of(names, "opinion", "1", "restored"), "value": 3, "at": 1}
    with pytest.raises(RefusedError):
        store.rate(ANNE, [good, good | change])
    assert store.ratings(found.test) == []


def test_the_open_reference_cannot_be_rated(names, store):
    with pytest.raises(RefusedError):
        store.rate(ANNE, [{"clip": name_of(names, "reference", "1", "original"), "value": 3, "at": 1}])


def test_names_stay_when_the_server_starts_again(found, store, names):
    assert session.clips(found, Store(store.path).secret) == names


@pytest.mark.parametrize("kind", ["text", "database"])
def test_a_file_that_is_no_database_of_ours_is_left_alone(tmp_path, kind):
    path = tmp_path / "other.sqlite"
    if kind == "text":
        path.write_text("no database at all, but long enough to be read as one " * 4)
    else:
        base = sqlite3.connect(path)
        base.execute("CREATE TABLE cats (name TEXT)")
        base.close()
    before = path.read_bytes()
    with pytest.raises(OvertoneError, match=r"other\.sqlite"):
        Store(path)
    assert path.read_bytes() == before


# ---- the server


@pytest.fixture
def ask(found, store):
    """Ask a running server: (method, path, body, type) -> (status, body, headers)."""
    import uvicorn

    bound = serving.listen_on("127.0.0.1", 0)
    config = uvicorn.Config(server.application(found, store), log_level="warning", lifespan="off")
    running = uvicorn.Server(config)
    thread = threading.Thread(target=running.run, kwargs={"sockets": [bound]})
    thread.start()
    while not running.started:
        time.sleep(0.01)

    def send(method, path, body=None, kind="application/json", **headers):
        connection = http.client.HTTPConnection("127.0.0.1", bound.getsockname()[1], timeout=5)
        headers = {"Content-Type": kind} | headers if body is not None else headers
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, content, answer.headers

    yield send
    running.should_exit = True
    thread.join()
    bound.close()


def test_the_server_keeps_a_rating_before_it_answers_and_gives_it_back(ask, found, store, names):
    clip = name_of(names, "comparison", "2", "stems")
    rating = {"clip": clip, "value": 70, "at": 5}
    assert ask("POST", "/ratings", json.dumps({"listener": ANNE, "ratings": [rating]}))[0] == 204
    assert store.ratings(found.test) == [Rating(ANNE, "comparison", "2", "stems", 70)]
    known = json.loads(ask("GET", f"/session/{ANNE}")[1])
    assert known["ratings"] == [rating]
    assert known["trials"] == session.order(names, ANNE, store.secret)
    assert json.loads(ask("GET", f"/session/{BEN}")[1])["ratings"] == []
    status, sound, headers = ask("GET", f"/audio/{clip}.wav")
    assert (status, sound, headers["content-type"]) == (200, found.sounds["2"]["stems"], "audio/wav")
    assert "default-src 'self'" in headers["content-security-policy"]


def test_what_the_page_does_not_send_is_refused(ask, found, store):
    good = json.dumps({"listener": ANNE, "ratings": []})
    assert ask("POST", "/ratings", good)[0] == 204
    assert ask("POST", "/ratings", good, "text/plain")[0] == 415
    assert ask("POST", "/ratings", "{")[0] == 400
    assert ask("POST", "/ratings", "[]")[0] == 400
    assert ask("POST", "/ratings", json.dumps({"listener": "x", "ratings": []}))[0] == 400
    assert ask("POST", "/ratings", " " * (server.LARGEST + 1))[0] == 413
    assert ask("GET", "/session/anne")[0] == 404
    assert ask("GET", "/audio/1_restored.wav")[0] == 404
    assert ask("GET", "/../store.py")[0] == 404


def test_other_sites_can_neither_read_nor_rate(ask, found, store, names):
    clip = name_of(names, "comparison", "2", "stems")
    good = json.dumps({"listener": ANNE, "ratings": [{"clip": clip, "value": 70, "at": 5}]})
    assert ask("GET", "/test.json", Host="evil.example")[0] == 403
    assert ask("POST", "/ratings", good, Host="evil.example:80")[0] == 403
    assert ask("POST", "/ratings", good, Origin="http://evil.example")[0] == 403
    assert store.ratings(found.test) == []


# ---- folders and files that travel


def test_an_exported_folder_names_no_system(tmp_path, found, store):
    exchange.export(found, store, tmp_path / "out")
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len([path for path in files if path.suffix == ".wav"]) == 3 * (3 + 4 + 1)
    for path in files:
        visible = str(path.relative_to(tmp_path)) + (path.read_text() if path.suffix != ".wav" else "")
        assert not [system for system in SYSTEMS if system in visible], path
    orders = json.loads((tmp_path / "out/test.json").read_text())["orders"]
    assert len({json.dumps(order) for order in orders}) > 0.9 * len(orders)


def test_a_folder_with_something_in_it_is_not_written_to(tmp_path, found, store):
    (tmp_path / "mine").write_text("")
    with pytest.raises(OvertoneError, match="not empty"):
        exchange.export(found, store, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"mine", "ratings.sqlite"}


def sent(path, names, **changes):
    rating = {"clip": name_of(names, "opinion", "1", "restored"), "value": 5, "at": 9}
    content = {"format": exchange.FORMAT, "listener": BEN, "ratings": [rating]} | changes
    path.write_text(json.dumps(content))
    return path


def test_the_same_file_twice_changes_nothing(tmp_path, names, store, found):
    file = sent(tmp_path / "ratings.json", names)
    assert exchange.import_ratings(file, store) == (1, 1)
    before = store.path.read_bytes()
    assert exchange.import_ratings(file, store) == (1, 0)
    assert store.path.read_bytes() == before
    assert store.ratings(found.test) == [Rating(BEN, "opinion", "1", "restored", 5)]


@pytest.mark.parametrize(
    "changes", [{"format": "other"}, {"listener": 3}, {"ratings": None}, {"ratings": [{}]}]
)
def test_a_file_of_something_else_is_one_clear_line(tmp_path, names, store, found, changes):
    with pytest.raises(OvertoneError, match=r"ratings\.json") as raised:
        exchange.import_ratings(sent(tmp_path / "ratings.json", names, **changes), store)
    assert "\n" not in str(raised.value)
    assert store.ratings(found.test) == []


def test_a_file_of_a_test_made_elsewhere_is_refused(tmp_path, names):
    with pytest.raises(OvertoneError, match="belongs to no test of this folder"):
        exchange.import_ratings(sent(tmp_path / "ratings.json", names), Store(tmp_path / "another.sqlite"))


# ---- the summary


def test_the_interval_is_students():
    # By hand: mean 3, s^2 = 10/4, and t(0.975, 4) = 2.776 from any printed table.
    half = 2.776 * math.sqrt(2.5 / 5)
    assert summary.interval([1, 2, 3, 4, 5]) == pytest.approx(
        {"mean": 3, "low": 3 - half, "high": 3 + half}, abs=1e-3
    )
    assert summary.interval([4]) == {"mean": 4}


def opinions(listener, values, system="restored"):
    return [Rating(listener, "opinion", str(sample), system, value) for sample, value in enumerate(values)]


def references(listener, values):
    return [
        Rating(listener, "comparison", str(sample), "original", value) for sample, value in enumerate(values)
    ]


def test_a_listener_counts_once_however_much_he_rated():
    ratings = opinions("a", [5, 5, 5, 5]) + opinions("b", [1]) + opinions("c", [2, 4])
    score = summary.summarize("t", ratings)["opinion"]["restored"]
    assert (score["mean"], score["listeners"], score["ratings"]) == (3, 3, 7)


def test_whoever_misses_the_hidden_reference_too_often_is_in_no_mean():
    # 15 % of 20 samples are 3: three misses pass, four do not; 90 is no miss.
    attentive = references("a", [89] * 3 + [90] * 17) + opinions("a", [4])
    careless = references("b", [89] * 4 + [100] * 16) + opinions("b", [1])
    results = summary.summarize("t", attentive + careless + opinions("c", [2]))
    assert summary.screened_out(attentive + careless) == {"b"}
    assert results["listeners"] == {"heard": 3, "screened_out": 1, "not_screened": 1}
    assert results["opinion"]["restored"]["mean"] == 3
    assert results["scores"]["restored"] == {"Bad": 0, "Poor": 1, "Fair": 0, "Good": 1, "Excellent": 0}
    assert results["comparison"]["original"]["listeners"] == 1


def test_every_system_that_was_rated_has_a_pie(tmp_path, monkeypatch):
    from matplotlib.axes import Axes

    systems = ["degraded", "restored", "sox", "../runs/big", "stems"]
    ratings = [rating for system in systems for rating in opinions("a", [2, 4], system)]
    pies = []
    monkeypatch.setattr(Axes, "set_title", lambda axis, title: pies.append(title))
    summary.draw(summary.summarize("t", ratings), tmp_path / "pies.png")
    rated = ["restored", "../runs/big", "sox", "stems", "degraded"]
    assert pies == [f"{system}:\nmean opinion 3.00" for system in rated]


# ---- the command


@pytest.fixture
def overtone(tmp_path, monkeypatch, capsys):
    """Run `overtone listen` in an empty folder; gives (exit code, standard output, lines of errors)."""
    monkeypatch.chdir(tmp_path)

    def run(*words):
        code = main.main(["listen", *map(str, words)])
        out, err = capsys.readouterr()
        return code, out, err.splitlines()

    return run


def test_export_import_and_summary_make_a_metric_and_a_picture(overtone, tmp_path):
    listening_examples.write(tmp_path / "data/examples", 1, SYSTEMS)
    assert overtone("--summary")[0] == 0  # without any rating nothing breaks
    assert json.loads((tmp_path / "metrics/listening.json").read_text())["listeners"]["heard"] == 0
    assert overtone("--export", "out")[0] == 0
    base = Store("data/listening.sqlite")
    names = session.clips(examples.load("data/examples"), base.secret)
    file = sent(tmp_path / "ratings.json", names)
    assert overtone("--import", file) == (0, f"{file}: 1 ratings, 1 of them new\n", [])
    empty = (tmp_path / "plots/listening.png").read_bytes()
    code, out, _ = overtone("--summary")
    assert code == 0
    assert "restored" in out
    assert json.loads((tmp_path / "metrics/listening.json").read_text())["opinion"]["restored"]["mean"] == 5
    picture = (tmp_path / "plots/listening.png").read_bytes()
    assert picture.startswith(b"\x89PNG")
    assert picture != empty


def test_ratings_of_earlier_examples_are_left_out_and_counted(overtone, tmp_path):
    folder = listening_examples.write(tmp_path / "data/examples", 1, SYSTEMS)
    base = Store("data/listening.sqlite")
    found = examples.load(folder)
    names = session.clips(found, base.secret)
    base.know(found.test, names)
    overtone("--import", sent(tmp_path / "ratings.json", names))
    soundfile.write(folder / "1_restored.flac", np.full(RATE, 0.1), RATE)
    code, out, _ = overtone("--summary")
    assert code == 0
    assert "left out: 1 ratings of other examples" in out
    assert json.loads((tmp_path / "metrics/listening.json").read_text())["opinion"] == {}


@pytest.mark.parametrize("words", [(), ("--export", "out"), ("--summary",)])
def test_without_examples_it_says_what_writes_them(overtone, words):
    code, out, err = overtone(*words)
    assert (code, out, len(err)) == (2, "", 1)
    assert "data/examples holds no examples" in err[0]
    assert "dvc repro" in err[0]


def test_a_port_that_is_taken_is_one_line(overtone, tmp_path):
    listening_examples.write(tmp_path / "data/examples", 1, SYSTEMS)
    with socket.create_server(("127.0.0.1", 0)) as other:
        code, _, err = overtone("--port", other.getsockname()[1])
    assert (code, len(err)) == (2, 1)
    assert "try another --port" in err[0]


def test_a_file_that_is_not_there_is_one_line(overtone):
    Store("data/listening.sqlite")
    code, _, err = overtone("--import", "nothing.json")
    assert (code, len(err)) == (2, 1)
    assert "nothing.json cannot be read" in err[0]


def test_an_import_where_no_test_is_makes_nothing_and_says_so(overtone, tmp_path, names):
    (tmp_path / "elsewhere").mkdir()
    file = sent(tmp_path / "elsewhere/ratings.json", names)
    (tmp_path / "ratings.sqlite").unlink()  # of the fixture
    before = sorted(tmp_path.rglob("*"))
    code, out, err = overtone("--import", file)
    assert (code, out, len(err)) == (2, "", 1)
    assert "data/listening.sqlite is not there" in err[0]
    assert "nothing was stored" in err[0]
    assert sorted(tmp_path.rglob("*")) == before
