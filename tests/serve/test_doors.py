"""No file of the machine, and none of another visitor's, is had through the page."""

from __future__ import annotations

import http.client
import json
import os
import re
import socket
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import pytest

pytest.importorskip("gradio", reason="needs res2net[serve]")

SECRET = "what nobody but the user may read"
DATA = {"meta": {"_type": "gradio.FileData"}}


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret.txt"
    path.write_text(SECRET)
    return path


def _raw(address: str, method: str, target: str, body: bytes = b"", **headers: str):
    """A request whose target no library tidies; gives status and body."""
    parts = urlsplit(address)
    talk = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
    talk.putrequest(method, target, skip_host="Host" in headers)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        talk.putheader(name, value)
    talk.endheaders(body)
    with closing(talk):
        response = talk.getresponse()
        return response.status, response.read()


def test_a_photo_is_uploaded_looked_at_and_its_picture_fetched(page, encoded):
    with page.browser() as client:
        path = page.upload(client, encoded())
        assert page.look(client, path).status_code == 200
        told = page.told(client)
        assert " ms." in told
        (results,) = re.findall(r'"path":"([^"]*photo-shipped\.json)"', told)
        response = client.get(f"/gradio_api/file={results}")
        assert response.headers["content-disposition"].startswith("attachment")
        assert response.json()["model"] == "shipped"
        with page.browser() as other:
            assert other.get(f"/gradio_api/file={results}").status_code == 404
        (picture,) = re.findall(r'"path":"([^"]*picture\.png)"', told)
        response = client.get(f"/gradio_api/file={picture}")
        assert (response.status_code, response.headers["content-type"]) == (200, "image/png")
        assert response.headers["x-content-type-options"] == "nosniff"
        assert client.get(f"/gradio_api/file={path}").content == encoded()
    assert page.log.read_text() == ""


def test_without_a_photo_the_page_asks_for_one(page):
    with page.browser() as client:
        assert page.look(client, None).status_code == 200
        assert "No photo yet" in page.told(client)


def test_an_example_is_everybodys(page):
    with page.browser() as client:
        number = page.function(1)
        event = {"data": [1], "fn_index": number, "session_hash": "abc"}
        response = client.post("/gradio_api/run/predict", json=event)
        path = response.json()["data"][0]["value"]["path"]
        assert client.get(f"/gradio_api/file={path}").headers["content-type"] == "image/jpeg"
        assert page.look(client, path).status_code == 200
        assert "No answer" in page.told(client)  # more pixels than this server takes
        for bad in ([99], [-1], [True], ["0"], [0, 0], []):
            response = client.post("/gradio_api/run/predict", json={**event, "data": bad})
            assert (response.status_code, list(response.json())) == (422, ["error"])


FILE_WAYS = {
    "file=": lambda path: f"/gradio_api/file={path}",
    "its older address": lambda path: f"/gradio_api/file/{path}",
    "file= at the root": lambda path: f"/file={path}",
    "file://": lambda path: f"/gradio_api/file=file://{path}",
    "encoded": lambda path: f"/gradio_api/file={quote(path, safe='')}",
    "encoded twice": lambda path: f"/gradio_api/file={quote(quote(path, safe=''))}",
    "static ..": lambda path: f"/static/../../../../../../../../../..{path}",
    "assets encoded ..": lambda path: "/assets/" + "%2e%2e%2f" * 12 + path[1:],
    "svelte": lambda path: f"/svelte/{path}",
    "proxy": lambda path: f"/gradio_api/proxy=http://127.0.0.1:1{path}",
    "proxy file://": lambda path: f"/gradio_api/proxy=file://{path}",
    "custom component": lambda path: f"/gradio_api/custom_component/x/client/x/{quote(path)}",
    "stream": lambda path: f"/gradio_api/stream/abc/1/1/playlist-file?path={path}",
    "deep link": lambda path: f"/config?deep_link=../../../{path}",
}


@pytest.mark.parametrize("way", FILE_WAYS)
@pytest.mark.parametrize("host", ["127.0.0.1", "evil.example"])
def test_no_address_gives_a_file(page, secret, way, host):
    target = FILE_WAYS[way](str(secret))
    status, body = _raw(page.address, "GET", target, Host=host)
    assert status == (421 if host == "evil.example" else 404)
    assert SECRET.encode() not in body


def test_the_upload_folder_gives_only_what_was_uploaded(page, secret, encoded):
    with page.browser() as client:
        own = page.upload(client, encoded())
        folder = page.folder
        home = Path(own).parent
        link, pipe = f"{home}/link.png", f"{home}/pipe.png"
        Path(link).symlink_to(secret)
        os.mkfifo(pipe)
        (folder / "planted.png").write_bytes(encoded())
        back = "/".join([".."] * (len(folder.parts) + 1))
        places = [
            *(
                link,
                pipe,
                str(folder / "planted.png"),
                str(home),
                str(folder),
                "/dev/zero",
                "",
                ".",
            ),
            *(f"{home}/{back}{secret}", f"{folder}/../{folder.name}/planted.png", f"{own}/."),
            *(f"{home}/./photo.png", own[1:], f"/{own}", f"{own}\0", "photo.png"),
        ]
        for place in places:
            assert _raw(page.address, "GET", f"/gradio_api/file={quote(place)}")[0] == 404, place
            assert page.look(client, place).status_code == 404, place


