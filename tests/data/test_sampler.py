"""Order and seeds of an epoch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from res2net.data.sampler import EpochSampler, SampleKey, derive_seed, seeded
from res2net.errors import UserError


def keys(count: int, *, epoch: int = 0, **options: object) -> list[SampleKey]:
    sampler = EpochSampler(count, **options)  # type: ignore[arg-type]
    sampler.set_epoch(epoch)
    drawn = list(sampler)
    assert len(drawn) == len(sampler)
    return drawn


@given(st.integers(1, 60), st.integers(1, 5), st.integers(0, 9), st.integers(0, 99))
def test_evaluation_deals_every_image_once(count: int, world: int, epoch: int, seed: int) -> None:
    parts = [
        keys(count, epoch=epoch, shuffle=False, seed=seed, rank=rank, world=world)
        for rank in range(world)
    ]
    assert sorted(key.index for part in parts for key in part) == list(range(count))
    assert all([k.index for k in part] == sorted(k.index for k in part) for part in parts)


@given(st.integers(5, 60), st.integers(1, 5), st.integers(1, 4), st.integers(0, 9))
def test_global_batches_do_not_depend_on_the_processes(
    count: int, world: int, batch: int, epoch: int
) -> None:
    single = keys(count, epoch=epoch, shuffle=True, seed=7)
    parts = [
        keys(count, epoch=epoch, shuffle=True, seed=7, rank=rank, world=world)
        for rank in range(world)
    ]
    assert {len(part) for part in parts} == {count // world}
    for k in range(count // world // batch):
        together = {key for part in parts for key in part[k * batch : (k + 1) * batch]}
        assert together == set(single[k * batch * world : (k + 1) * batch * world])


def test_order_follows_seed_and_epoch_alone() -> None:
    assert keys(50, epoch=3, shuffle=True, seed=1) == keys(50, epoch=3, shuffle=True, seed=1)
    orders = {
        tuple(key.index for key in keys(50, epoch=epoch, shuffle=True, seed=seed))
        for epoch in range(4)
        for seed in range(4)
    }
    assert len(orders) == 16
    assert all(sorted(order) == list(range(50)) for order in orders)


def test_drawing_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    keys(50, shuffle=True, seed=1)
    assert torch.equal(torch.get_rng_state(), before)


def test_seeds_differ_between_images_and_epochs() -> None:
    seeds = [key.seed for epoch in range(5) for key in keys(200, epoch=epoch, shuffle=True, seed=1)]
    assert len(set(seeds)) == 1000


def test_derived_seeds_are_pinned() -> None:
    """A resumed run of a later version must draw the same."""
    assert derive_seed(0) == 1786884285633530058
    assert derive_seed(1, 2, 3) == 13041116711478803063
    assert derive_seed(1, 2, 3) != derive_seed(3, 2, 1)


def test_seeded_restores_the_generator() -> None:
    torch.manual_seed(5)
    expected = torch.rand(2)
    torch.manual_seed(5)
    with seeded(1):
        first = torch.rand(1)
    with seeded(1):
        assert torch.equal(torch.rand(1), first)
    assert torch.equal(torch.rand(2), expected)


def test_faults() -> None:
    with pytest.raises(UserError, match=r"2 training image\(s\) cannot be shared by 3 processes"):
        EpochSampler(2, shuffle=True, seed=0, world=3)
    with pytest.raises(ValueError, match=r"rank is 2; it must lie in 0\.\.1"):
        EpochSampler(9, shuffle=True, seed=0, rank=2, world=2)


def test_what_alternates_turns_every_epoch_and_half_of_the_images_at_first() -> None:
    epochs = [
        {key.index: key.turned for key in keys(200, epoch=epoch, shuffle=True, seed=4)}
        for epoch in range(3)
    ]
    assert all(epochs[0][i] != epochs[1][i] for i in range(200))
    assert epochs[0] == epochs[2]
    assert 70 < sum(epochs[0].values()) < 130
    other = {key.index: key.turned for key in keys(200, shuffle=True, seed=5)}
    assert other != epochs[0]


def test_images_come_by_their_factors_each_copy_with_its_own_chance() -> None:
    """Shares of 4 images by factors 1, 1, 2, 4: 0.5, 0.5, 1, 2."""
    factors = np.array([1.0, 1, 2, 4])
    for epoch in range(6):
        drawn = keys(4, epoch=epoch, shuffle=True, seed=5, factors=factors)
        counts = np.bincount([key.index for key in drawn], minlength=4)
        assert counts[2:].tolist() == [1, 2]
        assert counts[:2].tolist() in ([1, 0], [0, 1])
        assert len({key.seed for key in drawn}) == 4
        assert drawn == keys(4, epoch=epoch, shuffle=True, seed=5, factors=factors)
        parts = [
            keys(4, epoch=epoch, shuffle=True, seed=5, factors=factors, rank=r, world=2)
            for r in (0, 1)
        ]
        assert [parts[i % 2][i // 2] for i in range(4)] == drawn


def test_equal_factors_draw_every_image_once_with_the_seeds_of_a_plain_epoch() -> None:
    plain = keys(9, epoch=2, shuffle=True, seed=1)
    assert sorted(keys(9, epoch=2, shuffle=True, seed=1, factors=np.ones(9))) == sorted(plain)
