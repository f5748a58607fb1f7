"""The runner: a kill loses nothing, a finished row is not trained again, two calls share.

And items: published weights once, further test sets in the row of a run.
"""

from __future__ import annotations

import csv
from dataclasses import replace
from types import SimpleNamespace

import pytest
from filelock import FileLock

from res2net.errors import UserError
from res2net.experiments import run as module
from res2net.experiments.full import full_plan
from res2net.experiments.items import ITEMS
from res2net.experiments.results import read_results
from res2net.experiments.run import run_study
from res2net.experiments.sheets import paper_sheet
from res2net.experiments.study import as_trial

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
    assert "plain, seed 0: in training by another process" in said
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
        ({"data": "folder:x"}, "study tiny takes digits without path"),
    ],
)
def test_mistakes(tiny_study, tmp_path, given, message):
    with pytest.raises(UserError, match=message.replace("?", r"\?")):
        run_study(tiny_study, tmp_path / "runs", tmp_path / "tiny.csv", **given)
    assert not (tmp_path / "runs").exists()


def test_published_weights_are_measured_once(tmp_path, monkeypatch):
    calls = []

    def evaluate(network, source, *, out):
        calls.append((network, source, out))
        summary = {"top1_error": 22.5, "top5_error": 6.5}
        scores = SimpleNamespace(summary=lambda: summary, top1_error=22.5)
        return SimpleNamespace(scores=scores, metrics=summary)

    monkeypatch.setattr("res2net.tasks.evaluate.evaluate", evaluate)
    monkeypatch.setattr("res2net.weights.pretrained.open_pretrained", lambda *_: None)
    results, said = tmp_path / "results.csv", []
    for _ in range(2):
        words = ("res2net50_26w_4s", "imagenet:x", tmp_path, results, "command", said.append)
        module.measure_published(*words)
    assert calls == [("res2net50_26w_4s", "imagenet:x", tmp_path / "published/res2net50_26w_4s")]
    sheet = paper_sheet(ITEMS["table2"], read_results(results))
    assert sheet.head[-1] == "measured"  # another network's
    sheet = paper_sheet(ITEMS["table1"], read_results(results))
    assert sheet.rows[1][-2:] == ("22.50", "6.50")
    assert said == ["published weights of res2net50_26w_4s: top-1 error 22.50 %"]


def test_weights_that_cannot_be_had_are_left_out(tmp_path, monkeypatch):
    def refuse(*_):
        raise UserError("offline")

    monkeypatch.setattr("res2net.weights.pretrained.open_pretrained", refuse)
    said = []
    words = ("dla60_res2net", "imagenet:x", tmp_path, tmp_path / "r.csv", "c", said.append)
    module.measure_published(*words)
    assert said == ["published weights of dla60_res2net: skipped, offline"]
    assert not (tmp_path / "r.csv").exists()


def test_a_row_of_table_9_holds_its_four_sets(tmp_path, monkeypatch):
    seen = []

    def evaluate(run, source, *, out):
        assert run == tmp_path
        seen.append((source, out.name))
        return SimpleNamespace(metrics={"max_f": 0.5, "mae": 0.25})

    monkeypatch.setattr("res2net.tasks.evaluate.evaluate", evaluate)
    (tmp_path / "metrics.json").write_text('{"max_f": 0.75}')
    planned = full_plan(ITEMS["table9"])[0]
    scores = module._on_tests(planned, tmp_path, tmp_path)
    assert scores["max_f"] == 0.75
    assert scores["dut-omron_mae"] == 0.25
    assert [name for *_, name in seen] == ["on-ecssd", "on-pascal-s", "on-hku-is", "on-dut-omron"]
    row = {"study": planned.study.name, "point": "resnet50"}
    rows = [row | {name: str(value) for name, value in scores.items()}]
    sheet = paper_sheet(ITEMS["table9"], rows)
    assert [row[-2:] for row in sheet.rows[:2]] == [("0.500", "0.250"), ("–", "–")]


def test_every_training_whose_data_are_there_is_run(tmp_path, monkeypatch):
    """Each with its own point; a study's name says which rows of results are its own."""
    ran = []

    def run_study(study, folder, results, *, data, only, **how):
        assert results == tmp_path / "r.csv"
        assert how["machine"] == {"train.threads": 1}
        ran.append((study.name, *only, data, folder.name))
        assert study.find_point(only[0]).label == only[0]

    monkeypatch.setattr(module, "run_study", run_study)
    (tmp_path / "VOC2007").mkdir()
    given = {"machine": {"train.threads": 1}, "command": "c", "say": lambda _: None}
    left = module.run_full(ITEMS["table5"], tmp_path, tmp_path / "o", tmp_path / "r.csv", **given)
    assert left == 2  # COCO is not there
    source = f"voc:{tmp_path}/VOC2007"
    assert ran == [
        ("detect-voc07", "resnet50", source, "detect-voc07"),
        ("detect-voc07", "res2net50_26w_4s", source, "detect-voc07"),
    ]


@pytest.mark.parametrize("scale", ["small", "full"])
def test_the_runs_of_a_pair(scale, tmp_path):
    runs = module.pair_runs(ITEMS["fig6"], scale, None, tmp_path)
    names = {"small": ["ResNet-seed0", "Res2Net-26w4s-seed0"],
             "full": ["resnet101-seed0", "res2net101_26w_4s-seed0"]}  # fmt: skip
    assert [run.name for run in runs] == names[scale]
