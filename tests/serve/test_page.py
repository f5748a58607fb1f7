"""The page in a real Chromium: upload, press, read; nothing from beyond this machine."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("gradio", reason="needs res2net[serve]")

ROOT = Path(__file__).resolve().parents[2]


def test_the_examples_are_photos_that_ship_in_libraries() -> None:
    from res2net.serve.examples import example_photos

    names = [photo.name for photo in example_photos()]
    assert names[:2] == ["flower.jpg", "china.jpg"]
    for photo in example_photos():
        Image.open(photo).load()


def test_the_command_on_the_page_carries_the_token() -> None:
    from res2net.serve.page import curl

    plain = shlex.split(curl("http://localhost:1", token=False))
    assert plain[-1] == "http://localhost:1/v1/predict"
    words = shlex.split(curl("http://localhost:1", token=True))
    assert [word for word in words if word not in plain] == ["Authorization: Bearer $RES2NET_TOKEN"]


def test_the_docs_page_is_true(
    tiny_run: Path, served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """Its Python runs against a real server, its commands are options that there are."""
    from res2net.cli.serve import make_parser

    text = (ROOT / "docs" / "serve.md").read_text()
    for line in re.findall(r"^res2net serve (.*)$", text, re.MULTILINE):
        assert make_parser().parse_args(shlex.split(line, comments=True)).targets
    (block,) = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (50, 40), "teal").save("photo.jpg")
    with served(tiny_run) as address:
        exec(compile(block, "docs/serve.md", "exec"), {"address": address})
    assert capsys.readouterr().out.startswith("run [{'class': '")


@pytest.mark.slow
@pytest.mark.parametrize("token", [None, "a-long-secret"])
def test_a_photo_is_uploaded_and_the_answer_read(tiny_run: Path, tmp_path: Path, token) -> None:
    pytest.importorskip("selenium", reason="needs res2net[dev]")
    if not shutil.which("chromium") or not shutil.which("chromedriver"):
        pytest.skip("no Chromium here: apt-get install chromium chromium-driver")
    from sklearn.datasets import load_digits

    digit = load_digits().images[3] * 15
    Image.fromarray(digit.astype(np.uint8)).resize((64, 64)).save(tmp_path / "three.png")
    words = ["--photo", tmp_path / "three.png", "--out", tmp_path / "page.png"]
    words += ["--token", token] if token else []
    done = subprocess.run(
        [sys.executable, ROOT / "tools" / "draw_page.py", tiny_run, tiny_run, *map(str, words)],
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["title"] == "Predict a photo with Res2Net"
    assert said["outside"] == []
    # before the token is given, and for the manifest, which browsers ask for without cookies
    expected = "401" if token else "nothing is expected"
    assert [fault for fault in said["faults"] if expected not in fault] == []
    assert len(said["sides"]) == 2
    for side in said["sides"]:
        assert side["heading"].startswith("res2net29_small on digits, PyTorch")
        assert side["bars"].count("%") == 5
        assert "Grad-CAM" in side["remark"]
        assert side["pictures"] == 1
    with Image.open(tmp_path / "page.png") as picture:
        assert picture.width == 1280
