"""Speed of each stage of a network in the native engine, relative to the processor's peak.

The peak is measured with the engine's multiply-add instruction on registers, on all threads,
without memory access. A 3×3 that computes two pixels at once (``native.network.by_pairs``) needs
two thirds of the counted multiply-adds, so it can exceed the peak by half.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.patches import Patch

from res2net.bench.deploy import BAR, cases
from res2net.bench.engines import ENGINES, Case, native_program
from res2net.bench.options import RooflineOptions
from res2net.bench.protocol import Measurement, Track
from res2net.drawing.canvas import (
    BLUE,
    GREEN,
    INK,
    MARGIN,
    ORANGE,
    RED,
    TOP,
    WIDTH,
    add_axes,
    headed_figure,
)
from res2net.errors import UserError
from res2net.native.binding import unsupported_reason
from res2net.native.network import NativeNetwork, products
from res2net.processor import threads

GAP, NAME = 90, 190  # pixels: between panels, a network's name
PASSES = "a 3×3 that takes two pixels at once may pass the peak by half"
_IN_BLOCK = re.compile(r"(c\d)\.\d+\.(\w+)")
COLUMNS = {
    n: n for n in ("network", "precision", "part", "ms", "ms_at_peak", "gflops", "share_of_peak")
}


def run(options: RooflineOptions, track: Track) -> Measurement:
    """Measure the share of the processor's peak that each stage reaches.

    Raises:
        UserError: an unknown name, a processor without support in the engine, or a chart that
            cannot be written.
    """
    torch.set_num_threads(threads())
    wanted = rooflines(options.model.split(","), options.precisions.split(","))
    found = {
        case: measure(case, size=options.size, rounds=options.rounds)
        for case in track(wanted, len(wanted), "networks")
    }
    rows = [row for case, each in found.items() for row in as_rows(case, options.size, each)]
    if options.chart:
        draw_rooflines(rows, options.chart)
    lines = [
        f"{case.network} {case.precision}: {each.milliseconds:.2f} ms for all operations; "
        f"peak {each.peak:.0f} GFLOP/s"
        for case, each in found.items()
    ]
    return Measurement(rows=rows, columns=COLUMNS, lines=lines)


@dataclass(frozen=True, kw_only=True)
class Part:
    """Operations of one kind in one stage."""

    name: str  # "c3 3×3"
    milliseconds: float
    macs: int

    @property
    def gflops(self) -> float:
        """10⁹ multiplications and additions per second."""
        return 2 * self.macs / self.milliseconds / 1e6


@dataclass(frozen=True, kw_only=True)
class Roofline:
    """A network and the machine."""

    peak: float  # GFLOP/s
    parts: tuple[Part, ...]
    rounds: int  # rounds of the median

    @property
    def milliseconds(self) -> float:
        """Time of all operations, with a barrier after each."""
        return sum(part.milliseconds for part in self.parts)

    def share(self, part: Part) -> float:
        """Share of the peak that a part reaches."""
        return part.gflops / self.peak

    def at_peak(self, part: Part) -> float:
        """Milliseconds that its multiply-adds take at the peak."""
        return 2 * part.macs / self.peak / 1e6


def rooflines(networks: Sequence[str], precisions: Sequence[str]) -> list[Case]:
    """The cases that can be measured here.

    Raises:
        UserError: a network or precision that is unknown or not supported by the engine.
    """
    reasons = [
        unsupported_reason(precision) for precision in precisions if precision in ENGINES["native"]
    ]
    if reasons and all(reasons):
        raise UserError(f"roofline: the native engine is not available here: {reasons[0]}")
    return cases(networks, makers=["ours"], engines=["native"], precisions=precisions)


def measure(case: Case, *, size: int, rounds: int) -> Roofline:
    """Time the operations of a network on torch's number of threads."""
    used = torch.get_num_threads()
    program, images = native_program(case, size)
    engine = NativeNetwork(program, case.precision, used)
    engine(images)
    seconds = np.median(engine.seconds(images, rounds), 0)
    found: dict[str, list[tuple[float, int]]] = {}
    for op, took in zip(program.ops, seconds, strict=True):
        macs = _macs(op, engine) if op["op"] == "conv" else 0
        found.setdefault(_name(op), []).append((float(took), macs))
    parts = tuple(
        Part(name=name, milliseconds=1000 * sum(s for s, _ in ops), macs=sum(m for _, m in ops))
        for name, ops in found.items()
    )
    return Roofline(peak=_peak(case.precision, used), parts=parts, rounds=rounds)


