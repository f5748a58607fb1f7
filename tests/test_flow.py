"""The main road, as a user walks it: train, resume, evaluate, predict, load."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image
from sklearn.datasets import load_digits

import res2net
from res2net.cli.main import main

SMALL = (
    *("train", "--model", "res2net29_small", "--net.depth", "11", "--net.width", "4"),
    *("--data", "digits"),
)
QUICK = (
    *(*SMALL, "--train.epochs", "1", "--train.max-steps", "4", "--train.batch", "16"),
    *("--input.workers", "0"),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run of four steps."""
    folder = tmp_path_factory.mktemp("flow") / "run"
    assert main([*QUICK, "--out", str(folder)]) == 0
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Three digits as files, one of them no image."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for i, digit in enumerate(load_digits().images[:3]):
        Image.fromarray((digit * 15.9).astype(np.uint8)).save(folder / f"{i}.png")
    (folder / "broken.jpg").write_bytes(b"\xff\xd8 this is no photo")
    return folder


def test_the_run_folder_holds_what_is_promised(run: Path) -> None:
    for name in (
        *("config.yaml", "metrics.csv", "curves.png", "confusion.png", "calibration.png"),
        *("mistakes.png", "checkpoints/best.ckpt", "checkpoints/last.ckpt", "model.safetensors"),
        *("model.json", "metrics.json", "per_class.csv", "mistakes.csv", "report.md"),
    ):
        assert (run / name).stat().st_size > 0, name
    assert list((run / "tensorboard").glob("events*"))
    card = json.loads((run / "model.json").read_text())
    assert card["network"] == "res2net29_small"
    assert card["options"] == {"depth": 11, "width": 4}
    assert card["classes"] == [str(i) for i in range(10)]
    assert {"torch", "python", "cpu"} <= set(card["versions"])
    with (run / "metrics.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert row["step"] == "4"
    assert 0 <= float(row["val/top1_error"]) <= 100


@pytest.mark.usefixtures("undrawn")
def test_the_saved_configuration_is_a_fixed_point(run: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    assert main(["train", "--config", str(run / "config.yaml"), "--out", str(again)]) == 0
    first, second = (yaml.safe_load((r / "config.yaml").read_text()) for r in (run, again))
    assert first == second
    weights = [(r / "model.safetensors").read_bytes() for r in (run, again)]
    assert weights[0] == weights[1]  # the same seed gives the same run


@pytest.mark.usefixtures("undrawn")
def test_a_finished_run_has_nothing_left_to_train(
    run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (run / "model.safetensors").read_bytes()
    assert main(["train", "--out", str(run), "--resume"]) == 0
    assert "nothing is left to train" in capsys.readouterr().out
    assert (run / "model.safetensors").read_bytes() == before


def test_evaluate_prints_and_saves(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(run), "--data", "digits", "--workers", "0"]) == 0
    out = capsys.readouterr().out
    for word in ("top-1", "top-5", "error", "accuracy", "calibration", "Most confused"):
        assert word in out
    scores = json.loads((run / "evaluation" / "metrics.json").read_text())
    trained = json.loads((run / "metrics.json").read_text())
    assert scores["top1_error"] == pytest.approx(trained["top1_error"])
    assert scores["count"] == 359
    assert (run / "evaluation" / "mistakes.png").is_file()


def test_predict_a_folder(
    run: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table, sheet = tmp_path / "found.csv", tmp_path / "found.png"
    call = ["predict", str(run), str(photos), "--top", "3", "--csv", str(table)]
    assert main([*call, "--sheet", str(sheet)]) == 0
    output = capsys.readouterr()
    assert "broken.jpg" in output.err
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [Path(row["image"]).name for row in rows] == ["0.png", "1.png", "2.png"]
    assert float(rows[0]["probability_1"]) >= float(rows[0]["probability_2"])
    with Image.open(sheet) as picture:
        assert picture.size[0] > 100


def test_predict_prints_json_lines(
    run: Path, photos: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [str(photos / f"{i}.png") for i in range(2)]
    assert main(["predict", str(run / "checkpoints/best.ckpt"), *files, "--json"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [Path(line["image"]).name for line in lines] == ["0.png", "1.png"]


def test_load_takes_every_kind_of_image(run: Path, photos: Path) -> None:
    predictor = res2net.load(run)
    assert predictor.classes == tuple(str(i) for i in range(10))
    assert isinstance(predictor.model, res2net.Network)
    path = photos / "0.png"
    with Image.open(path) as image:
        image.load()
    grey = np.asarray(image)
    rgb = np.stack([grey] * 3, axis=-1)
    kinds = [path, str(path), image, grey, rgb]
    together = predictor.predict(kinds, top=2)
    assert len({p.top for p in together}) == 1
    assert len(together[0].top) == 2
    assert predictor.predict(path)[0].label == together[0].label
    weights = res2net.load(run / "model.safetensors").predict(path, top=2)[0]
    checkpoint = res2net.load(run / "checkpoints" / "best.ckpt").predict(path, top=2)[0]
    assert weights.top == checkpoint.top
    for (label, alone), (same, beside) in zip(weights.top, together[0].top, strict=True):
        assert label == same
        assert alone == pytest.approx(beside, rel=1e-3)  # a GPU rounds a batch differently


@pytest.mark.usefixtures("undrawn")
def test_every_way_of_training_together(tmp_path: Path) -> None:
    """Options that change the loop, in one run."""
    options = (
        *("--train.accumulate", "2", "--train.clip", "1", "--train.class-weights", "balanced"),
        *("--train.frozen-levels", "1", "--train.gradient-checkpointing", "cheap"),
        *("--train.early-stop", "2", "--augment.cutmix", "1", "--augment.randaugment", "1"),
        *("--augment.random-erasing", "0.2", "--train.ema", "0.9", "--net.se", "true"),
    )
    assert main([*QUICK, *options, "--out", str(tmp_path / "run")]) == 0


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["trian"], ["unknown command", "'train'"]),
        (["train", "--model", "res2net50", "--data", "digits"], ["unknown model", "res2net50_"]),
        ([*SMALL, "--train.lrr", "1"], ["--train.lrr", "--train.lr"]),
        ([*SMALL, "--lr", "1"], ["--lr", "--train.lr"]),
        ([*SMALL, "--mod", "resnet50"], ["--mod", "--model"]),
        ([*SMALL, "--recipe", "imgenet"], ["unknown recipe", "imagenet"]),
        ([*SMALL, "--train.epochs", "many"], ["--train.epochs", "whole number"]),
        ([*SMALL, "--train.batch", "0"], ["--train.batch", "at least 1"]),
        ([*SMALL, "--train.schedule", "linearly"], ["--train.schedule", "cosine"]),
        ([*SMALL, "--input.size", "8"], ["--input.size", "at least 32"]),
        ([*SMALL, "--config", "nowhere.yaml"], ["nowhere.yaml"]),
        (["train", "--model", "resnet18", "--data", "nowhere/"], ["nowhere"]),
        (["train", "--model", "resnet18", "--data", "cifra:x"], ["cifra", "cifar"]),
        (["train", "--model", "resnet18"], ["--data is missing"]),
        (["evaluate", "nowhere", "--data", "digits"], ["nowhere"]),
        (["evaluate", "res2net50_26w_4s", "--data", "digits"], ["res2net50_26w_4s"]),
        (["predict", "nowhere", "x.jpg"], ["nowhere"]),
        (["info", "resnet"], ["unknown model"]),
        (["bench", "speed"], ["unknown subject", "train-step"]),
    ],
)
def test_a_mistake_gets_one_line_and_leaves_nothing(
    command: list[str],
    words: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(command) == 2
    output = capsys.readouterr()
    assert len(output.err.splitlines()) == 1
    assert output.err.startswith("res2net: ")
    for word in words:
        assert word in output.err
    assert list(tmp_path.iterdir()) == []


def test_a_run_is_not_overwritten(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*QUICK, "--out", str(run)]) == 2
    assert "--resume" in capsys.readouterr().err
    assert main([*QUICK, "--seed", "1", "--out", str(run), "--resume"]) == 2
    assert "--seed 0, now it is 1" in capsys.readouterr().err


@pytest.mark.usefixtures("undrawn")
def test_a_loss_that_is_not_finite_stops_with_the_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main([*QUICK, "--train.lr", "1e30", "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert "at step" in error
    assert "--train.lr" in error
    assert len(error.splitlines()) == 1


@pytest.mark.skipif(torch.cuda.is_available(), reason="where there is a GPU, no limit is set")
def test_out_of_memory_says_what_to_lower(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    assert main([*QUICK, "--input.size", "200000", "--train.batch", "2", "--out", str(out)]) == 2
    error = capsys.readouterr().err
    assert "out of memory" in error
    assert "--train.batch" in error
    assert not out.exists()


@pytest.mark.usefixtures("undrawn")
def test_finetune_says_that_it_starts_from_scratch_where_nothing_can_be_reached(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (photos / "broken.jpg").unlink()
    folder = tmp_path / "set"
    for name in ("a", "b"):
        (folder / name).mkdir(parents=True)
        for file in photos.iterdir():
            (folder / name / file.name).write_bytes(file.read_bytes())
    call = ["train", "--data", f"folder:{folder}", "--input.size", "32", "--train.epochs", "1"]
    run = tmp_path / "run"
    small = ["--input.workers", "0", "--train.batch", "4"]
    assert main([*call, *small, "--model", "resnet18", "--out", str(run)]) == 0
    assert "training from scratch" in capsys.readouterr().out
    assert yaml.safe_load((run / "config.yaml").read_text())["net"]["pretrained"] is None
