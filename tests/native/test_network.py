"""Every network that the native engine offers equals eager: sizes, batches, threads."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch

from res2net.deploy.native_walk import walk
from res2net.models.backbone import create_backbone
from res2net.models.factory import create_model
from res2net.native import network
from res2net.native.network import NativeNetwork
from res2net.paper.networks import NETWORKS
from res2net.paper.variant import FirstBlock, ResNetVariant

from .conftest import ENOUGH, TOLERANCE, eager, random_images, relative

pytestmark = pytest.mark.usefixtures("engine")
ROWS = [name for name, row in NETWORKS.items() if isinstance(row, ResNetVariant)]
QUICK = (
    "res2next50",  # groups
    "res2net26_small",  # a unit in a block that is not the first
    "res2next29_6c24w_4s_se",  # squeeze-and-excitation on small images
    "res2net18",  # 3×3 first
    "parallel29_small",  # no additions, but a split that passes
)


def _check(program, precision, *shapes, threads=2):
    network = NativeNetwork(walk(program), precision, threads)
    for batch, height, width in shapes:
        images = random_images(batch, height, width)
        for found, wanted in zip(network(images), eager(program, images), strict=True):
            assert relative(found, wanted) < TOLERANCE[precision]


@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("name", QUICK)
def test_a_row(folded, name, precision):
    torch.manual_seed(0)
    program = folded(create_model(name))
    small = NETWORKS[name].size < 64
    _check(program, precision, *(((2, 32, 27),) if small else ((1, 64, 64), (2, 65, 43))))


@pytest.mark.slow
@pytest.mark.parametrize("precision", TOLERANCE)
@pytest.mark.parametrize("name", ROWS)
def test_every_row(folded, name, precision):
    torch.manual_seed(0)
    program = folded(create_model(name))
    for threads in (1, 2):
        _check(program, precision, (1, 224, 224), (8, 97, 75), (1, 33, 250), threads=threads)


@pytest.mark.parametrize("rule", FirstBlock)
def test_every_rule_of_the_first_block(folded, rule):
    torch.manual_seed(0)
    program = folded(create_model("res2net26_small", num_classes=7, first_block=rule))
    _check(program, "fp32", (1, 63, 50))


@pytest.mark.parametrize("name", ["res2net26_small", "resnet18", "res2net29_small"])
def test_maps_of_a_backbone(folded, name):
    torch.manual_seed(0)
    levels = ("c3", "c1", "c2")
    _check(folded(create_backbone(name, out_levels=levels)), "fp32", (2, 65, 49), (1, 40, 40))


@pytest.mark.parametrize("stride", [16, 8])
@pytest.mark.parametrize("name", ["res2net26_small", "resnet26_small", "res2net18"])
def test_maps_of_a_dilated_backbone(folded, name, stride):
    torch.manual_seed(0)
    program = folded(create_backbone(name, out_levels=("c2", "c5"), output_stride=stride))
    assert max(op.get("dilation", 1) for op in walk(program).ops) == 32 // stride
    _check(program, "fp32", (2, 65, 49))


def test_a_large_batch_goes_in_pieces(folded, monkeypatch):
    torch.manual_seed(0)
    program = folded(create_backbone("res2net26_small", out_levels=("c3", "c2")))
    together = NativeNetwork(walk(program), ENOUGH, 2)(random_images(5, 40, 33))
    monkeypatch.setattr(network, "TOGETHER", 2 * 40 * 33 + 1)
    apart = NativeNetwork(walk(program), ENOUGH, 2)(random_images(5, 40, 33))
    for one, other in zip(together, apart, strict=True):
        np.testing.assert_array_equal(one, other)


def test_two_networks_in_two_threads_and_one_network_in_two(folded):
    torch.manual_seed(0)
    programs = [folded(create_model(name)) for name in ("resnet26_small", "res2net26_small")]
    networks = [NativeNetwork(walk(program), ENOUGH, 2) for program in programs]
    images = [random_images(1, 64, 64), random_images(2, 50, 70)]
    wanted = [[network(batch)[0] for batch in images] for network in networks]
    wrong = []

    def work(first):
        for turn in range(12):
            n, i = (first + turn) % 2, turn // 2 % 2
            if not np.array_equal(networks[n](images[i])[0], wanted[n][i]):
                wrong.append((n, i))

    workers = [threading.Thread(target=work, args=(first,)) for first in range(2)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not wrong


def test_images_do_not_depend_on_their_neighbours(folded):
    torch.manual_seed(0)
    network = NativeNetwork(walk(folded(create_model("res2net26_small"))), ENOUGH, 2)
    images = random_images(3, 47, 47)
    np.testing.assert_array_equal(network(images)[0][1:2], network(images[1:2])[0])


def test_images_of_another_kind(folded):
    network = NativeNetwork(walk(folded(create_model("resnet26_small"))), ENOUGH, 1)
    with pytest.raises(ValueError, match="uint8"):
        network(np.zeros((1, 3, 64, 64), np.float32))
