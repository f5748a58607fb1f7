"""Two processes that are given the same folder: the second writes nothing and is told who does."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from res2net.files import alone_in

ARCHIVE = Path(__file__).parents[1] / "compatibility" / "runs-a3f7d34.tar.xz"
COMMANDS = {
    "predict": ("predict", "segment", "photo.png"),
    "explain": ("explain", "segment", "photo.png"),
    "receptive-field": ("receptive-field", "res2net29_small", "--measure", "false"),
    "compare": ("info", "--compare", "resnet29_small", "res2net29_small", "--time", "false"),
    "reproduce": ("reproduce", "fig2"),
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the run of a segmenter and a photo."""
    folder = tmp_path_factory.mktemp("trained")
    with tarfile.open(ARCHIVE) as archive:
        wanted = [each for each in archive if each.name.startswith(("./segment/", "./photo"))]
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # from 3.11.4 on
        archive.extractall(folder, wanted)
    return folder


@pytest.mark.parametrize("name", COMMANDS)
def test_the_second_of_two_is_refused(cli, trained, tmp_path, monkeypatch, name):
    monkeypatch.chdir(trained)
    out = tmp_path / "out"
    with alone_in(out, "--out"):
        line = cli(*COMMANDS[name], "--out", out).line
        assert line.startswith(f"--out {out}: process {os.getpid()} on ")
        assert "writes there; wait until it has ended, or name another folder" in line
        assert [each.name for each in out.iterdir()] == [".lock"]
    assert cli(*COMMANDS[name], "--out", out).code == 0
    assert (out / ".lock").exists() is False
    assert any(out.iterdir())
