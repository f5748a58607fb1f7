"""Every count of the model table against reference numbers, and every level's shape."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from res2net.errors import UserError
from res2net.paper.networks import NETWORKS, find_variant
from res2net.paper.structure import tally
from res2net.paper.variant import FirstBlock, ResNetVariant

GOLDEN = json.loads(Path(__file__).with_name("golden.json").read_text())


@pytest.mark.parametrize("name", GOLDEN["imagenet"])
def test_parameters_and_tensors(name):
    structure = tally(NETWORKS[name])
    expected = GOLDEN["imagenet"][name]
    assert structure.params == expected["params"]
    if "tensors" in expected:
        assert structure.tensors == expected["tensors"]


@pytest.mark.parametrize("name", GOLDEN["cifar100"])
def test_parameters_on_cifar100(name):
    structure = tally(NETWORKS[name])
    assert structure.num_classes == 100
    assert structure.params == GOLDEN["cifar100"][name]


@pytest.mark.parametrize(("name", "size", "giga"), GOLDEN["macs_giga"])
def test_multiply_adds(name, size, giga):
    assert tally(NETWORKS[name], size=size).macs == pytest.approx(giga * 1e9, rel=0.005)


@pytest.mark.parametrize(
    ("option", "values"),
    [("scale", range(1, 7)), ("cardinality", range(6, 37, 6)), ("depth", range(29, 111, 9))],
)
def test_figure_5_axes(option, values):
    base = {"width": 24, "cardinality": 6, "scale": 1}
    counts = [
        tally(find_variant("res2next29_6c24w_4s", {**base, option: value})).params
        for value in values
    ]
    assert counts == GOLDEN["figure_5"][option]


def test_200_layers_in_millions():
    structure = tally(NETWORKS["res2net200d"])
    assert structure.params / 1e6 == pytest.approx(76.216, abs=5e-4)
    assert structure.macs / 1e9 == pytest.approx(15.706, abs=5e-4)


BOTTLENECK = [(64, 2), (256, 4), (512, 8), (1024, 16), (2048, 32)]
BASIC = [(64, 2), (64, 4), (128, 8), (256, 16), (512, 32)]
DLA = [(32, 2), (128, 4), (256, 8), (512, 16), (1024, 32)]
CIFAR = [(256, 1), (512, 2), (1024, 4)]
CIFAR_SMALL = [(64, 1), (128, 2), (256, 4)]
SMALL = [(32, 2), (128, 4), (256, 8), (512, 16), (1024, 32)]
OTHER = {
    "inception_v3": [(64, 2), (192, 4), (288, 8), (768, 16), (2048, 32)],
    "densenet161": [(96, 2), (384, 4), (768, 8), (2112, 16), (2208, 32)],
    "wideresnet28_10": [(160, 1), (320, 2), (640, 4)],
    "densenet_bc190_40": [(1320, 1), (1900, 2), (2190, 4)],
}


def _expected_levels(name):
    if name in OTHER:
        return OTHER[name]
    if name.startswith("dla"):
        return DLA
    if "29" in name:
        return CIFAR_SMALL if name.endswith("small") else CIFAR
    if name.endswith("small"):
        return SMALL
    return BASIC if name.endswith(("18", "34")) else BOTTLENECK


@pytest.mark.parametrize("name", NETWORKS)
def test_levels(name):
    levels = tally(NETWORKS[name]).levels
    assert [(level.channels, level.stride) for level in levels] == _expected_levels(name)
    assert [level.name for level in levels] == [f"c{i + 1}" for i in range(len(levels))]
    fields = [level.receptive_field for level in levels]
    assert fields == sorted(fields)


@pytest.mark.parametrize("name", [name for name in NETWORKS if name != "inception_v3"])
@pytest.mark.parametrize("size", [64, 65])
def test_a_level_is_the_image_over_its_stride_rounded_up(name, size):
    for level in tally(NETWORKS[name], size=size).levels:
        assert level.height == level.width
        if name == "densenet161":  # its transitions drop an odd last row
            assert size // level.stride <= level.height <= -(-size // level.stride)
        else:
            assert level.height == -(-size // level.stride)


def test_inception_sizes_at_299():
    levels = tally(NETWORKS["inception_v3"]).levels
    assert [level.height for level in levels] == [147, 71, 35, 17, 8]


# Araujo et al., "Computing Receptive Fields of Convolutional Neural Networks", Distill 2019, give
# 1311 for Inception-v3. ResNets there put the stride elsewhere; ours are by hand, see below.
@pytest.mark.parametrize(
    ("name", "field"), [("inception_v3", 1311), ("resnet50", 427), ("resnet101", 971)]
)
def test_receptive_field_of_the_last_level(name, field):
    assert tally(NETWORKS[name]).levels[-1].receptive_field == field


@pytest.mark.parametrize("scale", [2, 4, 8])
def test_receptive_field_grows_with_every_split(scale):
    variant = find_variant("res2net50_26w_4s", {"scale": scale})
    field, expected = 11, []  # after the stem and its max-pool, at stride 4
    for stage, blocks in enumerate((3, 4, 6, 3)):
        step = 4 * 2 ** max(0, stage - 1)  # pixels a step of the first block's input
        field += 2 * step  # first block: no split sees another
        field += (blocks - 1) * (scale - 1) * 2 * (4 * 2**stage)
        expected.append(field)
    assert [level.receptive_field for level in tally(variant).levels[1:]] == expected


class TestFirstBlock:
    """The rules differ where they should, and only there."""

    @staticmethod
    def _tally(rule, name="res2net50_26w_4s"):
        return tally(replace(NETWORKS[name], first_block=rule))

    @pytest.mark.parametrize(
        "rule", [FirstBlock.POOL_EXCLUDE_PAD, FirstBlock.STRIDED_ONLY, FirstBlock.PAPER]
    )
    def test_same_parameters(self, rule):
        assert self._tally(rule).params == self._tally(FirstBlock.POOL).params

    def test_group_has_one_convolution_over_all_splits(self):
        pool, group = self._tally(FirstBlock.POOL), self._tally(FirstBlock.GROUP)
        widths = (26, 52, 104, 208)
        more = sum(9 * w * w + 2 * w for w in widths)  # a fourth 3×3, its batch norm
        assert group.params - pool.params == more
        first = next(layer for layer in group.layers if layer.name == "layer2.0.convs.0")
        assert (first.channels_in, first.channels_out, first.groups) == (208, 208, 4)

    def test_group_multiplies_the_cardinality(self):
        layers = tally(NETWORKS["res2next29_6c24w_4s"]).layers
        groups = {layer.name: layer.groups for layer in layers}
        assert groups["layer1.0.convs.0"] == 24
        assert groups["layer1.1.convs.0"] == 6

    def test_paper_moves_the_stride_to_the_first_convolution(self):
        strides = {layer.name: layer.stride for layer in self._tally(FirstBlock.PAPER).layers}
        assert strides["layer2.0.conv1"] == 2
        assert strides["layer2.0.convs.0"] == 1
        assert self._tally(FirstBlock.PAPER).macs < self._tally(FirstBlock.POOL).macs

    def test_strided_only_is_a_normal_block_at_stride_1(self):
        pool, strided = self._tally(FirstBlock.POOL), self._tally(FirstBlock.STRIDED_ONLY)
        assert strided.levels[1].receptive_field - pool.levels[1].receptive_field == 2 * 2 * 4
        pooled = [layer.name for layer in strided.layers if layer.name.endswith(".pool")]
        assert pooled == ["layer2.0.pool", "layer3.0.pool", "layer4.0.pool"]

    def test_dla_decides_by_stride(self):
        layers = tally(NETWORKS["dla60_res2net"]).layers
        names = [layer.name for layer in layers if layer.name.endswith(".pool")]
        assert names == [
            "level2.tree1.pool",
            "level3.tree1.tree1.pool",
            "level4.tree1.tree1.tree1.pool",
            "level5.tree1.pool",
        ]

    def test_biglittle_first_block_of_every_sequence(self):
        layers = tally(NETWORKS["blres2net50"]).layers
        pooled = [layer.name for layer in layers if layer.name.endswith(".0.pool")]
        modules = [
            f"layer{i}.{part}.0.pool" for i in (1, 2, 3) for part in ("big", "little", "fusion")
        ]
        assert pooled == [*modules, "layer4.0.pool"]

    @pytest.mark.parametrize("rule", list(FirstBlock))
    def test_plain_blocks_have_no_rule(self, rule):
        assert self._tally(rule, "resnet50") == self._tally(FirstBlock.POOL, "resnet50")


def test_se_adds_two_matrices_a_block():
    plain, se = tally(NETWORKS["res2net50_26w_4s"]), tally(NETWORKS["seres2net50_26w_4s"])
    assert se.params - plain.params == 2_530_992
    assert se.tensors - plain.tensors == 4 * 16


def test_dead_projections_of_dla_are_left_out():
    names = {layer.name for layer in tally(NETWORKS["dla60"]).layers}
    used = {name for name in names if "project.0" in name}
    assert used == {
        "level2.project.0",
        "level3.tree1.project.0",
        "level4.tree1.tree1.project.0",
        "level5.project.0",
    }


def test_inceptions_second_classifier_has_parameters_but_no_multiply_adds():
    structure = tally(NETWORKS["inception_v3"])
    assert sum(layer.params for layer in structure.auxiliary) == 3_326_696
    assert structure.params - sum(layer.params for layer in structure.layers) == 3_326_696
    assert structure.macs == pytest.approx(5.713e9, rel=1e-3)


@pytest.mark.parametrize("name", NETWORKS)
def test_classes_change_the_classifier_alone(name):
    none, ten = (tally(NETWORKS[name], num_classes=n) for n in (0, 10))
    features = none.levels[-1].channels
    heads = 10 * (features + 1) + (7690 if name == "inception_v3" else 0)
    assert ten.params - none.params == heads
    assert ten.macs - none.macs == 10 * features


def test_image_channels_change_the_first_convolution_alone():
    one, three = (tally(NETWORKS["resnet50"], in_channels=n) for n in (1, 3))
    assert three.params - one.params == 2 * 64 * 49


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"size": 0}, "size is 0"),
        ({"num_classes": -1}, "num_classes is -1"),
        ({"in_channels": 0}, "in_channels is 0"),
    ],
)
def test_bad_numbers(arguments, message):
    with pytest.raises(UserError, match=message):
        tally(NETWORKS["resnet50"], **arguments)


def test_too_small_an_image_names_the_layer():
    with pytest.raises(UserError, match="too small: Mixed_7a"):
        tally(NETWORKS["inception_v3"], size=74)
    assert tally(NETWORKS["inception_v3"], size=75).levels[-1].height == 1


@settings(max_examples=60, deadline=None)
@given(
    depth=st.sampled_from([18, 26, 34, 50, 101, 152, 200]),
    width=st.integers(1, 80),
    scale=st.integers(1, 9),
    cardinality=st.sampled_from([1, 2, 4]),
    rule=st.sampled_from(list(FirstBlock)),
    stem=st.sampled_from(["7x7", "deep"]),
    size=st.integers(32, 300),
)
def test_every_row_that_can_be_written_can_be_counted(
    depth, width, scale, cardinality, rule, stem, size
):
    variant = ResNetVariant(
        depth=depth,
        width=width,
        scale=scale,
        cardinality=cardinality,
        first_block=rule,
        stem=stem,
        average_down=stem == "deep",
    )
    structure = tally(variant, size=size)
    assert structure.levels[-1].height == -(-size // 32)
    convs = [layer for layer in structure.layers if layer.kind == "conv"]
    assert all(layer.params == layer.macs // (layer.height * layer.width) for layer in convs)
    assert structure.levels[-1].channels == 512 * variant.expansion


def test_no_torch():
    code = (
        "import sys, res2net.paper.structure, res2net.paper.published;"
        "sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
