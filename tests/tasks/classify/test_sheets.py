"""Contact sheets: which images, where, and what is written below them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from res2net.drawing.canvas import MARGIN, TOP, WIDTH, Picture
from res2net.tasks.classify.pictures import draw_mistakes, draw_predictions
from res2net.tasks.classify.scores import ClassifyScores, score

FIRST = (MARGIN + 80, TOP + 80)  # a place (x, y) within the first tile, however many there are


def color(value: int) -> Picture:
    return np.full((40, 60, 3), value, np.uint8)


def evaluation(wrong: int, images: int = 40) -> ClassifyScores:
    """Of ``images`` of class "one" the first ``wrong`` are taken for "two", ever more surely."""
    logits = torch.zeros(images, 2)
    logits[:, 0] = 5
    logits[:wrong, 1] = 6 + torch.arange(wrong) / 10
    return score(logits, torch.zeros(images, dtype=torch.int64), ["one", "two"])


def test_the_worst_come_first(tmp_path: Path, texts: list[str]) -> None:
    asked: list[int] = []

    def load(index: int) -> Picture:
        asked.append(index)
        return color(10 + index)

    names = [f"folder/photo_{i}.jpg" for i in range(40)]
    draw_mistakes(evaluation(30), load, tmp_path / "m.png", names=names)
    assert asked == list(range(29, 5, -1))  # 24 of the 30
    assert "photo_29.jpg" in texts
    assert "photo_5.jpg" not in texts
    assert texts.count("✓ one") == texts.count("✗ two") == 24
    shown = [text for text in texts if text.endswith(" %")]
    assert (len(shown), shown[0], shown[-1]) == (24, "98 %", "83 %")  # sigmoid(3.9), sigmoid(1.6)
    assert any(text.startswith("24 of 30 mistakes in 40 images") for text in texts)
    with Image.open(tmp_path / "m.png") as picture:
        assert picture.width == WIDTH
        assert picture.getpixel(FIRST) == (39, 39, 39)


def test_no_mistakes(tmp_path: Path, texts: list[str]) -> None:
    def load(index: int) -> Picture:
        raise AssertionError(f"image {index} is right")

    draw_mistakes(evaluation(0), load, tmp_path / "m.png")
    assert "none: all 40 images are classified correctly" in texts
    with Image.open(tmp_path / "m.png") as picture:
        assert picture.width < WIDTH


@pytest.mark.parametrize("wrong", [1, 2, 5, 6, 7])
def test_few_mistakes(tmp_path: Path, texts: list[str], wrong: int) -> None:
    draw_mistakes(evaluation(wrong), lambda _: color(77), tmp_path / "m.png")
    assert texts.count("✗ two") == wrong
    with Image.open(tmp_path / "m.png") as picture:
        assert picture.getpixel(FIRST) == (77, 77, 77)


def test_an_image_that_cannot_be_read_leaves_no_file(tmp_path: Path) -> None:
    def load(index: int) -> Picture:
        raise OSError(f"cannot read {index}")

    with pytest.raises(OSError, match="cannot read"):
        draw_mistakes(evaluation(3), load, tmp_path / "m.png")
    assert not list(tmp_path.iterdir())


def test_names_of_any_kind(tmp_path: Path) -> None:
    names = [r"$\bad{$", "日本", "🐶" * 50, "", os.fsdecode(b"caf\xe9"), "[red]x", "a\nb\tc\x00"]
    found = score(torch.eye(7).roll(1, dims=1), torch.arange(7), names)
    draw_mistakes(found, lambda _: color(0), tmp_path / "m.png", names=names)
    assert (tmp_path / "m.png").is_file()


def test_predictions(tmp_path: Path, texts: list[str]) -> None:
    images = [color(20 * i) for i in range(1, 8)]
    labels = ["church\t93 %\ngas pump\t4 %"] * 7
    draw_predictions(images, labels, tmp_path / "p.png")
    assert "7 images" in texts
    assert [texts.count(t) for t in ("church", "93 %", "gas pump", "4 %")] == [7] * 4
    with Image.open(tmp_path / "p.png") as picture:
        assert picture.getpixel(FIRST) == (20, 20, 20)
        colours = [picture.getpixel((x, TOP + 60)) for x in range(0, picture.width, 10)]
        below = [picture.getpixel((x, picture.height - 140)) for x in range(0, picture.width, 10)]
    assert [c for c in dict.fromkeys(colours + below) if c != (255, 255, 255)] == [
        (20 * i,) * 3 for i in range(1, 8)
    ]


@pytest.mark.parametrize(
    ("count", "subtitle"), [(0, "0 images"), (1, "1 image"), (61, "60 images, the first of 61")]
)
def test_number_of_predictions(tmp_path: Path, texts: list[str], count: int, subtitle: str) -> None:
    draw_predictions([color(9)] * count, ["label"] * count, tmp_path / "p.png")
    assert subtitle in texts
    assert texts.count("label") == min(count, 60)


def test_every_image_needs_a_label(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="zip"):
        draw_predictions([color(9)] * 3, ["label"] * 2, tmp_path / "p.png")


def test_real_photos(tmp_path: Path, sample_photos: list[Path]) -> None:
    with Image.open(sample_photos[0]) as image:
        photos = [np.asarray(image.crop((x, 50, x + 224, 274))) for x in range(0, 400, 60)]
    draw_predictions(photos, [sample_photos[0].stem] * len(photos), tmp_path / "p.png")
    with Image.open(tmp_path / "p.png") as picture:
        pixels = np.asarray(picture)
    side = int(np.argmax((pixels[TOP + 10, MARGIN:] == 255).all(1)))  # up to the gap
    tile = pixels[TOP : TOP + side, MARGIN : MARGIN + side]
    expected = np.asarray(Image.fromarray(photos[0]).resize((side, side)))
    assert np.abs(tile.astype(int) - expected).mean() < 5
