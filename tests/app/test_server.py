"""The server of the page: upload, progress, sounds, controls, saving, and what is refused."""

import errno
import io
import json
import os
import secrets
import shutil
import socket
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
import soundfile
from mediafile import MediaFile

from overtone.app import library
from overtone.app.server import App
from overtone.app.worker import Worker
from overtone.restoration.restore_file import restore_file
from tests.app.conftest import LIMIT, RATE, Client, write_song
from tests.helpers.small_disk import small_disk


def read(content):
    samples, rate = soundfile.read(io.BytesIO(content), always_2d=True)
    return samples.T, rate


def restored_as(source, target, net):
    restore_file(source, target, model=net)
    return target


def error_db(one, other):
    """The difference's level below the signal's, in dB."""
    return 10 * np.log10(np.mean((one - other) ** 2) / np.mean(one**2) + 1e-30)


# ---- from the upload to the saved file


def test_what_is_saved_is_what_the_command_makes(client, song, net, tmp_path):
    address, state = client.add(song)
    assert state["state"] == "ready"
    assert state["added"]
    for form, bound in (("flac", -120), ("wav", -120)):
        assert client.ask("POST", f"{address}/save", {"format": form, "controls": {}})[0] == 200
        status, content, headers = client.ask("GET", f"{address}/saved?format={form}")
        assert status == 200
        assert headers["content-disposition"] == f'attachment; filename="song.restored.{form}"'
        restore_file(song, tmp_path / f"command.{form}", model=net)
        mine, theirs = read(content), soundfile.read(tmp_path / f"command.{form}", always_2d=True)
        assert mine[1] == theirs[1]
        assert error_db(mine[0], theirs[0].T) < bound
    (tmp_path / "saved.wav").write_bytes(content)
    assert MediaFile(tmp_path / "saved.wav").title == "A song"
    assert "treble above 5.7 kHz is predicted" in MediaFile(tmp_path / "saved.wav").encoder


@pytest.mark.parametrize("rate", [44100, 16000])
def test_controls_and_reference_give_what_the_command_makes_with_them(client, tmp_path, net, rate):
    song, reference = tmp_path / "song.wav", tmp_path / "like.wav"
    write_song(song, 3, rate)
    tilted = np.cumsum(np.random.default_rng(4).normal(0, 0.02, (3 * RATE, 1)), axis=0)
    soundfile.write(reference, tilted - np.mean(tilted), RATE, subtype="FLOAT")
    address, state = client.add(song)
    status, *_ = client.ask(
        "POST", f"{address}/reference?name=like.wav", reference.read_bytes(), "application/octet-stream"
    )
    assert status == 201
    while (found := client.files()[0])["reference"] and found["reference"]["strength"] is None:
        time.sleep(0.02)
    assert found["reference"]["name"] == "like.wav"
    assert found["reference"]["decibels"]
    controls = {"strength": 0.5, "brightness": -4.0, "amount": -3.0, "top": 15000.0}
    client.ask("POST", f"{address}/save", {"format": "wav", "controls": controls})
    mine, own_rate = read(client.ask("GET", f"{address}/saved?format=wav")[1])
    restore_file(song, tmp_path / "command.wav", model=net, like=reference, **controls)
    theirs, their_rate = soundfile.read(tmp_path / "command.wav", always_2d=True)
    assert own_rate == their_rate == state["rate"]
    # The rounding to 24 bits is all that may differ, from the first sample to the last.
    assert error_db(theirs.T, mine) < -120
    plain = soundfile.read(restored_as(song, tmp_path / "plain.wav", net), always_2d=True)[0]
    assert error_db(plain.T, mine) > -60
    assert client.ask("DELETE", f"{address}/reference")[0] == 200
    assert client.files()[0]["reference"] is None


def test_a_reference_that_does_not_serve_says_why(client, song, tmp_path):
    address, _ = client.add(song)
    client.ask("POST", f"{address}/reference?name=low.wav", song.read_bytes(), "application/octet-stream")
    while client.files()[0]["reference"]:
        time.sleep(0.02)
    message = client.files()[0]["message"]
    assert "low.wav" in message
    assert str(tmp_path) not in message
    assert client.files()[0]["state"] == "ready"


