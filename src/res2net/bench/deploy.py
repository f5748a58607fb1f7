"""Deployed networks timed beside each other: engine by engine, maker by maker."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from matplotlib.patches import Patch

from res2net.bench.apart import LIVES, time_apart
from res2net.bench.engines import ENGINES, Case, has, runs_in
from res2net.bench.makers import MAKERS
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
from res2net.drawing.canvas import BLUE, GREEN, MARGIN, ORANGE, TOP, WIDTH, add_axes, headed_figure
from res2net.errors import UserError, counted
from res2net.machine import note_slow_bf16
from res2net.processor import threads

REFERENCE = "resnet50"  # what a network's time is compared with
PEER = {"native": "openvino"}  # where other makers' networks run that cannot run in an engine
OVER = ("over_timm", "over_timm_eager")  # speed over another case's; other ratios are times
RATIOS = ("over_timm", "to_resnet50", "to_best_resnet50", "over_timm_eager")
COLUMNS = {n: n for n in ("network", "maker", "engine", "precision", "median_ms", *RATIOS)}
BAR, GAP, NAME = 20, 90, 190  # pixels: a bar, between panels, a network's name
COLOURS = dict(zip(MAKERS, (BLUE, ORANGE, GREEN), strict=True))


def run(options: DeployOptions, track: Track) -> Measurement:
    """Time networks in engines.

    Raises:
        UserError: a name that does not exist, nothing to time, or a chart that cannot be written.
    """
    torch.set_num_threads(threads())
    precisions = options.precisions.split(",")
    if "bf16" in precisions:
        note_slow_bf16("bf16")
    wanted = cases(
        options.model.split(","),
        makers=options.makers.split(","),
        engines=options.engines.split(","),
        precisions=precisions,
        batches=[options.batch],
    )
    found = measure(wanted, size=options.size, rounds=options.rounds, track=track)
    if options.chart:
        draw_speeds(found, options.chart)
    return Measurement(rows=[as_row(speed) for speed in found], columns=COLUMNS)


@dataclass(frozen=True, kw_only=True)
class Speed:
    """What one case took, and what that is beside others."""

    case: Case
    size: int  # pixels
    timing: Timing
    ratios: Mapping[str, Ratio]  # RATIOS that there are


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
        UserError: a maker, engine or precision that does not exist, or nothing is left.
    """
    for option, given, known in (
        ("--makers", makers, MAKERS),
        ("--engines", engines, tuple(ENGINES)),
        ("--precisions", precisions, ("fp32", "bf16", "int8")),
    ):
        for value in given:
            if value not in known:
                raise UserError(f"{option} {value}: it can be {', '.join(known)}")
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
            f"nothing to time: none of {', '.join(makers)} has such a network, or none of "
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
    """Time the cases, those of each engine in a process of their own."""
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
    """Ratio of RATIOS → the cases that it may be to; it is to the fastest of them.

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
    """Ratio → the case that it is to, of those that were timed."""
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


def draw_speeds(speeds: Sequence[Speed], path: Path) -> None:
    """Draw the median time of every case, in milliseconds, and write a PNG.

    Raises:
        UserError: ``path`` cannot be written.
    """
    kinds = list(dict.fromkeys((s.case.engine, s.case.precision) for s in speeds))
    networks = list(dict.fromkeys(s.case.network for s in speeds))
    makers = [maker for maker in MAKERS if any(s.case.maker == maker for s in speeds)]
    panel = len(networks) * (len(makers) + 1) * BAR
    rows = -(-len(kinds) // 2)
    one = speeds[0]
    subtitle = (
        f"milliseconds for {counted(one.case.batch, 'image')} of {one.size}x{one.size} pixels, "
        f"median of {len(one.timing.seconds)} rounds; shorter is faster"
    )
    height = TOP + rows * (panel + GAP) + MARGIN
    width = (WIDTH - 2 * MARGIN) / 2 - NAME - 30
    with headed_figure(path, height, "Networks in engines", subtitle) as figure:
        keys = [Patch(color=COLOURS[maker], label=maker) for maker in makers]
        figure.legend(handles=keys, loc="upper right", ncols=len(keys))
        for i, kind in enumerate(kinds):
            left = MARGIN + NAME + (i % 2) * (WIDTH - 2 * MARGIN) / 2
            axes = add_axes(figure, left, TOP + 20 + (i // 2) * (panel + GAP), width, panel)
            for m, maker in enumerate(makers):
                shown = [
                    s
                    for s in speeds
                    if (s.case.engine, s.case.precision) == kind and s.case.maker == maker
                ]
                places = [networks.index(s.case.network) * (len(makers) + 1) + m for s in shown]
                times = [1000 * s.timing.median for s in shown]
                bars = axes.barh(places, times, 0.9, color=COLOURS[maker], label=maker)
                axes.bar_label(bars, fmt="%.1f", padding=2, fontsize=6)
            axes.set_yticks(
                [n * (len(makers) + 1) + (len(makers) - 1) / 2 for n in range(len(networks))],
                networks,
            )
            axes.invert_yaxis()
            axes.set_title(" ".join(kind))
            axes.margins(x=0.15)
            axes.grid(axis="y", visible=False)
