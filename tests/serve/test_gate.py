"""The token protects page and API; health is open."""

from __future__ import annotations

import httpx
import pytest

TOKEN = "a-long-secret"
BROWSER = {"Accept": "text/html,application/xhtml+xml"}


@pytest.mark.parametrize("path", ["/v1/models", "/metrics", "/openapi.json", "/", "/gradio_api/x"])
def test_without_the_token_nothing_is_shown(ask, path):
    response = ask("GET", path, TOKEN)
    assert response.status_code == 401
    assert response.headers["www-authenticate"] == "Bearer"
    assert "Authorization: Bearer" in response.json()["error"]


def test_predict_is_protected_before_the_image_is_read(ask):
    assert ask("POST", "/v1/predict", TOKEN, content=b"x" * 200_000).status_code == 401


@pytest.mark.parametrize(
    "given", ["", "Bearer", "Bearer a-long-secre", "Bearer a-long-secret2", f"Basic {TOKEN}"]
)
def test_a_wrong_token(ask, given):
    headers = {"Authorization": given}
    assert ask("GET", "/v1/models", TOKEN, headers=headers).status_code == 401


def test_the_right_token_and_open_health(ask):
    headers = {"Authorization": f"Bearer {TOKEN}"}
    assert ask("GET", "/v1/models", TOKEN, headers=headers).status_code == 200
    assert ask("GET", "/health", TOKEN).status_code == 200


def test_a_browser_gets_a_form_and_then_a_session(talk):
    async def visit(client: httpx.AsyncClient):
        form = await client.get("/", headers=BROWSER)
        wrong = await client.post("/login", data={"token": "guess"})
        nothing = await client.post("/login", data={"other": "x"})
        large = await client.post("/login", data={"token": "x" * 20_000})
        before = await client.get("/v1/models")
        right = await client.post("/login", data={"token": TOKEN})
        return form, wrong, nothing, large, before, right, await client.get("/v1/models")

    form, wrong, nothing, large, before, right, after = talk(visit, TOKEN)
    assert form.status_code == wrong.status_code == nothing.status_code == 401
    assert 'name="token"' in form.text
    assert "http" not in form.text  # nothing from elsewhere
    assert "Wrong token" in wrong.text
    assert (large.status_code, before.status_code, after.status_code) == (413, 401, 200)
    assert (right.status_code, right.headers["location"]) == (303, "/")
    cookie = right.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert TOKEN not in cookie


def test_a_session_of_another_start_is_worth_nothing(ask):
    headers = {"Cookie": "res2net_session=abc"}
    assert ask("GET", "/v1/models", TOKEN, headers=headers).status_code == 401
    headers = {"Authorization": "Bearer tökén".encode()}
    assert ask("GET", "/v1/models", TOKEN, headers=headers).status_code == 401


COOKIES = ["a/b=c", "x[0]=1; y", "=;=;=", '"', "{}=[]", "a=b=c; ;;", "@:?=\x01", "res2net_session"]


@pytest.mark.parametrize("cookie", [*COOKIES, "user=märz", "\\000=\\777"])
def test_cookies_of_other_programs_on_this_machine(talk, cookie):
    """Cookies are sent to every port of a host: the own one counts, whatever stands beside it."""
    foreign = {"Cookie": cookie.encode("latin-1")}

    async def visit(client: httpx.AsyncClient):
        before = await client.get("/v1/models", headers=foreign)
        given = await client.post("/login", data={"token": TOKEN}, headers=foreign)
        own = f"; res2net_session={given.cookies['res2net_session']}"
        both = {"Cookie": (cookie + own).encode("latin-1")}
        return before, await client.get("/v1/models", headers=both)

    before, after = talk(visit, TOKEN)
    assert (before.status_code, after.status_code) == (401, 200)


@pytest.mark.parametrize(
    ("status", "how"),
    [
        (415, {"files": {"token": b"x"}}),
        (415, {"content": b"--x", "headers": {"Content-Type": "multipart/form-data"}}),
        (415, {"json": {"token": TOKEN}}),
        (415, {"content": b"token=x"}),
        (401, {"data": {"token": ["x", TOKEN]}}),
        (401, {"data": {"token": "\ud7ff\x00"}}),
        (413, {"data": {f"k{k}": "x" for k in range(2000)}}),
        (401, {"data": {}, "headers": {"Content-Type": "application/x-www-form-urlencoded"}}),
        (
            401,
            {
                "content": b"token=%ff%ud800&\xff\xfe=&;&&",
                "headers": {"Content-Type": "application/x-www-form-urlencoded; charset=idna"},
            },
        ),
    ],
)
def test_odd_forms_at_the_login(ask, capsys, status, how):
    assert ask("POST", "/login", TOKEN, **how).status_code == status
    assert capsys.readouterr().err == ""


def test_a_fault_behind_the_gate_is_one_line_and_a_sentence(talk, monkeypatch, service, capsys):
    monkeypatch.setattr(service.counts, "text", lambda: 1 / 0)
    response = talk(lambda client: client.get("/metrics"))
    assert (response.status_code, list(response.json())) == (500, ["error"])
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("GET /metrics: ZeroDivisionError: division by zero (")
