"""Clients that stall, leave, come in crowds, or do not speak HTTP."""

from __future__ import annotations

import contextlib
import json
import re
import socket
import time
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from res2net.serve import connection
from res2net.serve.api import make_app

TOKEN = "a-long-secret"


@pytest.fixture
def port_of(running):
    """``with port_of(service, token) as port``: the API in a thread."""

    @contextlib.contextmanager
    def serve(service, token=None):
        with running(make_app(service, token=token), service) as address:
            yield urlsplit(address).port

    return serve


def _send(port: int, data: bytes, seconds: float = 10, *, ends: bool = False) -> bytes:
    """All that comes back until the server closes or is silent for so long."""
    with socket.create_connection(("127.0.0.1", port), timeout=seconds) as talk:
        found = b""
        with contextlib.suppress(TimeoutError, ConnectionError):
            talk.sendall(data)
            if ends:
                talk.shutdown(socket.SHUT_WR)
            while chunk := talk.recv(65536):
                found += chunk
        return found


def _status(answer: bytes) -> int:
    found = re.match(rb"HTTP/1.1 (\d+) ", answer)
    return int(found[1]) if found else 0


POST = b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/png\r\n"


@pytest.mark.parametrize("token", [None, TOKEN])
@pytest.mark.parametrize(
    "begun",
    [
        b"",
        b"GET /hea",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\nX: ",
        POST + b"Content-Length: 100\r\n\r\nabc",
        POST + b"Transfer-Encoding: chunked\r\n\r\n5\r\nab",
        POST.replace(b"/v1/predict", b"/login") + b"Content-Length: 9\r\n\r\ntok",
        POST.replace(b"localhost", b"evil.example") + b"Content-Length: 100\r\n\r\nabc",
        b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\nGET /x HTTP/1.1\r\nHos",
    ],
)
def test_what_stalls_is_ended(port_of, service, monkeypatch, capfd, begun, token):
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.4)
    monkeypatch.setattr(connection, "BODY_SECONDS", 0.4)
    with port_of(service, token) as port:
        start = time.monotonic()
        answer = _send(port, begun)
        assert time.monotonic() - start < 8
        last = answer[answer.rindex(b"HTTP/1.1") :]
        assert _status(last) == (404 if b"/login" in begun and token is None else 408)
        assert list(json.loads(last.partition(b"\r\n\r\n")[2])) == ["error"]
        assert httpx.get(f"http://localhost:{port}/health").status_code == 200
    assert capfd.readouterr().err == ""


def test_a_drip_buys_no_time(port_of, service, monkeypatch):
    monkeypatch.setattr(connection, "HEAD_SECONDS", 0.5)
    with port_of(service) as port, socket.create_connection(("127.0.0.1", port)) as talk:
        talk.settimeout(0.1)
        start, answer = time.monotonic(), b""
        while not answer and time.monotonic() - start < 8:
            with contextlib.suppress(TimeoutError):
                talk.sendall(b"G")
                answer = talk.recv(100)
        assert _status(answer) == 408


def test_more_connections_than_the_bound_are_told_so(port_of, service, monkeypatch, capfd):
    monkeypatch.setattr(connection, "MOST_CONNECTIONS", 3)
    ask = b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with port_of(service) as port, contextlib.ExitStack() as stack:
        for _ in range(3):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        answer = _send(port, ask)
        assert _status(answer) == 503
        assert b"retry-after: 5" in answer.lower()
        for _ in range(3):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        time.sleep(0.2)
        assert _send(port, ask) == b""
        stack.close()
        time.sleep(0.2)
        assert (
            _status(_send(port, ask.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))) == 200
        )
    assert capfd.readouterr().err == ""


def test_uploads_under_way_are_bounded_by_the_queue(port_of, service):
    """Three of 50,000 bytes may wait or be in work: a fourth, however slow all are, is refused."""
    part = POST + b"Content-Length: 49000\r\n\r\n" + b"x" * 48_000
    with port_of(service) as port, contextlib.ExitStack() as stack:
        for _ in range(3):
            talk = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
            talk.sendall(part)
        time.sleep(0.3)
        assert service.held == 3 * 48_000
        answer = _send(port, part + b"x" * 1000, 1)
        assert (_status(answer), b"retry-after" in answer.lower()) == (429, True)
        stack.close()
        time.sleep(0.3)
        assert service.held == 0


