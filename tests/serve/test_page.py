"""The page: what it gives out, and nothing else."""

from __future__ import annotations

import asyncio
import http.client
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import pytest
from PIL import Image

from res2net.serve.api import make_app
from res2net.serve.examples import example_photos
from res2net.serve.page import STATIC, add_page, curl

ROOT = Path(__file__).resolve().parents[2]
SECRET = "what nobody but the user may read"
HOSTILE = "</script><img src=x onerror=alert(1)>"


def test_the_examples_are_photos_that_ship_in_libraries() -> None:
    names = [photo.name for photo in example_photos()]
    assert names[:2] == ["flower.jpg", "china.jpg"]
    for photo in example_photos():
        Image.open(photo).load()


def test_the_command_on_the_page_carries_the_token() -> None:
    plain = shlex.split(curl("http://localhost:1", token=False))
    assert plain[-1] == "http://localhost:1/v1/predict"
    words = shlex.split(curl("http://localhost:1", token=True))
    assert [word for word in words if word not in plain] == ["Authorization: Bearer $RES2NET_TOKEN"]


def test_the_docs_page_is_true(
    tiny_run: Path, served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """Its Python runs against a real server, its commands are options that there are."""
    from res2net.cli.serve import make_parser

    text = (ROOT / "docs" / "serve.md").read_text()
    for line in re.findall(r"^res2net serve (.*)$", text, re.MULTILINE):
        assert make_parser().parse_args(shlex.split(line, comments=True)).targets
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (50, 40), "teal").save("photo.jpg")
    with served(tiny_run) as address:
        exec(compile(block, "docs/serve.md", "exec"), {"address": address})
    assert capsys.readouterr().out.startswith("run [{'class': '")


@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_the_curl_lines_of_the_docs_and_of_the_page_are_answered(
    service, encoded, tmp_path, running
):
    """As they stand, with the token in the environment."""
    (tmp_path / "photo.jpg").write_bytes(encoded("JPEG"))
    token = "a-long-secret"
    service.workers["stub"].served.task = "detect"  # one line has a threshold
    app = make_app(service, token=token)
    with running(app, service) as address:
        text = (ROOT / "docs" / "serve.md").read_text()
        lines = re.findall(r"^curl .*$", text, re.MULTILINE)
        assert len(lines) == 3
        assert sum("Authorization" in line for line in lines) == 1
        for line in [*lines, curl(address, token=True)]:
            own = line.replace("http://127.0.0.1:7860", address).replace("?top=2", "")
            secret = [] if "Authorization" in own else ["-H", f"Authorization: Bearer {token}"]
            given = shlex.split(own.replace("$RES2NET_TOKEN", token))[1:]
            words = ["curl", "--silent", *secret, *given]
            done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
            assert json.loads(done.stdout)["summary"] == "20 wide", (line, done.stdout)


# What the page gives out


@pytest.fixture
def get(service, sample_photos) -> Callable[..., httpx.Response]:
    """``get(path)``: of the API with the page, in this process."""
    app = make_app(service)
    service.workers["stub"].served.title = HOSTILE
    add_page(app, service, address="http://localhost:1", examples=sample_photos)

    def ask(path: str, method: str = "GET") -> httpx.Response:
        async def whole() -> httpx.Response:
            transport = httpx.ASGITransport(app)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as talk:
                return await talk.request(method, path)

        return asyncio.run(whole())

    return ask


def test_nothing_on_the_page_runs_but_its_own_script(get):
    response = get("/")
    policy = response.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; ")
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert [each for each in policy.split("; ") if "blob:" in each] == [
        "img-src 'self' blob: data:",
        "media-src blob:",
    ]
    page = response.text.partition('<script type="application/json" id="config">')
    rest = page[2].partition("</script>")
    told = json.loads(rest[0])["networks"][0]
    assert told == {"name": "stub", "title": HOSTILE, "task": "classify"}  # no metrics: may be NaN
    markup = page[0] + rest[2]
    assert re.findall(r"<script[^>]*>", markup) == ['<script src="page.js">']
    assert "http" not in markup
    assert not re.search(r"\b(style|on\w+)=", markup)


