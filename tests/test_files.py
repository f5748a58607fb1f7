"""Atomic file writes, and one clear line when the disk fails."""

from __future__ import annotations

import errno
import json
import os
import platform
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from filelock import FileLock

from res2net.errors import TakenError, UserError
from res2net.files import (
    Journal,
    alone_in,
    json_text,
    locked,
    remove_leftovers,
    write_bytes,
    write_text,
)


def names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()]


def test_new_file(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "größer\n")
    assert (tmp_path / "a.txt").read_bytes() == "größer\n".encode()
    assert names(tmp_path) == ["a.txt"]


def test_json_has_names_in_their_own_letters_and_no_command_of_a_terminal() -> None:
    value = {"größer 猫": ["a\x1b[2J\x9b\u202e\udcff\n\x7f"]}
    text = json_text(value, indent=1)
    assert "größer 猫" in text
    assert text.encode()
    assert not set("\x1b\x9b\u202e\udcff\x7f") & set(text)
    assert json.loads(text) == value


def test_a_journal_keeps_whole_rows_of_the_same_work(tmp_path: Path) -> None:
    path = tmp_path / "j"
    begun = Journal(path, {"a": "1"}, resume=True)
    assert not path.exists()
    begun.add([{"x": 0.1}, {"x": 2}])
    with path.open("a") as file:
        file.write('{"x": 3}\n{"x": 4')
    again = Journal(path, {"a": "1"}, resume=True)
    assert again.rows == [{"x": 0.1}, {"x": 2}, {"x": 3}]
    again.add([5])
    assert Journal(path, {"a": "1"}, resume=True).rows[-1] == 5
    with pytest.raises(UserError, match="--resume: .*j was started with another a; use the same"):
        Journal(path, {"a": "2"}, resume=True)
    with pytest.warns(UserWarning, match="--resume would continue it"):
        assert Journal(path, {"a": "2"}, resume=False).rows == []
    again.end()
    path.write_bytes(b"\xff\n[]\n")
    assert Journal(path, {}, resume=True).rows == []


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


# ---- one writer a folder

HOLD = (
    "import os, sys, time; from pathlib import Path\n"
    "from res2net.files import alone_in\n"
    "with alone_in(Path(sys.argv[1]), '--out'):\n"
    "    print('held', flush=True)\n"
    "    time.sleep(60)"
)


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_a_second_process_is_told_who_writes_and_a_kill_frees_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "run"
    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "held\n"
            with pytest.raises(TakenError) as caught, alone_in(folder, "--out"):
                pass
        finally:
            holder.kill()
    assert str(caught.value) == (
        f"--out {folder}: process {holder.pid} on {platform.node()} writes there; wait until it "
        "has ended, or name another folder"
    )
    assert names(folder) == [".lock"]  # that of the killed one
    (folder / ".a.txt.123.tmp").touch()
    (folder / ".mine.tmp").touch()
    (folder / "b.tmp").touch()
    with alone_in(folder, "--out"):
        assert sorted(names(folder)) == [".lock", ".mine.tmp", "b.tmp"]
        with pytest.raises(TakenError, match=f"process {os.getpid()} on "), alone_in(folder, "--x"):
            pass
    assert sorted(names(folder)) == [".mine.tmp", "b.tmp"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="Windows does not fork")
def test_a_forked_process_that_outlives_the_holder_holds_nothing_for_long(tmp_path: Path) -> None:
    """As a loader process does that has not yet noticed that its training was killed."""
    code = HOLD.replace(
        "    print", "    child = os.fork() or (time.sleep(3), os._exit(0))\n    print"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        holder.kill()
    with alone_in(tmp_path / "run", "--out"):
        pass


def test_what_was_made_for_nothing_goes_and_what_somebody_put_there_stays(tmp_path: Path) -> None:
    with alone_in(tmp_path / "a" / "b", "--out"):
        assert (tmp_path / "a" / "b").is_dir()
    assert names(tmp_path) == []
    with pytest.raises(ValueError, match="x"), alone_in(tmp_path / "a" / "b", "--out"):
        (tmp_path / "a" / "mine.txt").touch()
        raise ValueError("x")
    assert names(tmp_path / "a") == ["mine.txt"]
    (tmp_path / "empty").mkdir()
    with alone_in(tmp_path / "empty", "--out"):
        pass
    assert (tmp_path / "empty").is_dir()  # it was there before


def test_a_link_to_a_folder_is_that_folder(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "link").symlink_to("run")
    with (
        alone_in(tmp_path / "run", "--out"),
        pytest.raises(TakenError),
        alone_in(tmp_path / "link", "--out"),
    ):
        pass


@pytest.mark.parametrize("error", [OSError(errno.ENOLCK, "No locks"), NotImplementedError()])
def test_a_file_system_without_locks_is_noted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise error

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with pytest.warns(UserWarning, match="file system has no locks"), alone_in(tmp_path, "--out"):
        pass


@pytest.mark.parametrize(
    ("number", "line"), [(errno.EACCES, "permission denied on"), (errno.EROFS, "is read-only")]
)
def test_a_folder_that_may_not_be_written_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, line: str
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(FileLock, "acquire", refuse)
    with pytest.raises(UserError, match=line) as caught, alone_in(tmp_path / "run", "--out"):
        pass
    assert str(tmp_path / "run") in str(caught.value)
    assert ".lock" not in str(caught.value)
    assert names(tmp_path) == []


def test_who_waits_for_a_lock_gets_it(tmp_path: Path) -> None:
    with locked(tmp_path / ".x.lock", "x"):
        waiting = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import sys; from pathlib import Path; from res2net.files import locked\n"
                "print('waits', flush=True)\n"
                "with locked(Path(sys.argv[1]), 'x', wait=30): print('has it')",
                str(tmp_path / ".x.lock"),
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert waiting.stdout is not None
        assert waiting.stdout.readline() == "waits\n"
    assert waiting.communicate(timeout=60)[0] == "has it\n"
    assert names(tmp_path) == []


def test_leftovers_of_one_file(tmp_path: Path) -> None:
    for name in (".a.csv.1.tmp", ".a.csv.22.tmp", ".b.csv.1.tmp", ".a.csv.tmp", "a.csv"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path, "a.csv")
    assert sorted(names(tmp_path)) == [".a.csv.tmp", ".b.csv.1.tmp", "a.csv"]