@pytest.mark.parametrize("token", [None, TOKEN])
def test_a_client_that_leaves_is_no_news(port_of, service, stub, encoded, capfd, token):
    """In the head, in the body, before the answer, while it is sent."""
    image = encoded()
    key = b"Authorization: Bearer " + TOKEN.encode() + b"\r\n"
    whole = POST + key + b"Content-Length: " + str(len(image)).encode() + b"\r\n\r\n" + image
    stub.go.clear()
    with port_of(service, token) as port:
        for length in (10, len(POST) + 40, len(whole) - 5, len(whole)):
            with socket.create_connection(("127.0.0.1", port)) as talk:
                talk.sendall(whole[:length])
                time.sleep(0.1)
                talk.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # reset
        stub.go.set()
        time.sleep(0.2)
        assert httpx.get(f"http://localhost:{port}/health").status_code == 200
        assert (service.held, service.idle) == (0, True)
    assert capfd.readouterr().err == ""


def test_an_answer_that_nobody_reads_is_given_up(port_of, service, monkeypatch):
    monkeypatch.setattr(connection, "UNREAD_SECONDS", 0.3)
    ask = b"GET /openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with port_of(service) as port, socket.socket() as talk:
        talk.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        talk.connect(("127.0.0.1", port))
        talk.settimeout(0.2)
        start = time.monotonic()
        with pytest.raises(ConnectionError):
            while time.monotonic() - start < 20:
                with contextlib.suppress(TimeoutError):
                    talk.sendall(ask * 100)