def test_the_files_of_the_page_are_of_the_kinds_that_browsers_take(get, sample_photos):
    kinds = {"/page.js": "text/javascript", "/page.css": "text/css"}
    kinds |= {f"/examples/{photo.name}": "image/jpeg" for photo in sample_photos}
    for path, kind in kinds.items():
        response = get(path)
        assert (response.status_code, path) == (200, path)
        assert response.headers["content-type"].partition(";")[0] == kind
        assert response.headers["x-content-type-options"] == "nosniff"
        assert get(path, "POST").status_code == 405
    script = (STATIC / "page.js").read_text()
    assert "innerHTML" not in script
    assert "insertAdjacent" not in script


@pytest.mark.parametrize(
    "path",
    [
        *("/static/page.js", "/page.html", "/page.py", "/examples", "/examples/", "/config"),
        *("/examples/..%2fpage.html", "/examples/%2e%2e/page.html", "/examples/other.jpg"),
        *("/favicon.ico", "/gradio_api/upload", "/docs", "/redoc"),
    ],
)
def test_there_is_nothing_else(get, path):
    response = get(path)
    assert (response.status_code, list(response.json())) == (404, ["error"])


def _raw(address: str, method: str, target: str, **headers: str) -> tuple[int, bytes]:
    """A request whose target no library tidies; gives status and body."""
    parts = urlsplit(address)
    talk = http.client.HTTPConnection(parts.hostname, parts.port, timeout=20)
    talk.putrequest(method, target, skip_host="Host" in headers)
    for name, value in headers.items():
        talk.putheader(name, value)
    talk.endheaders()
    with closing(talk):
        response = talk.getresponse()
        return response.status, response.read()


FILE_WAYS = {
    "root": lambda path: f"/{path}",
    "//": lambda path: f"/{path}",
    "encoded": lambda path: f"/{quote(path, safe='')}",
    "examples ..": lambda path: f"/examples/../../../../../../../../../..{path}",
    "examples encoded ..": lambda path: "/examples/" + "%2e%2e%2f" * 12 + path[1:],
    "examples absolute": lambda path: f"/examples/{path}",
    "page ..": lambda path: "/page.js/" + "../" * 12 + path[1:],
    "file://": lambda path: f"file://{path}",
    "query": lambda path: f"/?file={path}",
}


@pytest.mark.parametrize("way", FILE_WAYS)
@pytest.mark.parametrize("host", ["127.0.0.1", "evil.example"])
def test_no_address_gives_a_file(page, tmp_path, way, host):
    (tmp_path / "secret.txt").write_text(SECRET)
    target = FILE_WAYS[way](str(tmp_path / "secret.txt"))
    status, body = _raw(page.address, "GET", target, Host=host)
    assert status in ((421,) if host == "evil.example" else (200, 400, 404))
    assert SECRET.encode() not in body
    assert page.log.read_text() == ""


def test_errors_are_a_page_for_a_browser_and_json_for_a_program(page):
    read = httpx.get(f"{page.address}/<b>nothing", headers={"Accept": "text/html,*/*"})
    assert (read.status_code, read.headers["content-type"][:9]) == (404, "text/html")
    assert "/&lt;b&gt;nothing: Not Found" in read.text
    assert list(httpx.get(f"{page.address}/nothing").json()) == ["error"]
    api = httpx.get(f"{page.address}/v1/nothing", headers={"Accept": "text/html"})
    assert list(api.json()) == ["error"]


@pytest.mark.parametrize(
    "path",
    ["/", "/page.js", "/examples/flower.jpg", "/health", "/metrics", "/v1/models", "/openapi.json"],
)
def test_head_is_get_without_the_body(page, path):
    with httpx.Client(base_url=page.address) as client:
        head, got = client.head(path), client.get(path)
    assert (head.status_code, head.content) == (got.status_code, b"") == (200, b"")
    assert head.headers["content-type"] == got.headers["content-type"]
