"""``res2net models``."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from res2net.cli import tables
from res2net.cli.main import main
from res2net.cli.models import _short
from res2net.paper.networks import NETWORKS


def _lines(capsys, *arguments):
    assert main(["models", *arguments]) == 0
    return capsys.readouterr().out.splitlines()


def test_every_network_has_a_line(capsys):
    header, *lines = _lines(capsys)
    assert " ".join(header.split()) == "Name Setting Depth Size Params M MACs G Tables"
    assert [line.split()[0] for line in lines] == list(NETWORKS)


@pytest.mark.parametrize(
    ("name", "cells"),
    [
        ("res2net50_26w_4s", "26w×4s 50 224 25.699 4.255 1, 3, 5-10"),
        ("res2next29_8c25w_4s_se", "8c×25w×4s SE 29 32 34.427 5.506 4"),
        ("inception_v3", "- - 299 27.161 5.713 1"),
        ("densenet_bc190_40", "k=40 190 32 25.822 9.302 4"),
        ("res2net18", "16w×4s 18 224 7.297 1.165 -"),
    ],
)
def test_cells(capsys, name, cells):
    line = next(line for line in _lines(capsys, name) if line.startswith(f"{name} "))
    assert line.split() == [name, *cells.split()]


@pytest.mark.parametrize("width", [80, 200])
def test_nothing_is_cut_or_padded(capsys, monkeypatch, width):
    monkeypatch.setattr(tables, "PIPE_WIDTH", width)
    lines = _lines(capsys)
    assert len(lines) == 1 + len(NETWORKS)
    assert max(map(len, lines)) <= 80
    assert all(line == line.rstrip() and "…" not in line and "\x1b" not in line for line in lines)


def test_patterns(capsys):
    assert [line.split()[0] for line in _lines(capsys, "dla60x")[1:]] == ["dla60x"]
    assert len(_lines(capsys, "res2net50_*")[1:]) == 7
    assert [line.split()[0] for line in _lines(capsys, "small")[1:]] == [
        "resnet26_small",
        "res2net26_small",
        "resnet29_small",
        "res2net29_small",
        "parallel29_small",
    ]


def test_json_has_exact_numbers(capsys):
    assert main(["models", "res2net50_26w_4s", "--json"]) == 0
    both = json.loads(capsys.readouterr().out)
    row = next(row for row in both if row["name"] == "res2net50_26w_4s")
    assert (row["params"], row["macs"], row["num_classes"]) == (25_699_120, 4_255_166_464, 1000)
    assert (row["width"], row["scale"], row["se"]) == (26, 4, False)
    assert row["levels"][-1] == ["c5", 2048, 32]
    assert row["tables"][:2] == ["Table 1", "Table 3"]


def test_no_match_is_one_line(capsys):
    assert main(["models", "res3net50d"]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "res2net: no model matches 'res3net50d'. Did you mean 'res2net50d'? "
        f"`res2net models` lists all {len(NETWORKS)}."
    ]


@pytest.mark.parametrize(
    ("numbers", "text"),
    [([], "-"), ([4], "4"), ([7, 8], "7, 8"), ([1, 3, 5, 6, 7, 10], "1, 3, 5-7, 10")],
)
def test_short(numbers, text):
    assert _short(numbers) == text


def test_neither_torch_nor_numpy_is_imported():
    code = (
        "import sys; from res2net.cli.main import main; main(['models']); main(['info', 'dla60']);"
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
