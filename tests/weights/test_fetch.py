"""Files of the hub, from a hub on the loopback: versions, offline, hashes, errors."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from res2net.errors import UserError
from res2net.weights.catalogue import find_file
from res2net.weights.fetch import fetch, fetch_from_hub, parse_address

huggingface_hub = pytest.importorskip("huggingface_hub")

REPOSITORY, FILE = "timm/res2net50_26w_4s.in1k", "model.safetensors"
OLD, NEW = "a" * 40, "b" * 40  # commits


@pytest.fixture
def hub(server, behaviour, monkeypatch: pytest.MonkeyPatch):
    """``hub(commit, body)`` makes a version; the last one is main."""
    monkeypatch.setenv("HF_ENDPOINT", server.url())
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    huggingface_hub.close_session()  # it may hold a connection to a server that had this port

    def publish(commit: str, body: bytes, *, sha256: str | None = None, file: str = FILE) -> None:
        etag = sha256 or hashlib.sha256(body).hexdigest()
        for revision in (commit, "main"):
            server.files[f"/{REPOSITORY}/resolve/{revision}/{file}"] = behaviour(
                body, etag=f'"{etag}"', headers={"X-Repo-Commit": commit}
            )

    return publish


def test_two_versions_of_a_file_never_mix(hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub(OLD, b"old weights")
    first = fetch_from_hub(REPOSITORY)
    assert (first.path.read_bytes(), first.revision) == (b"old weights", OLD)
    hub(NEW, b"new weights, longer")
    second = fetch_from_hub(REPOSITORY)
    assert (second.path.read_bytes(), second.revision) == (b"new weights, longer", NEW)
    pinned = fetch_from_hub(REPOSITORY, revision=OLD)
    assert (pinned.path.read_bytes(), pinned.revision) == (b"old weights", OLD)
    monkeypatch.setenv("RES2NET_OFFLINE", "1")
    assert fetch_from_hub(REPOSITORY).revision == NEW
    assert fetch_from_hub(REPOSITORY, revision=OLD).path == first.path


def test_a_row_of_the_catalogue_comes_from_the_hub(hub, cache: Path) -> None:
    hub(OLD, b"weights")
    found = fetch(find_file("res2net50_26w_4s.timm"))
    assert found.path.is_relative_to(cache / "hub")
    assert (found.path.read_bytes(), found.revision) == (b"weights", OLD)


def test_a_file_that_rotted_or_is_not_what_the_hub_says(hub) -> None:
    hub(OLD, b"weights")
    path = fetch_from_hub(REPOSITORY).path.resolve()
    path.write_bytes(b"weighty")
    with pytest.raises(UserError, match="but the hub has"):
        fetch_from_hub(REPOSITORY)
    hub(NEW, b"other", sha256="0" * 64)
    with pytest.raises(UserError, match="but the hub has"):
        fetch_from_hub(REPOSITORY)


def test_an_older_form_of_file_is_taken_where_there_is_no_safetensors(hub) -> None:
    hub(OLD, b"weights", file="pytorch_model.bin")
    assert fetch_from_hub(REPOSITORY).path.name == "pytorch_model.bin"


@pytest.mark.parametrize(
    ("offline", "message"),
    [("1", "none of model.safetensors.* is in the cache, and RES2NET_OFFLINE"), ("0", "none of")],
)
def test_what_is_not_there(hub, offline, message, monkeypatch: pytest.MonkeyPatch) -> None:
    hub(OLD, b"weights", file="something.else")
    monkeypatch.setenv("RES2NET_OFFLINE", offline)
    with pytest.raises(UserError, match=message):
        fetch_from_hub(REPOSITORY)


def test_a_hub_out_of_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)  # between tries
    with pytest.raises(UserError, match="hf-hub:timm/x could not be downloaded") as caught:
        fetch_from_hub("timm/x")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "parts"),
    [
        ("hf-hub:timm/res2net50d.in1k", ("timm/res2net50d.in1k", None)),
        ("hf-hub:me/mine@v1.2", ("me/mine", "v1.2")),
        ("me/mine@abc123", ("me/mine", "abc123")),
    ],
)
def test_addresses(address: str, parts: tuple[str, str | None]) -> None:
    assert parse_address(address) == parts


@pytest.mark.parametrize("address", ["hf-hub:timm", "hf-hub:a/b/c", "hf-hub:", "hf-hub:a/b@"])
def test_addresses_that_are_none(address: str) -> None:
    with pytest.raises(UserError, match="is not a hub address"):
        parse_address(address)


def test_without_huggingface_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "huggingface_hub", None)
    with pytest.raises(UserError, match=r"pip install 'res2net\[hub\]'"):
        fetch_from_hub("me/mine")
