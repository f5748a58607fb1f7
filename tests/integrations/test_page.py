"""The examples of docs/backbones.md run, and its table is true."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from res2net import create_model

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "backbones.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
ROWS = {
    "Res2Net, Res2NeXt, ResNet-50 and deeper": ("res2net50_26w_4s", "res2next50", "resnet101"),
    "Res2Net-18, -34, ResNet-18, -34": ("res2net18", "resnet34"),
    "DLA": ("dla60", "dla60_res2net"),
    "Big-Little": ("blresnet50", "blres2net50"),
    "CIFAR, Table 4": ("resnext29_8c64w", "res2next29_6c24w_4s"),
}


@pytest.fixture
def encoders() -> Iterator[None]:
    smp = pytest.importorskip("segmentation_models_pytorch")
    before = dict(smp.encoders.encoders)
    yield
    smp.encoders.encoders.clear()
    smp.encoders.encoders.update(before)


@pytest.mark.usefixtures("encoders")
def test_every_example_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("huggingface_hub")
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    names: dict[str, object] = {}
    for block in BLOCKS:
        exec(compile(block, "docs/backbones.md", "exec"), names)
    said = capsys.readouterr().out
    for line in (
        "Level(name='c5', channels=2048, stride=32) (1, 2048, 7, 7)",
        "FasterRCNN ['loss_box_reg', 'loss_classifier', 'loss_objectness', 'loss_rpn_box_reg'] "
        "['boxes', 'labels', 'scores']",
        "MaskRCNN ['loss_box_reg', 'loss_classifier', 'loss_mask', 'loss_objectness', "
        "'loss_rpn_box_reg'] ['boxes', 'labels', 'masks', 'scores']",
        "(1, 11, 64, 96)\n(1, 11, 64, 96)",
        "[256, 512, 1024] [4, 8, 8]\n[(2, 256, 16, 16), (2, 512, 8, 8), (2, 1024, 8, 8)]",
        "('cat', 'dog') (1, 2)",
    ):
        assert line in said, line
    assert len(BLOCKS) == 5


@pytest.mark.parametrize("title", ROWS)
def test_the_table_of_levels(title: str) -> None:
    (line,) = re.findall(rf"^\| {re.escape(title)} \|(.*)\|$", PAGE, re.MULTILINE)
    cells = [cell.strip() for cell in line.split("|")]
    for name in ROWS[title]:
        with torch.device("meta"):
            levels = create_model(name).levels
        shown = [f"{level.channels} at {level.stride}" for level in levels]
        assert shown + [""] * (5 - len(shown)) == cells, name