def _peak(precision: str, used: int, rounds: int = 4_000_000) -> float:
    """Total GFLOP/s of a number of threads; the best of a few tries."""
    best = 0.0
    with ThreadPoolExecutor(used) as pool:
        for _ in range(5):
            start = time.perf_counter()
            done = sum(pool.map(lambda _: products(precision, rounds), range(used)))
            best = max(best, 2 * done / (time.perf_counter() - start) / 1e9)
    return best


def _macs(op: Mapping[str, Any], engine: NativeNetwork) -> int:
    _, height, width = engine.shape(op["output"])
    second = op["second_channels"] if op.get("second", -1) >= 0 else 0
    taps = op["channels"] // op["groups"] * op["kernel"] ** 2
    return int(height * width * op["outputs"] * (taps + second))


def _name(op: Mapping[str, Any]) -> str:
    """Stage and kind of an operation; its own name outside of blocks."""
    name = str(op.get("name", op["op"]))
    if not (of_block := _IN_BLOCK.match(name)):
        return name
    if op["op"] != "conv":
        return f"{of_block[1]} {op['op']}"
    if op["kernel"] == 3:
        return f"{of_block[1]} 3×3"
    return f"{of_block[1]} 1×1 {'in' if 'conv1' in of_block[2] else 'out'}"


def as_rows(case: Case, size: int, found: Roofline) -> Iterator[dict[str, object]]:
    """Rows of results for the multiplying parts, and one for the rest."""
    rest = sum(part.milliseconds for part in found.parts if not part.macs)
    for part in (*(p for p in found.parts if p.macs), Part(name="rest", milliseconds=rest, macs=0)):
        yield {
            "network": case.network,
            "precision": case.precision,
            "size": size,
            "part": part.name,
            "ms": round(part.milliseconds, 3),
            "gflops": round(part.gflops, 1),
            "share_of_peak": round(found.share(part), 3),
            "ms_at_peak": round(found.at_peak(part), 3),
            "peak_gflops": round(found.peak, 1),
            "all_ms": round(found.milliseconds, 2),
            "n": found.rounds,
        }


def draw_rooflines(rows: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Draw the share of the measured peak that each part reaches, on one axis, and write a PNG.

    Args:
        rows: of ``as_rows``, or of a file of results; of one size of images.

    Raises:
        UserError: ``path`` cannot be written.
    """
    rows = [row for row in rows if float(row["gflops"])]
    precisions, networks, parts = (
        list(dict.fromkeys(row[key] for row in rows)) for key in ("precision", "network", "part")
    )
    colours = dict(zip(networks, cycle((BLUE, ORANGE, GREEN, RED))))
    step = len(networks) + 1
    panel = len(parts) * step * BAR * 2 // 3
    height = TOP + 70 + len(precisions) * (panel + GAP) + MARGIN
    size = rows[0]["size"]
    subtitle = f"one image of {size}x{size} pixels; beside the bars: GFLOP/s; {PASSES}"
    most = max(float(row["share_of_peak"]) for row in rows)
    with headed_figure(path, height, "Speed by stage", subtitle) as figure:
        keys = [Patch(color=colours[network], label=network) for network in networks]
        figure.legend(handles=keys, loc="upper right", ncols=len(keys))
        for i, precision in enumerate(precisions):
            top = TOP + 40 + i * (panel + GAP)
            axes = add_axes(figure, MARGIN + NAME, top, WIDTH - 2 * MARGIN - NAME - 30, panel)
            own = [row for row in rows if row["precision"] == precision]
            for n, network in enumerate(networks):
                shown = [row for row in own if row["network"] == network]
                places = [parts.index(row["part"]) * step + n for row in shown]
                shares = [100 * float(row["share_of_peak"]) for row in shown]
                bars = axes.barh(places, shares, 0.9, color=colours[network])
                labels = [f"{float(row['gflops']):.0f}" for row in shown]
                back = {"facecolor": "white", "edgecolor": "none", "pad": 0}
                axes.bar_label(bars, labels, padding=4, fontsize=6, bbox=back)
            peak = max(float(row["peak_gflops"]) for row in own)
            axes.axvline(100, color=INK, linestyle="--", linewidth=0.8)
            axes.set_yticks([k * step + (step - 2) / 2 for k in range(len(parts))], parts)
            axes.set_xlim(0, 100 * max(1.08, 1.06 * most))
            axes.invert_yaxis()
            axes.set_title(f"{precision}: peak {peak:,.0f} GFLOP/s")
            axes.grid(axis="y", visible=False)
        axes.set_xlabel("share of the measured peak, %")
