"""``res2net.train``, ``evaluate``, ``export``, ``predict``, ``load``: the commands, from Python."""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.utils import Bunch

import res2net
from res2net import api
from res2net.cli.main import module_of
from res2net.config import RunConfig
from res2net.data.decode import decode
from res2net.data.scenes.generated import SceneRules, generate
from res2net.data.transforms import normalise
from res2net.errors import UserError
from res2net.paper.tasks import TaskName
from res2net.prediction import Classification, Prediction
from res2net.tasks.detect.task import Detections
from res2net.tasks.finding import Finding
from res2net.tasks.pose.task import Poses
from res2net.tasks.saliency.task import SaliencyMap
from res2net.tasks.segment.task import Segmentation

KINDS: dict[str, type[Prediction]] = {
    "classify": Classification,
    "detect": Detections,
    "instances": Detections,
    "segment": Segmentation,
    "saliency": SaliencyMap,
    "pose": Poses,
}
pytestmark = pytest.mark.usefixtures("few_scenes")
SMALL: dict[str, Any] = {"max_steps": 1, "val_batches": 1, "threads": 1}


@pytest.fixture(scope="module", autouse=True)
def _few_images(without_pictures: Any) -> Iterator[None]:
    digits = load_digits()
    few = Bunch(**{**digits, "images": digits.images[:200], "target": digits.target[:200]})
    with pytest.MonkeyPatch.context() as patch, without_pictures():
        patch.setattr("sklearn.datasets.load_digits", lambda: few)
        yield


@pytest.fixture(scope="module", params=[t for t in get_args(TaskName) if t != "pretrain"])
def run(request: Any, tmp_path_factory: pytest.TempPathFactory) -> api.Run:
    folder = tmp_path_factory.mktemp("api") / request.param
    if request.param == "classify":
        return res2net.train(
            "res2net29_small",
            "digits",
            recipe="smoke",
            out=folder,
            net={"depth": 11, "width": 4, "scale": 2},
            train=SMALL,
            say=lambda _: None,
        )
    return res2net.train(
        "res2net18",
        "scenes",
        task=request.param,
        recipe="smoke",
        out=folder,
        net={"width": 2, "scale": 2},
        head={"channels": 8},
        train={**SMALL, "batch": 2},
        input={"workers": 0},
        say=lambda _: None,
    )


@pytest.fixture(scope="module")
def photo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photo") / "photo.png"
    Image.fromarray(generate(999, 0, SceneRules(side=96)).image).save(path)
    return path


def numbers(found: Prediction) -> list[float]:
    """All numbers of a result, in order."""
    return [float(each) for each in re.findall(r"-?\d+\.?\d*", json.dumps(found.as_dict()))]


def test_every_task_is_trained_loaded_and_predicts_typed_results(run, photo, tmp_path):
    assert run.config == RunConfig.read(run.folder / "config.yaml")
    assert run.metrics == run.card.metrics
    assert run.history[0].keys() >= {"epoch", "train/loss"}
    network = run.load(device="cpu")
    assert network.task == run.config.task
    assert network.classes == run.card.classes
    assert network.preprocess == run.card.preprocess
    assert not network.model.training
    with Image.open(photo) as image:
        pixels = np.asarray(image)
    first, second = network.predict([photo, pixels], precision="fp32")
    assert type(first) is type(second) is KINDS[network.task]
    assert numbers(first) == pytest.approx(numbers(second), abs=0.011)
    json.dumps(first.as_dict())
    assert first.line()
    assert first.plot().size == (96, 96)
    with Image.open(first.save(tmp_path / "found.jpg")) as drawn:
        assert drawn.size == (96, 96)
    with pytest.raises(UserError, match="not a suffix of an image format"):
        first.save(tmp_path / "found.txt")
    (alone,) = res2net.predict(run.folder, photo, precision="fp32")
    each = next(network.predict_each(iter([photo]), precision="fp32"))
    assert numbers(alone) == numbers(each) == pytest.approx(numbers(first), abs=0.011)


