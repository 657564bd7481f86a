"""Random requests to the page's server: nothing but refusals, no traceback, and the next request works."""

import json
import random
import socket

METHODS = ("GET", "POST", "DELETE", "PUT", "HEAD", "OPTIONS", "PATCH", "TRACE", "BREW")
REQUESTS = 250


def junk(draw, most=40):
    return bytes(draw.randrange(256) for _ in range(draw.randrange(most)))


def value(draw, depth=0):
    """A random JSON value, of which some look right."""
    kinds = [None, True, -1, 10**400, 1.5, "flac", "", "../../x", "\ud800", [], {}]
    if depth > 3 or draw.random() < 0.6:
        return draw.choice(kinds)
    names = ("format", "controls", "files", "cutoff", "brightness", "amount", "top", "x")
    return {draw.choice(names): value(draw, depth + 1) for _ in range(draw.randrange(4))}


def path(draw, client, key):
    pieces = [
        "tabs",
        client.tab,
        "files",
        key,
        "save",
        "saved?format=",
        "sound?start=",
        "count=",
        "..",
        "%00",
    ]
    pieces += [
        "restore",
        "curve",
        "picture",
        "cancel",
        "leave",
        "%ff",
        "\\",
        "page.js",
        "",
        "?name=",
        "&",
        "0" * 300,
    ]
    if draw.random() < 0.5:
        tail = draw.choice(
            ["", "/restore", "/curve", "/save", "/sound?start=-1&count=x", "/saved?format=exe"]
        )
        return f"/tabs/{client.tab}/files/{draw.choice([key, 'x'])}{tail}"
    return "/" + "/".join(draw.choice(pieces) for _ in range(draw.randrange(6)))


def request(draw, client, key):
    """The bytes of a request, valid to a random degree."""
    method = draw.choice(METHODS)
    # A file is neither removed nor restored by chance: the last request asks for it.
    body = json.dumps(value(draw)).encode() if draw.random() < 0.7 else junk(draw)
    kind = draw.choice(["application/json", "text/plain", "multipart/form-data", ""])
    target = path(draw, client, key)
    if method == "DELETE":
        target = target.replace(key, "x")
    lines = [
        f"{method} {target} HTTP/1.1",
        f"Host: {draw.choice(['127.0.0.1', 'localhost', 'evil.example', ''])}",
    ]
    lines += [
        f"Content-Type: {kind}",
        f"Content-Length: {draw.choice([len(body), len(body), 0])}",
        "Connection: close",
    ]
    if draw.random() < 0.2:
        lines.append(
            draw.choice(["Origin: http://evil.example", "Range: bytes=0-", "Range: bytes=9-1,x", "Expect: x"])
        )
    raw = "\r\n".join(lines).encode("latin-1", "replace") + b"\r\n\r\n" + body
    if draw.random() < 0.15:
        at = draw.randrange(len(raw))
        raw = raw[:at] + junk(draw, 8) + raw[at + draw.randrange(8) :]
    return raw


def answer(client, raw):
    """The status of the answer to raw bytes; 0 if the connection was closed without one."""
    with socket.create_connection(("127.0.0.1", client.port), timeout=5) as connection:
        try:
            connection.sendall(raw)
            connection.shutdown(socket.SHUT_WR)
            received = b""
            while piece := connection.recv(65536):
                received += piece
        except OSError:
            return 0, b""
    return int(received[9:12]) if received.startswith(b"HTTP/1.1 ") else 0, received


def test_random_requests_are_refused_and_the_next_one_works(client, song, capfd):
    _, state = client.add(song)
    draw = random.Random(5)
    refused = 0
    for number in range(REQUESTS):
        raw = request(draw, client, state["key"])
        status, received = answer(client, raw)
        assert status < 500, (number, raw, received)
        assert b"Traceback" not in received
        refused += status >= 400
        if number % 25 == 0:
            assert client.ask("GET", f"/tabs/{client.tab}")[0] == 200
    assert refused > REQUESTS / 2
    (file,) = (file for file in client.files() if file["key"] == state["key"])
    client.wait(file["key"])
    address = f"/tabs/{client.tab}/files/{state['key']}"
    assert client.ask("GET", f"{address}/sound?start=0&count=10")[0] == 200
    said = capfd.readouterr()
    assert "Traceback" not in said.err + said.out, said.err