@pytest.mark.parametrize(
    ("status", "data"),
    [
        (400, b"\r\n\r\n"),
        (400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
        (400, b"GET / HTTP/1.1\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: a\r\nHost: localhost\r\n\r\n"),
        (400, b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 100_000),
        (400, POST + b"Content-Length: -1\r\n\r\n"),
        (400, POST + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\n"),
        (400, POST + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n"),
        (400, POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
        (421, b"GET / HTTP/1.0\r\n\r\n"),
        (404, b"GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        (404, b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    ],
)
def test_what_is_no_request_is_answered_in_the_same_shape(port_of, service, capfd, status, data):
    with port_of(service) as port:
        answer = _send(port, data, ends=True)
    assert _status(answer) == status
    assert list(json.loads(answer.partition(b"\r\n\r\n")[2])) == ["error"]
    assert capfd.readouterr().err == ""


def test_an_upgrade_to_a_websocket_is_declined(port_of, service, capfd):
    ask = b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, close\r\n"
    ask += b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n\r\n"
    with port_of(service) as port:
        assert _status(_send(port, ask)) == 200
    assert capfd.readouterr().err == ""


# Fuzz: pieces that parsers trip over, put together at random. 2xx to 4xx and 503 are right.

PATHS = ["/", "/login", "/v1/predict", "/v1/models", "/health", "/metrics", "/openapi.json", "*"]
PATHS += ["/page.js", "/examples/flower.jpg", "/examples/..%2f", "/config", "//["]
PATHS += ["/assets/%00", "/static/%ff%2e", "/%F0%9F", "http://[", "/v1/" + "a" * 5000]
text = st.text(st.characters(codec="latin-1", exclude_characters="\r\n\0"), max_size=40)
word = st.one_of(
    text,
    st.sampled_from(
        [
            "res2net_session",
            "a=b; res2net_page=x",
            '"',
            "\\",
            "[]",
            "={}",
            "\xff",
            "%ud800",
            "a,b;;=",
        ]
    ),
)
cookies = st.lists(st.tuples(word, word), max_size=3).map(
    lambda pairs: "; ".join(f"{a}={b}" for a, b in pairs)
)
charsets = st.sampled_from(
    ["utf-8", "unicode_escape", "idna", "hex", "utf-7", "punycode", "x\0", ""]
)
part = st.tuples(st.sampled_from(["image", "score", "token", "model", "top", ""]), word, word).map(
    lambda p: (
        f'--b\r\nContent-Disposition: form-data; name="{p[0]}"'
        + (f'; filename="{p[1]}"' if p[1] else "")
        + f"\r\nContent-Type: {p[2]}\r\n\r\n{p[2]}\\ud800\r\n"
    ).encode("latin-1")
)
forms = st.lists(part, max_size=4).map(lambda parts: b"".join(parts) + b"--b--\r\n")
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=8,
)
events = values.map(lambda value: json.dumps(value).encode())
bodies = st.one_of(st.binary(max_size=200), forms, events, word.map(str.encode))
kinds = st.one_of(
    charsets.map(lambda name: f"multipart/form-data; boundary=b; charset={name}"),
    st.sampled_from(["multipart/form-data", "multipart/form-data; boundary=", "image/png", ""]),
    st.sampled_from(["application/json", "application/x-www-form-urlencoded", "text/plain"]),
    text,
)
METHODS = ["GET", "HEAD", "POST", "PUT", "OPTIONS", "TRACE", "X"]
NAMES = [
    "Accept",
    "Authorization",
    "Range",
    "If-None-Match",
    "If-Modified-Since",
    "Accept-Encoding",
]
NAMES += ["X-Forwarded-Host", "X-Forwarded-Proto", "Expect", "Upgrade", "Origin"]
NAMES += ["Content-Length", "Transfer-Encoding", "Host", "Connection"]


@st.composite
def requests(draw) -> bytes:
    """Bytes that are nearly a request."""
    body = draw(bodies)
    lines = [
        f"{draw(st.sampled_from(METHODS))} {draw(st.sampled_from(PATHS))}"
        f"{draw(st.sampled_from(['', '?', '?score=nan&side=-1', '?top=%ff&model=%00']))} HTTP/1.1",
        "Host: localhost",
        f"Content-Type: {draw(kinds)}",
        f"Cookie: {draw(cookies)}",
        *(f"{draw(st.sampled_from(NAMES))}: {draw(word)}" for _ in range(draw(st.integers(0, 2)))),
    ]
    match draw(st.sampled_from(["length", "chunked", "wrong", "none"])):
        case "length":
            lines.append(f"Content-Length: {len(body)}")
        case "chunked":
            lines.append("Transfer-Encoding: chunked")
            body = f"{len(body):x}\r\n".encode() + body + b"\r\n0\r\n\r\n"
        case "wrong":
            lines.append(f"Content-Length: {draw(st.integers(0, 300))}")
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace") + body


def _is_right(answer: bytes) -> bool:
    """Every answer on a connection; none where the request was not whole."""
    codes = [int(code) for code in re.findall(rb"HTTP/1\.1 (\d{3}) ", answer)]
    return all(code == 503 or 100 <= code < 500 for code in codes)


FEW = settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.mark.parametrize("token", [None, TOKEN])
def test_no_bytes_bring_a_500_from_the_api(port_of, service, capfd, token):
    with port_of(service, token) as port:

        @FEW
        @given(requests())
        def fuzz(data: bytes) -> None:
            answer = _send(port, data, 0.2, ends=True)
            assert _is_right(answer), answer

        fuzz()
    assert capfd.readouterr().err == ""


def test_no_bytes_bring_a_500_from_the_page(page):
    port = urlsplit(page.address).port

    @FEW
    @given(requests())
    def fuzz(data: bytes) -> None:
        answer = _send(port, data, 0.2, ends=True)
        assert _is_right(answer), answer

    fuzz()
    assert httpx.get(page.address, timeout=20).status_code == 200
    assert page.log.read_text() == ""


def test_a_damaged_upload_is_told_to_the_client_alone(page):
    kind = {"Content-Type": "multipart/form-data; boundary=x"}
    answer = httpx.post(f"{page.address}/v1/predict", content=b"\r\n7", headers=kind, timeout=20)
    assert answer.status_code == 422
    assert page.log.read_text() == ""
