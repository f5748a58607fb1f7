"""Splits as torch data sets."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from res2net.data.augment import Augment
from res2net.data.dataset import ImageDataset
from res2net.data.decode import decode
from res2net.data.files import Files
from res2net.data.labelled import Split
from res2net.data.preprocess import default_preprocess
from res2net.data.sampler import SampleKey
from res2net.data.transforms import train_transform
from res2net.errors import UserError


@pytest.fixture
def split(make_tree: Callable[[dict[str, int]], Path]) -> Split:
    root = make_tree({"cat": 4})
    names = [f"cat/{i}.png" for i in range(4)]
    return Split(images=Files(root, names), labels=np.array([0, 1, 0, 1]))


def unchanged(image: torch.Tensor) -> torch.Tensor:
    return image


def test_files(split: Split) -> None:
    dataset = ImageDataset(split, unchanged, min_side=None)
    image, label, index = dataset[1]
    assert len(dataset) == 4
    assert torch.equal(image, decode(split.images[1]))
    assert (label, index) == (1, 1)


def test_arrays() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 3), dtype=np.uint8)
    dataset = ImageDataset(Split(images=pixels, labels=np.array([3, 4])), unchanged, min_side=None)
    image, label, _ = dataset[1]
    assert image.shape == (3, 5, 5)
    assert (image.permute(1, 2, 0).numpy() == pixels[1]).all()
    assert label == 4
    image.zero_()
    assert pixels[1].any()


def test_a_key_decides_the_augmentation(split: Split) -> None:
    transform = train_transform(Augment(), default_preprocess(16))
    dataset = pickle.loads(pickle.dumps(ImageDataset(split, transform, min_side=None)))
    before = torch.get_rng_state()
    first = dataset[SampleKey(2, 77)]
    torch.rand(3)
    assert torch.equal(dataset[SampleKey(2, 77)][0], first[0])
    assert not torch.equal(dataset[SampleKey(2, 78)][0], first[0])
    torch.set_rng_state(before)
    dataset[SampleKey(2, 77)]
    assert torch.equal(torch.get_rng_state(), before)


def test_a_broken_file_is_raised_for_one_and_returned_for_a_batch(split: Split) -> None:
    Path(split.images[2]).write_bytes(b"no image")
    dataset = ImageDataset(split, unchanged, min_side=None)
    with pytest.raises(UserError, match=r"2\.png: not an image"):
        dataset[2]
    fault = dataset.__getitems__([0, 1, 2, 3])
    assert isinstance(fault, UserError)


def test_broken_files_may_be_left_out(split: Split) -> None:
    Path(split.images[2]).write_bytes(b"no image")
    dataset = ImageDataset(split, unchanged, min_side=None, skip_bad=True)
    with pytest.warns(UserWarning, match=r"skipped: .*2\.png: not an image"):
        samples = dataset.__getitems__([0, 2, SampleKey(3, 1)])
    assert isinstance(samples, list)
    assert [index for _, _, index in samples] == [0, 3]
    with pytest.warns(UserWarning, match="skipped"):
        assert isinstance(dataset.__getitems__([2]), UserError)


def test_flips_that_alternate_show_the_image_and_its_mirror_image_in_turn() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 3), dtype=np.uint8)
    split = Split(images=pixels, labels=np.array([3, 4]))
    dataset = ImageDataset(split, unchanged, min_side=None, alternate=True)
    image = dataset[SampleKey(1, 9, turned=False)][0]
    assert torch.equal(image, dataset[1][0])
    assert torch.equal(dataset[SampleKey(1, 9, turned=True)][0], image.flip(-1))
    usual = ImageDataset(split, unchanged, min_side=None)
    assert torch.equal(usual[SampleKey(1, 9, turned=True)][0], image)
