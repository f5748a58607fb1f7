"""Any number of labels an image: read, learned, measured, predicted; refused where it cannot be."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import res2net
from res2net.card import ModelCard
from res2net.data.labelled import LabelledImages, ReadOptions
from res2net.data.readers import read
from res2net.data.source import parse_source
from res2net.errors import UserError
from res2net.tasks.classify.multilabel import MultiLabelScores, average_precisions, best_thresholds
from res2net.tasks.classify.task import above

COLOURS = {"red": 0, "green": 1, "blue": 2}
SETS = [["red"], ["green"], ["blue"], ["blue", "red"], ["green", "red"], []]


def photos(folder: Path, count: int = 24) -> list[list[str]]:
    """Images whose labels are the colour channels that are bright."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    held = [SETS[i % len(SETS)] for i in range(count)]
    for i, names in enumerate(held):
        pixels = rng.integers(0, 60, (32, 32, 3), np.uint8)
        for name in names:
            pixels[..., COLOURS[name]] += 180
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return held


def table(folder: Path, form: str) -> str:
    held = photos(folder)
    if form == "json":
        rows = [{"image": f"{i}.png", "labels": names} for i, names in enumerate(held)]
        (folder / "t.json").write_text(json.dumps(rows))
        return f"csv:{folder / 't.json'}"
    with (folder / "t.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        if form == "columns":
            writer.writerow(["path", *COLOURS])
            writer.writerows(
                [f"{i}.png", *(int(name in names) for name in COLOURS)]
                for i, names in enumerate(held)
            )
            return f"csv:{folder / 't.csv'}"
        writer.writerow(["path", "label"])
        for i, names in enumerate(held):
            written = {
                ";": "; ".join(names),
                "|": "|".join(names),
                "list": json.dumps(names),
                "python": repr(names),
            }
            each = names or [""] if form == "rows" else [written[form]]
            writer.writerows([f"{i}.png", text] for text in each)
    return f"csv:{folder / 't.csv'}"


def held_in(images: LabelledImages) -> dict[str, str]:
    part = images.everything
    return {
        part.names(i): " ".join(np.array(images.classes)[part.labels[i] > 0])
        for i in range(len(part))
    }


@pytest.mark.parametrize("form", [";", "|", "list", "python", "rows", "columns", "json"])
def test_each_form_is_read_alike(form: str, tmp_path: Path) -> None:
    options = ReadOptions(multi_label=True, seed=1)
    images = read(parse_source(table(tmp_path, form)), options)
    assert images.classes == ("blue", "green", "red")
    assert held_in(images) == {f"{i}.png": " ".join(SETS[i % 6]) for i in range(24)}
    assert images.train.labels[:, images.classes.index("red")].sum() >= 6
    assert (images.val.labels.sum(0) > 0).all()  # each class is in both parts
    assert 3 <= len(images.val) <= 7
    again = read(parse_source(table(tmp_path, form)), options)
    assert [again.val.names(i) for i in range(len(again.val))] == [
        images.val.names(i) for i in range(len(images.val))
    ]


def test_without_the_option_several_labels_are_told_how_to_be_read(tmp_path: Path) -> None:
    for form in ("columns", "json"):
        with pytest.raises(UserError, match="several: train --input.multi-label true"):
            read(parse_source(table(tmp_path, form)), ReadOptions())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("path,label\n0.png,[1\n", "line 2: '.1' is not a list of labels"),
        ("path,label\n0.png,\n1.png,[]\n", "no image has a label"),
        ("path,label,split\n0.png,a,train\n0.png,b,val\n", "lines 2 and 3 list 0.png in two part"),
        ("path,label,split\n0.png,a,train\n1.png,a;b,val\n", "no training row of class b"),
    ],
)
def test_tables_that_cannot_be_right(text: str, message: str, tmp_path: Path) -> None:
    photos(tmp_path)
    (tmp_path / "t.csv").write_text(text)
    with pytest.raises(UserError, match=message):
        read(parse_source(f"csv:{tmp_path / 't.csv'}"), ReadOptions(multi_label=True))


