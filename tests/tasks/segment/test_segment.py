"""Segmentation from one command: train, resume, evaluate, predict; windows; over-fitting."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from res2net.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from res2net.data.scenes.generated import SceneRules, generate
from res2net.heads.deeplab import DeepLabV3Plus
from res2net.metrics.segmentation import SegmentationMetric
from res2net.tasks.segment.module import mean_iou
from res2net.tasks.segment.scores import SegmentScores, draw_scores
from res2net.tasks.segment.task import classes_of, starts

TINY = (
    *("train", "--task", "segment", "--model", "res2net18", "--data", "scenes"),
    *("--recipe", "smoke", "--head.channels", "8", "--train.threads", "1"),
    *("--net.width", "2", "--net.scale", "2", "--train.batch", "2", "--train.val-batches", "2"),
)
pytestmark = pytest.mark.usefixtures("undrawn")  # the run of the module is drawn
SHAPE = Preprocess(size=64, resize=64, mean=IMAGENET_MEAN, std=IMAGENET_STD)


@pytest.fixture(scope="module", autouse=True)
def _few_scenes() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("res2net.data.scenes.generated.TRAIN", 16)
        patch.setattr("res2net.data.scenes.generated.VAL", 4)
        yield


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from res2net.cli.main import main

    folder = tmp_path_factory.mktemp("segment") / "run"
    assert main([*TINY, "--out", str(folder)]) == 0
    return folder


def test_a_run_leaves_everything(run: Path) -> None:
    for name in ("config.yaml", "metrics.csv", "model.json", "model.safetensors", "report.md"):
        assert (run / name).is_file(), name
    card = json.loads((run / "model.json").read_text())
    assert card["task"] == "segment"
    assert card["classes"] == ["ground", "disc", "kite", "arrow", "bar"]
    assert 0 <= card["metrics"]["mean_iou"] <= 100
    for name in ("scores.png", "sheet.png", "curves.png"):
        with Image.open(run / name) as picture:
            assert picture.width == 1200
    assert "val/iou_error" in (run / "metrics.csv").read_text()
    assert "mean IoU" in (run / "report.md").read_text()


def test_it_goes_on(run: Path, cli: Any) -> None:
    done = cli(*TINY, "--out", run, "--resume", "--train.max-steps", "8")
    assert done.code == 0
    assert "nothing is left to train" in done.out


def test_evaluate_shows_classes_and_sizes(run: Path, cli: Any, tmp_path: Path) -> None:
    done = cli("evaluate", run, "--data", "scenes", "--out", tmp_path / "e")
    assert done.code == 0
    assert "IoU of kite" in done.out
    assert "small regions found" in done.out
    names, *rows = csv.reader((tmp_path / "e" / "confusion.csv").read_text().splitlines())
    assert names == ["true \\ predicted", "ground", "disc", "kite", "arrow", "bar"]
    assert sum(int(n) for _, *row in rows for n in row) == 4 * 160 * 160
    assert (tmp_path / "e" / "confusion.png").is_file()
    assert (tmp_path / "e" / "by_size.csv").read_text().startswith("size,regions,found_percent")


def test_predict_writes_pictures_maps_and_json(run: Path, cli: Any, tmp_path: Path) -> None:
    Image.new("RGB", (70, 50), "grey").save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no image")
    done = cli("predict", run, tmp_path, "--out", tmp_path / "found")
    assert done.code == 0
    assert "left out" in done.err
    assert "b.png" in done.err
    (row,) = json.loads((tmp_path / "found" / "predictions.json").read_text())
    assert sum(row["shares"].values()) == pytest.approx(1)
    with Image.open(tmp_path / "found" / row["classes"]) as image:
        assert image.mode == "P"
        colours = np.asarray(image.convert("RGB"))
        classes = np.asarray(image)
    palette = np.array(json.loads((run / "model.json").read_text())["marks"]["palette"])
    assert (colours == palette[classes]).all()
    assert classes.shape == (50, 70)
    assert classes.max() < 5


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("export", "RUN", "--to", "onnx", "--features", "c2", "--out", "x"),
            "--features is for classifiers",
        ),
        (("export", "RUN", "--to", "onnx", "--size", "9x64", "--out", "x"), "--size is 9; it must"),
        (
            ("evaluate", "RUN", "--data", "scenes", "--size", "64"),
            "--size does not apply to a network",
        ),
        (("predict", "RUN", "IMAGE", "--csv", "x.csv"), "--csv does not apply to a network"),
        (("train", "--model", "resnet50", "--data", "DATA"), "annotated inside images, for --task"),
        ((*TINY, "--train.label-smoothing", "0.1"), "it is for --task classify"),
        ((*TINY, "--head.channels", "0"), "--head.channels is 0"),
        (
            (*TINY[:7], "--recipe", "finetune"),
            "is not for segment. It is for --task classify",
        ),
        (("train", "--model", "resnet50", "--data", "digits", "--head.channels", "8"), "--head."),
        ((*TINY[:6], "digits", *TINY[7:]), "has classes of whole images"),
    ],
)
def test_mistakes_get_one_line(
    run: Path, cli: Any, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    named = {"RUN": run, "IMAGE": tmp_path / "a.png", "DATA": f"voc:{tmp_path}"}
    done = cli(*(named.get(word, word) for word in words))
    assert message in done.line


def test_windows_cover_and_agree_on_what_they_share() -> None:
    assert starts(100, 200) == [0]
    assert starts(1000, 400) == [0, 300, 600]
    assert starts(401, 400) == [0, 1]
    torch.manual_seed(0)
    model = DeepLabV3Plus("res2net18", 3, channels=8).eval()
    image = torch.randint(0, 256, (3, 70, 150), dtype=torch.uint8)
    whole = classes_of(model, image, SHAPE, precision="fp32")
    parts = classes_of(model, image, SHAPE, precision="fp32", largest=64)
    assert whole.shape == parts.shape == (70, 150)
    again = classes_of(model, image.flip(-1), SHAPE, precision="fp32", turned=True)
    turned = classes_of(model, image, SHAPE, precision="fp32", turned=True)
    assert (again.flip(-1) == turned).float().mean() > 0.99


def test_mean_iou_of_a_matrix_is_the_metrics() -> None:
    chance = np.random.default_rng(0)
    true, guess = chance.integers(0, 3, (2, 40, 40))
    metric = SegmentationMetric(4, by_size=False)
    metric.update(guess, true)
    ours = float(mean_iou(torch.from_numpy(metric.compute().confusion)))
    assert 100 * ours == pytest.approx(metric.compute().mean_iou, abs=1e-4)


def test_it_overfits_a_few_scenes() -> None:
    torch.manual_seed(0)
    scenes = [generate(i, 3, SceneRules(side=64, smallest=24, most=2)) for i in range(4)]
    images = torch.stack([torch.from_numpy(np.array(s.image)).permute(2, 0, 1) for s in scenes])
    maps = torch.stack([torch.from_numpy(np.array(s.classes)).long() for s in scenes])
    model = DeepLabV3Plus("res2net18", 5, channels=32, width=4, scale=2).train()
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    optimiser = torch.optim.AdamW(model.parameters(), lr=2e-3)
    x = images.float() / 255 - 0.5
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(model(x), maps)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    metric = SegmentationMetric(5, by_size=False)
    with torch.no_grad():  # statistics of this batch, as 60 steps leave the running ones behind
        metric.update(model(x).argmax(1).numpy(), maps.numpy())
    assert metric.compute().mean_iou > 85


def test_a_drawn_split_is_the_runs_own(tmp_path: Path, cli: Any) -> None:
    """Else training images would be among those measured."""
    from res2net.tasks.evaluate import evaluate

    for i in range(10):
        scene = generate(i, 0, SceneRules(side=64))
        for folder, pixels in (("images", scene.image), ("masks", scene.classes)):
            (tmp_path / "d" / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.asarray(pixels)).save(tmp_path / "d" / folder / f"{i}.png")
    (tmp_path / "d" / "classes.txt").write_text("a\nb\nc\nd\ne\n")
    data = f"pairs:{tmp_path / 'd'}"
    words = (*TINY[:5], "--data", data, *TINY[7:], "--seed", "5", "--input.val-fraction", "0.4")
    words = (*words, "--train.val-batches", "4")
    assert cli(*words, "--out", tmp_path / "run").code == 0
    scores = evaluate(tmp_path / "run", data).scores.scores
    card = json.loads((tmp_path / "run" / "model.json").read_text())
    assert scores.mean_iou == pytest.approx(card["metrics"]["mean_iou"], abs=1e-6)
    other = evaluate(tmp_path / "run", data, seed=6, out=tmp_path / "o").scores
    assert (other.scores.confusion != scores.confusion).any()


@pytest.mark.parametrize("truth", [0, 1])
def test_one_class_alone_has_no_mean_iou(tmp_path: Path, truth: int) -> None:
    metric = SegmentationMetric(2)
    found = np.array([[0, 0], [0, 1]]) * truth
    metric.update(found, found)
    right = metric.compute()
    scores = SegmentScores(
        metric=metric, scores=right, classes=("a", "b"), palette=((0, 0, 0),) * 2, images=1, seen=[]
    )
    assert ("mean_iou" in scores.summary()) == bool(truth)
    assert scores.table()[1][1] == scores.headline.removeprefix("mean IoU ")
    assert truth or scores.headline == "mean IoU undefined: one class only"
    draw_scores(right, scores.classes, tmp_path / "scores.png")
    assert (tmp_path / "scores.png").is_file()
