"""``res2net bench`` of networks in inference engines."""

from __future__ import annotations

from typing import Any

from res2net.cli.progress import track
from res2net.errors import UserError


def deploy(options: Any) -> list[dict[str, object]]:
    """Time networks in engines."""
    import torch

    from res2net.bench.deploy import RATIOS, as_row, cases, measure
    from res2net.cli.tables import new_table, show
    from res2net.machine import note_slow_bf16
    from res2net.processor import threads

    torch.set_num_threads(threads())
    names = {name: options[name].split(",") for name in ("makers", "engines", "precisions")}
    if "bf16" in names["precisions"]:
        note_slow_bf16("bf16")
    wanted = cases(options.model.split(","), batches=[options.batch], **names)
    found = measure(
        wanted,
        size=options.size,
        rounds=options.rounds,
        track=lambda numbers, label: track(numbers, len(numbers), label),
    )
    shown = ("network", "maker", "engine", "precision", "median_ms")
    table = new_table(*shown, right=RATIOS)
    rows: list[dict[str, object]] = []
    for speed in found:
        row = as_row(speed)
        rows.append(row)
        table.add_row(*(str(row[name]) for name in (*shown, *RATIOS)))
    show(table)
    if options.chart:
        from res2net.bench.chart import draw_speeds

        draw_speeds(found, options.chart)
    return rows


def folder(options: Any) -> list[dict[str, object]]:
    """An artifact over files, and what reading them costs."""
    from res2net.bench.folder import ROUNDS, measure
    from res2net.bench.protocol import engine_versions
    from res2net.runtime.artifact import Artifact

    for name in ("artifact", "data"):
        if not options[name]:
            raise UserError(f"--{name} is missing; `res2net bench --help` explains it")
    artifact = Artifact.read(options.artifact)
    found = measure(options.artifact, [options.data])
    print(
        f"{artifact.card.network} {artifact.engine} {artifact.precision}: {found.images} files at "
        f"{found.whole:.1f} images/s, the network alone at {found.alone:.1f}: "
        f"{100 * found.share:.0f} %"
    )
    return [
        {
            "network": artifact.card.network,
            "engine": artifact.engine,
            "precision": artifact.precision,
            "images": found.images,
            "alone_per_second": round(found.alone, 2),
            "whole_per_second": round(found.whole, 2),
            "share": round(found.share, 3),
            "n": ROUNDS,
            **engine_versions(),
        }
    ]


def roofline(options: Any) -> list[dict[str, object]]:
    """What stages reach of the processor's peak."""
    import torch

    from res2net.bench.roofline import as_rows, measure, rooflines
    from res2net.cli.tables import new_table, show
    from res2net.processor import threads

    torch.set_num_threads(threads())
    shown = ("network", "precision", "part", "ms", "ms_at_peak", "gflops", "share_of_peak")
    table = new_table(*shown)
    rows: list[dict[str, object]] = []
    found = {
        case: measure(case, size=options.size, rounds=options.rounds)
        for case in rooflines(options.model.split(","), options.precisions.split(","))
    }
    for case, each in found.items():
        for row in as_rows(case, options.size, each):
            rows.append(row)
            table.add_row(*(str(row[name]) for name in shown))
        print(
            f"{case.network} {case.precision}: {each.milliseconds:.2f} ms over its operations; "
            f"peak {each.peak:.0f} GFLOP/s"
        )
    show(table)
    if options.chart:
        from res2net.bench.chart import draw_rooflines

        draw_rooflines(found, options.size, options.chart)
    return rows