@pytest.mark.parametrize(("form", "start"), [("mp3", b"\xff\xfb"), ("ogg", b"OggS")])
def test_lossy_formats_hold_the_same_sound(client, song, form, start):
    address, _ = client.add(song)
    client.ask("POST", f"{address}/save", {"format": form, "controls": {}})
    content = client.ask("GET", f"{address}/saved?format={form}")[1]
    assert start in content[:4096]
    samples, rate = read(content)
    assert rate == RATE
    assert samples.shape[1] >= 2 * RATE - 1


def test_the_page_mixes_what_the_server_saves(client, song):
    # The browser convolves the added band with the taps; here numpy does, from the same bytes.
    address, state = client.add(song)
    controls = {"brightness": 4.0, "amount": -3.0, "top": 15000.0}
    curve = json.loads(client.ask("POST", f"{address}/curve", controls)[1])
    content = client.ask("GET", f"{address}/sound?start=0&count={state['length']}")[1]
    samples = np.frombuffer(content, "<i2").reshape(-1, 4).T / 32767
    half = len(curve["taps"]) // 2
    mixed = np.stack(
        [
            dry + np.convolve(added, curve["taps"])[half : half + len(dry)]
            for dry, added in zip(samples[:2], samples[2:], strict=True)
        ]
    )
    client.ask("POST", f"{address}/save", {"format": "wav", "controls": controls})
    saved, _ = read(client.ask("GET", f"{address}/saved?format=wav")[1])
    assert error_db(saved, mixed) < -60  # 16 bits of noise at -20 dB


def test_file_and_restored_get_one_loudness(client, song):
    from overtone.evaluation.listening import loudness

    address, state = client.add(song)
    curve = json.loads(client.ask("POST", f"{address}/curve", {"amount": -6.0})[1])
    client.ask("POST", f"{address}/save", {"format": "wav", "controls": {"amount": -6.0}})
    saved, rate = read(client.ask("GET", f"{address}/saved?format=wav")[1])
    file = soundfile.read(song, always_2d=True)[0].T
    levels = [
        loudness.integrated(curve["file"] * file, rate),
        loudness.integrated(curve["restored"] * saved, rate),
    ]
    assert levels[0] == pytest.approx(levels[1], abs=0.05)
    assert state["rate"] == rate


def test_the_added_band_clips_nothing_and_is_lowered_as_by_the_command(client, song, net, tmp_path):
    address, _ = client.add(song)
    controls = {"amount": 20.0}
    body = {"format": "wav", "controls": controls}
    assert json.loads(client.ask("POST", f"{address}/save", body)[1])["clipped"] == 0
    report = restore_file(song, tmp_path / "command.wav", model=net, **controls)
    assert (report.clipped, report.limited.decibels > 1) == (0, True)
    mine = read(client.ask("GET", f"{address}/saved?format=wav")[1])[0]
    assert error_db(soundfile.read(tmp_path / "command.wav", always_2d=True)[0].T, mine) < -120


def test_clipped_samples_are_counted(client, tmp_path):
    song = write_song(tmp_path / "loud.wav", 3)
    samples = soundfile.read(song, always_2d=True)[0]
    soundfile.write(song, samples / np.abs(samples).max() * 1.2, RATE, subtype="FLOAT")
    address, _ = client.add(song)
    body = {"format": "flac", "controls": {}}
    assert json.loads(client.ask("POST", f"{address}/save", body)[1])["clipped"] > 0


def test_all_are_saved_as_a_zip_under_their_own_names(client, song):
    keys = [client.add(song)[1]["key"] for _ in range(2)]
    body = {"format": "flac", "files": {keys[0]: {}, keys[1]: {"amount": None}}}
    assert client.ask("POST", f"/tabs/{client.tab}/save", body)[0] == 200
    archive = zipfile.ZipFile(io.BytesIO(client.ask("GET", f"/tabs/{client.tab}/saved.zip")[1]))
    assert archive.namelist() == ["song.restored.flac", "song (2).restored.flac"]
    restored, untouched = (read(archive.read(name))[0] for name in archive.namelist())
    assert error_db(untouched, soundfile.read(song, always_2d=True)[0].T) < -120
    assert error_db(untouched, restored) > -60


def test_what_needs_nothing_keeps_its_rate_where_the_format_has_it(client, tmp_path, net):
    noise = np.random.default_rng(0).normal(0, 0.05, (96000, 1))
    soundfile.write(tmp_path / "full.wav", noise, 96000, subtype="PCM_24")
    address, state = client.add(tmp_path / "full.wav")
    assert (state["rate"], state["added"]) == (96000, False)
    for form in ("flac", "mp3"):
        client.ask("POST", f"{address}/save", {"format": form, "controls": {"amount": 6.0}})
        samples, rate = read(client.ask("GET", f"{address}/saved?format={form}")[1])
        restore_file(tmp_path / "full.wav", tmp_path / f"command.{form}", model=net)
        theirs, their_rate = soundfile.read(tmp_path / f"command.{form}", always_2d=True)
        assert rate == their_rate
        assert error_db(samples, theirs.T) < -90


