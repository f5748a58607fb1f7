"""``res2net predict`` with a detector: files for other programs, and what was interrupted."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import res2net
from res2net.card import ModelCard
from res2net.cli import predict as command
from res2net.data.preprocess import IMAGENET_MEAN, IMAGENET_STD, Preprocess
from res2net.models.weights import CARD_NAME, WEIGHTS_NAME, save_weights
from res2net.tasks.detect.task import build

OPTIONS = {
    "form": "fpn",
    "channels": 8,
    "anchors": None,
    "regions": None,
    "long_side": 107,
    "as_base": None,
}


def detector(folder: Path, task: str) -> Path:
    """One of random weights that finds many things."""
    card = ModelCard(
        network="resnet18",
        task=task,
        classes=("Disc", "Bär"),
        preprocess=Preprocess(size=64, resize=64, mean=IMAGENET_MEAN, std=IMAGENET_STD),
        options=OPTIONS,
    )
    torch.manual_seed(0)
    model = build(card, None)
    for layer in (model.roi_heads.box_predictor.bbox_pred, model.roi_heads.box_predictor.cls_score):
        torch.nn.init.normal_(layer.weight, std=0.3)
    save_weights(model, folder / WEIGHTS_NAME)
    (folder / CARD_NAME).write_text(json.dumps(card.as_dict()))
    return folder


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return detector(tmp_path_factory.mktemp("boxes"), "detect")


@pytest.fixture(scope="module")
def masks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return detector(tmp_path_factory.mktemp("masks"), "instances")


@pytest.fixture
def images(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    chance = np.random.default_rng(0)
    for name in ("a.png", "sub/a.png", "sub/ü.png"):
        noise = chance.integers(0, 256, (90, 140, 3), np.uint8)
        Image.fromarray(noise).save(folder / name)
    (folder / "b.png").write_text("no image")
    return folder


def annotations(path: Path, **other: Any) -> Path:
    names = {7: "a.png", 9: "sub\\a.png", 2: "x/y/ü.png", 1: "b.png"}
    content = {
        "images": [{"id": number, "file_name": name} for number, name in names.items()],
        "categories": [{"id": 30, "name": "Bär"}, {"id": 4, "name": "Disc"}],
    }
    path.write_text(json.dumps({**content, **other}))
    return path


def content(folder: Path) -> dict[str, bytes]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


def test_files_for_other_programs(cli: Any, boxes: Path, images: Path, tmp_path: Path) -> None:
    out, table = tmp_path / "out", tmp_path / "t.csv"
    words = ("--coco", annotations(tmp_path / "a.json"), "--yolo", "--csv", table)
    words = (*words, "--score", 0.3, "--max-detections", 4, "--sheet", tmp_path / "s.png")
    done = cli("predict", boxes, images, "--out", out, *words, "--json")
    assert done.code == 0
    text = (out / "predictions.json").read_text()
    assert "ü.png" in text
    assert "ü.png" in done.out
    rows = {row["image"]: row["objects"] for row in json.loads(text)}
    assert [len(each) for each in rows.values()] == [4, 4, 4]
    results = json.loads((out / "coco.json").read_text())
    assert [row["image_id"] for row in results] == [7] * 4 + [9] * 4 + [2] * 4
    with table.open(newline="") as file:
        cells = list(csv.DictReader(file))
    lines = {p: (out / "labels" / p).read_text().splitlines() for p in ("a.txt", "sub/ü.txt")}
    objects = [(name, each) for name, own in rows.items() for each in own]
    for (name, each), result, cell in zip(objects, results, cells, strict=True):
        left, top, right, bottom = each["box"]
        assert result["category_id"] == {"Disc": 4, "Bär": 30}[each["class"]]
        assert result["bbox"] == pytest.approx([left, top, right - left, bottom - top], abs=0.02)
        assert result["score"] == pytest.approx(each["score"], abs=1e-4)
        assert (cell["image"], cell["class"]) == (name, each["class"])
        assert float(cell["bottom"]) == pytest.approx(bottom, abs=0.01)
    for line, (_, each) in zip(lines["sub/ü.txt"], objects[8:], strict=True):
        label, x, y, width, height, score = map(float, line.split())
        assert ("Disc", "Bär")[int(label)] == each["class"]
        left, top, right, bottom = each["box"]
        assert [x * 140, y * 90] == pytest.approx([(left + right) / 2, (top + bottom) / 2], abs=0.1)
        assert [width * 140, height * 90] == pytest.approx([right - left, bottom - top], abs=0.1)
        assert score >= 0.3
    assert (out / "classes.txt").read_text() == "Disc\nBär\n"
    with Image.open(tmp_path / "s.png") as sheet:
        assert sheet.width > 300


@pytest.mark.parametrize("killed", [0, 1, 2, 3])
def test_what_was_interrupted_ends_in_the_same_files(
    cli: Any, boxes: Path, images: Path, tmp_path: Path, monkeypatch: Any, killed: int
) -> None:
    words = ("--coco", annotations(tmp_path / "a.json"), "--yolo", "--tiles", 64)
    assert cli("predict", boxes, images, "--out", tmp_path / "whole", *words).code == 0
    whole = content(tmp_path / "whole")
    drawn, left = command.drawn, [killed]

    def stopping(*arguments: Any) -> Any:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return drawn(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(command, "drawn", stopping)
        done = cli("predict", boxes, images, "--out", tmp_path / "out", *words)
    if killed < 3:
        assert done.code == 130
        assert done.err.endswith("stopped; rerun with --resume to continue\n")
        journal = tmp_path / "out" / command.JOURNAL
        if journal.exists():
            with journal.open("a") as file:
                file.write('{"image": "half a r')
        monkeypatch.setattr(command, "drawn", stopping)
        left[0] = 3 - killed  # no image is predicted twice
    assert cli("predict", boxes, images, "--out", tmp_path / "out", *words, "--resume").code == 0
    assert content(tmp_path / "out") == whole


def test_what_was_begun_otherwise_is_not_resumed(
    cli: Any, boxes: Path, images: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    drawn, left = command.drawn, [1]

    def stopping(*arguments: Any) -> Any:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return drawn(*arguments)

    words = ("predict", boxes, images, "--out", tmp_path / "out")
    with monkeypatch.context() as patch:
        patch.setattr(command, "drawn", stopping)
        assert cli(*words, "--score", 0.3).code == 130
    line = cli(*words, "--score", 0.4, "--resume").line
    assert "was started with another score; use the same, or run without --resume" in line
    (images / "a.png").rename(images / "z.png")
    assert "started with other images" in cli(*words, "--score", 0.3, "--resume").line
    again = cli(*words, "--score", 0.4)
    assert again.code == 0
    assert "starting the interrupted work again; --resume would continue it" in again.err
    assert not (tmp_path / "out" / command.JOURNAL).exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--score", "2"), "--score is 2.0; it must lie in 0..1"),
        (("--overlap", "0.1"), "--overlap does not apply here; it needs --tiles"),
        (("--top", "3"), "--top does not apply to a network of --task detect; it is for"),
        (("--coco", "no.json"), "no.json: cannot read it"),
        (("--coco", "words.json"), "--coco words.json: cannot be read as JSON"),
        (("--coco", "list.json"), "--coco list.json: not COCO's form"),
        (("--coco", "other.json"), "--coco other.json: 1 class of the network, the first is 'Bär'"),
        (("--coco", "few.json"), "--coco few.json: no image has this name: a.png"),
        (("--coco", "two.json"), "--coco two.json: several images have this name: a.png"),
    ],
)
def test_mistakes(
    cli: Any, boxes: Path, images: Path, tmp_path: Path, monkeypatch: Any, words: Any, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("words.json").write_text("no JSON")
    Path("list.json").write_text("[1, 2]")
    annotations(Path("other.json"), categories=[{"id": 1, "name": "Disc"}])
    annotations(Path("few.json"), images=[{"id": 1, "file_name": "c.png"}])
    same = [{"id": 1, "file_name": "p/a.png"}, {"id": 2, "file_name": "q/a.png"}]
    annotations(Path("two.json"), images=same)
    before = content(tmp_path)
    assert message in cli("predict", boxes, images, *words).line
    assert content(tmp_path) == before


def test_labels_of_two_images_are_not_one_file(
    cli: Any, boxes: Path, images: Path, tmp_path: Path
) -> None:
    (images / "a.jpg").write_bytes((images / "a.png").read_bytes())
    line = cli("predict", boxes, images, "--yolo", "--out", tmp_path / "out").line
    assert "would have the same file, a.txt" in line
    assert not (tmp_path / "out").exists()


def test_masks_of_tiles_and_what_is_for_boxes_alone(cli: Any, masks: Path, images: Path) -> None:
    line = cli("predict", masks, images, "--yolo").line
    assert line.startswith("--yolo does not apply to a network of --task instances; it is for")
    image = images / "a.png"
    found = res2net.predict(masks, image, score=0.2, tiles=64, max_detections=9, precision="fp32")
    assert found[0].masks.shape == (9, 90, 140)
    (row,) = found[0].to_coco(5, (10, 20))[:1]
    assert (row["image_id"], row["segmentation"]["size"]) == (5, [90, 140])
    with pytest.raises(res2net.UserError, match="overlap does not apply here; it needs tiles"):
        res2net.predict(masks, image, overlap=0.1)


def test_a_classifier_resumes_its_table(
    cli: Any, tiny_run: Path, photos: Path, tmp_path: Path, monkeypatch: Any
) -> None:
    table, whole = tmp_path / "t.csv", tmp_path / "whole.csv"
    (photos / "val" / "bad.jpg").write_text("no image")
    words = ("predict", tiny_run, photos / "val", "--batch", 2, "--csv")
    first = cli(*words, whole, "--json")
    assert first.code == 0
    assert "--resume needs --csv" in cli("predict", tiny_run, photos / "val", "--resume").line
    classified, left = command.classified, [2]

    def stopping(*arguments: Any, **how: Any) -> Any:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        return classified(*arguments, **how)

    monkeypatch.setattr(command, "classified", stopping)
    assert cli(*words, table).code == 130
    assert not table.exists()
    left[0] = 3
    again = cli(*words, table, "--resume", "--json")
    assert again.code == 0
    assert again.out == first.out
    assert table.read_bytes() == whole.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir() if "t.csv" in p.name) == ["t.csv"]
