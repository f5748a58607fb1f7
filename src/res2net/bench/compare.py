"""Compare networks: parameters, multiply-adds, activations, memory and latency."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from res2net.bench.memory import bytes_kept
from res2net.bench.protocol import interleave
from res2net.drawing.canvas import (
    BLUE,
    GREY,
    MARGIN,
    ORANGE,
    TOP,
    WIDTH,
    add_axes,
    fit,
    headed_figure,
    measure,
)
from res2net.models.factory import create_model
from res2net.models.network import Network
from res2net.paper.networks import find_variant
from res2net.paper.structure import default_classes, tally

ROUNDS = 15  # a quick estimate; `res2net bench` uses 45
MIB = 2**20
BAR, BETWEEN = 26, 74  # pixels: of a bar, between panels
MEASURES = (  # field, title, factor, decimals
    ("params", "Parameters, M", 1e-6, 2),
    ("macs", "Multiply-adds, G", 1e-9, 3),
    ("activations", "Activations, M numbers", 1e-6, 2),
    ("kept", "Kept for backward, MiB per image", 1 / MIB, 1),
    ("latency", "Latency of one image, ms", 1e3, 1),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Compared:
    """One network of a comparison; values are for one image."""

    network: str
    size: int  # pixels, side of the image
    params: int
    macs: int  # multiply-adds
    activations: int  # output values of all convolutions
    kept: int | None = None  # bytes kept for backward in a training step, fp32
    latency: float | None = None  # seconds, median; None: not measured


def count(names: Sequence[str], *, size: int | None, num_classes: int | None) -> list[Compared]:
    """The counted values, without torch.

    Raises:
        UserError: no such network, or a size that is too small for it.
    """
    found = []
    for name in names:
        structure = tally(find_variant(name), size=size, num_classes=num_classes)
        found.append(
            Compared(
                network=name,
                size=structure.size,
                params=structure.params,
                macs=structure.macs,
                activations=structure.activations,
            )
        )
    return found


def time_networks(
    counted: Sequence[Compared],
    *,
    num_classes: int | None,
    rounds: int = ROUNDS,
) -> list[Compared]:
    """Memory and latency added: PyTorch, fp32, channels last, batch 1, interleaved rounds."""
    cases: dict[str, Callable[[], object]] = {}
    kept: dict[str, int] = {}
    for each in counted:
        classes = (
            default_classes(find_variant(each.network)) if num_classes is None else num_classes
        )
        model = create_model(each.network, num_classes=classes)
        model = model.to(memory_format=torch.channels_last)
        image = torch.rand(1, 3, each.size, each.size).contiguous(memory_format=torch.channels_last)
        kept[each.network] = _kept(model, image)
        cases[each.network] = _case(model.eval(), image)
    timings = interleave(cases, rounds=rounds)
    return [
        replace(each, kept=kept[each.network], latency=timings[each.network].median)
        for each in counted
    ]


def _kept(model: Network, image: Tensor) -> int:
    two = torch.cat([image, image])  # a batch norm needs more than one value

    def forward() -> Tensor:
        return torch.stack([out.sum() for _, out in model.training_outputs(two)]).sum()

    model.train()
    return bytes_kept(forward) // 2


def _case(model: Network, image: Tensor) -> Callable[[], object]:
    def run() -> object:
        with torch.inference_mode():
            return model(image)

    return run


def as_csv(compared: Sequence[Compared]) -> str:
    """One line per network, in base units (numbers, bytes, seconds)."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(asdict(compared[0])), lineterminator="\n")
    writer.writeheader()
    writer.writerows({k: "" if v is None else v for k, v in asdict(c).items()} for c in compared)
    return text.getvalue()


def draw_comparison(compared: Sequence[Compared], path: Path, *, subtitle: str) -> None:
    """Draw a panel per measure with a bar per network and its ratio to the first.

    Raises:
        UserError: ``path`` cannot be written.
    """
    shown = [m for m in MEASURES if getattr(compared[0], m[0]) is not None]
    names = [fit(each.network, 190, 7) for each in compared]
    margin = max(measure(name, 7) for name in names) + 16
    width = (WIDTH - 2 * MARGIN) / 2 - margin - 140
    panel = max(len(compared) * BAR, 60)
    rows = -(-len(shown) // 2)
    height = TOP + 30 + rows * (panel + BETWEEN) + MARGIN
    with headed_figure(path, height, "Network comparison", subtitle) as figure:
        for i, (field, title, factor, decimals) in enumerate(shown):
            row, column = divmod(i, 2)
            left = MARGIN + margin + column * (WIDTH - 2 * MARGIN) / 2
            axes = add_axes(figure, left, TOP + 30 + row * (panel + BETWEEN), width, panel)
            values = [factor * getattr(each, field) for each in compared]
            colours = [BLUE, *[ORANGE] * (len(values) - 1)]
            bars = axes.barh(range(len(values)), values, 0.75, color=colours)
            labels = [f"{value:.{decimals}f}  ×{value / values[0]:.2f}" for value in values]
            axes.bar_label(bars, labels, padding=4, fontsize=7, color=GREY)
            axes.set_yticks(range(len(names)), names)
            axes.invert_yaxis()
            axes.set_title(title)
            axes.grid(False, axis="y")
            axes.set_xlim(0, max(values) * 1.02)