def test_a_folder_is_its_images_as_on_the_command_line(run, photo, tmp_path):
    (tmp_path / "b").mkdir()
    files = [tmp_path / name for name in ("a.png", "b/a.png", "c.png")]
    for file in files:
        file.write_bytes(photo.read_bytes())
    (tmp_path / "notes.txt").touch()
    network = run.load(device="cpu")
    found = network.predict([str(tmp_path), photo], precision="fp32")
    alone = network.predict(photo, precision="fp32")[0]
    assert len(found) == 4
    for each in found:
        assert numbers(each) == pytest.approx(numbers(alone), abs=0.011)
    (tmp_path / "none").mkdir()
    with pytest.raises(UserError, match="none: no images in this folder"):
        network.predict(tmp_path / "none")


def test_arguments_that_mean_nothing_are_named_as_arguments(run, photo):
    network = run.load()
    for name, value, tasks in (
        ("top", 3, "classify"),
        ("batch", 1, "classify"),
        ("boxes", [], "pose"),
    ):
        if network.task == tasks:
            continue
        with pytest.raises(UserError) as error:
            network.predict(photo, **{name: value})
        assert str(error.value) == (
            f"{name} does not apply to a network of task {network.task}; it is for a network of "
            f"task {tasks}"
        )


def test_boxes_of_a_detector_are_poses_places(run, photo):
    if run.config.task != "pose":
        return
    network = run.load()
    (two,) = network.predict(photo, boxes=np.array([[0, 0, 50, 90], [40, 5, 96, 96]]))
    assert two.keypoints.shape == (len(two), len(two.names), 3)
    assert 1 <= len(two) <= 2
    assert len(network.predict([photo, photo], boxes=[np.zeros((0, 4)), [[1, 1, 9, 9]]])[0]) == 0
    with pytest.raises(UserError, match="^boxes holds boxes of 1 images, and there are more"):
        network.predict([photo, photo], boxes=[[[1, 1, 9, 9]]])
    with pytest.raises(ValueError, match="finite numbers"):
        network.predict(photo, boxes=[[[1, 1, 9]]])


def test_detections_go_to_other_libraries(run, photo):
    if run.config.task not in ("detect", "instances"):
        return
    (found,) = run.load().predict(photo)
    assert found.boxes.shape == (len(found), 4)
    rows = found.to_coco("a", [7, 8, 9, 10])
    assert len(rows) == len(found) > 0
    left, top, right, bottom = found.boxes[0]
    assert rows[0]["bbox"] == [left, top, right - left, bottom - top]
    assert rows[0]["category_id"] == 7 + found.labels[0]
    assert ("segmentation" in rows[0]) == (run.config.task == "instances")
    if run.config.task == "instances":
        assert found.masks.shape == (len(found), 96, 96)


def test_supervision_takes_detections(run, photo):
    if run.config.task not in ("detect", "instances"):
        return
    pytest.importorskip("supervision", reason="supervision is optional")
    (found,) = run.load().predict(photo)
    taken = found.to_supervision()
    assert len(taken) == len(found)
    assert taken.data["class_name"][0] == found.names[found.labels[0]]


def test_a_run_is_evaluated_exported_and_the_artifact_predicts(run, photo, tmp_path):
    data = "digits" if run.config.task == "classify" else "scenes"
    found = res2net.evaluate(run.folder, data, out=tmp_path / "e", say=lambda _: None)
    assert found.task == run.config.task
    assert found.images > 0
    again = found.scores.resampled()(np.arange(found.images)).values
    assert found.scores.counts in again or found.scores.counts not in found.metrics
    assert {name: again[name] for name in again if name in found.metrics} == {
        name: pytest.approx(found.metrics[name]) for name in again if name in found.metrics
    }
    assert found.scores.by_image in again or not again
    assert (
        json.loads((tmp_path / "e" / "metrics.json").read_text()).items() >= found.metrics.items()
    )
    if found.task not in ("classify", "segment"):
        return  # tests/tasks/dense exports every task
    size = (96, 96) if found.task == "segment" else None
    done = res2net.export(run.folder, tmp_path / "a", to="onnx", size=size, val_images=2)
    network = res2net.load(done.folder)
    assert (network.model, network.engine) == (None, "onnx fp32")
    (result,) = network.predict(photo)
    assert type(result) is KINDS[found.task]
    for call in (
        lambda: network.predict(photo, precision="bf16"),
        lambda: res2net.load(done.folder, device="cpu"),
    ):
        with pytest.raises(UserError, match="^(precision bf16|device cpu): "):
            call()


