"""``res2net evaluate``."""

from __future__ import annotations

import csv
import json
import re
import shutil

import pytest
import torch
from PIL import Image

from res2net.data.readers import read

TABLES = ("metrics.json", "per_class.csv", "images.csv", "mistakes.csv")
PICTURES = ("confusion.png", "calibration.png", "precision_recall.png", "mistakes.png")


@pytest.fixture
def run(tiny_run, tmp_path):
    """A copy that may be written to."""
    return shutil.copytree(tiny_run, tmp_path / "run")


def test_a_run(cli, run):
    code, out, err = cli("evaluate", run, "--data", "digits", "--workers", "0")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[-1] == f"tables and pictures: {run}/evaluation"
    assert not any(line != line.rstrip() or "\x1b" in line for line in lines)
    for word in ("359 images, 10 classes", "top-1", "top-5", "calibration error", "Most confused"):
        assert word in out
    folder = run / "evaluation"
    assert {path.name for path in folder.iterdir()} == {*TABLES, *PICTURES}
    scores = json.loads((folder / "metrics.json").read_text())
    assert scores["top1_error"] + scores["top1_accuracy"] == pytest.approx(100)
    with (folder / "per_class.csv").open(newline="") as file:
        assert sum(int(row["support"]) for row in csv.DictReader(file)) == 359
    with Image.open(folder / "mistakes.png") as picture:
        assert picture.width > 300


@pytest.mark.parametrize("name", ["model.safetensors", "checkpoints/last.ckpt"])
@pytest.mark.usefixtures("undrawn")
def test_a_file_of_a_run_scores_as_the_run(cli, run, tmp_path, name):
    options = ("--data", "digits", "--workers", "0", "--precision", "fp32")
    cli("evaluate", run, *options)
    assert cli("evaluate", run / name, *options, "--out", tmp_path / "alone").code == 0
    first, second = (
        json.loads((folder / "metrics.json").read_text())
        for folder in (run / "evaluation", tmp_path / "alone")
    )
    assert first == second  # after one epoch the last checkpoint is the best


@pytest.mark.usefixtures("undrawn")
def test_the_split_of_a_run_is_kept(cli, tiny, photos, tmp_path, monkeypatch):
    """Data without val/: what was held out in training is measured, not what was trained on."""
    used = []

    def spied(source, options):
        used.append((options.val_fraction, options.seed))
        return read(source, options)

    flat, run = photos / "train", tmp_path / "run"
    drawn = ("--seed", "9", "--input.val-fraction", "0.5")
    assert cli(*tiny, "--data", flat, *drawn, "--out", run).code == 0
    monkeypatch.setattr("res2net.tasks.data.read", spied)
    for target, words, split in (
        (".", (), (0.5, 9)),
        ("checkpoints/best.ckpt", (), (0.5, 9)),
        (".", ("--val-fraction", "0.2"), (0.2, 9)),
        (".", ("--seed", "3"), (0.5, 3)),
    ):
        used.clear()
        out = cli("evaluate", run / target, "--data", flat, "--workers", "0", *words).out
        assert out.startswith(f"{flat}: recognised as folder data\n")
        assert f"{3 * round(6 * split[0])} images, 3 classes" in out
        assert used == [split]


@pytest.mark.usefixtures("undrawn")
def test_data_that_the_network_was_not_trained_on_are_measured_whole(cli, tiny, photos, tmp_path):
    run = tmp_path / "run"
    assert cli(*tiny, "--data", photos, "--out", run).code == 0
    other = tmp_path / "others"
    for name in ("ant", "bee", "cat"):
        (other / name).mkdir(parents=True)
        for i, file in enumerate(sorted((photos / "train" / name).iterdir())[:2]):
            file.rename(other / name / f"{i}.jpg")
    words = ("evaluate", run, "--data", other, "--workers", "0")
    out = cli(*words).out
    assert "measuring all images: 6 images" in out
    assert "6 images, 3 classes" in out
    assert "held out of the training part" in cli(*words, "--val-fraction", "0.5").out


