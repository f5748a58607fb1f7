"""What docs/explain.md shows runs."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from res2net.cli.main import main

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "explain.md").read_text()
FENCE = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def test_the_block_of_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    (block,) = (text for kind, text in FENCE.findall(PAGE) if kind == "python")
    exec(compile(block, "docs/explain.md", "exec"), {})
    assert capsys.readouterr().out == "(2, 32, 32) (3, 5) c3\n"


@pytest.mark.slow
def test_the_pages_commands_run(
    tmp_path: Path, tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("photos", "plain"):
        shutil.copytree(tiny_run, f"runs/{name}")
        card = Path("runs", name, "model.json")
        card.write_text(card.read_text().replace('"3"', '"cat"', 1))
    noise = np.random.default_rng(0).integers(0, 256, (120, 160, 3), np.uint8)
    for name in ("cat", "dog"):
        Image.fromarray(noise).save(f"{name}.jpg")
    lines = [
        line for kind, text in FENCE.findall(PAGE) if kind == "sh" for line in text.splitlines()
    ]
    assert len(lines) == 6
    for line in lines:
        assert main(shlex.split(line)[1:]) == 0, line
    for made in (
        *("explanations/cat.png", "seen/sheet.png", "boxed/explanations.json"),
        *("measured/concentration.png", "fields/fields.png", "compared/compare.png"),
    ):
        assert Path(made).is_file(), made