def test_average_precision_and_thresholds_by_hand() -> None:
    true = np.array([[1, 0], [0, 0], [1, 0], [0, 0]])
    p = np.array([[0.9, 0.2], [0.8, 0.3], [0.6, 0.4], [0.1, 0.5]])
    assert average_precisions(true, p) == [pytest.approx(100 * (1 + 2 / 3) / 2), None]
    # F1 of the first 1, 2, 3, 4: 2/3, 1/2, 4/5, 2/3; then half way to the next
    assert best_thresholds(true, p) == [pytest.approx(0.35), 0.5]
    assert best_thresholds(true[:1], p[:1])[0] == pytest.approx(0.45)


def test_figures_by_hand(tmp_path: Path) -> None:
    true = np.array([[1, 0], [1, 1], [0, 0]])
    p = np.array([[0.7, 0.4], [0.2, 0.6], [0.1, 0.3]])
    scores = MultiLabelScores(
        images=3,
        classes=("a", "b"),
        thresholds=(0.5, 0.35),
        targets=true,
        probabilities=p,
        names=("x", "y", "z"),
    )
    figures = scores.summary()
    assert figures["micro_f1"] == pytest.approx(100 * 2 * 2 / (3 + 3))
    assert figures["macro_f1"] == pytest.approx(100 * (2 / 3 + 2 / 3) / 2)
    assert figures["exact_match"] == pytest.approx(100 / 3)
    assert figures["map"] == 100
    expected = -np.log([0.7, 0.6, 0.2, 0.6, 0.9, 0.7]).mean()
    assert figures["loss"] == pytest.approx(expected)
    assert scores.resampled()(np.array([2, 2])).values["exact_match"] == 100
    scores.write(tmp_path)
    rows = list(csv.DictReader((tmp_path / "per_class.csv").read_text().splitlines()))
    assert [(row["threshold"], row["precision"], row["recall"]) for row in rows] == [
        ("0.5000", "1.0000", "0.5000"),
        ("0.3500", "0.5000", "1.0000"),
    ]
    curve = list(csv.DictReader((tmp_path / "precision_recall.csv").read_text().splitlines()))
    assert [row["threshold"] for row in curve if row["class"] == "b"] == [
        "0.3000",
        "0.4000",
        "0.6000",
    ]


def card(thresholds: list[float]) -> ModelCard:
    from res2net.data.preprocess import default_preprocess

    return ModelCard(
        network="res2net18",
        classes=("a", "b", "c"),
        preprocess=default_preprocess(32),
        marks={"thresholds": thresholds},
    )


def test_classes_above_their_own_threshold_are_there() -> None:
    logits = torch.logit(torch.tensor([[0.3, 0.6, 0.9], [0.1, 0.1, 0.1]]))
    found, none = above(logits, card([0.2, 0.7, 0.5]), 2)
    assert found.labels == ("c", "a")
    assert [name for name, _ in found.top] == ["c", "b"]
    assert (none.labels, none.line()) == ((), "no class")
    assert above(logits, card([]), 2)[0].labels == ("c", "b")  # a checkpoint: 0.5
    wrong = {**card([]).as_dict(), "marks": {"thresholds": [0.5]}}
    with pytest.raises(UserError, match="thresholds must have a number for each class"):
        ModelCard.from_dict(wrong, "x")


