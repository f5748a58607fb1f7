"""A network over many images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pytest
import torch

from res2net.data.labelled import Split
from res2net.data.preprocess import default_preprocess
from res2net.errors import UserError
from res2net.machine import best_device
from res2net.models.factory import create_model
from res2net.tasks.classify.scores import averaged, outputs, run_over
from res2net.tasks.network import in_use
from res2net.tasks.scores import Measuring

SIZE = 32


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return create_model("res2net29_small", num_classes=4, depth=11).eval()


@pytest.fixture
def split():
    pixels = np.random.default_rng(0).integers(0, 256, (7, SIZE, SIZE, 3), dtype=np.uint8)
    return Split(images=pixels, labels=np.arange(7, dtype=np.int64) % 4)


def test_logits_are_the_networks(network):
    images = torch.randint(0, 256, (3, 3, SIZE, SIZE), dtype=torch.uint8)
    preprocess = default_preprocess(SIZE)
    found = in_use(network.to(best_device()), preprocess, "fp32")(images)
    mean, std = (torch.tensor(x)[:, None, None] for x in (preprocess.mean, preprocess.std))
    with torch.no_grad():
        expected = network.cpu()((images / 255 - mean) / std)
    assert found.shape == (3, 4)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found.cpu(), expected, rtol=1e-4, atol=1e-5)
    assert not found.requires_grad


def test_half_precision_is_near(network):
    images = torch.randint(0, 256, (3, 3, SIZE, SIZE), dtype=torch.uint8)
    full, half = (
        in_use(network, default_preprocess(SIZE), kind)(images) for kind in ("fp32", "bf16")
    )
    assert half.dtype == torch.float32
    assert not torch.equal(full, half)
    torch.testing.assert_close(full, half, rtol=0.1, atol=0.1)


@pytest.mark.parametrize(("batch", "workers"), [(1, 0), (3, 0), (3, 1), (7, 0), (100, 0)])
def test_every_image_once_in_order(network, split, batch, workers):
    preprocess = default_preprocess(SIZE)
    found, seen = run_over(
        network, split, preprocess, Measuring(batch=batch, workers=workers, precision="fp32")
    )
    assert {each.shape for each in found} == {(7,)}
    assert found.targets.tolist() == split.labels.tolist()
    assert seen.tolist() == list(range(7))
    whole = run_over(network, split, preprocess, Measuring(batch=7, workers=0, precision="fp32"))[0]
    np.testing.assert_allclose(found.log_likelihood, whole.log_likelihood, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("limit", "images"), [(1, 3), (2, 6), (3, 7), (99, 7), (None, 7)])
def test_limit_counts_batches(network, split, limit, images):
    counted = []

    def track(things: Iterable[object], count: int, label: str) -> Iterable[object]:
        counted.append((count, label))
        return things

    found, _ = run_over(
        network,
        split,
        default_preprocess(SIZE),
        Measuring(batch=3, workers=0, limit=limit, track=track),
    )
    assert len(found.targets) == images
    assert counted == [(-(-images // 3), "evaluating")]


def test_the_network_is_left_in_evaluation_mode(network, split):
    network.train()
    before = network.bn1.running_mean.clone()
    run_over(network, split, default_preprocess(SIZE), Measuring(workers=0))
    assert not network.training
    assert torch.equal(network.bn1.running_mean, before)


def test_bad_files(network, photos):
    files = sorted((photos / "val").rglob("*.jpg"))
    files[4].write_bytes(files[4].read_bytes()[:300])
    split = Split(images=files, labels=np.zeros(9, dtype=np.int64))
    with pytest.raises(UserError, match=str(files[4])):
        run_over(network, split, default_preprocess(SIZE), Measuring(workers=0))
    with pytest.warns(UserWarning, match=f"skipped: {files[4]}"):
        _, seen = run_over(
            network, split, default_preprocess(SIZE), Measuring(workers=0, skip_bad=True)
        )
    assert seen.tolist() == [0, 1, 2, 3, 5, 6, 7, 8]


@pytest.mark.parametrize(("flip", "crops", "views"), [(True, 1, 2), (False, 5, 5), (True, 5, 10)])
def test_probabilities_of_views_are_averaged(network, flip, crops, views):
    pixels = np.random.default_rng(1).integers(0, 256, (3, 40, 40, 3), dtype=np.uint8)
    labels = np.arange(3, dtype=np.int64)
    preprocess = replace(default_preprocess(SIZE), resize=40)
    how = Measuring(batch=2, workers=0, precision="fp32", flip=flip, crops=crops)
    batches = outputs(network, Split(images=pixels, labels=labels), preprocess, how)
    found = torch.cat([logits for logits, _, _ in batches])
    images = torch.from_numpy(pixels).permute(0, 3, 1, 2)
    corners = [(4, 4), (0, 0), (0, 8), (8, 0), (8, 8)][:crops]
    crop = [images[..., top : top + SIZE, left : left + SIZE] for top, left in corners]
    every = crop + [each.flip(-1) for each in crop] * flip
    net = in_use(network, preprocess, "fp32")
    wanted = torch.stack([net(each).softmax(1) for each in every]).double().mean(0)
    assert len(every) == views
    torch.testing.assert_close(found.softmax(1).cpu(), wanted.cpu(), rtol=1e-4, atol=1e-6)


def test_probabilities_of_several_labels_are_averaged_each():
    logits = [torch.tensor([[0.0, 3.0]]), torch.tensor([[2.0, 3.0]])]
    wanted = torch.stack(logits).double().sigmoid().mean(0)
    torch.testing.assert_close(averaged(logits, several=True).sigmoid(), wanted)


def test_corners_need_a_margin(network, split):
    how = Measuring(workers=0, crops=5)
    with pytest.raises(UserError, match="the network takes whole"):
        list(outputs(network, split, default_preprocess(SIZE), how))