def test_a_run_goes_on(run):
    if run.config.task != "classify":
        return
    said: list[str] = []
    res2net.train(out=run.folder, resume=True, say=said.append)
    assert "nothing is left to train" in " ".join(said)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: res2net.train(data="digits"), "model is missing"),
        (lambda: res2net.train("res2net29_small"), "data is missing"),
        (lambda: res2net.train("res2net29_smal", "digits"), "unknown model 'res2net29_smal'. Did"),
        (
            lambda: res2net.train("res2net29_small", "digits", train={"epoch": 3}),
            "unknown key 'train.epoch'. Did you mean 'epochs'?",
        ),
        (
            lambda: res2net.train("res2net29_small", "digits", train={"epochs": "many"}),
            "train.epochs must be a whole number, not 'many'",
        ),
        (
            lambda: res2net.train("res2net29_small", "digits", train={"epochs": 0}),
            "train.epochs is 0; it must be at least 1",
        ),
        (
            lambda: res2net.train("res2net18", "scenes", task="segment", augment={"mixup": 0.1}),
            "augment.mixup does not apply to task segment; it is for task classify",
        ),
        (
            lambda: res2net.train("res2net18", "scenes", task="depth"),  # type: ignore[arg-type]
            "task is 'depth'; it can be classify, detect",
        ),
        (lambda: res2net.train(out="nowhere", resume=True), "resume: nowhere holds no run"),
        (lambda: res2net.load("nowhere"), "nowhere: no such run, checkpoint or network."),
        (
            lambda: res2net.load("res2net29_small"),
            "res2net29_small has no weights, since none are shipped; give the run folder "
            "or a checkpoint of a trained one (`res2net train --model res2net29_small ...`)",
        ),
        (
            lambda: res2net.export("res2net29_small", "x", to="tensorrt"),
            "to tensorrt: no such engine.",
        ),
        (
            lambda: res2net.export("res2net29_small", "x", to="onnx", max_drop=1),
            "max_drop does not apply; it needs precision int8 and a classifier or",
        ),
        (
            lambda: res2net.evaluate("nowhere", "digits", out="x"),
            "nowhere: no such run, checkpoint or network.",
        ),
    ],
)
def test_mistakes_name_arguments(call, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError) as error:
        call()
    assert str(error.value).startswith(message)
    assert not list(tmp_path.iterdir())