def test_a_dragged_cutoff_is_restored_from_there(client, song):
    address, state = client.add(song)
    assert state["kind"] == "cliff"
    assert client.ask("POST", f"{address}/restore", {"cutoff": 3000})[0] == 200
    state = client.wait(state["key"])
    assert (state["cutoff"], state["kind"], state["version"]) == (3000, "given", 3)
    client.ask("POST", f"{address}/restore", {"cutoff": None})
    assert client.wait(state["key"])["kind"] == "cliff"


def test_the_picture_shows_input_and_added_band_apart(client, song):
    address, state = client.add(song)
    status, content, headers = client.ask("GET", f"{address}/picture")
    rows, columns = int(headers["x-rows"]), int(headers["x-columns"])
    assert status == 200
    dry, added = np.frombuffer(content, np.uint8).reshape(2, rows, columns).astype(float)
    edge = round(state["cutoff"] / (RATE / 2) * rows)
    assert dry[: edge - 5].mean() > dry[edge + 10 :].mean() + 80
    assert added[edge + 10 :].mean() > added[: edge - 10].mean() + 50


def test_sound_beyond_the_end_is_silent(client, song):
    address, state = client.add(song)
    content = client.ask("GET", f"{address}/sound?start={state['length'] + 5}&count=10")[1]
    assert content == bytes(10 * 4 * 2)


# ---- what fails, is cancelled or removed


def test_what_is_no_sound_says_so_and_the_next_file_goes_on(client, song, tmp_path):
    (tmp_path / "text.wav").write_text("no sound at all")
    address, state = client.add(tmp_path / "text.wav")
    assert state["state"] == "failed"
    assert state["message"].startswith("text.wav is not audio")
    assert str(tmp_path) not in state["message"]
    assert client.ask("GET", f"{address}/sound?start=0&count=1")[0] == 409
    assert client.add(song)[1]["state"] == "ready"


def slow(stopped):
    """A restoration that goes on until it is cancelled."""

    def restore(source, receive, *, progress, **_):
        for number in range(1000):
            stopped.append(number)
            progress(number / 1000)
            time.sleep(0.01)

    return restore


def test_a_cancelled_file_stops_and_can_be_restored_again(tmp_path, song, net):
    steps = []
    (tmp_path / "work").mkdir()
    worker = Worker(net, slow(steps))
    client = Client(App(tmp_path / "work", LIMIT, worker))
    try:
        key = json.loads(client.upload(song.read_bytes())[1])["key"]
        while not (steps and client.files()[0]["left"]):
            time.sleep(0.01)
        address = f"/tabs/{client.tab}/files/{key}"
        assert client.ask("POST", f"{address}/restore", {})[0] == 409
        assert client.ask("POST", f"{address}/cancel", {})[0] == 200
        assert client.wait(key)["state"] == "cancelled"
        reached = len(steps)
        assert client.ask("POST", f"{address}/restore", {})[0] == 200
        while len(steps) <= reached:
            time.sleep(0.01)
        # Removed while it is worked on: nothing of it stays.
        assert client.ask("DELETE", address)[0] == 204
        worker.close()
        assert [path for path in (tmp_path / "work").rglob("*") if path.is_file()] == []
    finally:
        client.close()


def test_a_reload_goes_on_and_another_tab_sees_nothing(client, song):
    address, _ = client.add(song)
    assert client.ask("POST", f"/tabs/{client.tab}/leave", b"")[0] == 204  # what a reload sends
    assert [file["name"] for file in client.files()] == ["song.wav"]
    other = secrets.token_hex(16)
    assert client.files(other) == []
    strange = address.replace(client.tab, other)
    for method, path in (("GET", "/picture"), ("GET", "/sound?start=0&count=1"), ("DELETE", "")):
        assert client.ask(method, strange + path)[0] == 404
    assert client.ask("POST", f"{strange}/save", {"format": "flac", "controls": {}})[0] == 404
    assert len(client.files()) == 1


