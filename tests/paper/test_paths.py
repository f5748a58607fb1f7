"""Counts of paths: by hand, by brute force, and with the receptive fields that `info` shows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from res2net.paper.networks import NETWORKS, find_variant, plain_twin
from res2net.paper.paths import paths_in, paths_of
from res2net.paper.structure import tally
from res2net.paper.tally import Trail


def walk(trail: Trail, start: Trail) -> Iterator[tuple[int, int]]:
    """What each path from ``start`` sees, path by path."""
    if trail is start:
        yield (0, 0)
        return
    for source in trail.sources:
        for h, w in walk(source, start):
            yield h + trail.reach[0], w + trail.reach[1]


@st.composite
def tangles(draw: st.DrawFn) -> list[Trail]:
    """Some maps, each made from one to three earlier ones."""
    trails = [Trail()]
    for _ in range(draw(st.integers(1, 9))):
        sources = draw(st.lists(st.sampled_from(trails), min_size=1, max_size=3))
        reach = draw(st.tuples(st.integers(0, 4), st.integers(0, 4)))
        trails.append(Trail(tuple(sources), reach))
    return trails


@given(tangles())
def test_counting_is_walking_every_path(trails: list[Trail]) -> None:
    for end, counted in zip(trails, paths_of(trails[0], trails), strict=True):
        sides = Counter(max(reach) + 1 for reach in walk(end, trails[0]))
        assert counted.counts == sides
        assert list(counted.counts) == sorted(counted.counts)


def test_paths_that_do_not_come_from_the_start_do_not_count() -> None:
    image, other = Trail(), Trail()
    end = Trail((image, other, Trail((image,), (2, 2))))
    assert paths_of(image, [end])[0].counts == {1: 1, 3: 1}


def test_a_block_of_four_splits_by_hand() -> None:
    # three convolutions in a hierarchy: 1 + 2 + 3 ways in, the bypass, and the identity
    (*_, block) = tally(NETWORKS["res2net50_26w_4s"]).blocks
    assert paths_in(block).counts == {1: 2, 3: 3, 5: 2, 7: 1}
    (*_, plain) = tally(NETWORKS["resnet50"]).blocks
    assert paths_in(plain).counts == {1: 1, 3: 1}


@pytest.mark.parametrize("scale", range(2, 9))
def test_a_block_of_any_scale_by_formula(scale: int) -> None:
    (*_, block) = tally(find_variant("res2net50_26w_4s", {"scale": scale})).blocks
    paths = paths_in(block)
    assert paths.total == scale * (scale - 1) // 2 + 2
    assert paths.largest == 2 * scale - 1


@pytest.mark.parametrize("name", NETWORKS)
def test_the_largest_field_is_the_receptive_field_of_every_level(name: str) -> None:
    structure = tally(NETWORKS[name])
    found = paths_of(structure.image, [level.trail for level in structure.levels])
    for level, paths in zip(structure.levels, found, strict=True):
        assert paths.largest == level.receptive_field
        assert paths.total >= 1


def test_a_chain_of_blocks_multiplies() -> None:
    structure = tally(NETWORKS["resnet29_small"])
    total = 1
    combined = {1: 1}
    for block in structure.blocks:
        inside = {
            (side - 1) * block.start.stride: number
            for side, number in paths_in(block).counts.items()
        }
        total *= sum(inside.values())
        sums: Counter[int] = Counter()
        for (side, a), (more, b) in product(combined.items(), inside.items()):
            sums[side + more] += a * b
        combined = sums
    paths = paths_of(structure.image, [structure.levels[-1].trail])[0]
    assert paths.total == total == 2**9
    assert paths.counts == {side + 2: number for side, number in sorted(combined.items())}


def test_figures_of_a_distribution() -> None:
    image = Trail()
    end = Trail((image, Trail((image,), (2, 0)), Trail((image,), (2, 4))))
    paths = paths_of(image, [end])[0]
    assert paths.counts == {1: 1, 3: 1, 5: 1}
    assert (paths.total, paths.largest, paths.mean) == (3, 5, 3.0)
    assert [paths.quantile(Fraction(k, 3)) for k in (1, 2, 3)] == [1, 3, 5]
    assert sum(paths.shares().values()) == pytest.approx(1)


@pytest.mark.parametrize(
    ("name", "twin"),
    [
        ("res2net50_14w_8s", "resnet50"),
        ("seres2net50_26w_4s", "seresnet50"),
        ("res2next50", "resnext50_32x4d"),
        ("dla60_res2next", "dla60x"),
        ("dla60_res2net", "dla60"),
        ("res2net18", "resnet18"),
        ("blres2net50", "blresnet50"),
        ("res2net29_small", "resnet29_small"),
        ("res2net26_small", "resnet26_small"),
        ("res2next29_6c24w_4s_se", "resnext29_8c64w_se"),
        ("res2net50d", None),  # the table has no plain one with this stem
        ("resnet50", None),
        ("inception_v3", None),
    ],
)
def test_plain_twins(name: str, twin: str | None) -> None:
    assert plain_twin(NETWORKS[name]) == twin