def test_a_network_of_every_task_embeds_by_its_deepest_map(run, photo):
    first, second = res2net.embed(run.folder, [photo, photo], precision="fp32", device="cpu")
    network = run.load(device="cpu")
    body = network.row.body(network.model)
    assert first.shape == (body.levels[-1].channels,)
    assert np.isfinite(first).all()
    assert first.any()
    np.testing.assert_allclose(first, second, rtol=1e-5)
    if network.task == "segment":
        with torch.inference_mode():
            maps = body(normalise(decode(photo)[None], network.preprocess))
        wanted = maps[body.levels[-1].name].mean((0, 2, 3))
        np.testing.assert_allclose(first, wanted, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("command", ["train", "evaluate", "compare", "export", "predict"])
def test_arguments_are_the_options_of_the_command(command):
    """Whatever the command takes, the function takes, and the other way round."""
    import importlib

    parser = importlib.import_module(module_of(command)).make_parser()
    options = {name.partition(".")[0].replace("-", "_").rstrip("+") for name in parser.names()}
    options -= {"help", "config", "model"} if command == "predict" else {"help", "config"}
    if command == "predict":  # what is printed and drawn is the caller's
        options -= {"csv", "json", "sheet", "out", "coco", "yolo", "resume", "every"}
    if command == "train":
        options -= {"preview", "folds", "logger"}  # a picture, several runs, other services
    arguments = set(inspect.signature(getattr(res2net, command)).parameters)
    if "finding" in arguments:  # the options of one class
        arguments = arguments - {"finding"} | set(Finding.__dataclass_fields__)
    positional = {"target", "images", "first", "second"}
    own = {"say", "track", "read"}  # functions
    assert arguments - positional - own == options - {"images"}


def test_a_preview_takes_what_a_training_takes_and_trains_nothing(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ends = {"say", "out", "resume", "compile", "capture", "init"}  # of a run
    of_train = set(inspect.signature(res2net.train).parameters) - ends
    assert set(inspect.signature(res2net.preview).parameters) - {"sheet"} == of_train
    small = {"recipe": "smoke", "input": {"workers": 0}}
    sheet = res2net.preview("res2net18", "scenes", "sheet.png", task="detect", **small)
    with Image.open(sheet) as drawn:
        assert drawn.size[0] > 200
    assert [each.name for each in tmp_path.iterdir()] == ["sheet.png"]
    for options, message in (
        ({"sheet": "sheet.jpg"}, "preview sheet.jpg: it is written as PNG"),
        ({"augment": {"hflipp": 1}}, "unknown key 'augment.hflipp'. Did you mean 'hflip'?"),
        ({"head": {"form": "c4"}}, "head.form does not apply to task classify"),
    ):
        with pytest.raises(UserError) as error:
            res2net.preview("res2net18", "digits", **{"sheet": "x.png", **options})
        assert str(error.value).startswith(message)
    assert [each.name for each in tmp_path.iterdir()] == ["sheet.png"]


@pytest.mark.parametrize(
    "name", ["train", "evaluate", "compare", "export", "predict", "load", "preview", "embed"]
)
def test_every_function_has_an_example(name):
    text = inspect.getdoc(getattr(res2net, name))
    for part in ("Raises:", "Example:", ">>> ", "Args:"):
        assert part in text, part


def test_the_examples_run(tmp_path, monkeypatch, sample_photos):
    """Those of the docstrings, in the order in which a reader would try them."""
    import doctest

    monkeypatch.chdir(tmp_path)
    with Image.open(sample_photos[0]) as image:
        image.save("photo.png")
    options = {"epochs": 1, "max_steps": 1, "threads": 1}
    real = res2net.train

    class Small:
        def __getattr__(self, name: str) -> Any:
            return getattr(res2net, name)

        def train(self, model: str, data: str, **_: Any) -> api.Run:
            net = {"depth": 11, "width": 4, "scale": 2}
            return real(model, data, out="runs/digits", net=net, train=options, say=str)

    names = {"res2net": Small()}
    for name in ("train", "load", "predict", "evaluate", "compare", "export", "preview", "embed"):
        text = inspect.getdoc(getattr(res2net, name))
        found = doctest.DocTestParser().get_examples(text)
        assert found, name
        for example in found:
            code = example.source
            try:
                value = eval(code, names)
            except SyntaxError:
                exec(code, names)
                continue
            assert example.want, code
            assert type(value) is type(eval(example.want)), code


def test_the_page_runs(tmp_path, monkeypatch, sample_photos, capsys):
    page = Path(__file__).parent.parent / "docs" / "python.md"
    monkeypatch.chdir(tmp_path)
    with Image.open(sample_photos[0]) as image:
        image.resize((96, 64)).save("photo.png")
    names: dict[str, Any] = {}
    for code in re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL):
        exec(code, names)
    assert Path("predicted.png").is_file()
    last = capsys.readouterr().out.splitlines()[-1]
    assert f"print(error)  # {last}" in page.read_text()
    for name in ("Classification", "Detections", "Segmentation", "SaliencyMap", "Poses"):
        (row,) = re.findall(rf"`{name}` \| (.+) \|", page.read_text())
        for attribute in re.findall(r"`(\w+)", row):
            kind = next(kind for kind in KINDS.values() if kind.__name__ == name)
            fields = getattr(kind, "__dataclass_fields__", {})
            assert attribute in fields or hasattr(kind, attribute), (name, attribute)
