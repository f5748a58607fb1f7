"""Running an item: published weights once, further test sets in the row of a run."""

from __future__ import annotations

import json
from types import SimpleNamespace

import pytest

from res2net.errors import UserError
from res2net.reproduce import run as module
from res2net.reproduce.full import full_plan
from res2net.reproduce.items import ITEMS
from res2net.reproduce.scores import scores_of
from res2net.reproduce.sheets import paper_sheet, read_measured


def test_scores_are_the_numbers_of_a_run(tmp_path):
    content = {"ap": 12.34567891, "n": 3, "classes": ["a"], "note": None}
    (tmp_path / "metrics.json").write_text(json.dumps(content))
    assert scores_of(tmp_path) == {"ap": 12.345679, "n": 3.0}


def test_published_weights_are_measured_once(tmp_path, monkeypatch):
    calls = []

    def evaluate(network, source, *, out):
        calls.append((network, source, out))
        summary = {"top1_error": 22.5, "top5_error": 6.5}
        return SimpleNamespace(scores=SimpleNamespace(summary=lambda: summary, top1_error=22.5))

    monkeypatch.setattr("res2net.tasks.evaluate.evaluate", evaluate)
    monkeypatch.setattr("res2net.weights.pretrained.open_pretrained", lambda *_: None)
    results, said = tmp_path / "results.csv", []
    for _ in range(2):
        words = ("res2net50_26w_4s", "imagenet:x", tmp_path, results, "command", said.append)
        module.measure_published(*words)
    assert calls == [("res2net50_26w_4s", "imagenet:x", tmp_path / "published/res2net50_26w_4s")]
    sheet = paper_sheet(ITEMS["table2"], read_measured(results))
    assert sheet.head[-1] == "measured"  # another network's
    sheet = paper_sheet(ITEMS["table1"], read_measured(results))
    assert sheet.rows[1][-2:] == ("22.50", "6.50")
    assert said == ["published weights of res2net50_26w_4s: top-1 error 22.50 %"]


def test_weights_that_cannot_be_had_are_left_out(tmp_path, monkeypatch):
    def refuse(*_):
        raise UserError("offline")

    monkeypatch.setattr("res2net.weights.pretrained.open_pretrained", refuse)
    said = []
    words = ("dla60_res2net", "imagenet:x", tmp_path, tmp_path / "r.csv", "c", said.append)
    module.measure_published(*words)
    assert said == ["published weights of dla60_res2net: left out, offline"]
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
