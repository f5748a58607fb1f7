"""`res2net study`: the list, what it refuses, and a trial that leaves no results behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from res2net.experiments import studies
from res2net.experiments.study import Point, Study

TINY = Study(
    name="tiny",
    question="Does it run?",
    points=(Point(label="only", network="res2net29_small"),),
    seeds=2,
    data="digits",
    images=1437,
    classes=10,
    pixels=32,
    recipe="digits",
    settings={"net.depth": 11},
)


def test_the_list(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, out, err = cli("study")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines[1:]] == list(studies.STUDIES)
    assert "0/6" in lines[1]
    assert "trainings left: 6, about" in lines[1]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cifar-twin"], "unknown study 'cifar-twin'. Did you mean 'cifar-twins'?"),
        (["cifar-twins"], "--data is missing: study cifar-twins needs cifar100:PATH"),
        (["cifar-twins", "--data", "nowhere.tar"], "nowhere.tar: no such file or folder"),
        (["scenes-scale", "--seed", "3"], "unknown option '--seed'"),
    ],
)
def test_mistakes(cli, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    assert message in cli("study", *words).line
    assert list(tmp_path.iterdir()) == []


def test_a_trial(cli, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(studies, "STUDIES", {"tiny": TINY})
    code, out, err = cli(
        *("study", "tiny", "--trial", "--seeds", "1", "--threads", "1", "--workers", "0")
    )
    assert (code, err) == (0, "")
    assert "tiny 1/1: only, seed 0" in out
    assert "rows: runs/studies/tiny-trial/tiny.csv" in out
    assert Path("runs/studies/tiny-trial/tiny.csv").is_file()
    assert not Path("results").exists()
