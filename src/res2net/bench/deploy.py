"""Benchmark deployed networks by engine and implementation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from res2net.bench.apart import LIVES, time_apart
from res2net.bench.engines import ENGINES, Case, has, runs_in
from res2net.bench.makers import MAKERS, builder
from res2net.bench.options import ROUNDS, DeployOptions
from res2net.bench.protocol import (
    LIBRARIES,
    Measurement,
    Ratio,
    Timing,
    Track,
    ratio_cells,
    versions_of,
)
from res2net.drawing.canvas import (
    BLUE,
    GREEN,
    MARGIN,
    ORANGE,
    TOP,
    WIDTH,
    add_axes,
    fit,
    headed_figure,
)
from res2net.drawing.canvas import measure as measure_text
from res2net.errors import UserError, counted
from res2net.machine import note_slow_bf16
from res2net.processor import threads

REFERENCE = "resnet50"  # the network for comparison
PEER = {"native": "openvino"}  # engine for other makers' networks that cannot run in an engine
OVER = ("over_timm", "over_timm_eager")  # ratios of speeds; others are ratios of times
RATIOS = ("over_timm", "to_resnet50", "to_best_resnet50", "over_timm_eager")
COLUMNS = {n: n for n in ("network", "maker", "engine", "precision", "median_ms", *RATIOS)}
BAR = 20  # pixels of a bar
COLOURS = dict(zip(MAKERS, (BLUE, ORANGE, GREEN), strict=True))


def run(options: DeployOptions, track: Track) -> Measurement:
    """Time networks in engines.

    Raises:
        UserError: a name that does not exist, nothing to time, or a chart that cannot be written.
    """
    torch.set_num_threads(threads())
    engines = options.engines.split(",")
    if "captured" in engines and not torch.cuda.is_available():
        raise UserError("--engines captured: needs a GPU, whose launches it records")
    precisions = options.precisions.split(",")
    if "bf16" in precisions:
        note_slow_bf16("bf16")
    wanted = cases(
        options.model.split(","),
        makers=options.makers.split(","),
        engines=engines,
        precisions=precisions,
        batches=[options.batch],
    )
    found = measure(wanted, size=options.size, rounds=options.rounds, track=track)
    rows = [as_row(speed) for speed in found]
    if options.chart:
        draw_speeds(rows, options.chart)
    return Measurement(rows=rows, columns=COLUMNS)


@dataclass(frozen=True, kw_only=True)
class Speed:
    """The times of one case, and ratios to others."""

    case: Case
    size: int  # pixels
    timing: Timing
    ratios: Mapping[str, Ratio]  # available RATIOS


def cases(
    networks: Sequence[str],
    *,
    makers: Sequence[str] = MAKERS,
    engines: Sequence[str] = tuple(ENGINES),
    precisions: Sequence[str] = ("fp32", "bf16", "int8"),
    batches: Sequence[int] = (1,),
) -> list[Case]:
    """Every combination that exists.

    Raises:
        UserError: an unknown maker, engine or precision, or no combination is left.
    """
    for option, given, known in (
        ("--makers", makers, MAKERS),
        ("--engines", engines, tuple(ENGINES)),
        ("--precisions", precisions, ("fp32", "bf16", "int8")),
    ):
        for value in given:
            if value not in known:
                raise UserError(f"{option} {value}: it can be {', '.join(known)}")
    for network in networks:
        if not any(has(network, maker) for maker in makers):
            builder(network, makers[0])  # raises the reason
    found = [
        Case(network, maker, engine, precision, batch)
        for network in networks
        for maker in makers
        if has(network, maker)
        for engine in engines
        for precision in ENGINES[engine]
        if precision in precisions and runs_in(network, maker, engine, precision)
        for batch in batches
    ]
    if not found:
        raise UserError(
            f"nothing to time: none of {', '.join(makers)} has this network, or none of "
            f"{', '.join(engines)} runs it in {', '.join(precisions)}"
        )
    return found


def measure(
    wanted: Sequence[Case],
    *,
    size: int,
    rounds: int = ROUNDS,
    lives: int = LIVES,
    track: Track | None = None,
) -> list[Speed]:
    """Time the cases, with one process per engine."""
    kinds = dict.fromkeys((case.engine, case.batch) for case in wanted)
    groups = [[c for c in wanted if (c.engine, c.batch) == kind] for kind in kinds]
    timings = time_apart(groups, size=size, rounds=rounds, lives=lives, track=track)
    return [_speed(case, size, timings) for case in wanted]


def as_row(speed: Speed) -> dict[str, object]:
    """A speed as a row of results."""
    case = speed.case
    return {
        **{name: getattr(case, name) for name in ("network", "maker", "engine", "precision")},
        "batch": case.batch,
        "size": speed.size,
        "median_ms": round(1000 * speed.timing.median, 2),
        "least_ms": round(1000 * speed.timing.least, 2),
        "n": len(speed.timing.seconds),
        **{k: v for name in RATIOS for k, v in ratio_cells(name, speed.ratios.get(name)).items()},
        **versions_of(*LIBRARIES),
    }


def references(case: Case) -> dict[str, list[Case]]:
    """Ratio of RATIOS → candidate reference cases, of which the fastest is used.

    ``over_timm`` is to timm's network in the same precision and engine or PEER, ``to_resnet50`` to
    the same maker's ResNet-50 in the same engine, ``to_best_resnet50`` in any engine,
    ``over_timm_eager`` to timm in eager fp32, torch's default layout.
    """
    timm = replace(case, maker="timm", engine=PEER.get(case.engine, case.engine))
    eager = replace(case, maker="timm", engine="eager-nchw", precision="fp32")
    resnet = replace(case, network=REFERENCE)
    found = {
        "over_timm": [timm] if case.maker != "timm" else [],
        "to_resnet50": [resnet],
        "to_best_resnet50": [replace(resnet, engine=engine) for engine in ENGINES],
        "over_timm_eager": [eager] if eager != case else [],
    }
    return {k: v for k, v in found.items() if k in OVER or case.network != REFERENCE}


def compared(case: Case, seconds: Mapping[Case, float]) -> dict[str, Case]:
    """Ratio → its reference case, among the timed ones."""
    timed = {k: [c for c in v if c in seconds] for k, v in references(case).items()}
    return {k: min(v, key=lambda c: seconds[c]) for k, v in timed.items() if v}


def _speed(case: Case, size: int, timings: dict[Case, Timing]) -> Speed:
    own = timings[case]
    others = compared(case, {each: timing.median for each, timing in timings.items()})
    ratios = {
        name: own.speed_over(timings[other]) if name in OVER else timings[other].speed_over(own)
        for name, other in others.items()
    }
    return Speed(case=case, size=size, timing=own, ratios=ratios)


def draw_speeds(rows: Sequence[Mapping[str, Any]], path: Path, *, measured: str = "") -> None:
    """Draw the time of each network per engine, the fastest first, and write a PNG.

    Other makers' networks that cannot run in an engine are shown in its PEER.

    Args:
        rows: from ``as_row`` or a file of results, with one batch and one image size.
        measured: place and date, for the subtitle.

    Raises:
        UserError: ``path`` cannot be written.
    """
    times = {
        (row["maker"], row["network"], row["engine"], row["precision"]): float(row["median_ms"])
        for row in rows
    }
    networks = dict.fromkeys(row["network"] for row in rows)
    makers = [maker for maker in MAKERS if any(key[0] == maker for key in times)]
    found: dict[tuple[str, str, str], dict[str, tuple[float, str]]] = {}
    for maker, *how in times:
        network, engine, precision = how
        found.setdefault((network, engine, precision), {})[maker] = times[maker, *how], ""
    for (network, engine, precision), bars in found.items():
        for maker in makers:
            peer = PEER.get(engine, engine)
            if maker not in bars and (maker, network, peer, precision) in times:
                bars[maker] = times[maker, network, peer, precision], f"in {peer}"
    ranked = sorted(found, key=lambda how: min(time for time, _ in found[how].values()))
    one, pitch = rows[0], len(makers) + 1
    named = [" ".join(how if len(networks) > 1 else how[1:]) for how in ranked]
    images = counted(int(one["batch"]), "image")
    subtitle = (
        f"{', '.join(networks)}, {images} of {one['size']}x{one['size']} pixels, "
        f"median of {one['n']} interleaved rounds{measured}"
    )
    left = max(measure_text(name, 7) for name in named) + 16
    tall = len(ranked) * pitch * BAR
    subtitle = fit(subtitle, WIDTH - 2 * MARGIN, 8)
    with headed_figure(path, TOP + tall + 120, "Latency by engine", subtitle) as figure:
        axes = add_axes(figure, MARGIN + left, TOP + 20, WIDTH - 2 * MARGIN - left, tall)
        for m, maker in enumerate(makers):
            kept = [(i, *found[how][maker]) for i, how in enumerate(ranked) if maker in found[how]]
            places = [i * pitch + m for i, _, _ in kept]
            bars_drawn = axes.barh(
                places, [time for _, time, _ in kept], 0.9, color=COLOURS[maker], label=maker
            )
            labels = [f"{time:.{1 + (time < 1)}f} {where}".rstrip() for _, time, where in kept]
            axes.bar_label(bars_drawn, labels, padding=4, fontsize=7)
        axes.set_yticks([i * pitch + (len(makers) - 1) / 2 for i in range(len(ranked))], named)
        axes.set_ylim(len(ranked) * pitch - 1.4, -0.6)  # also where a maker has no bar
        axes.margins(x=0.1)
        axes.set_xlabel("ms, lower is better")
        axes.grid(axis="y", visible=False)
        figure.legend(*axes.get_legend_handles_labels(), loc="upper right", ncols=len(makers))