def test_the_files_of_a_closed_tab_are_removed_and_that_is_said(client, song, monkeypatch):
    client.add(song)
    assert client.app.library.expire() == []
    client.ask("POST", f"/tabs/{client.tab}/leave", b"")
    assert client.app.library.expire() == []  # it may reload
    monkeypatch.setattr(library, "CLOSED_AFTER", 0.0)
    (line,) = client.app.library.expire()
    assert line.startswith("removed 3 files")
    assert client.files() == []


def test_a_full_disk_is_one_line(client, song, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(10**9, 10**9, 1000))
    _, state = client.add(song)
    assert state["state"] == "failed"
    assert "0.0 GB free" in state["message"]


def test_a_disk_that_fills_up_meanwhile_is_one_line_and_nothing_stays(client, song, monkeypatch, tmp_path):
    def fill(signal, content):
        signal.path.write_bytes(b"some")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(signal.path))

    monkeypatch.setattr("overtone.app.signals.RawSignal._write", fill)
    _, state = client.add(song)
    assert state["message"] == "the work folder cannot be written: No space left on device"
    assert [path.name for path in (tmp_path / "work").rglob("*") if path.is_file()] == ["source.wav"]


def test_a_small_disk_takes_what_it_can_and_refuses_the_rest_in_a_line(tmp_path, worker, song):
    long = write_song(tmp_path / "long.wav", 6)  # 1.6 MB, and 2 MB of samples
    with small_disk(tmp_path / "small", "3m") as folder:
        client = Client(App(folder, LIMIT, worker))
        try:
            _, state = client.add(long)
            assert state["state"] == "failed"
            assert "GB free, and this file needs" in state["message"]
            status, content, _ = client.upload(long.read_bytes())
            assert (status, content) == (507, b"the file cannot be stored: No space left on device")
            assert client.ask("DELETE", f"/tabs/{client.tab}/files/{state['key']}")[0] == 204
            assert [path for path in folder.rglob("*") if path.is_file()] == []
            assert client.upload(song.read_bytes())[0] == 201
        finally:
            client.app.library.stop_all()
            client.close()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="Linux has a device that is always full")
def test_an_upload_that_fills_the_disk_is_refused_and_nothing_stays(client, song, monkeypatch, tmp_path):
    new_item = library.Library.new_item

    def on_full_disk(self, session, name):
        item = new_item(self, session, name)
        item.source.symlink_to("/dev/full")
        return item

    monkeypatch.setattr(library.Library, "new_item", on_full_disk)
    status, content, _ = client.upload(song.read_bytes())
    assert (status, content) == (507, b"the file cannot be stored: No space left on device")
    assert client.files() == []
    assert [path for path in (tmp_path / "work").rglob("*") if not path.is_dir()] == []
    assert os.path.exists("/dev/full")


# ---- what is refused


def test_a_file_beyond_the_limit_is_refused_and_nothing_stays(client, tmp_path):
    assert client.upload(bytes(LIMIT + 1))[0] == 413
    # Without a length, in chunks: it is counted as it comes.
    with socket.create_connection(("127.0.0.1", client.port)) as raw:
        head = f"POST /tabs/{client.tab}/files?name=a.wav HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        raw.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        chunk = b"%x\r\n" % (1 << 19) + bytes(1 << 19) + b"\r\n"
        for _ in range(5):
            raw.sendall(chunk)
        assert b" 413 " in raw.recv(100)
    assert client.upload(b"")[0] == 400
    assert client.files() == []
    assert [path for path in (tmp_path / "work").rglob("*") if path.is_file()] == []


def wait_until(condition, seconds=10):
    """Wait until a condition holds; returns whether it came to hold in time."""
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.02)
    return condition()


def test_an_upload_that_breaks_off_leaves_nothing(client, tmp_path):
    with socket.create_connection(("127.0.0.1", client.port)) as raw:
        head = f"POST /tabs/{client.tab}/files?name=a.wav HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        raw.sendall(f"{head}Content-Length: 1000000\r\n\r\n".encode() + bytes(300000))
        assert wait_until(lambda: list((tmp_path / "work").rglob("source*")) != [])
    assert wait_until(lambda: list((tmp_path / "work").rglob("source*")) == [])
    assert client.files() == []


