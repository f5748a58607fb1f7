"""What docs/tasks.md shows runs."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from res2net.cli.main import main
from res2net.data.source import FORMATS
from res2net.paper.recipes import RECIPES

TASKS = RECIPES.keys() - {"classify", "pretrain"}
PAGE = (Path(__file__).resolve().parents[2] / "docs" / "tasks.md").read_text()
FENCE = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
SMALL = "--recipe smoke --head.channels 8 --train.max-steps 2 --train.val-batches 4"


def test_every_block_of_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = [text for kind, text in FENCE.findall(PAGE) if kind == "python"]
    assert len(blocks) == 2
    for block in blocks:
        exec(compile(block, "docs/tasks.md", "exec"), {})
    out = capsys.readouterr().out
    assert "(1, 21, 129, 97)" in out
    assert "256 ('disc', 'kite', 'arrow', 'bar')" in out


def test_tasks_and_formats_of_the_page_are_those_there_are() -> None:
    for task in TASKS:
        assert f"| `{task}` |" in PAGE
    dense = FORMATS[FORMATS.index("voc") :]
    for form in dense:
        assert f"| `{form}` |" in PAGE


@pytest.mark.slow
def test_the_pages_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those of the first block as they stand, but for a training that is cut short."""
    monkeypatch.chdir(tmp_path)
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    Image.fromarray(noise).save("street.jpg")
    lines = next(text.splitlines() for kind, text in FENCE.findall(PAGE) if kind == "sh")
    assert {line.split()[3] for line in lines if " train " in line} == TASKS
    Path("found").mkdir()
    for line in lines:
        words = shlex.split(line)[1:]
        if words[0] == "train":
            words += SMALL.split()
        if "--boxes" in words:  # what so short a training finds may be nothing
            row = {"image": "street.jpg", "objects": [BOX]}
            Path("found/predictions.json").write_text(str([row]).replace("'", '"'))
        assert main(words) == 0, line
    assert len(list(Path("runs").glob("*/report.md"))) == len(TASKS)
    assert Path("posed/street.png").is_file()


BOX = {"class": "kite", "score": 0.9, "box": [10, 10, 90, 100]}