@pytest.mark.usefixtures("undrawn")
def test_each_part_can_be_measured(cli, tiny, photos, tmp_path):
    for name in ("ant", "bee", "cat"):
        (photos / "test" / name).mkdir(parents=True)
        content = (photos / "val" / name / "0.jpg").read_bytes()
        (photos / "test" / name / "0.jpg").write_bytes(content)
    run = tmp_path / "run"
    done = cli(*tiny, "--data", photos, "--out", run)
    assert "18 training and 9 validation images" in done.out
    assert "3 test images are unused" in done.out
    for split, count in (("val", 9), ("train", 18), ("test", 3), ("all", 30)):
        out = cli("evaluate", run, "--data", photos, "--workers", "0", "--split", split).out
        assert f"{count} images, 3 classes" in out


@pytest.mark.usefixtures("undrawn")
def test_another_size(cli, run, tmp_path):
    options = ("--data", "digits", "--workers", "0", "--size", "48", "--out", tmp_path / "large")
    assert cli("evaluate", run, *options).code == 0
    assert (tmp_path / "large" / "metrics.json").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "--data is missing"),
        (("--data", "digits", "--batch", "0"), "--batch is 0; it must be at least 1"),
        (("--data", "digits", "--workers", "-1"), "--workers is -1; it must be at least 0"),
        (("--data", "digits", "--size", "8"), "--size is 8; res2net29_small needs images"),
        (("--data", "digits", "--crops", "3"), "--crops is 3; it can be 1 or 5"),
        (
            ("--data", "digits", "--split", "tset"),
            "--split: must be one of 'val', 'train', 'test', 'all', not",
        ),
        (("--data", "digits", "--split", "test"), "--split test: digits has no test part"),
        (("--data", "digits", "--precision", "fp16"), "precision fp16 needs a GPU"),
        (("--data", "digits", "--val-fraction", "2"), "--val-fraction is 2.0"),
        (("--data", "digit"), "digit: no such file or folder"),
        (("--data", "digits", "--sise", "8"), "unknown option '--sise'. Did you mean '--size'?"),
    ],
)
def test_mistakes(cli, tiny_run, words, message):
    if torch.cuda.is_available() and "fp16" in words:
        pytest.skip("a GPU can do this")
    line = cli("evaluate", tiny_run, *words).line
    assert line.startswith(message)
    assert not (tiny_run / "evaluation").exists()


def test_other_classes(cli, tiny_run, photos):
    line = cli("evaluate", tiny_run, "--data", f"folder:{photos}", "--workers", "0").line
    assert "classes that the network does not have: ant, bee, cat; its classes are 0, 1, 2" in line


def test_a_folder_that_cannot_be_made(cli, tiny_run, tmp_path):
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "x"
    line = cli("evaluate", tiny_run, "--data", "digits", "--workers", "0", "--out", out).line
    assert line == f"--out {out}: cannot be made (Not a directory); name another folder"


@pytest.mark.usefixtures("undrawn")
def test_published_weights_by_a_networks_name(cli, photos, tmp_path, monkeypatch):
    """The catalogue's file for the network, on data with as many classes as it tells apart."""
    from res2net.models.factory import create_model
    from res2net.tasks import evaluate as module

    asked = []

    def made(name, *, pretrained):
        asked.append((name, pretrained))
        return create_model("res2net29_small", num_classes=3, depth=11)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(module, "create_model", made)
    monkeypatch.setattr(module, "IMAGENET_CLASSES", 3)
    words = ("--data", f"folder:{photos}", "--workers", "0")
    done = cli("evaluate", "res2net50_26w_4s", *words)
    assert (done.code, asked) == (0, [("res2net50_26w_4s", "in1k")])
    assert json.loads((tmp_path / "runs/res2net50_26w_4s-published/metrics.json").read_text())


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "res2net50_26w_4s",
            "res2net50_26w_4s: its published weights predict ImageNet's 1,000",
        ),
        ("blresnet50", "the catalogue has no ImageNet weights of blresnet50"),
    ],
)
def test_published_weights_that_cannot_be_measured(cli, photos, name, message):
    words = ("--data", f"folder:{photos}", "--workers", "0")
    assert cli("evaluate", name, *words).line.startswith(message)


def test_a_smoke_runs_report_says_how_many_images_were_measured(tiny_run):
    report = (tiny_run / "report.md").read_text()
    whole, measured = re.search(r"(\d+) validation images \((\d+) measured\)", report).groups()
    per_class = (tiny_run / "per_class.csv").read_text().splitlines()
    assert int(measured) == sum(int(row.split(",")[1]) for row in per_class[1:])  # class, images
    assert int(measured) < int(whole)
