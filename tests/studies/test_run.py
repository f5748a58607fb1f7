"""The runner: a kill loses nothing, a finished row is not trained again, two calls share."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest
from filelock import FileLock

from res2net.errors import UserError
from res2net.studies.run import run_study
from res2net.studies.study import as_trial

MAY_DIFFER = ("seconds", "date", "commit")

pytestmark = pytest.mark.usefixtures("undrawn")


class Killed(BaseException):
    """Stands in for a kill: nobody catches it."""


class Listener(list):
    """Hears what is said, and kills at a line."""

    def __init__(self, kill_at=None):
        super().__init__()
        self.kill_at = kill_at

    def __call__(self, line):
        self.append(line)
        if self.kill_at and line.startswith(self.kill_at):
            raise Killed


def _rows(results):
    with results.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return [{name: row[name] for name in row if name not in MAY_DIFFER} for row in rows]


def test_a_killed_study_goes_on_and_ends_in_the_same_rows(tiny_study, tmp_path):
    whole, broken = tmp_path / "whole.csv", tmp_path / "broken.csv"
    given = {"only": ["split"], "command": "res2net study tiny"}
    run_study(tiny_study, tmp_path / "a", whole, **given, say=Listener())
    with pytest.raises(Killed):
        run_study(tiny_study, tmp_path / "b", broken, **given, say=Listener(kill_at="epoch 2/2"))
    assert not broken.exists()
    said = Listener()
    run_study(tiny_study, tmp_path / "b", broken, **given, say=said)
    assert not any(line.startswith("epoch 1/2") for line in said)  # that one was kept
    assert any(line.startswith("epoch 2/2") for line in said)
    assert _rows(whole) == _rows(broken)
    (row,) = _rows(whole)
    assert (row["point"], row["seed"], row["epochs"], row["steps"]) == ("split", "0", "2", "4")
    assert row["command"] == "res2net study tiny"
    assert whole.with_suffix(".png").is_file()

    before, said = whole.read_bytes(), Listener()
    rows = run_study(tiny_study, tmp_path / "a", whole, **given, say=said)
    assert (said, len(rows), whole.read_bytes()) == ([], 1, before)  # nothing is trained again


def test_what_another_process_trains_is_passed_over(tiny_study, tmp_path):
    folder, results = tmp_path / "runs", tmp_path / "tiny.csv"
    folder.mkdir()
    said = Listener()
    with FileLock(folder / ".plain-seed0.lock"):
        rows = run_study(as_trial(tiny_study), folder, results, say=said)
    assert "plain, seed 0: another process trains it" in said
    assert [row["point"] for row in rows] == ["split"]


def test_rows_of_other_settings_are_not_mixed(tiny_study, tmp_path):
    folder, results = tmp_path / "runs", tmp_path / "tiny.csv"
    run_study(as_trial(tiny_study), folder, results, only=["split"], say=Listener())
    longer = replace(tiny_study, settings={**tiny_study.settings, "train.epochs": 3})
    with pytest.raises(UserError, match="split, seed 0 was trained with other settings"):
        run_study(longer, folder, results, say=Listener())


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"seeds": 0}, "--seeds is 0"),
        ({"only": ["plane"]}, "no such point. Did you mean 'plain'?"),
        ({"data": "folder:x"}, "study tiny takes digits, no path"),
    ],
)
def test_mistakes(tiny_study, tmp_path, given, message):
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        run_study(tiny_study, tmp_path / "runs", tmp_path / "tiny.csv", **given)
    assert not (tmp_path / "runs").exists()