@pytest.mark.parametrize(
    "name",
    ["../../../evil.wav", "..%2F..%2Fevil.wav", "%2Fetc%2Fpasswd", "a%00b.wav", "..", "C:%5Cevil.wav", ""],
)
def test_a_name_leads_nowhere(client, tmp_path, name):
    before = {path for path in tmp_path.rglob("*") if path.name != "source.wav"}
    status, content, _ = client.upload(b"x", name)
    assert status == 201
    state = json.loads(content)
    assert "/" not in state["name"]
    assert "\\" not in state["name"]
    key = state["key"]
    client.wait(key)
    new = set(tmp_path.rglob("*")) - before
    assert new
    assert all(path.is_relative_to(tmp_path / "work" / client.tab) for path in new)


@pytest.mark.parametrize("path", ["/../server.py", "/%2e%2e/server.py", "/..%2fserver.py", "//etc/passwd"])
def test_a_path_leaves_neither_the_page_nor_the_work_folder(client, path):
    assert client.ask("GET", path)[0] in (403, 404)


@pytest.mark.parametrize("middle", ["..", "%2e%2e", "%2F", ".", "x" * 16, "0" * 16])
def test_a_key_is_looked_up_and_not_opened(client, song, middle):
    client.add(song)
    for tail in ("/saved?format=flac", "/picture", ""):
        assert client.ask("GET", f"/tabs/{client.tab}/files/{middle}{tail}")[0] in (404, 405)
    for form in ("../source", "flac%2F..", "wav/../../lock", ""):
        assert (
            client.ask("GET", f"/tabs/{client.tab}/files/{client.files()[0]['key']}/saved?format={form}")[0]
            == 404
        )


def test_names_are_escaped_in_headers_and_never_html(client, song):
    name = "%3Cimg%20src%3Dx%20onerror%3Dalert(1)%3E%22%0D%0ASet-Cookie%3A%20a.wav"
    address, state = client.add(song, name)
    assert "\n" not in state["name"]
    client.ask("POST", f"{address}/save", {"format": "wav", "controls": {}})
    status, _, headers = client.ask("GET", f"{address}/saved?format=wav")
    assert status == 200
    assert "set-cookie" not in headers
    assert headers["content-disposition"].startswith("attachment; ")
    assert headers["x-content-type-options"] == "nosniff"
    for kind, path in (("application/json", f"/tabs/{client.tab}"), ("text/plain", f"{address}/nothing")):
        assert client.ask("GET", path)[2]["content-type"].startswith(kind)


def test_pages_of_other_sites_are_refused(client, song):
    state = f"/tabs/{client.tab}"
    assert client.ask("GET", state)[0] == 200
    for headers in ({"Host": "evil.example"}, {"Origin": "http://evil.example"}, {"Origin": "null"}):
        assert client.ask("GET", state, **headers)[0] == 403
        assert client.ask("POST", f"{state}/files?name=a.wav", song.read_bytes(), **headers)[0] == 403
    assert client.files() == []
    assert client.ask("GET", "/", Origin=f"http://127.0.0.1:{client.port}")[0] == 200


def test_beyond_this_machine_a_token_is_needed(tmp_path, worker):
    client = Client(App(tmp_path, LIMIT, worker), token="secret-token", host="0.0.0.0")
    try:
        state = f"/tabs/{client.tab}"
        for path in ("/", "/page.js", state, "/secret-toke/", "/SECRET-TOKEN/", f"/x/../secret-token{state}"):
            assert client.ask("GET", path)[0] == 403
        assert client.ask("GET", f"/secret-token{state}")[0] == 200
        assert b"<title>overtone" in client.ask("GET", "/secret-token/")[1]
        assert client.ask("GET", f"/secret-token{state}", Host="evil.example")[0] == 403
    finally:
        client.close()


@pytest.mark.parametrize(
    "controls",
    [
        {"brightness": "loud"},
        {"brightness": 1e9},
        {"brightness": 10**400},
        {"amount": True},
        {"top": -1},
        {"top": 5900},
        {"strength": 2},
        {"other": 1},
    ],
)
def test_controls_out_of_range_are_refused_with_a_reason(client, song, controls):
    address, _ = client.add(song)
    status, content, _ = client.ask("POST", f"{address}/curve", controls)
    assert status == 400
    assert content


def test_the_page_needs_nothing_from_elsewhere():
    from overtone.app import server

    for path in (
        *Path(server.PAGE).iterdir(),
        *Path(server.PAGE).parents[1].joinpath("web/static").iterdir(),
    ):
        text = path.read_text()
        assert "://" not in text, path
        assert "innerHTML" not in text, path
        assert "insertAdjacentHTML" not in text, path
