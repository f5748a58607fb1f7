"""Whole files or none, and one clear line when the disk says no."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from res2net.errors import UserError
from res2net.files import write_bytes, write_text


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_new_file(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "größer\n")
    assert (tmp_path / "a.txt").read_bytes() == "größer\n".encode()
    assert names(tmp_path) == ["a.txt"]


def test_old_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"a long old content")
    write_bytes(path, b"new")
    assert path.read_bytes() == b"new"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows locks a file that is open")
def test_who_reads_meanwhile_sees_the_old_file_whole(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    with path.open() as reader:
        write_text(path, "new")
        assert reader.read() == "old"


def test_permissions_follow_the_umask(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "")
    (tmp_path / "b.txt").touch()
    assert (tmp_path / "a.txt").stat().st_mode == (tmp_path / "b.txt").stat().st_mode


def test_a_file_name_that_is_not_utf8_survives(tmp_path: Path) -> None:
    write_text(tmp_path / "a.csv", os.fsdecode(b"caf\xe9.jpg"))
    assert (tmp_path / "a.csv").read_bytes() == b"caf\xe9.jpg"


@pytest.mark.parametrize(
    ("number", "parts"),
    [
        (errno.ENOSPC, ["no space left on", "a.txt", "free some", "--resume"]),
        (errno.EDQUOT, ["quota", "a.txt", "free some"]),
        (errno.EFBIG, ["ulimit -f", "a.txt"]),
        (errno.EACCES, ["permission denied", "a.txt", "may write to"]),
        (errno.EROFS, ["read-only", "a.txt"]),
        (errno.EIO, ["Input/output error", "a.txt"]),
    ],
)
def test_what_the_disk_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, parts: list[str]
) -> None:
    def refuse(_: int) -> None:
        raise OSError(number, os.strerror(number))

    path = tmp_path / "a.txt"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(UserError) as caught:
        write_text(path, "new")
    message = str(caught.value)
    assert "\n" not in message
    assert all(part in message for part in [*parts, str(tmp_path)])
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def test_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere does not exist while writing a\.txt"):
        write_text(tmp_path / "nowhere" / "a.txt", "")


def test_a_file_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"Not a directory on .*file while writing a\.txt"):
        write_text(tmp_path / "file" / "a.txt", "")


def test_a_folder_in_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").mkdir()
    with pytest.raises(UserError, match=r"while writing a\.txt"):
        write_text(tmp_path / "a.txt", "new")
    assert names(tmp_path) == ["a.txt"]


def test_interrupt_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "a.txt"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_text(path, "new")
    assert path.read_text() == "old"
    assert names(tmp_path) == ["a.txt"]


def run(code: str, path: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, str(path)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no limit on file size")
def test_a_real_limit_on_file_size(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    code = (
        "import resource, sys; from pathlib import Path\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536))\n"
        "from res2net.files import write_bytes\n"
        "write_bytes(Path(sys.argv[1]), bytes(1_000_000))"
    )
    done = run(code, path)
    assert done.returncode == 1
    assert "UserError: the limit on file size" in done.stderr.splitlines()[-1]
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a.bin"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_killed_while_writing(tmp_path: Path) -> None:
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    code = (
        "import os, signal, sys; from pathlib import Path\n"
        "from res2net.files import write_bytes\n"
        "os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_bytes(Path(sys.argv[1]), bytes(1_000_000))"
    )
    assert run(code, path).returncode == -signal.SIGKILL
    assert path.read_bytes() == b"old"