def test_an_upload_that_became_a_link_is_not_followed(page, secret, encoded):
    with page.browser() as client:
        path = page.upload(client, encoded())
        Path(path).unlink()
        Path(path).symlink_to(secret)
        assert client.get(f"/gradio_api/file={path}").status_code == 404
        assert page.look(client, path).status_code == 404


def test_another_visitors_upload(page, encoded):
    with page.browser() as first, page.browser() as second, httpx.Client() as nobody:
        path = page.upload(first, encoded(), "mine.png")
        nobody.base_url = page.address
        for other in (second, nobody):
            assert other.get(f"/gradio_api/file={path}").status_code == 404
            assert page.look(other, path).status_code == 404
        assert page.look(first, path).status_code == 200
        for other in (second, nobody):  # the session's name alone is worth nothing
            response = other.get("/gradio_api/queue/data?session_hash=abc")
            assert (response.status_code, "mine" in response.text) == (404, False)
        assert " ms." in page.told(first)


@pytest.mark.parametrize(
    "photo",
    [
        {"path": "/etc/hostname", **DATA},
        {"path": "../../../../../../etc/hostname", **DATA},
        {"path": "/dev/zero", **DATA},
        {"path": "file:///etc/hostname", **DATA},
        {"url": "file:///etc/hostname", **DATA},
        {"path": None, "url": "/etc/hostname", **DATA},
        {"path": ["/etc/hostname"], **DATA},
        {"path": {"path": "/etc/hostname", **DATA}, **DATA},
        [{"path": "/etc/hostname", **DATA}],
        {"nested": {"path": "/etc/hostname", **DATA}},
        7,
    ],
)
def test_no_event_names_a_file(page, photo):
    with page.browser() as client:
        response = page.look(client, photo if not isinstance(photo, str) else {"path": photo})
        assert response.status_code in (404, 422)
        assert list(response.json()) == ["error"]
        assert client.get("/gradio_api/queue/data?session_hash=abc").status_code == 404


def test_the_server_fetches_no_address(page, encoded):
    """Neither as the path nor as the url of a photo, nor through a proxy."""
    with socket.create_server(("127.0.0.1", 0)) as trap, page.browser() as client:
        trap.settimeout(0.3)
        address = f"http://127.0.0.1:{trap.getsockname()[1]}/x.png"
        own = page.upload(client, encoded())
        assert page.look(client, {"path": address, "url": address, **DATA}).status_code == 404
        assert page.look(client, {"path": own, "url": address, **DATA}).status_code == 200
        assert " ms." in page.told(client)
        for target in (f"/gradio_api/proxy={address}", f"/gradio_api/file={address}"):
            assert client.get(target).status_code == 404
        headers = {"X-Gradio-Server": address, "X-Forwarded-For": "x"}
        assert address not in client.get("/", headers=headers).text
        with pytest.raises(TimeoutError):
            trap.accept()


GRADIOS = """GET /config|GET /gradio_api/info|GET /gradio_api/openapi.json|GET /gradio_api/app_id
GET /gradio_api/user|GET /gradio_api/token|GET /gradio_api/login_check|GET /gradio_api/dev/reload
POST /login|GET /logout|GET /gradio_api/runs|POST /gradio_api/run-history/connect
GET /gradio_api/deep_link?session_hash=abc|GET /gradio_api/heartbeat/abc|POST /gradio_api/reset
POST /gradio_api/call/look|POST /gradio_api/call/v2/look|GET /gradio_api/call/look/1
POST /gradio_api/run/look|POST /gradio_api/api/predict|POST /gradio_api/cancel
POST /gradio_api/component_server|GET /gradio_api/queue/status|GET /gradio_api/startup-events
POST /gradio_api/stream/1|POST /gradio_api/process_recording|POST /gradio_api/vibe-edit
GET /gradio_api/vibe-code|GET /monitoring|GET /monitoring/summary|GET /pwa_icon|GET /robots.txt
GET /gradio_api/theme.css|GET /gradio_api/mcp|POST /gradio_api/mcp/sse
GET /gradio_api/profiling/traces|GET /static|GET /assets/|GET /static/img
GET /gradio_api/|GET /docs|GET /redoc|GET /page"""


@pytest.mark.parametrize("ask", re.split(r"[|\n]", GRADIOS))
def test_what_the_page_does_not_need_is_not_there(page, ask):
    method, target = ask.split()
    body = json.dumps({"data": [{"path": "/etc/hostname", **DATA}], "session_hash": "abc"}).encode()
    status, said = _raw(page.address, method, target, body if method == "POST" else b"")
    assert status == 404
    assert list(json.loads(said)) == ["error"]


