"""What README and docs show is true: generated tables are current, examples run."""

from __future__ import annotations

import json
import re
import runpy
import shlex
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest
from PIL import Image

from res2net.bench.options import SUBJECTS
from res2net.cli.bench import make_parser as bench_parser
from res2net.cli.main import COMMANDS, main, module_of
from res2net.data.scene import Scene
from res2net.data.scenes import generated
from res2net.data.scenes.options import SceneOptions

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
README = (ROOT / "README.md").read_text()
SHELL = [
    line
    for kind, text in FENCE.findall(README)
    if kind == "sh"
    for line in text.splitlines()
    if line.startswith("res2net ")
]


def test_generated_tables_are_current() -> None:
    done = subprocess.run(
        [sys.executable, "tools/render_docs.py", "--check"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{done.stdout}{done.stderr}run python tools/render_docs.py"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_pictures_exist(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
        if not target.startswith(("http", "reference/")):  # generated: tests/test_site.py
            assert (page.parent / target).exists(), target


def test_every_block_of_python_runs(capsys: pytest.CaptureFixture[str]) -> None:
    blocks = [text for kind, text in FENCE.findall(README) if kind == "python"]
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})
    assert "Level(name='c5', channels=2048, stride=32) (1, 2048, 7, 7)" in capsys.readouterr().out


def test_every_command_and_make_target_named_in_the_pages_exists() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for page in PAGES:
        text = page.read_text()
        for command in re.findall(r"(?:^|`)res2net ([a-z]+(?:-[a-z]+)*)\b", text, re.MULTILINE):
            assert command in COMMANDS, (page.name, command)
        for target in re.findall(r"(?:^|`)make ([a-z-]+)", text, re.MULTILINE):
            assert re.search(rf"^{target}:", makefile, re.MULTILINE), (page.name, target)


def test_every_option_named_in_the_pages_exists() -> None:
    from res2net.runtime.main import make_parser as run_parser

    known = {
        f"--{name}"
        for command in COMMANDS
        for name in import_module(module_of(command)).make_parser().names()
    }
    known |= {f"--{name}" for each in SUBJECTS for name in bench_parser(each).names()}
    known |= {"--nproc_per_node", "--check", "--resume", "--rm"}
    known |= {"--cifar", "--list", "--since", "--try"}  # of tools/measure.py, measure_gpu.py
    known |= {"--pretrain-epochs"}  # of tools/pretrain_study.py
    known |= {"--onnx", "--data-binary"}  # of trtexec, curl
    known |= set(run_parser()._option_string_actions)
    for page in PAGES:
        for option in re.findall(r"(?<![\w-])(--[a-z][\w.-]+)", page.read_text()):
            assert option in known, (page.name, option)


NOTEBOOK = ROOT / "docs" / "notebook.ipynb"


def test_the_notebook_shows_what_it_says_and_nothing_of_a_machine() -> None:
    text = NOTEBOOK.read_text()
    assert not runpy.run_path(str(ROOT / "tools" / "run_notebook.py"))["wrong_with"](text)
    cells = [cell for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    numbers = [cell["execution_count"] for cell in cells]
    assert numbers == list(range(1, len(cells) + 1))  # run from top to bottom
    kinds = [output["output_type"] for cell in cells for output in cell["outputs"]]
    assert "error" not in kinds
    assert "display_data" in kinds
    for command in re.findall(r"^res2net (\S+)", "\n".join(map(source_of, cells)), re.MULTILINE):
        assert command in COMMANDS, command


def source_of(cell: Mapping[str, Any]) -> str:
    return "".join(cell["source"])


@pytest.mark.slow
def test_the_notebook_runs() -> None:
    command = [sys.executable, "tools/run_notebook.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def write_voc(root: Path, scenes: Sequence[Scene], classes: Sequence[str]) -> None:
    """Scenes with boxes as VOC has them: the last two are for validation."""
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for index, scene in enumerate(scenes):
        assert scene.objects is not None
        Image.fromarray(np.asarray(scene.image)).save(root / "JPEGImages" / f"{index}.png")
        marked = ElementTree.Element("annotation")
        for label, box in zip(scene.objects.labels, scene.objects.boxes, strict=True):
            thing = ElementTree.SubElement(marked, "object")
            ElementTree.SubElement(thing, "name").text = classes[label]
            place = ElementTree.SubElement(thing, "bndbox")
            for side, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True):
                ElementTree.SubElement(place, side).text = str(round(value) + (side[1:] == "min"))
        ElementTree.ElementTree(marked).write(root / "Annotations" / f"{index}.xml")
    names = [str(index) for index in range(len(scenes))]
    for part, chosen in (("train", names[:-2]), ("val", names[-2:])):
        (root / "ImageSets" / "Main" / f"{part}.txt").write_text("\n".join(chosen) + "\n")


@pytest.mark.slow
def test_the_readmes_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    chance = np.random.default_rng(0)
    for name, tint in (("cat", 0), ("dog", 128)):
        for i in range(6):
            pixels = tint + chance.integers(0, 127, (64, 80, 3))
            file = tmp_path / "photos" / name / f"{i}.jpg"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels.astype(np.uint8)).save(file)
    cells = generated.read(tmp_path, SceneOptions(marks="boxes"))
    write_voc(tmp_path / "cells", cells.train[:6], cells.classes)
    (tmp_path / "slides").mkdir()
    shutil.copy(tmp_path / "cells" / "JPEGImages" / "5.png", tmp_path / "slides")
    assert len(SHELL) >= 6
    for line in SHELL:
        words = shlex.split(line)[1:]
        brief = ["--train.epochs", "1"] if words[0] == "train" else []
        assert main([*words, *brief]) == 0, line
    assert (tmp_path / "runs" / "photos" / "report.md").is_file()
    assert len((tmp_path / "predictions.csv").read_text().splitlines()) == 13
