"""Every dense task as a user runs it: train, resume, evaluate, predict, mistakes."""

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
from res2net.capture import capture
from res2net.cli.train import resolve
from res2net.config import HeadOptions
from res2net.data.scenes.generated import SceneRules, generate
from res2net.paper.recipes import RECIPES, find_recipe

TASKS = tuple(task for task in RECIPES if task not in ("classify", "pretrain"))
METRIC = {"detect": "ap50", "instances": "mask_ap", "segment": "mean_iou", "saliency": "max_f",
          "pose": "ap"}  # fmt: skip
WORD = {"detect": "AP50", "instances": "masks: AP75", "segment": "IoU of kite",
        "saliency": "mean absolute error", "pose": "mean OKS of small objects"}  # fmt: skip


def tiny(task: str) -> tuple[str, ...]:
    return (
        *("train", "--task", task, "--model", "res2net18", "--data", "scenes"),
        *("--recipe", "smoke", "--head.channels", "8", "--train.threads", "1"),
        *("--net.width", "2", "--net.scale", "2", "--train.max-steps", "2"),
        *("--train.batch", "2", "--train.val-batches", "2"),
    )


pytestmark = pytest.mark.usefixtures("few_scenes", "undrawn")  # that of the module is drawn


@pytest.fixture(scope="module", params=TASKS)
def run(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    from res2net.cli.main import main

    folder = tmp_path_factory.mktemp("dense") / "my run"
    assert main([*tiny(request.param), "--out", str(folder)]) == 0
    return request.param, folder


def test_a_run_leaves_everything(run: tuple[str, Path]) -> None:
    task, folder = run
    for name in ("config.yaml", "metrics.csv", "metrics.json", "model.safetensors", "report.md"):
        assert (folder / name).is_file(), name
    card = json.loads((folder / "model.json").read_text())
    assert card["task"] == task
    assert METRIC[task] in card["metrics"]
    for name in ("scores.png", "sheet.png", "curves.png"):
        with Image.open(folder / name) as picture:
            assert picture.width == 1200
    rows = csv.DictReader((folder / "by_size.csv").read_text().splitlines())
    sizes = {row["size"] for row in rows}
    assert sizes == {"small", "medium", "large"}
    assert "Small is below 32² = 1,024 pixels" in (folder / "report.md").read_text()
    assert (
        "validation images, 2 of them evaluated; recipe smoke" in (folder / "report.md").read_text()
    )
    assert "| images measured | 2 |" in (folder / "report.md").read_text()
    assert f"\nres2net predict '{folder}' IMAGE\n" in (folder / "report.md").read_text()
    assert "val/" in (folder / "metrics.csv").read_text().partition("\n")[0]


@pytest.mark.parametrize(
    "run",
    [pytest.param(task, marks=() if task == "detect" else pytest.mark.slow) for task in TASKS],
    indirect=True,
)
def test_it_goes_on(run: tuple[str, Path], cli: Any) -> None:
    task, folder = run
    done = cli(*tiny(task), "--out", folder, "--resume")
    assert done.code == 0
    assert "nothing is left to train" in done.out


def test_evaluate_shows_the_table(run: tuple[str, Path], cli: Any, tmp_path: Path) -> None:
    task, folder = run
    done = cli("evaluate", folder, "--data", "scenes", "--out", tmp_path / "e")
    assert done.code == 0
    assert WORD[task] in done.out
    assert (tmp_path / "e" / "metrics.json").is_file()


def test_predict_writes_pictures_and_json(run: tuple[str, Path], cli: Any, tmp_path: Path) -> None:
    _, folder = run
    noise = np.random.default_rng(0).integers(0, 256, (50, 70, 3), np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"no image")
    done = cli("predict", folder, tmp_path, "--out", tmp_path / "found")
    assert done.code == 0
    assert "b.png" in done.err
    (row,) = json.loads((tmp_path / "found" / "predictions.json").read_text())
    with Image.open(tmp_path / "found" / row["picture"]) as picture:
        assert picture.size == (70, 50)


def test_captured_it_predicts_the_same(run: tuple[str, Path], tape: Any) -> None:
    """Folded, fused and replayed: the same in fp32, a little different in bf16."""
    _, folder = run
    image = np.asarray(generate(0, 0, SceneRules(side=96)).image)
    predictor = res2net.load(folder)
    plain = predictor.predict([image, image], precision="fp32")
    part = predictor.row.deployment.folded
    predictor.network = capture(predictor.model, part, recorder=tape)
    found = predictor.predict([image, image], precision="fp32")
    assert tape.replayed, "nothing was recorded"
    for one, other in zip(plain, found, strict=True):
        _close(one.as_dict(), other.as_dict())
    assert len(predictor.predict([image], precision="bf16")) == 1


def _close(one: Any, other: Any) -> None:
    if isinstance(one, dict):
        assert one.keys() == other.keys()
        for name, value in one.items():
            _close(value, other[name])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for first, second in zip(one, other, strict=True):
            _close(first, second)
    elif isinstance(one, float):
        assert one == pytest.approx(other, rel=1e-2, abs=1e-2)
    else:
        assert one == other


def test_it_leaves_pytorch_and_says_the_same(
    run: tuple[str, Path], cli: Any, tmp_path: Path
) -> None:
    """An artifact of the size of the image gives what the run gives in fp32."""
    task, folder = run
    if task == "instances":  # as detect, but with many masks: minutes; tests/tasks/detect has them
        return
    size = {"segment": "96x96", "detect": "96x96"}.get(task)  # that of the image
    engine = "openvino" if task == "detect" else "onnx"
    words = ("--to", engine, "--val-images", "2", *(("--size", size) if size else ()))
    done = cli("export", folder, *words, "--out", tmp_path / "out")
    assert done.code == 0, done.err
    record = json.loads((tmp_path / "out" / "model.json").read_text())["artifact"]
    assert [each["name"] for each in record["outputs"]] == list(
        record["verification"]["relative_l2"]
    )
    verified = record["verification"]  # a network of a few steps may find nothing to agree on
    assert verified["agreement"] == (1 if verified["found_in"] else None)
    Image.fromarray(generate(999, 0, SceneRules(side=96)).image).save(tmp_path / "a.png")
    rows = []
    for target, words in ((folder, ("--precision", "fp32")), (tmp_path / "out", ())):
        found = tmp_path / f"found-{len(rows)}"
        assert cli("predict", target, tmp_path / "a.png", "--out", found, *words).code == 0
        (row,) = json.loads((found / "predictions.json").read_text())
        rows.append(row)
    wanted, got = (np.array(_numbers(row), np.float64) for row in rows)
    np.testing.assert_allclose(got, wanted, atol=0.011)
    line = cli("predict", tmp_path / "out", tmp_path / "a.png", "--precision", "bf16").line
    assert "has its own; export another artifact" in line


def _numbers(value: Any) -> list[float]:
    if isinstance(value, dict):
        return [each for _, own in sorted(value.items()) for each in _numbers(own)]
    if isinstance(value, list):
        return [each for own in value for each in _numbers(own)]
    return [float(value)] if isinstance(value, int | float) else []


def test_core_ml_takes_maps_and_no_detectors(
    run: tuple[str, Path], cli: Any, tmp_path: Path
) -> None:
    task, folder = run
    done = cli("export", folder, "--to", "coreml", "--val-images", "2", "--out", tmp_path / "out")
    if task in ("detect", "instances"):
        assert "whose number of detections varies, which this target does not support" in done.line
        return
    assert done.code == 0, done.err
    name = {"segment": "class_logits", "saliency": "saliency", "pose": "heatmaps"}[task]
    assert f"outputs {name}, " in done.out
    assert "results were not compared with PyTorch" in done.out


def test_an_engine_that_detectors_lack_is_refused(
    run: tuple[str, Path], cli: Any, tmp_path: Path
) -> None:
    task, folder = run
    if task not in ("detect", "instances"):  # maps are exported to every engine
        return
    done = cli("export", folder, "--to", "torch-export", "--out", tmp_path / "out")
    offered = (("openvino", "fp32"), ("openvino", "int8"), ("onnx", "fp32"))
    choices = ", ".join(f"--to {engine} --precision {own}" for engine, own in offered)
    assert f"it can be {choices}" in done.line
    done = cli("export", folder, "--to", "onnx", "--dynamic-batch", "--out", tmp_path / "out")
    assert "one image at a time" in done.line
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    int8 = ("--to", "openvino", "--precision", "int8", "--out", tmp_path / "out")
    done = cli("export", folder, *int8, "--images", tmp_path)
    assert "is checked by its AP, on annotated images" in done.line
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--task", "detekt"), "--task is 'detekt'; it can be classify, detect,"),
        (("--task", "pose", "--head.form", "c4"), "--head.form does not apply to --task pose"),
        (("--task", "detect", "--head.as-base", "true"), "not apply to --head.form fpn"),
        (("--task", "instances", "--head.regions", "0"), "--head.regions is 0"),
        (("--task", "detect", "--head.anchors", "[32, 64]"), "anchors are (32, 64)"),
        (("--task", "detect", "--input.size", "8"), "--input.size is 8; the short side"),
        (("--task", "pose", "--input.size", "100"), "--input.size is 100; the height must be"),
        (("--task", "saliency", "--input.size", "8"), "--input.size is 8"),
        (("--task", "detect", "--recipe", "imagenet"), "recipe 'imagenet' is not for detect"),
        (("--task", "detect", "--data", "digits"), "digits: has classes of whole images, no boxes"),
    ],
)
def test_mistakes_get_one_line(
    cli: Any, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    base = ("train", "--model", "res2net18", "--data", "scenes", "--recipe", "smoke")
    done = cli(*base, *words, "--out", tmp_path / "run")
    assert done.code == 2
    assert message in done.line
    assert not (tmp_path / "run").exists()


def test_a_set_for_evaluation_is_not_trained_on(cli: Any, tmp_path: Path) -> None:
    for folder in ("images", "ground_truth_mask"):
        (tmp_path / folder).mkdir()
        Image.new("L", (40, 30)).save(tmp_path / folder / "a.png")
    (tmp_path / "images" / "a.png").rename(tmp_path / "images" / "a.jpg")
    words = ("--model", "res2net18", "--recipe", "smoke", "--out", tmp_path / "run")
    done = cli("train", "--task", "saliency", "--data", tmp_path, *words)
    assert f"{tmp_path}: recognised as ecssd data" in done.out
    assert "no training images; this set is for `res2net evaluate`" in done.line


def test_a_smoke_run_sees_small_images() -> None:
    for task in TASKS:
        config, *_ = resolve(tiny(task)[1:])
        assert config.input.size == 96


def test_a_smoke_run_of_a_detector_learns_from_few_regions() -> None:
    for task in TASKS:
        few = find_recipe("smoke", task).settings.get("head.regions")
        assert few == (16 if task in ("detect", "instances") else None)


def test_what_freezes_published_weights_is_let_go_without_them(tmp_path: Path, cli: Any) -> None:
    done = cli(
        *("train", "--task", "detect", "--model", "resnet18", "--data", "scenes"),
        *(
            "--train.batch",
            "2",
            "--recipe",
            "smoke",
            "--net.norm",
            "frozen",
            "--train.frozen-levels",
            "1",
        ),
        *("--net.pretrained", "auto", "--train.max-steps", "1", "--train.val-batches", "1"),
        *("--head.channels", "8", "--out", tmp_path / "run"),
    )
    assert "no level is frozen" in done.out
    assert "norm: batch" in (tmp_path / "run" / "config.yaml").read_text()


def test_every_option_of_heads_belongs_to_a_task() -> None:
    from dataclasses import fields

    from res2net.config import READ_BY

    named = {name.removeprefix("head.") for name in READ_BY if name.startswith("head.")}
    assert named == {each.name for each in fields(HeadOptions)}


@pytest.mark.parametrize("task", TASKS)
def test_a_preview_shows_what_is_trained_on_and_trains_nothing(
    cli: Any, tmp_path: Path, task: str
) -> None:
    sheet, run = tmp_path / "sheet.png", tmp_path / "run"
    words = tiny(task)[1:]
    done = cli("train", *words, "--out", run, "--preview", sheet)
    assert done.code == 0, done.err
    assert f"{sheet}: augmented training images; nothing was trained" in done.out
    assert not run.exists()
    with Image.open(sheet) as found:
        assert found.width == 1200
        colours = found.convert("RGB").getcolors(found.width * found.height)
    assert len(colours) > 1000
    first = sheet.read_bytes()
    cli("train", *words, "--out", run, "--preview", sheet)
    assert sheet.read_bytes() == first, "the images of the first epoch, as the seed has them"


@pytest.mark.parametrize(
    ("task", "words"),
    [
        ("segment", "--train.loss lovasz --train.class-weights kite:4"),
        ("saliency", "--train.loss ohem --train.class-weights balanced"),
    ],
)
def test_losses_weights_and_jitter_resume_in_the_same_weights(
    task: str, words: str, cli: Any, tmp_path: Path
) -> None:
    jitter = ("--augment.scale", "0.5,1.5", "--augment.color-jitter", "0.4")
    epochs = ("--train.batch", "4", "--train.epochs", "2", "--train.val-batches", "1")  # 2 steps
    common = (*tiny(task), *epochs, "--train.select", "last", *words.split(), *jitter)
    assert cli(*common, "--train.max-steps", "4", "--out", tmp_path / "whole").code == 0
    assert cli(*common, "--out", tmp_path / "part").code == 0  # an epoch
    again = ("--out", tmp_path / "part", "--resume", "--train.max-steps", "4")
    assert cli(*common, *again).code == 0
    one, other = (load_file(tmp_path / run / "model.safetensors") for run in ("whole", "part"))
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert "boundary F-measure" in (tmp_path / "whole" / "report.md").read_text()


@pytest.mark.parametrize(
    ("task", "words", "message"),
    [
        (
            "segment",
            "--train.class-weights kit:2",
            "names 'kit', which is not a class of the data. D",
        ),
        (
            "saliency",
            "--train.class-weights kite:2",
            "names 'kite', which is not a class of the dat",
        ),
        ("pose", "--train.class-weights balanced", "it is for --task classify, segment, saliency"),
        ("detect", "--train.loss dice", "--train.loss dice is not for --task detect, which has cr"),
        ("segment", "--train.loss focal", "--train.loss focal is not for --task segment, which h"),
        ("segment", "--augment.scale 2,1", "--augment.scale is [2.0, 1.0]; give LO,HI within 0.0"),
    ],
)
def test_losses_and_weights_that_mean_nothing(
    task: str, words: str, message: str, cli: Any, tmp_path: Path
) -> None:
    done = cli(*tiny(task), *words.split(), "--out", tmp_path / "run")
    assert message in done.line
    assert not (tmp_path / "run").exists()
