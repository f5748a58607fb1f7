"""What a preview shows of the images that a classifier is trained on."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from res2net.config import RunConfig
from res2net.data.augment import Augment
from res2net.data.readers import read
from res2net.data.source import parse_source
from res2net.tasks.classify.task import seen


def test_a_sheet_is_written_and_nothing_is_trained(cli: Any, tmp_path: Path) -> None:
    sheet = tmp_path / "sheet.png"
    words = ("train", "--model", "res2net29_small", "--data", "digits", "--out", tmp_path / "run")
    done = cli(*words, "--preview", sheet)
    assert done.code == 0, done.err
    assert f"{sheet}: augmented training images; nothing was trained" in done.out
    assert not (tmp_path / "run").exists()
    with Image.open(sheet) as found:
        assert found.width == 1200
    gone = cli(*words, "--preview", tmp_path / "gone" / "sheet.png").line
    assert f"folder {tmp_path / 'gone'} does not exist" in gone
    assert "it is written as PNG" in cli(*words, "--preview", tmp_path / "sheet.jpg").line
    file = tmp_path / "options.yaml"
    file.write_text("preview: sheet.png")
    assert "unknown key 'preview'" in cli(*words, "--config", file).line


def test_mixed_images_show_the_shares_of_their_classes() -> None:
    config = replace(
        RunConfig(model="m", data="digits", recipe="r"), augment=Augment(mixup=0.4, cutmix=0.4)
    )
    images = read(parse_source("digits"))
    pixels = torch.randint(0, 256, (8, 3, 8, 8), dtype=torch.uint8)
    batch = (pixels, torch.arange(8), torch.arange(8))
    captions = [caption for _, caption in seen(batch, images, config)]
    assert all(re.fullmatch(r"\d+ % \d, \d+ % \d|\d", each) for each in captions)
    assert any("%" in each for each in captions)
    plain = seen(batch, images, replace(config, augment=Augment()))
    for k, (picture, caption) in enumerate(plain):
        assert caption == str(k)
        assert (picture == pixels[k].permute(1, 2, 0).numpy()).all()
