"""Downloads against a real server that fails in every way there is."""

from __future__ import annotations

import hashlib
import os
import random
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from res2net.errors import UserError
from res2net.weights import download as room
from res2net.weights.download import Patience, download, remembered_path

BODY = random.Random(3).randbytes(300_000)
HASH = hashlib.sha256(BODY).hexdigest()
QUICK = Patience(rounds=3, stall=0.3, pause=0.01, longest_pause=0.05, lock=10)


def _fetch(urls, target: Path, sha256: str = HASH, **options) -> Path:
    urls = [urls] if isinstance(urls, str) else urls
    return download(urls, target, sha256=sha256, patience=options.pop("patience", QUICK), **options)


def _leftovers(target: Path) -> set[str]:
    known = {target.name, f"{target.name}.lock", remembered_path(target).name}
    return {path.name for path in target.parent.iterdir()} - known


@pytest.mark.parametrize(
    "trouble",
    [
        {},
        {"ranges": False},
        {"chunked": True},
        {"fail_first": 2},
        {"fail_first": 1, "retry_after": "0"},
        {"drop_first": 2, "drop_after": 100_000},
        {"drop_first": 2, "drop_after": 100_000, "ranges": False},
        {"drop_first": 1, "drop_after": 0},
        {"stall_first": 1, "drop_after": 100_000},
        {"drop_first": 2, "drop_after": 100_000, "etag": ""},
        {"drop_first": 2, "drop_after": 100_000, "etag": 'W/"weak"'},
        {"drop_first": 1, "drop_after": 100_000, "chunked": True},
    ],
    ids=str,
)
def test_the_file_arrives_whole_in_spite_of(trouble, server, behaviour, tmp_path: Path) -> None:
    server.files["/f.pth"] = behaviour(BODY, **trouble)
    target = tmp_path / "f.pth"
    assert _fetch(server.url("/f.pth"), target) == target
    assert target.read_bytes() == BODY
    assert not _leftovers(target)
    assert remembered_path(target).read_text().strip() == HASH


def test_a_broken_download_goes_on_where_it_stopped(server, behaviour, tmp_path: Path) -> None:
    serving = server.files["/f.pth"] = behaviour(BODY, drop_first=1, drop_after=100_000)
    target = tmp_path / "f.pth"
    with pytest.raises(UserError, match="interrupted after 100,000 of 300,000 bytes"):
        _fetch(server.url("/f.pth"), target, patience=Patience(rounds=1, stall=0.3))
    assert not target.exists()
    assert target.with_name("f.pth.part").stat().st_size == 100_000
    seen: list[tuple[int, int | None]] = []
    _fetch(server.url("/f.pth"), target, show=lambda done, total: seen.append((done, total)))
    assert serving.seen[-1]["range"] == "bytes=100000-"
    assert serving.seen[-1]["if-range"] == '"v1"'
    assert seen[0][0] > 100_000
    assert seen[-1] == (300_000, 300_000)
    assert target.read_bytes() == BODY


def test_another_mirror_gives_the_rest_where_a_hash_tells(
    server, behaviour, tmp_path: Path
) -> None:
    server.files["/a"] = behaviour(BODY, drop_first=9, drop_after=100_000)
    serving = server.files["/b"] = behaviour(BODY, etag='"other"')
    _fetch([server.url("/a"), server.url("/b")], tmp_path / "f")
    assert serving.seen[0]["range"] == "bytes=100000-"
    assert "if-range" not in serving.seen[0]


def test_without_a_hash_only_the_same_version_of_one_mirror_is_resumed(
    server, behaviour, tmp_path: Path
) -> None:
    target = tmp_path / "f"
    serving = server.files["/f"] = behaviour(BODY, drop_first=1, drop_after=100_000)
    with pytest.raises(UserError):
        _fetch(server.url("/f"), target, sha256="", patience=Patience(rounds=1, stall=0.3))
    serving.body, serving.etag = BODY[::-1], '"v2"'  # replaced meanwhile
    _fetch(server.url("/f"), target, sha256="")
    assert target.read_bytes() == BODY[::-1]


def test_a_resumed_mixture_of_two_versions_is_fetched_anew(
    server, behaviour, tmp_path: Path
) -> None:
    target = tmp_path / "f"
    serving = server.files["/f"] = behaviour(BODY[::-1], etag="", drop_first=1, drop_after=100_000)
    with pytest.raises(UserError):
        _fetch(server.url("/f"), target, patience=Patience(rounds=1, stall=0.3))
    serving.body = BODY
    _fetch(server.url("/f"), target)
    assert target.read_bytes() == BODY