TINY = (
    *("--model", "res2net18", "--recipe", "smoke", "--input.multi-label", "true"),
    *("--net.width", "2", "--net.scale", "2", "--train.threads", "1", "--train.batch", "6"),
    *("--input.size", "32", "--input.workers", "0", "--train.lr", "0.05", "--augment.crop", "none"),
    *("--train.select", "last"),
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    from res2net.cli.main import main

    folder = tmp_path_factory.mktemp("labels")
    data = table(folder / "photos", ";")
    words = ("train", "--data", data, *TINY, "--train.epochs", "2", "--train.max-steps", "6")
    assert main([*words, "--out", str(folder / "run")]) == 0
    return folder / "run", data


def test_a_run_stores_its_thresholds_and_is_measured_at_them(
    run: tuple[Path, str], cli: Any, tmp_path: Path
) -> None:
    folder, data = run
    card = json.loads((folder / "model.json").read_text())
    assert len(card["marks"]["thresholds"]) == 3
    assert "mean average precision" in (folder / "report.md").read_text()
    done = cli("evaluate", folder, "--data", data, "--out", tmp_path / "e")
    assert done.code == 0, done.err
    found = json.loads((tmp_path / "e" / "metrics.json").read_text())
    if card["metrics"] != found:
        assert found == pytest.approx(card["metrics"], abs=1e-6)


def test_predictions_in_every_form(run: tuple[Path, str], cli: Any, tmp_path: Path) -> None:
    folder, data = run
    image = Path(data.removeprefix("csv:")).parent / "3.png"
    (found,) = res2net.load(folder).predict(image)
    thresholds = json.loads((folder / "model.json").read_text())["marks"]["thresholds"]
    p = dict(found.top)
    expected = {n for n, t in zip(("blue", "green", "red"), thresholds, strict=True) if p[n] >= t}
    assert set(found.labels) == expected
    assert found.as_dict()["labels"] == list(found.labels)
    assert found.plot().size == (32, 32)
    assert sum(p.values()) != pytest.approx(1)  # a sigmoid each
    done = cli("predict", folder, image, "--csv", tmp_path / "p.csv", "--json")
    assert json.loads(done.out.splitlines()[0])["labels"] == list(found.labels)
    (row,) = csv.DictReader((tmp_path / "p.csv").read_text().splitlines())
    assert row["labels"] == ";".join(found.labels)


def test_a_resumed_run_is_bit_identical(run: tuple[Path, str], cli: Any, tmp_path: Path) -> None:
    folder, data = run
    words = ("train", "--data", data, *TINY, "--train.epochs", "2", "--out", tmp_path / "r")
    assert cli(*words, "--train.max-steps", "3").code == 0  # an epoch
    assert cli(*words, "--train.max-steps", "6", "--resume").code == 0
    one, other = (load_file(each / "model.safetensors") for each in (folder, tmp_path / "r"))
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            "export RUN --to onnx --out x",
            "predicts several labels per image, and an artifact give",
        ),
        ("explain RUN IMAGE", "multi-label networks are not supported"),
        ("train --data digits TINY", "--input.multi-label true needs a table of images and labels"),
        (
            "train --data DATA TINY --augment.mixup 0.2",
            "--augment.mixup is not for --input.multi-l",
        ),
        (
            "train --data DATA TINY --train.label-smoothing 0.1",
            "--train.label-smoothing is not for",
        ),
        (
            "train --data DATA --model res2net18 --train.loss asymmetric",
            "--train.loss asymmetric needs --input.multi-label true",
        ),
    ],
)
def test_what_it_cannot_do_is_told(
    words: str, message: str, run: tuple[Path, str], cli: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    folder, data = run
    image = Path(data.removeprefix("csv:")).parent / "3.png"
    named = {"RUN": (folder,), "IMAGE": (image,), "DATA": (data,), "TINY": TINY}
    done = cli(*(each for word in words.split() for each in named.get(word, (word,))))
    assert message in done.line
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize("words", ["--train.loss asymmetric", "--train.class-weights balanced"])
def test_other_losses_train(words: str, run: tuple[Path, str], cli: Any, tmp_path: Path) -> None:
    folder, data = run
    done = cli(
        *("train", "--data", data, *TINY, *words.split(), "--train.max-steps", "6"),
        *("--train.epochs", "2", "--out", tmp_path / "r"),
    )
    assert done.code == 0, done.err
    one, other = (load_file(each / "model.safetensors") for each in (folder, tmp_path / "r"))
    assert any(not torch.equal(one[name], other[name]) for name in one)
