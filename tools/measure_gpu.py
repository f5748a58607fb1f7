"""Measure networks on this machine's GPU, in less than eight minutes.

    python tools/measure_gpu.py [--out results] [--seconds 450] [--cifar PATH] [--tiny]

In this order: correctness of captured networks; inference of ResNet-50 and Res2Net-50 in every
execution mode; a training step and its memory; the networks of Table 3; with ``--cifar``, the
networks of Fig. 5 trained with the recipe cifar-fast. Rows are written as soon as they are
measured, a failure is recorded with its reason, and the rest is skipped when the time is up. Needs
torch, torchvision and the light core; timm is included if installed. ``--tiny`` runs everything
once at small size, also without a GPU.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from res2net import machine
from res2net.bench.protocol import append_rows, versions_of
from res2net.capture import COMPILED, Captured, record_cuda
from res2net.data.cifar import read_cifar100
from res2net.data.dataset import ImageDataset
from res2net.data.feed import gathered
from res2net.data.labelled import LabelledImages, ReadOptions, Split
from res2net.data.loader import default_workers, make_loader
from res2net.data.preprocess import default_preprocess
from res2net.data.transforms import normalise, train_transform
from res2net.experiments.studies import FIGURE5
from res2net.experiments.study import Point
from res2net.models.factory import create_model
from res2net.models.network import whiten
from res2net.nn.layers import count_on_host
from res2net.paper.published import published
from res2net.rewrite import fold_batchnorm, lowered, pad_splits, with_epilogues
from res2net.training.configure import configure
from res2net.training.optimise import make_optimiser
from res2net.training.whole_step import WholeStep

PAIR = ("resnet50", "res2net50_26w_4s")
GPU = torch.cuda.is_available()
HALF = torch.bfloat16 if machine.hardware_bf16() else torch.float32  # emulated, it takes minutes
MIXED = torch.float32 != HALF
LEAST = 5 if GPU else 1  # calls
DEVICE = machine.best_device()
KINDS = dict.fromkeys((HALF, torch.float16) if GPU else (HALF,))
PRECISION = {torch.float32: "fp32", torch.bfloat16: "bf16", torch.float16: "fp16"}
Call = Callable[[], Any]
Row = dict[str, object]


@dataclass(frozen=True)
class Sizes:
    """Extent of the measurement."""

    side: int
    batches: tuple[int, ...]
    steps: tuple[int, ...]  # batches of a training step
    compiled: tuple[str, ...]
    others: tuple[str, ...]  # models whose outputs are only checked
    rivals: tuple[str, ...]
    options: dict[str, Any]  # of the networks
    train: dict[str, Any]  # of cifar-fast


OTHERS = ("res2next50", "seres2net50_26w_4s", "dla60_res2net", "blres2net50")
RIVALS = ("timm res2net50_26w_4s",) if find_spec("timm") else ()
WHOLE = Sizes(224, (1, 8, 64, 256), (64, 256), COMPILED, OTHERS, RIVALS, {}, {})
TINY = Sizes(
    32, (1, 2), (2,), (), OTHERS[:2], (), {"depth": 26, "width": 6}, {"epochs": 2, "batch": 16}
)


class Rows:
    """Appends rows to the results files and prints them."""

    def __init__(self, out: Path, seconds: float) -> None:
        self.out, self.end = out, time.monotonic() + seconds
        self.command = f"python tools/measure_gpu.py {' '.join(sys.argv[1:])}".strip()

    def left(self) -> float:
        """Seconds."""
        return self.end - time.monotonic()

    def add(self, subject: str, measure: Callable[[], dict[str, object]], **of: object) -> None:
        """Measure and record a row; a failure becomes a row with its reason."""
        if self.left() < 25:
            return
        try:
            row = of | measure()
        except Exception as error:
            row = of | {"failed": " ".join(repr(error).split())[:160]}
        print(subject, *(f"{name}={value}" for name, value in row.items()), flush=True)
        append_rows(self.out / f"gpu_{subject}.csv", [row | versions_of("timm")], self.command)
        if GPU:
            torch.cuda.empty_cache()
        torch.compiler.reset()


def timed(call: Call, *, most: int = 40, seconds: float = 1.2) -> dict[str, object]:
    """Milliseconds of single calls, after three warm-up calls; on a GPU measured with events."""
    for _ in range(3):
        call()
    machine.wait()
    found: list[float] = []
    end = time.monotonic() + seconds
    while len(found) < LEAST or (time.monotonic() < end and len(found) < most):
        if GPU:
            start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            start.record()
            call()
            stop.record()
            stop.synchronize()
            found.append(start.elapsed_time(stop))
        else:
            begun = time.perf_counter()
            call()
            found.append(1e3 * (time.perf_counter() - begun))
    median = statistics.median(found)
    return {"median_ms": f"{median:.4g}", "least_ms": f"{min(found):.4g}", "n": len(found)}


def network(name: str, options: dict[str, Any]) -> nn.Module:
    """A network on the device, with the same random weights in every call."""
    torch.manual_seed(0)
    if name.startswith("timm "):
        import timm

        net = timm.create_model(name.removeprefix("timm "))
    else:
        net = create_model(name, **options)
    return net.eval().requires_grad_(False).to(DEVICE).to(memory_format=torch.channels_last)


def images(batch: int, side: int, kind: torch.dtype = torch.float32) -> Tensor:
    """(B, 3, S, S), channels last."""
    chance = torch.Generator().manual_seed(1)
    x = torch.randn(batch, 3, side, side, generator=chance).to(DEVICE, kind)
    return x.contiguous(memory_format=torch.channels_last)


def quiet(
    run: Callable[[Tensor], Any], x: Tensor, *, autocast: torch.dtype = torch.float32
) -> Call:
    """A call without gradients."""

    def call() -> Any:
        with (
            torch.inference_mode(),
            torch.autocast(DEVICE.type, autocast, enabled=autocast != torch.float32),
        ):
            return run(x)

    return call


def recorded(run: Callable[[Tensor], Any], x: Tensor) -> Call:
    """A replayed call, without the copies of ``Captured``; a plain call without a GPU."""
    if not GPU:
        return quiet(run, x)
    with torch.inference_mode():
        recording = record_cuda(run, x)

    def call() -> Any:
        recording.replay()
        return recording.found

    return call


def rewritten(net: nn.Module, kind: torch.dtype, *, pad: bool, fuse: bool) -> nn.Module:
    """Folded and, if requested, padded and fused, in 16 bits."""
    net = fold_batchnorm(net)
    if pad:
        pad_splits(net)
    return lowered(with_epilogues(net) if fuse else net, kind)


Way = Callable[[nn.Module, Tensor, torch.dtype], Call]


def replayed(net: nn.Module, x: Tensor, kind: torch.dtype, *, pad: bool, fuse: bool) -> Call:
    """A network rewritten and recorded."""
    return recorded(rewritten(net, kind, pad=pad, fuse=fuse), x.to(kind))


WAYS: dict[str, Way] = {
    "as trained": lambda net, x, kind: quiet(net, x, autocast=kind),
    "folded": lambda net, x, kind: quiet(rewritten(net, kind, pad=False, fuse=False), x.to(kind)),
    "folded, recorded": partial(replayed, pad=False, fuse=False),
    "epilogues, recorded": partial(replayed, pad=False, fuse=True),
    "padded, epilogues, recorded": partial(replayed, pad=True, fuse=True),
    "captured": lambda net, x, kind: quiet(Captured(net), x, autocast=kind),
}
IN_FP16 = ("as trained", "padded, epilogues, recorded", "captured")  # all would take too long


def compiled(mode: str, *, pad: bool) -> Way:
    """torch.compile of the folded network."""

    def way(net: nn.Module, x: Tensor, kind: torch.dtype) -> Call:
        run = torch.compile(rewritten(net, kind, pad=pad, fuse=False), mode=mode, dynamic=False)
        return quiet(run, x.to(kind))

    return way


def right(rows: Rows, sizes: Sizes) -> None:
    """Compare every rewritten network on this device with fp32 on the CPU."""
    for name in (*PAIR, *sizes.others):
        for kind in dict.fromkeys((torch.float32, *KINDS)):

            def measure(name: str = name, kind: torch.dtype = kind) -> dict[str, object]:
                net, x = network(name, sizes.options), images(3, sizes.side)
                wanted = quiet(network(name, sizes.options).cpu(), x.cpu())().double()
                call = quiet(Captured(net), x, autocast=kind)
                found = [call() for _ in range(3)][-1].double().cpu()  # the third is replayed
                error = float((found - wanted).norm() / wanted.norm())
                return {
                    "relative_l2": f"{error:.1e}",
                    "right": error < (0.01 if kind == torch.float32 else 0.1),
                }

            rows.add("right", measure, network=name, precision=str(kind).removeprefix("torch."))


def inference(rows: Rows, sizes: Sizes) -> None:
    """Every execution mode, batch size and network."""
    ways = dict(WAYS)
    for mode in sizes.compiled:
        ways[f"compile {mode}"] = compiled(mode, pad=False)
    if sizes.compiled:
        ways["padded, compile reduce-overhead"] = compiled("reduce-overhead", pad=True)
    names = [*PAIR, *sizes.rivals]
    for (way, make), batch, kind in product(ways.items(), sizes.batches, KINDS):
        if "max-autotune" in way and batch != 64:  # minutes each
            continue
        if kind != HALF and way not in IN_FP16:
            continue
        for name in names:
            if name.startswith("timm") and way not in ("as trained", "compile reduce-overhead"):
                continue
            if name == PAIR[0] and "padded" in way:
                continue

            def measure(
                name: str = name, make: Way = make, batch: int = batch, kind: torch.dtype = kind
            ) -> dict[str, object]:
                begun = time.monotonic()
                call = make(network(name, sizes.options), images(batch, sizes.side), kind)
                assert call().isfinite().all()
                ready = time.monotonic() - begun
                return {"ready_s": f"{ready:.1f}", **timed(call)}

            of = {"network": name, "way": way, "batch": batch, "precision": PRECISION[kind]}
            rows.add("inference", measure, **of)


def learner(
    net: nn.Module, optimiser: torch.optim.Optimizer, *, whole: bool, smoothing: float = 0.0
) -> Callable[[Tensor, Tensor], object]:
    """Training steps in 16 bits: forward, backward, update; recorded if ``whole``."""
    recorded_step = WholeStep() if GPU else WholeStep(lambda run: run)

    def learn(x: Tensor, y: Tensor) -> object:
        def eager() -> tuple[Tensor, ...]:
            images, targets = recorded_step.inputs if whole else (x, y)
            optimiser.zero_grad(set_to_none=True)
            with torch.autocast(DEVICE.type, HALF, enabled=MIXED, cache_enabled=False):
                logits = net(images)
                loss = F.cross_entropy(logits.float(), targets, label_smoothing=smoothing)
            loss.backward()
            optimiser.step()
            return (loss.detach(),)

        return recorded_step.step(net, optimiser, (x, y), eager) if whole else eager()

    return learn


def step_of(net: nn.Module, batch: int, side: int, *, whole: bool = False) -> Call:
    """One training step with a fused optimiser."""
    x = images(batch, side)
    y = torch.zeros(batch, dtype=torch.int64, device=DEVICE)
    optimiser = torch.optim.SGD(net.parameters(), lr=0.01, momentum=0.9, fused=GPU or None)
    learn = learner(net, optimiser, whole=whole)
    for _ in range(WholeStep.WARM if whole else 0):
        learn(x, y)
    return partial(learn, x, y)


def launches(call: Call) -> int | str:
    """Number of kernel and graph launches of a call; "" without a GPU."""
    if not GPU:
        return ""
    from torch.profiler import ProfilerActivity, profile

    call()
    machine.wait()
    with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as seen:
        call()
        machine.wait()
    return sum(each.count for each in seen.key_averages() if "Launch" in each.key)


def training(rows: Rows, sizes: Sizes) -> None:
    """A step of both networks in every mode, and its memory with every checkpointing."""
    ways = [("as it is", "none"), ("counts on the host", "none"), ("whole step recorded", "none")]
    ways += [*((f"compile {mode}", "none") for mode in sizes.compiled[:2])]
    ways += [("as it is", "cheap"), ("as it is", "full")]
    names = [*PAIR, *sizes.rivals]
    for way, kept in ways:
        for batch in sizes.steps:
            for name in names if kept == "none" else PAIR[1:]:

                def measure(
                    name: str = name, way: str = way, kept: str = kept, batch: int = batch
                ) -> dict[str, object]:
                    net = network(name, sizes.options).train().requires_grad_(True)
                    if kept != "none":
                        net.gradient_checkpointing = kept  # type: ignore[assignment]
                    if way.startswith("compile "):
                        net.compile(mode=way.removeprefix("compile "))
                    elif way != "as it is":
                        count_on_host(net)
                    if GPU:
                        torch.cuda.reset_peak_memory_stats()
                    step = step_of(net, batch, sizes.side, whole=way == "whole step recorded")
                    found = timed(step, most=20, seconds=2.0)
                    peak = torch.cuda.max_memory_allocated() // 2**20 if GPU else ""
                    rate = 1e3 * batch / float(str(found["median_ms"]))
                    return {
                        **found,
                        "images_s": f"{rate:.0f}",
                        "peak_mib": peak,
                        "launches": launches(step),
                    }

                rows.add(
                    "training", measure, network=name, way=way, checkpointing=kept, batch=batch
                )


def table3(rows: Rows, sizes: Sizes) -> None:
    """The runtime column of Table 3: all its networks, captured, in fp32 as in the paper."""
    for name in dict.fromkeys(row.network for row in published("Table 3") if row.network):
        for batch in sizes.batches[:1] + sizes.batches[-1:]:

            def measure(name: str = name, batch: int = batch) -> dict[str, object]:
                return timed(
                    quiet(Captured(network(name, sizes.options)), images(batch, sizes.side))
                )

            rows.add("table3", measure, network=name, batch=batch, precision="fp32")


def trained(point: Point, data: LabelledImages, seed: int, rows: Rows, sizes: Sizes) -> Row:
    """A network of Fig. 5 with the recipe cifar-fast, recorded steps, images on the device."""
    begun = time.monotonic()
    groups: dict[str, dict[str, Any]] = {"net": {}, "train": dict(sizes.train)}
    for option, value in point.settings.items():
        if option.startswith("net."):
            groups["net"][option.removeprefix("net.")] = value
    given = {"model": point.network, "data": f"{data.name}:.", "recipe": "cifar-fast", **groups}
    config = configure(given, out=Path("none"), resume=False)[0]
    torch.manual_seed(seed)
    net = create_model(point.network, num_classes=len(data.classes), **config.net.variant())
    preprocess = default_preprocess(32, cifar=True)

    def prepared(pixels: Tensor) -> Tensor:
        return normalise(pixels, preprocess).contiguous(memory_format=torch.channels_last)

    whiten(net, prepared(as_batch(data.train.images, slice(None, None, 97))), seed)
    net.to(DEVICE).to(memory_format=torch.channels_last).train()
    count_on_host(net)
    plain = ImageDataset(data.train, train_transform(config.augment, preprocess), min_side=None)
    feed = gathered(plain, config.augment)
    loader = make_loader(
        feed.dataset,
        feed.collate,
        batch=config.train.batch,
        shuffle=True,
        seed=seed,
        workers=default_workers() if GPU else 0,
        drop_last=True,
    )
    made = make_optimiser(nn.ModuleDict({"model": net}), config.train, len(loader))
    smoothing = config.train.label_smoothing
    learn = learner(net, made["optimizer"], whole=True, smoothing=smoothing)
    for epoch in range(config.train.epochs):
        assert rows.left() > 15, f"out of time after {epoch} epochs"
        loader.sampler.set_epoch(epoch)  # type: ignore[attr-defined]
        for drawn in loader:
            pixels, labels, _ = feed.finish(drawn, DEVICE)
            learn(prepared(pixels), labels)
            made["lr_scheduler"]["scheduler"].step()
    machine.wait()
    seconds, wrong, whole = time.monotonic() - begun, 0, as_batch(data.val.images)
    for x, y in zip(whole.split(500), torch.from_numpy(data.val.labels).split(500), strict=True):
        logits = quiet(net.eval(), prepared(x.to(DEVICE)), autocast=HALF)()
        wrong += int((logits.argmax(1).cpu() != y).sum())
    return {"top1_error": f"{100 * wrong / len(whole):.2f}", "seconds": f"{seconds:.1f}"}


def as_batch(pixels: Any, chosen: slice = slice(None)) -> Tensor:
    """An array (N, S, S, C), or some of it, as uint8 (B, C, S, S)."""
    return torch.from_numpy(np.array(pixels[chosen])).permute(0, 3, 1, 2)


def figure5(rows: Rows, sizes: Sizes, path: Path | None) -> None:
    """Small networks of Fig. 5 on CIFAR-100; with ``--tiny`` on noise."""
    if path is not None:
        data = read_cifar100(path, ReadOptions())
    elif sizes.train:
        noise = np.random.default_rng(0).integers(0, 256, (96, 32, 32, 3), dtype=np.uint8)
        part = Split(images=noise, labels=np.arange(96) % 2)
        data = LabelledImages(
            name="cifar100", classes=("a", "b"), train=part, val=part, native_size=32
        )
    else:
        print("cifar-fast is skipped; it needs --cifar PATH with CIFAR-100")
        return
    for seed, point in product(range(2), FIGURE5.points):
        measure = partial(trained, point, data, seed, rows, sizes)
        of = {
            "point": point.label,
            "network": point.network,
            "seed": seed,
            "precision": PRECISION[HALF],
        }
        rows.add("cifar_fast", measure, **of)
        if sizes.train:
            return


def main() -> int:
    """Measure until everything is done or the time is up."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder for the results")
    parser.add_argument("--seconds", type=float, default=450, help="time limit")
    parser.add_argument("--cifar", type=Path, help="CIFAR-100, to train the networks of Fig. 5")
    parser.add_argument("--tiny", action="store_true", help="run everything once at small size")
    options = parser.parse_args()
    if not GPU and not options.tiny:
        parser.error("this machine has no GPU; --tiny tries the script without one")
    torch.backends.cudnn.benchmark = True
    rows = Rows(options.out, options.seconds)
    sizes = TINY if options.tiny else WHOLE
    for part in (right, inference, training, table3):
        part(rows, sizes)
    figure5(rows, sizes, options.cifar)
    print(f"{max(0, rows.left()):.0f} s were left" if rows.left() > 25 else "the time was up")
    return 0


if __name__ == "__main__":
    sys.exit(main())