@pytest.mark.parametrize("there", [300_000, 400_000])
def test_a_part_as_long_as_the_file_or_longer(there, server, behaviour, tmp_path: Path) -> None:
    target = tmp_path / "f"
    serving = server.files["/f"] = behaviour(BODY)
    part = room.Part(tmp_path / "f.part", any_mirror=True)
    part.path.write_bytes((BODY * 2)[:there])
    part.remember(room._Origin(server.url("/f"), '"v1"', 300_000))
    _fetch(server.url("/f"), target)
    assert target.read_bytes() == BODY
    assert len(serving.seen) == (1 if there == 300_000 else 2)


@pytest.mark.parametrize(
    ("trouble", "requests", "reason"),
    [
        ({"status": 404}, 1, "404 Not Found"),
        ({"status": 403}, 1, "403 Forbidden"),
        ({"status": 500}, 3, "500 Internal Server Error"),
        ({"status": 503}, 3, "503 Service Unavailable"),
        ({"content_type": "text/html"}, 1, "a web page instead of the file"),
        ({"stall_first": 9}, 3, "no data in 0.3 s"),
        ({"drop_first": 9, "drop_after": 10, "ranges": False}, 3, "interrupted after 10 of"),
    ],
    ids=str,
)
def test_what_cannot_be_fetched_says_why(
    trouble, requests, reason, server, behaviour, tmp_path: Path
) -> None:
    serving = server.files["/f.pth"] = behaviour(BODY, **trouble)
    start = time.monotonic()
    with pytest.raises(UserError, match=r"f\.pth could not be downloaded") as caught:
        _fetch(server.url("/f.pth"), tmp_path / "f.pth")
    assert reason in str(caught.value)
    assert "RES2NET_WEIGHTS_URL" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(serving.seen) == requests
    assert not (tmp_path / "f.pth").exists()
    assert time.monotonic() - start < 5


