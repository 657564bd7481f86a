"""The guard of pages: which Host, Origin and token are answered."""

import asyncio

import pytest
from starlette.responses import PlainTextResponse

from overtone.web.guard import Guard


def ask(guard, path="/", method="GET", **headers):
    """The status that a guarded application answers with, and its headers."""
    sent = []
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [
            (name.replace("_", "-").lower().encode(), value.encode()) for name, value in headers.items()
        ],
    }

    async def receive():
        return {"type": "http.request", "body": b""}

    async def send(message):
        sent.append(message)

    asyncio.run(guard(scope, receive, send))
    return sent[0]["status"], {name.decode(): value.decode() for name, value in sent[0]["headers"]}


def guarded(host, token=None):
    async def answer(scope, receive, send):
        await PlainTextResponse(scope["path"])(scope, receive, send)

    return Guard(answer, host, token)


@pytest.mark.parametrize(
    "name", ["127.0.0.1:8765", "localhost", "LOCALHOST:1", "[::1]:8765", "localhost.:80"]
)
def test_this_machine_is_answered(name):
    assert ask(guarded("127.0.0.1"), Host=name)[0] == 200


@pytest.mark.parametrize(
    "name",
    [
        *("evil.example", "evil.example:8765", "127.0.0.1.evil.example", "localhost.evil.example"),
        *("127.0.0.1@evil.example", "192.168.1.5", "", "a b", "[::1", "127.0.0.1:x", "127.0.0.1:8765/x"),
    ],
)
def test_a_foreign_host_is_refused(name):
    # DNS rebinding: the attacker's name leads here, and his page would be of the same site.
    assert ask(guarded("127.0.0.1"), Host=name)[0] == 403


def test_without_a_host_nothing_is_answered():
    assert ask(guarded("127.0.0.1"))[0] == 403


def test_open_to_the_network_it_has_addresses_and_its_own_names(monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "Studio")
    for name in ("192.168.1.5:8765", "[fe80::1]:8765", "studio", "studio.local:8765", "localhost"):
        assert ask(guarded("0.0.0.0"), Host=name)[0] == 200
    for name in ("evil.example", "studio.evil.example", "other.local"):
        assert ask(guarded("0.0.0.0"), Host=name)[0] == 403


@pytest.mark.parametrize(
    ("origin", "status"),
    [
        ("http://127.0.0.1:8765", 200),
        ("http://127.0.0.1:9999", 403),  # another program on this machine
        ("http://evil.example", 403),
        ("http://127.0.0.1:8765.evil.example", 403),
        ("null", 403),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_only_its_own_pages_may_send(origin, status, method):
    assert ask(guarded("127.0.0.1"), method=method, Host="127.0.0.1:8765", Origin=origin)[0] == status


def test_a_link_from_elsewhere_opens_the_page_and_a_form_does_nothing():
    host = {"Host": "127.0.0.1:8765", "Sec_Fetch_Site": "cross-site"}
    assert ask(guarded("127.0.0.1"), **host, Sec_Fetch_Mode="navigate")[0] == 200
    assert ask(guarded("127.0.0.1"), **host, Sec_Fetch_Mode="no-cors")[0] == 403
    assert ask(guarded("127.0.0.1"), method="POST", **host, Sec_Fetch_Mode="navigate")[0] == 403


def test_a_token_begins_every_path():
    guard = guarded("0.0.0.0", "secret")
    host = {"Host": "192.168.1.5:8765"}
    assert ask(guard, "/secret/page.js", **host)[0] == 200
    assert ask(guard, "/secret", **host)[0] == 307
    for path in ("/", "/page.js", "/secre/page.js", "/secrets/page.js", "/SECRET/", "//secret/"):
        assert ask(guard, path, **host)[0] == 403


def test_answers_and_refusals_allow_no_scripts_from_elsewhere():
    for name in ("localhost", "evil.example"):
        headers = ask(guarded("127.0.0.1"), Host=name)[1]
        assert "default-src 'self'" in headers["content-security-policy"]
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["x-content-type-options"] == "nosniff"
