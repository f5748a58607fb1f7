"""By which names the server answers, and which pages may change something."""

from __future__ import annotations

import socket

import pytest
from starlette.datastructures import Headers

from res2net.errors import UserError
from res2net.serve.hosts import Hosts
from res2net.serve.refusal import Refusal

LOCAL = ["127.0.0.1", "127.0.0.1:7860", "localhost", "LOCALHOST:1", "localhost.", "[::1]:7860"]
LOCAL += ["[0:0:0:0:0:0:0:1]"]
FOREIGN = ["evil.example", "evil.example:7860", "localhost.evil.example", "127.0.0.1.nip.io", ""]
FOREIGN += ["127.0.0.1@evil.example", "evil.example@127.0.0.1", "127.0.0.1:99999", "127.0.0.1:x"]
FOREIGN += [
    "::1",
    "[::1",
    "[::1]x",
    "127.1",
    "2130706433",
    "0x7f.0.0.1",
    "192.168.1.7",
    "[fe80::1]",
]
FOREIGN += ["localhost evil", "localhost,evil.example", "localhost/", "foo.localhost", "löcalhost"]


def _check(hosts: Hosts, method: str = "GET", **headers: str) -> int:
    """The status; 200 where the request passes."""
    try:
        hosts.check(Headers({k.replace("_", "-"): v for k, v in headers.items()}), method)
    except Refusal as refusal:
        return refusal.status
    return 200


@pytest.mark.parametrize("host", LOCAL)
def test_this_machines_own_names_are_known(host):
    assert _check(Hosts(), host=host) == 200


@pytest.mark.parametrize("host", FOREIGN)
def test_foreign_names_are_421(host):
    assert _check(Hosts(), host=host) == 421
    assert _check(Hosts(), host="localhost", x_forwarded_host=host) == 421
    assert _check(Hosts(), host="localhost", x_forwarded_host=f"localhost, {host}") == 421


def test_a_request_without_a_host():
    assert _check(Hosts()) == 421


def test_what_it_listens_at_and_what_is_allowed():
    hosts = Hosts("photos.lan", ["Photos.Example.org", "10.0.0.7", "[fd00::7]"])
    for host in ("photos.lan:80", "photos.example.org", "10.0.0.7:1", "[fd00::7]", "localhost"):
        assert _check(hosts, host=host) == 200
    assert _check(hosts, host="10.0.0.8") == _check(hosts, host="example.org") == 421


def test_everywhere_is_every_address_in_numbers_and_no_name_but_its_own():
    for bound in ("0.0.0.0", "::", ""):
        hosts = Hosts(bound)
        for host in ("192.168.1.7:7860", "[fe80::1]", "localhost", socket.gethostname()):
            assert _check(hosts, host=host) == 200
        assert _check(hosts, host="evil.example") == 421


@pytest.mark.parametrize("name", ["", "http://a.example", "a b", "a/b", "*", "a.example:x"])
def test_an_allowed_name_that_is_none(name):
    with pytest.raises(UserError, match="--allowed-hosts"):
        Hosts("127.0.0.1", [name])


ORIGINS = [
    "http://evil.example",
    "null",
    "",
    "http://localhost:3000",
    "http://localhost",
    "file://",
]
ORIGINS += ["http://localhost:7860@evil.example", "localhost:7860", "https://[::1", "chrome://x"]


@pytest.mark.parametrize("origin", ORIGINS)
def test_another_site_changes_nothing(origin):
    for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
        assert _check(Hosts(), method, host="localhost:7860", origin=origin) == 403
    assert _check(Hosts(), "GET", host="localhost:7860", origin=origin) == 200


def test_the_own_page_and_that_behind_a_proxy():
    hosts = Hosts("127.0.0.1", ["photos.example.org"])
    asks = [
        ("localhost:7860", "http://localhost:7860"),
        ("localhost:7860", "http://LOCALHOST:7860"),
        ("localhost", "http://localhost:80"),
        ("[::1]:7860", "http://[::1]:7860"),
        ("127.0.0.1:7860", "https://photos.example.org"),
        ("photos.example.org", "https://photos.example.org"),
    ]
    for host, origin in asks:
        assert _check(hosts, "POST", host=host, origin=origin) == 200


def test_every_answer_to_another_site_lacks_leave_to_be_read(ask):
    for method, path in (("GET", "/v1/models"), ("OPTIONS", "/v1/predict"), ("POST", "/x")):
        for token in (None, "a-long-secret"):
            response = ask(method, path, token, headers={"Origin": "http://evil.example"})
            assert [name for name in response.headers if name.startswith("access-control")] == []


def test_a_foreign_host_is_told_so_before_the_token_is_asked_for(ask):
    foreign = {"Host": "evil.example"}
    right = {**foreign, "Authorization": "Bearer a-long-secret"}
    for headers in (foreign, right, {**foreign, "Accept": "text/html"}):
        for path in ("/", "/v1/models", "/health", "/metrics", "/login"):
            response = ask("GET", path, "a-long-secret", headers=headers)
            assert response.status_code == 421
            assert "--allowed-hosts" in response.text