def test_a_wrong_file_is_never_used(server, behaviour, tmp_path: Path) -> None:
    server.files["/bad"] = behaviour(BODY[::-1])
    with pytest.raises(UserError, match=r"wrong file \(sha256 \w{8} instead of"):
        _fetch(server.url("/bad"), tmp_path / "f")
    assert not _leftovers(tmp_path / "f")
    server.files["/good"] = behaviour(BODY)
    _fetch([server.url("/bad"), server.url("/good")], tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == BODY


def test_mirrors_are_tried_in_order_until_one_gives(server, behaviour, tmp_path: Path) -> None:
    for name, status in (("/a", 404), ("/b", 503), ("/c", 200)):
        server.files[name] = behaviour(BODY, status=status)
    _fetch([server.url(name) for name in ("/a", "/b", "/c")], tmp_path / "f")
    assert [len(server.files[name].seen) for name in ("/a", "/b", "/c")] == [1, 1, 1]


def test_nobody_listens(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/f"
    pauses: list[float] = []
    with pytest.raises(UserError, match=r"not reachable \(.*[Rr]efused"):
        _fetch(url, tmp_path / "f", sleep=pauses.append)
    assert len(pauses) == 1  # twice out of reach is enough


def test_pauses_grow_and_follow_the_server(server, behaviour, tmp_path: Path) -> None:
    server.files["/f"] = behaviour(BODY, status=500)
    pauses: list[float] = []
    patient = Patience(rounds=5, pause=1.0, longest_pause=60)
    with pytest.raises(UserError):
        _fetch(server.url("/f"), tmp_path / "f", patience=patient, sleep=pauses.append)
    assert len(pauses) == 4
    for pause, middle in zip(pauses, (1, 2, 4, 8), strict=True):
        assert 0.5 * middle <= pause <= 1.5 * middle
    server.files["/f"].retry_after = "30"
    pauses.clear()
    with pytest.raises(UserError):
        _fetch(server.url("/f"), tmp_path / "f", patience=patient, sleep=pauses.append)
    assert pauses[0] == 30


def test_a_file_that_is_there_is_not_fetched_again(server, behaviour, tmp_path: Path) -> None:
    serving = server.files["/f"] = behaviour(BODY)
    for _ in range(2):
        _fetch(server.url("/f"), tmp_path / "f")
    assert len(serving.seen) == 1


@pytest.mark.parametrize("promised", [HASH[:8], ""])
def test_a_file_that_rotted_in_the_cache_is_fetched_again(
    promised, server, behaviour, tmp_path: Path
) -> None:
    serving, target = behaviour(BODY), tmp_path / "f"
    server.files["/f"] = serving
    _fetch(server.url("/f"), target, sha256=promised)
    target.write_bytes(BODY[:-1] + b"x")
    _fetch(server.url("/f"), target, sha256=promised)
    assert target.read_bytes() == BODY
    assert len(serving.seen) == 2


def test_two_processes_fetch_once(server, behaviour, tmp_path: Path) -> None:
    serving = server.files["/f"] = behaviour(BODY, slow=0.1)
    code = (
        "from pathlib import Path; from res2net.weights.download import download;"
        f"download([{server.url('/f')!r}], Path({str(tmp_path / 'f')!r}), sha256={HASH!r})"
    )
    workers = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(3)]
    assert [worker.wait(30) for worker in workers] == [0, 0, 0]
    assert (tmp_path / "f").read_bytes() == BODY
    assert len(serving.seen) == 1


def test_a_killed_process_leaves_no_lock(server, behaviour, tmp_path: Path) -> None:
    server.files["/f"] = behaviour(BODY, slow=0.5)
    code = (
        "from pathlib import Path; from res2net.weights.download import download;"
        f"download([{server.url('/f')!r}], Path({str(tmp_path / 'f')!r}), sha256={HASH!r})"
    )
    worker = subprocess.Popen([sys.executable, "-c", code])
    part = tmp_path / "f.part"
    for _ in range(200):
        if part.is_file() and part.stat().st_size:
            break
        time.sleep(0.05)
    worker.kill()
    worker.wait(10)
    assert not (tmp_path / "f").exists()
    server.files["/f"].slow = 0.0
    _fetch(server.url("/f"), tmp_path / "f")
    assert (tmp_path / "f").read_bytes() == BODY
    assert server.files["/f"].seen[-1]["range"].startswith("bytes=")


def test_a_process_that_never_ends_does_not_block_for_ever(
    server, behaviour, tmp_path: Path
) -> None:
    from filelock import FileLock

    server.files["/f"] = behaviour(BODY)
    with (
        FileLock(tmp_path / "f.lock"),
        pytest.raises(UserError, match="another process has been downloading f for"),
    ):
        _fetch(server.url("/f"), tmp_path / "f", patience=Patience(lock=0.1))


def test_no_room_is_said_before_a_byte_is_written(
    server, behaviour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.files["/f"] = behaviour(BODY)
    usage = shutil.disk_usage(tmp_path)._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(UserError, match=r"no space left on .* while writing f; free some"):
        _fetch(server.url("/f"), tmp_path / "f")


def test_a_disk_that_fills_up_keeps_what_came(
    server, behaviour, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A real file system of limited size: /dev/full refuses every write as a full disk does."""
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    server.files["/f"] = behaviour(BODY)
    real = Path.open

    def full(self: Path, mode: str = "r", **options: object):
        path = Path("/dev/full") if self.name == "f.part" else self
        return real(path, mode, **options)  # type: ignore[call-overload]

    monkeypatch.setattr(Path, "open", full)
    with pytest.raises(UserError, match="no space left on"):
        _fetch(server.url("/f"), tmp_path / "f")
    assert not (tmp_path / "f").exists()


@pytest.mark.parametrize("url", ["ftp://host/f", "file:///etc/passwd", "nothing"])
def test_other_schemes_are_refused(url: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="only http and https"):
        _fetch(url, tmp_path / "f")


def test_an_address_that_is_none(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="not a valid URL"):
        _fetch("http://127.0.0.1:1/a b", tmp_path / "f")


def test_a_folder_that_may_not_be_written_to(server, behaviour, tmp_path: Path) -> None:
    server.files["/f"] = behaviour(BODY)
    folder = tmp_path / "locked"
    folder.mkdir(mode=0o500)
    if os.access(folder, os.W_OK):
        folder = Path("/sys")  # root may write everywhere else
        if not folder.is_dir():
            pytest.skip("running as root")
    with pytest.raises(UserError, match=r"permission denied|read-only|Operation not permitted"):
        _fetch(server.url("/f"), folder / "f")
