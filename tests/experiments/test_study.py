"""What a row holds of a run, on a run and by hand."""

from __future__ import annotations

import json

import pytest

from res2net.errors import UserError
from res2net.experiments.studies import by_size
from res2net.experiments.study import headline, scores_of


def _run(folder, wrong=()):
    scores = {"top1_error": 25.0, "top5_error": 0.0, "loss": 0.5, "calibration_error": 0.1}
    (folder / "metrics.json").write_text(json.dumps({"count": 14, **scores}))
    (folder / "metrics.csv").write_text(
        "epoch,step,seconds,val/top1_error\n1,5,1,25.0\n2,10,1,30.5\n"
    )
    lines = [f"{i},#{i},bar,disc,0.9,0.1" for i in wrong]
    head = "index,file,true,predicted,confidence,true_probability"
    (folder / "mistakes.csv").write_text("\n".join([head, *lines]) + "\n")


def test_the_last_epoch_and_the_best_are_told_apart(tmp_path):
    _run(tmp_path)
    found = headline(tmp_path)
    assert (found["last_error"], found["top1_error"], found["val_images"]) == (30.5, 25.0, 14)


def test_errors_by_length(tmp_path):
    _run(tmp_path, wrong=(0, 7, 8, 13))  # lengths come in turn, seven of them: two images of each
    found = by_size(tmp_path)
    assert (found["error_8"], found["error_11.3"], found["error_16"]) == (100.0, 50.0, 0.0)
    assert found["error_64"] == 50.0
    assert found["last_error"] == 30.5


def test_on_a_real_run(tiny_run):
    found = headline(tiny_run)
    assert found["top1_error"] == pytest.approx(
        json.loads((tiny_run / "metrics.json").read_text())["top1_error"], abs=1e-4
    )


def test_scores_are_the_numbers_of_a_run(tmp_path):
    content = {"ap": 12.34567891, "n": 3, "classes": ["a"], "note": None}
    (tmp_path / "metrics.json").write_text(json.dumps(content))
    assert scores_of(tmp_path) == {"ap": 12.345679, "n": 3.0}
    (tmp_path / "metrics.json").write_text('{"ap": ')
    with pytest.raises(UserError, match=r"metrics.json: damaged .* train again"):
        scores_of(tmp_path)