def test_a_deep_link_in_the_pages_address_is_not_read(page):
    plain = httpx.get(page.address).text
    assert httpx.get(f"{page.address}/?deep_link=..%2F..%2Fx&page=other").text == plain


def test_svg_and_html_are_given_back_as_bytes(page):
    with page.browser() as client:
        for name in ("a.svg", "a.html", "a.xhtml", "a.png.svg", "noname"):
            path = page.upload(client, b"<svg onload='alert(1)'/>", name)
            response = client.get(f"/gradio_api/file={path}")
            assert response.headers["content-type"] == "application/octet-stream"
            assert response.headers["content-disposition"].startswith("attachment")


@pytest.mark.parametrize(
    ("status", "how"),
    [
        (422, {"content": b"{"}),
        (422, {"content": b"[" * 60_000}),
        (422, {"content": b'{"data": ' + b"9" * 5000 + b"}"}),
        (422, {"json": []}),
        (422, {"json": {"data": {}}}),
        (404, {"json": {"data": [], "fn_index": 99}}),
        (404, {"json": {"data": [], "fn_index": True}}),
        (404, {"json": {"data": [], "fn_index": [1]}}),
        (413, {"content": b" " * 70_000}),
    ],
)
def test_events_of_wrong_shapes(page, status, how):
    response = httpx.post(f"{page.address}/gradio_api/queue/join", timeout=20, **how)
    assert (response.status_code, list(response.json())) == (status, ["error"])


def test_events_of_wrong_values(page):
    with page.browser() as client:
        number = page.function(3)
        for data in (
            [],
            [None],
            [None, "nobody", "shipped"],
            [None, 1, "shipped"],
            [None, "shipped", None],
        ):
            response = page.look(client, None, data=data)
            assert response.status_code in (404, 422), data
        for session in (None, 7, "", "a b", "x" * 65, "a-b\n"):
            event = {
                "data": [None, "shipped", "shipped"],
                "fn_index": number,
                "session_hash": session,
            }
            assert client.post("/gradio_api/queue/join", json=event).status_code == 422
        method = client.get("/gradio_api/queue/join")
        assert (method.status_code, "takes POST" in method.json()["error"]) == (405, True)


def test_uploads_of_wrong_kinds(page):
    url = f"{page.address}/gradio_api/upload"
    answers = [
        (415, httpx.post(url, content=b"x")),
        (422, httpx.post(url, files={"other": b"x"})),
        (422, httpx.post(url, files=[("files", b"x"), ("files", b"y")])),
        (413, httpx.post(url, files={"files": b"x" * 60_000})),
    ]
    for status, response in answers:
        assert (response.status_code, list(response.json())) == (status, ["error"])


@pytest.mark.parametrize("name", ["../../up.png", "/etc/up.png", "a/b\\c.png", "..", "\x1b[2J.png"])
def test_the_name_of_an_upload_leads_nowhere(page, encoded, name):
    with page.browser() as client:
        path = page.upload(client, encoded(), name)
        assert Path(path).parent.parent == page.folder
        assert client.get(f"/gradio_api/file={quote(path)}").content == encoded()


def test_errors_are_a_page_for_a_browser_and_json_for_a_program(page):
    read = httpx.get(f"{page.address}/<b>nothing", headers={"Accept": "text/html,*/*"})
    assert (read.status_code, read.headers["content-type"][:9]) == (404, "text/html")
    assert "&lt;b&gt;nothing: no such address" in read.text
    assert list(httpx.get(f"{page.address}/nothing").json()) == ["error"]
    api = httpx.get(f"{page.address}/v1/nothing", headers={"Accept": "text/html"})
    assert list(api.json()) == ["error"]


@pytest.mark.parametrize(
    "path",
    ["/", "/theme.css", "/favicon.ico", "/health", "/metrics", "/v1/models", "/openapi.json"],
)
def test_head_is_get_without_the_body(page, path):
    with httpx.Client(base_url=page.address) as client:
        head, got = client.head(path), client.get(path)
    assert (head.status_code, head.content) == (got.status_code, b"") == (200, b"")
    assert head.headers["content-type"] == got.headers["content-type"]


def test_a_visitor_who_leaves_is_no_news(page, encoded):
    """While the answer is awaited, while a photo is fetched, in the middle of an upload."""
    parts = urlsplit(page.address)
    with page.browser() as client:
        path = page.upload(client, encoded())
        assert page.look(client, path).status_code == 200
        cookie = f"Cookie: res2net_page={client.cookies['res2net_page']}\r\n"
        upload = "Content-Type: multipart/form-data; boundary=b\r\nContent-Length: 999\r\n"
        for line, more in (
            ("GET /gradio_api/queue/data?session_hash=abc", cookie),
            (f"GET /gradio_api/file={path}", cookie),
            ("POST /gradio_api/upload", cookie + upload),
        ):
            with socket.create_connection((parts.hostname, parts.port)) as talk:
                talk.sendall(f"{line} HTTP/1.1\r\nHost: localhost\r\n{more}\r\n--b\r\n".encode())
                talk.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # reset
        assert client.get("/health").status_code == 200
    assert page.log.read_text() == ""
