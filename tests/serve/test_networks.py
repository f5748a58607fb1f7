"""Targets of every kind, asked for a picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from res2net import machine
from res2net.api import load
from res2net.card import ModelCard
from res2net.data.preprocess import Preprocess
from res2net.errors import UserError
from res2net.heads.detector import make_detector
from res2net.rewrite import fold_batchnorm
from res2net.serve.answer import Query
from res2net.serve.networks import NO_GRADIENTS, Network, open_networks, seen_square
from res2net.tasks.detect.task import DETECT
from res2net.tasks.embed import embed
from res2net.tasks.predictor import Predictor

CHANCE = np.random.default_rng(0)
PHOTO = CHANCE.integers(0, 255, (90, 120, 3), dtype=np.uint8)


def test_a_run_says_what_its_predictor_says_and_where_it_looked(tiny_run):
    first, second = open_networks([str(tiny_run), str(tiny_run)])
    assert (first.name, second.name) == ("run", "run-2")
    answer = first.predict(PHOTO, Query(top=3, picture="marks"))
    (expected,) = load(tiny_run).predict(PHOTO, top=3)
    assert answer.found == expected.as_dict()
    assert answer.size == (120, 90)
    assert answer.picture.shape[0] == answer.picture.shape[1] > 80
    assert f"evidence for {expected.label} (Grad-CAM, c3)" == answer.shows
    assert first.predict(PHOTO, Query()).picture is None
    np.testing.assert_array_equal(first.predict(PHOTO, Query(picture="photo")).picture, PHOTO)
    described = first.describe()
    assert (described["engine"], described["pixels"], described["data"]) == (
        "pytorch",
        32,
        "digits",
    )
    assert len(described["classes"]) == 10
    assert described["parameters"] == ["top", "embedding"]


def test_an_embedding_is_what_embed_gives_of_the_image(tiny_run):
    (served,) = open_networks([str(tiny_run)])
    (wanted,) = embed(tiny_run, PHOTO)
    plain, found = (served.predict(PHOTO, Query(embedding=each)).found for each in (False, True))
    np.testing.assert_array_equal(np.float32(found.pop("embedding")), wanted)
    assert found == plain
    served.predictor.network = fold_batchnorm(served.predictor.model)  # as a GPU has it
    again = served.predict(PHOTO, Query(embedding=True)).found
    np.testing.assert_array_equal(np.float32(again["embedding"]), wanted)


def test_an_artifact_has_no_map_and_says_so(tmp_path, tiny_run, monkeypatch):
    pytest.importorskip("openvino")
    from res2net.deploy.export import export

    monkeypatch.setenv("RES2NET_CACHE", str(tmp_path / "cache"))
    export(str(tiny_run), tmp_path / "fast", engine="openvino", val_images=4)
    (served,) = open_networks([str(tmp_path / "fast")])
    answer = served.predict(PHOTO, Query(top=2, picture="marks"))
    assert (answer.picture, answer.shows) == (None, NO_GRADIENTS)
    assert len(answer.found["classes"]) == 2
    assert served.describe()["engine"] == "openvino fp32"
    assert served.describe()["parameters"] == ["top"]
    line = "^--embedding does not apply to an exported network; serve the run instead$"
    with pytest.raises(UserError, match=line):
        served.check(Query(embedding=True))


def test_a_run_is_served_in_the_precision_asked_for(tiny_run, monkeypatch):
    """fp16 needs a GPU: what reaches autocast is looked at where there is none."""
    monkeypatch.setattr(machine, "known_precision", lambda name: name)
    (plain,) = open_networks([str(tiny_run)], precision="fp32")
    (half,) = open_networks([str(tiny_run)], precision="fp16")
    expected, found = (
        {each["class"]: each["probability"] for each in answer.found["classes"]}
        for answer in (served.predict(PHOTO, Query(top=10)) for served in (plain, half))
    )
    assert expected != found
    assert found == pytest.approx(expected, abs=1e-2)
    (wanted,) = load(tiny_run).predict(PHOTO, top=10, precision="fp16")
    assert found == dict(wanted.top)


def test_a_precision_that_cannot_be_served_is_refused(tmp_path, tiny_run, monkeypatch):
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(UserError, match="^precision fp16 needs a GPU; use bf16, fp32 or auto"):
        open_networks([str(tiny_run)], precision="fp16")
    pytest.importorskip("openvino")
    from res2net.deploy.export import export

    monkeypatch.setenv("RES2NET_CACHE", str(tmp_path / "cache"))
    export(str(tiny_run), tmp_path / "fast", engine="openvino", val_images=4)
    line = f"--precision fp32: {tmp_path}/fast has its own; export another artifact"
    with pytest.raises(UserError, match=line):
        open_networks([str(tiny_run), str(tmp_path / "fast")], precision="fp32")


def test_a_detector_keeps_what_predict_keeps_with_the_same_thresholds():
    torch.manual_seed(0)
    card = ModelCard(
        network="resnet18",
        task="detect",
        classes=("a", "b"),
        preprocess=Preprocess(size=100, resize=100, mean=(0, 0, 0), std=(1, 1, 1)),
    )
    model = make_detector("resnet18", 2, channels=8, short_side=64, long_side=107)
    predictor = Predictor(DETECT, card, model=model, device="cpu")
    served = Network("cells", predictor, "fp32")
    described = served.describe()
    taken = ["score", "iou", "max_detections", "class_agnostic", "embedding"]
    assert described["parameters"] == taken
    assert described["drawn"] == {"score": 0.5}
    counts = []
    for finding in ({}, {"score": 0.3}, {"iou": 0.2}, {"max_detections": 3}):
        (expected,) = predictor.predict(PHOTO, precision="fp32", **finding)
        answer = served.predict(PHOTO, Query(finding=finding))
        assert answer.found == expected.as_dict()
        counts.append(len(answer.found["objects"]))
    assert counts[3] == 3 < min(counts[0], counts[2])
    assert counts[2] < counts[0]
    with pytest.raises(UserError, match="--top does not apply to a network of --task detect"):
        served.check(Query(top=3))
    with pytest.raises(UserError, match="--score is 2.0; it must lie in 0..1"):
        served.check(Query(finding={"score": 2.0}))
    predictor.runtime = object()
    assert "iou" not in served.parameters()
    with pytest.raises(UserError, match="^--iou does not apply to an exported network"):
        served.check(Query(finding={"iou": 0.2}))


@pytest.mark.slow
def test_a_network_of_another_task_draws_what_it_found(tmp_path, cli):
    words = ("train", "--task", "saliency", "--model", "res2net18", "--data", "scenes")
    small = ("--recipe", "smoke", "--head.channels", 8, "--train.threads", 1)
    few = ("--train.max-steps", 1, "--train.val-batches", 1, "--out", tmp_path / "run")
    assert cli(*words, *small, *few).code == 0
    (served,) = open_networks([str(tmp_path / "run")])
    answer = served.predict(PHOTO, Query(picture="marks"))
    assert (served.task, served.describe()["parameters"]) == ("saliency", ["embedding"])
    assert set(answer.found) == {"share", "box"}
    (wanted,) = embed(tmp_path / "run", PHOTO)
    found = served.predict(PHOTO, Query(embedding=True)).found
    np.testing.assert_array_equal(np.float32(found["embedding"]), wanted)
    assert answer.picture.shape == PHOTO.shape


def test_what_cannot_be_served(tmp_path):
    with pytest.raises(UserError, match="nowhere: no such run"):
        open_networks(["nowhere"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="empty"):
        open_networks([str(tmp_path / "empty")])


@pytest.mark.parametrize(("height", "width"), [(100, 200), (200, 100), (9, 300), (2000, 1500)])
def test_the_square_is_what_the_network_saw(tiny_run, height, width):
    preprocess = load(tiny_run).preprocess
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[height // 2, width // 2] = 255
    square = seen_square(pixels, preprocess)
    side = min(height, width, 640)
    assert square.shape == (side, side, 3)
    y, x = np.argwhere(square[..., 0] == square.max())[0]
    assert abs(y - side / 2) <= 2
    assert abs(x - side / 2) <= 2
