"""Runs, checkpoints and artifacts that version a3f7d34 wrote are read as it read them.

``runs-a3f7d34.tar.xz`` holds a run of each task (two steps on generated data; of saliency, whose
head is large, the card and the keys alone), artifacts of three and a folder of the hub. Weights
were then set to a pattern that compresses. ``expected.json`` beside each is what ``res2net predict
--precision fp32`` of that version found in ``photo.png``.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from res2net.card import ModelCard
from res2net.config import RunConfig

ARCHIVE = Path(__file__).with_name("runs-a3f7d34.tar.xz")
RUNS = ("classify", "detect", "instances", "segment", "pose")
TASKS = (*RUNS, "saliency")
ARTIFACTS = ("classify-onnx", "classify-openvino", "detect-onnx", "segment-onnx")
MORE = ("--train.epochs", "2", "--train.max-steps", "3", "--resume")


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("before")
    with tarfile.open(ARCHIVE) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # from 3.11.4 on
        archive.extractall(folder)
    return folder


def numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [each for _, own in sorted(value.items()) for each in numbers(own)]
    if isinstance(value, list):
        rows = [numbers(own) for own in value]
        if value and isinstance(value[0], dict):
            rows.sort()  # untrained networks score many boxes alike: their order means nothing
        return [each for row in rows for each in row]
    return [float(value)] if isinstance(value, int | float) else []


def expect_as_before(found: Any, folder: Path) -> None:
    wanted = json.loads((folder / "expected.json").read_text())
    np.testing.assert_allclose(numbers(found), numbers(wanted), atol=0.011)


@pytest.mark.parametrize("name", RUNS)
def test_a_run_predicts_what_it_predicted(cli, before, tmp_path, name):
    words = ("predict", before / name, before / "photo.png", "--precision", "fp32")
    if name == "classify":
        expect_as_before(json.loads(cli(*words, "--json").out), before / name)
        return
    assert cli(*words, "--out", tmp_path / "out").code == 0
    expect_as_before(json.loads((tmp_path / "out/predictions.json").read_text()), before / name)
    if name == "segment":
        for file in sorted((before / name).glob("*.png")):
            with Image.open(file) as wanted, Image.open(tmp_path / "out" / file.name) as got:
                if "classes" in file.name:
                    assert (np.asarray(got) == np.asarray(wanted)).mean() > 0.999


@pytest.mark.parametrize("name", ARTIFACTS)
def test_an_artifact_predicts_what_it_predicted(cli, before, tmp_path, name):
    words = ("predict", before / name, before / "photo.png")
    if name.startswith("classify"):
        expect_as_before(json.loads(cli(*words, "--json").out), before / name)
        return
    assert cli(*words, "--out", tmp_path / "out").code == 0
    expect_as_before(json.loads((tmp_path / "out/predictions.json").read_text()), before / name)


ALL_WITHOUT_TRAINING = """
import sys
for name in ("pytorch_lightning", "lightning", "torchmetrics", "matplotlib", "sklearn"):
    sys.modules[name] = None  # an import fails
from res2net import load
from res2net.cli.main import main

photo, out, *runs = sys.argv[1:]
for run in runs:
    (found,) = load(run).predict(photo)
    found.as_dict(), found.line(), found.pictures()
    name = run.rpartition("/")[2]
    main(["predict", run, photo, *(() if "classify" in name else ("--out", f"{out}/found-{name}"))])
    print("predicted:", name)
