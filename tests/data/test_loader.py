"""Loaders: the same batches whatever the workers and processes, errors as they were."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from res2net import processor
from res2net.data import sampler
from res2net.data.augment import Augment
from res2net.data.dataset import Batch, ImageDataset, batched
from res2net.data.files import Files
from res2net.data.labelled import Split
from res2net.data.loader import default_workers, make_loader
from res2net.data.preprocess import default_preprocess
from res2net.data.sampler import KeyedDataset, unshared
from res2net.data.transforms import eval_transform, train_transform
from res2net.errors import UserError

PIXELS = np.random.default_rng(0).integers(0, 256, (22, 16, 16, 3), dtype=np.uint8)
SPLIT = Split(images=PIXELS, labels=np.arange(22) % 3)
TRANSFORM = train_transform(Augment(), default_preprocess(12))


def batches(epoch: int = 0, **options: object) -> list[Batch]:
    settings = {"batch": 4, "shuffle": True, "seed": 3, "workers": 0} | options
    dataset = ImageDataset(SPLIT, TRANSFORM, min_side=None)
    loader = make_loader(dataset, batched, **settings)  # type: ignore[arg-type]
    loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
    drawn = list(loader)
    assert len(drawn) == len(loader)
    return drawn


def same(a: list[Batch], b: list[Batch]) -> bool:
    return len(a) == len(b) and all(
        torch.equal(x, y)
        for one, other in zip(a, b, strict=True)
        for x, y in zip(one, other, strict=True)
    )


def test_shapes() -> None:
    images, labels, indices = batches()[0]
    assert (images.shape, images.dtype) == ((4, 3, 12, 12), torch.uint8)
    assert (labels.shape, labels.dtype) == ((4,), torch.int64)
    assert (indices.shape, indices.dtype) == ((4,), torch.int64)
    assert (labels == indices % 3).all()
    assert [len(b[1]) for b in batches()] == [4, 4, 4, 4, 4, 2]
    assert [len(b[1]) for b in batches(drop_last=True)] == [4, 4, 4, 4, 4]


class Rows(KeyedDataset[tuple[int, int]]):
    """Row sums of a large array, and a name."""

    def __init__(self) -> None:
        super().__init__()
        self.values = np.arange(2 << 20, dtype=np.int64).reshape(16, -1)  # 16 MiB
        self.names = Files(Path("/photos"), [f"{i:07}.jpg" for i in range(100_000)])

    def __len__(self) -> int:
        return len(self.values)

    def sample(self, index: int) -> tuple[int, int]:
        return int(self.values[index].sum()), int(self.names.name(index)[:7])


class Wrapped(KeyedDataset[tuple[int, int]]):
    """A data set of another."""

    def __init__(self) -> None:
        super().__init__()
        self.whole = Rows()

    def __len__(self) -> int:
        return len(self.whole)

    def sample(self, index: int) -> tuple[int, int]:
        return self.whole.sample(index)


@pytest.mark.parametrize("kind", [Rows, Wrapped])
def test_spawned_processes_share_the_arrays_of_a_data_set(
    monkeypatch: pytest.MonkeyPatch, kind: type[Rows | Wrapped]
) -> None:
    data = kind()
    whole = len(pickle.dumps(data))
    monkeypatch.setattr(sampler, "get_spawning_popen", object)
    streams = [data.__reduce_ex__(5)[1] for _ in range(2)]
    assert whole > 16 << 20
    assert len(streams[0][0]) < 2000  # bytes, beside the arrays
    assert len(streams[0][1]) == 3  # values; names and their ends
    assert all(a is b for a, b in zip(streams[0][1], streams[1][1], strict=True))  # made once
    copy = unshared(*streams[1])
    assert [copy.sample(i) for i in (0, 15)] == [data.sample(i) for i in (0, 15)]


def test_spawned_workers_load_the_same() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (60, 40, 40, 3), dtype=np.uint8)
    dataset = ImageDataset(Split(images=pixels, labels=np.arange(60)), TRANSFORM, min_side=None)
    loaders = [make_loader(dataset, batched, batch=30, shuffle=True, workers=n) for n in (0, 1)]
    loaders[1].multiprocessing_context = "spawn"
    plain, spawned = map(list, loaders)
    assert same(plain, spawned)
    assert pickle.loads(pickle.dumps(dataset)).split.labels.tolist() == list(range(60))


def test_workers_change_nothing() -> None:
    plain = batches(epoch=2)
    torch.rand(5)
    assert same(batches(epoch=2, workers=1), plain)
    assert same(batches(epoch=2, workers=2), plain)
    assert not same(batches(epoch=3), plain)


def test_workers_live_on_and_have_one_thread() -> None:
    dataset = ImageDataset(SPLIT, _threads, min_side=None)
    loader = make_loader(dataset, batched, batch=4, shuffle=False, workers=1)
    first, second = list(loader), list(loader)
    assert same(first, second)
    assert {int(value) for images, _, _ in first for value in images.flatten()} == {1}


def _threads(image: Tensor) -> Tensor:
    return torch.full_like(image, torch.get_num_threads())


def test_processes_share_the_global_batches() -> None:
    plain = batches(batch=4)
    ranks = [batches(batch=2, rank=rank, world=2) for rank in range(2)]
    for k, (images, _, indices) in enumerate(plain[:5]):
        for rank in range(2):
            own_images, _, own_indices = ranks[rank][k]
            assert torch.equal(own_indices, indices[rank::2])
            assert torch.equal(own_images, images[rank::2])


def test_loading_draws_nothing_from_the_global_generator() -> None:
    before = torch.get_rng_state()
    batches(workers=1)
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_broken_file_is_one_line(
    make_tree: Callable[[dict[str, int]], Path], workers: int
) -> None:
    root = make_tree({"cat": 4})
    (root / "cat" / "2.png").write_bytes(b"no image")
    names = [f"cat/{i}.png" for i in range(4)]
    split = Split(images=Files(root, names), labels=np.zeros(4, dtype=np.int64))
    dataset = ImageDataset(split, eval_transform(default_preprocess(8)), min_side=None)
    loader = make_loader(dataset, batched, batch=2, shuffle=False, workers=workers)
    iterator = iter(loader)
    assert len(next(iterator)[1]) == 2
    message = _fault(iterator)
    assert "cat/2.png: not an image" in message
    assert "\n" not in message


def _fault(iterator: Iterator[Batch]) -> str:
    """What the next batch says is wrong. (``pytest.raises`` would keep the workers alive.)"""
    try:
        next(iterator)
    except UserError as error:
        return str(error)
    return ""


def test_a_batch_larger_than_the_data() -> None:
    with pytest.raises(UserError, match="batch is 12, but there are 11 images per process"):
        batches(batch=12, world=2, drop_last=True)


@pytest.mark.parametrize(
    ("cores", "local", "workers"),
    [(1, "1", 0), (2, "1", 1), (2, "2", 0), (16, "4", 3), (64, "1", 16)],
)
def test_workers_leave_a_core(
    monkeypatch: pytest.MonkeyPatch, cores: int, local: str, workers: int
) -> None:
    monkeypatch.setattr(processor, "cores", lambda: cores)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", local)
    assert default_workers() == workers


@pytest.mark.parametrize(("gpu", "workers"), [(False, 2), (True, 7)])
def test_workers_keep_within_the_threads_that_are_allowed_unless_a_gpu_waits(
    monkeypatch: pytest.MonkeyPatch, gpu: bool, workers: int
) -> None:
    monkeypatch.setattr(processor, "cores", lambda: 8)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert default_workers() == workers


def test_workers_can_be_spawned_as_where_there_is_no_fork() -> None:
    import pickle

    loader = make_loader(
        ImageDataset(SPLIT, TRANSFORM, min_side=None), batched, batch=4, shuffle=True
    )
    assert pickle.loads(pickle.dumps(loader.collate_fn)).args == (batched,)
