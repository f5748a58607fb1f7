"""The recipe cifar-fast, and training on images that the device augments, on a small CIFAR."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest
import torch

from res2net.cli.train import resolve
from res2net.data.cifar import LAYOUTS
from res2net.errors import UserError
from res2net.training.run import fit

pytestmark = pytest.mark.usefixtures("undrawn")


@pytest.fixture
def cifar(tmp_path: Path) -> Path:
    """CIFAR-10 of three classes: 60 images to train on, 12 to validate with."""
    layout, chance = LAYOUTS["cifar10"], np.random.default_rng(0)
    folder = tmp_path / layout.folder
    folder.mkdir()
    for name in (*layout.train, layout.test):
        labels = np.arange(12) % 3
        pixels = chance.integers(0, 90, (12, 3, 32 * 32), dtype=np.uint8)
        pixels[np.arange(12), labels] += 160
        content = {"data": pixels.reshape(12, -1), "labels": labels.tolist()}
        (folder / name).write_bytes(pickle.dumps(content, protocol=2))
    names = {"label_names": ["red", "green", "blue"]}
    (folder / layout.meta).write_bytes(pickle.dumps(names, protocol=2))
    return folder


def _train(data: Path | str, run: Path, *more: str, resume: bool = False) -> dict[str, object]:
    words = ["--model", "res2net29_small", "--net.depth", "11", "--net.width", "4"]
    words += ["--data", str(data), "--train.epochs", "4", "--train.batch", "16"]
    words += ["--train.threads", "1", "--input.workers", "0", "--out", str(run), *more]
    config = resolve([*words, "--resume"] if resume else words)[0]
    fit(config, run, resume=resume, say=list)
    content = torch.load(run / "checkpoints" / "last.ckpt", weights_only=True)
    return {**content["state_dict"], **content["optimizer_states"][0]["state"]}


def _assert_same(one: object, other: object) -> None:
    if isinstance(one, dict):
        assert isinstance(other, dict)
        assert one.keys() == other.keys()
        for key in one:
            _assert_same(one[key], other[key])
    elif isinstance(one, torch.Tensor):
        assert isinstance(other, torch.Tensor)
        assert torch.equal(one, other)
    else:
        assert one == other


def test_it_learns_resumes_exactly_and_draws_the_same_on_the_device(
    cifar: Path, tmp_path: Path
) -> None:
    fast = ("--recipe", "cifar-fast")
    whole = _train(cifar, tmp_path / "whole", *fast)
    cut = tmp_path / "cut"
    _train(cifar, cut, *fast, "--train.max-steps", "6")  # two epochs
    resumed = _train(cifar, cut, *fast, "--train.max-steps", "-1", resume=True)
    _assert_same(whole, resumed)
    device = _train(cifar, tmp_path / "device", *fast, "--augment.where", "device")
    _assert_same(whole, device)
    first = whole["model.conv1.weight"]
    assert isinstance(first, torch.Tensor)
    assert torch.equal(first[:8], -first[8:])  # fixed to the end
    rows = (tmp_path / "whole" / "metrics.csv").read_text().splitlines()
    losses = [float(row.split(",")[4]) for row in rows[1:]]
    assert losses[-1] < losses[0]
    config = (tmp_path / "whole" / "config.yaml").read_text()
    assert "warmup: 0.75" in config  # the peak keeps its share of the epochs
    other = _train(cifar, tmp_path / "other", *fast, "--seed", "1", "--train.max-steps", "3")
    with pytest.raises(AssertionError):
        _assert_same(whole, other)


def test_photos_that_the_device_augments_train_the_same(photos: Path, tmp_path: Path) -> None:
    usual = ("--recipe", "finetune", "--net.pretrained", "null", "--input.size", "32")
    runs = [
        _train(f"folder:{photos}", tmp_path / where, *usual, "--augment.where", where)
        for where in ("workers", "device")
    ]
    _assert_same(*runs)


def test_jpeg_files_are_decoded_where_asked_for_or_a_note_says_why_not(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usual = ("--recipe", "finetune", "--net.pretrained", "null", "--input.size", "32")
    usual += ("--train.max-steps", "2", "--input.decode")
    plain = _train(f"folder:{photos}", tmp_path / "cpu", *usual, "cpu")
    if not torch.cuda.is_available():
        with pytest.warns(UserWarning, match="JPEG files are decoded by the CPU: there is no GPU"):
            _assert_same(plain, _train(f"folder:{photos}", tmp_path / "none", *usual, "gpu"))
    decoded: list[int] = []

    def decoder(files: list[torch.Tensor]) -> list[torch.Tensor]:
        decoded.append(len(files))
        return [torch.ops.image.decode_jpeg(each, 3, False) for each in files]

    monkeypatch.setattr("res2net.tasks.classify.task.gpu_jpeg_decoder", lambda: (decoder, ""))
    _assert_same(plain, _train(f"folder:{photos}", tmp_path / "gpu", *usual, "gpu"))
    assert decoded == [16, 16]


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            ("--recipe", "cifar-fast", "--net.pretrained", "in1k"),
            "--net.whiten replaces the first convolution; set it to false with --net.pretrained "
            "or --init",
        ),
        (
            ("--input.decode", "gpu", "--augment.where", "workers"),
            "--input.decode gpu augments on the device; leave out --augment.where workers",
        ),
        (
            ("--recipe", "cifar-fast", "--augment.pad", "32", "--input.size", "32"),
            "--augment.pad 32: a reflected border of images of 32 pixels can have 31 pixels at "
            "most",
        ),
    ],
)
def test_what_excludes_each_other_is_refused(
    photos: Path, tmp_path: Path, more: tuple[str, ...], message: str
) -> None:
    with pytest.raises(UserError) as error:
        _train(f"folder:{photos}", tmp_path / "run", *more)
    assert str(error.value) == message
    assert not (tmp_path / "run").exists()