"""


def test_predicting_imports_nothing_that_trains_or_plots(before, tmp_path):
    from res2net.models.weights import save_weights
    from res2net.tasks.table import find_task

    names = [*RUNS, *ARTIFACTS]
    card = ModelCard.read(before / "saliency/model.json")
    model = find_task("saliency").build(card, None)
    shutil.copytree(before / "saliency", tmp_path / "saliency")
    save_weights(model, tmp_path / "saliency/model.safetensors")
    runs = [*(before / name for name in names), tmp_path / "saliency"]
    words = [sys.executable, "-c", ALL_WITHOUT_TRAINING, before / "photo.png", tmp_path, *runs]
    done = subprocess.run([*map(str, words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    got = [line[11:] for line in done.stdout.splitlines() if line.startswith("predicted: ")]
    assert got == [*names, "saliency"]


@pytest.mark.parametrize("name", ["classify", "segment", "pose"])
def test_a_run_goes_on(cli, before, tmp_path, name):
    run = tmp_path / "run"
    shutil.copytree(before / name, run)
    done = cli("train", "--out", run, *MORE)
    assert done.code == 0, done.err
    assert "epoch 2/2" in done.out
    rows = (run / "metrics.csv").read_text().splitlines()
    assert len(rows) == 3, "the row of before, and one more"


def test_a_checkpoint_alone_predicts(cli, before, tmp_path):
    last = shutil.copy(before / "classify/checkpoints/last.ckpt", tmp_path / "copied.ckpt")
    done = cli("predict", last, before / "photo.png", "--precision", "fp32", "--json")
    expect_as_before(json.loads(done.out), before / "classify")


def test_the_hub_folder_is_read(before):
    from res2net.integrations.huggingface import HubModel

    (found,) = (
        HubModel.from_pretrained(before / "classify-hub")
        .predictor()
        .predict(before / "photo.png", precision="fp32")
    )
    wanted = json.loads((before / "classify/expected.json").read_text())["top"]
    assert dict(found.top) == pytest.approx(wanted, abs=1e-4)


@pytest.mark.parametrize("name", TASKS)
def test_a_configuration_says_what_it_said(before, name):
    config = RunConfig.read(before / name / "config.yaml")
    assert config.task == name
    assert (config.recipe, config.train.max_steps, config.train.val_batches) == ("smoke", 2, 4)
    assert config.net.variant() == (
        {"width": 4, "scale": 2, "depth": 11} if name == "classify" else {"width": 1, "scale": 2}
    )


def test_the_keys_of_a_saliency_network_stay(before):
    from res2net.tasks.job import build
    from res2net.tasks.table import find_task

    card = ModelCard.read(before / "saliency/model.json")
    with torch.device("meta"):
        state = build(find_task("saliency"), card).state_dict()
    keys = json.loads((before / "saliency/keys.json").read_text())
    assert {name: list(value.shape) for name, value in state.items()} == keys


@pytest.mark.filterwarnings("ignore:.*classes occur in no")
def test_a_run_of_before_there_were_rules_of_splits_keeps_its_images(cli, tmp_path):
    from res2net.data.scenes.generated import SceneRules, generate
    from res2net.tasks.table import find_task

    data, run = tmp_path / "data", tmp_path / "run"
    for i in range(12):
        scene = generate(i, 0, SceneRules(side=64))
        for folder, pixels in (("images", scene.image), ("masks", scene.classes)):
            (data / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.asarray(pixels)).save(data / folder / f"{i:02}.png")
    (data / "classes.txt").write_text("a\nb\nc\nd\ne\n")
    words = (
        *("train", "--task", "segment", "--model", "resnet26_small", "--data", f"pairs:{data}"),
        *("--recipe", "smoke", "--head.channels", "8", "--input.size", "64"),
        *("--train.threads", "1", "--input.workers", "0", "--input.val-fraction", "0.2"),
    )
    done = cli(*words, "--input.split-rule", "v1", "--out", run)
    assert done.code == 0, done.err
    config = run / "config.yaml"
    config.write_text(re.sub(r"\n  (split_rule|group_by): .*", "", config.read_text()))
    for file in (run / "checkpoints").iterdir():
        content = torch.load(file, weights_only=True)
        for name in ("split_rule", "group_by"):
            del content["callbacks"]["Configured"]["input"][name]
        torch.save(content, file)
    more = ("--train.epochs", "2", "--train.max-steps", "4", "--resume")
    for given in (("train", "--out", run), (*words, "--out", run)):
        done = cli(*given, *more)
        assert done.code == 0, done.err
    saved = RunConfig.read(config)
    assert saved.input.split_rule == "v1"
    images = find_task("segment").data.of_run(saved)
    order = np.random.default_rng(0).permutation(12)[:2]
    assert [scene.name for scene in images.val] == [f"images/{i:02}.png" for i in sorted(order)]
    new = cli("train", "--config", config, "--out", tmp_path / "other")  # of the same options
    assert new.code == 0, new.err
    assert RunConfig.read(tmp_path / "other" / "config.yaml").input.split_rule == "v1"
