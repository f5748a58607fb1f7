"""``res2net.load(run).predict(images)``."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.datasets import load_digits

import res2net
from res2net.errors import UserError


@pytest.fixture(scope="module")
def predictor(tiny_run):
    return res2net.load(tiny_run)


@pytest.fixture(scope="module")
def grey():
    """A scanned digit, (8, 8)."""
    return (load_digits().images[0] * 15.9).astype(np.uint8)


def _rgb(grey):
    return np.stack([grey] * 3, axis=-1)


KINDS = {
    "(H, W)": lambda grey: grey,
    "(H, W, 1)": lambda grey: grey[..., None],
    "(H, W, 3)": _rgb,
    "(H, W, 4)": lambda grey: np.dstack([_rgb(grey), np.full_like(grey, 255)]),
    "float (H, W)": lambda grey: grey / 255,
    "Pillow L": Image.fromarray,
    "Pillow RGB": lambda grey: Image.fromarray(grey).convert("RGB"),
    "Pillow palette": lambda grey: Image.fromarray(grey).convert("P"),
    "tensor (3, H, W)": lambda grey: torch.from_numpy(_rgb(grey)).permute(2, 0, 1),
    "tensor (H, W)": torch.from_numpy,
    "float tensor": lambda grey: torch.from_numpy(_rgb(grey)).permute(2, 0, 1) / 255,
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_image(predictor, grey, kind):
    plain = predictor.predict(_rgb(grey))
    found = predictor.predict(KINDS[kind](grey))
    assert found == plain
    assert len(found) == 1


def test_files(predictor, grey, tmp_path):
    path = tmp_path / "0.png"
    Image.fromarray(grey).save(path)
    assert predictor.predict(path) == predictor.predict(str(path)) == predictor.predict(grey)


def test_many_at_once(predictor, grey, tmp_path):
    path = tmp_path / "0.png"
    Image.fromarray(grey).save(path)
    mixed = [path, str(path), grey, Image.fromarray(grey), torch.from_numpy(_rgb(grey).copy())]
    mixed[-1] = mixed[-1].permute(2, 0, 1)
    together = predictor.predict(mixed, precision="fp32", batch=2)
    assert len(together) == 5
    for found in together:
        assert found.label == together[0].label
        assert found.probability == pytest.approx(together[0].probability, rel=1e-4)
    assert len(predictor.predict(tuple(mixed))) == 5
    assert predictor.predict([]) == []


def test_a_batch_is_several_images(predictor, grey):
    array = np.stack([_rgb(grey)] * 3)
    assert len(predictor.predict(array)) == 3
    assert len(predictor.predict(torch.from_numpy(array).permute(0, 3, 1, 2))) == 3


@pytest.mark.parametrize(("top", "count"), [(1, 1), (5, 5), (10, 10), (99, 10)])
def test_top(predictor, grey, top, count):
    (found,) = predictor.predict(grey, top=top)
    names, shares = zip(*found.top, strict=True)
    assert len(names) == len(set(names)) == count
    assert list(shares) == sorted(shares, reverse=True)
    assert (found.label, found.probability) == found.top[0]
    if count == 10:
        assert sum(shares) == pytest.approx(1, abs=1e-5)


def test_what_is_known_of_it(predictor):
    assert predictor.classes == tuple(str(i) for i in range(10))
    assert predictor.preprocess.size == 32
    assert predictor.card.network == "res2net29_small"
    assert isinstance(predictor.model, res2net.Network)
    assert not predictor.model.training


@pytest.mark.parametrize(
    ("images", "kind"),
    [
        (np.zeros((2, 3)), None),
        (np.zeros((8, 8, 5), dtype=np.uint8), ValueError),
        (np.zeros((8,), dtype=np.uint8), ValueError),
        (torch.zeros(5, 8, 8), ValueError),
        (np.full((8, 8), np.nan), ValueError),
        ([3], TypeError),
        (["nowhere.png"], UserError),
    ],
)
def test_no_image(predictor, images, kind):
    if kind is None:
        assert len(predictor.predict(images)) == 1
        return
    with pytest.raises(kind):
        predictor.predict(images)


@pytest.mark.parametrize("options", [{"top": 0}, {"batch": 0}])
def test_numbers_below_one(predictor, grey, options):
    with pytest.raises(UserError, match="must be at least 1"):
        predictor.predict(grey, **options)


@pytest.mark.parametrize("name", ["model.safetensors", "checkpoints/last.ckpt"])
def test_lone_files(predictor, tiny_run, grey, name):
    assert res2net.load(tiny_run / name).predict(grey) == predictor.predict(grey)
    assert res2net.load(str(tiny_run / name)).classes == predictor.classes


def test_nothing_to_load(tmp_path):
    with pytest.raises(UserError, match="no such run, checkpoint or network"):
        res2net.load(tmp_path / "nowhere")
