"""``res2net info --compare A B C``: networks side by side, as a table and as a picture."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from res2net.cli.tables import new_table, show
from res2net.errors import UserError
from res2net.files import alone_in, write_text
from res2net.paper.networks import find_variant

if TYPE_CHECKING:
    from res2net.bench.compare import Compared


def compare(
    names: Sequence[str],
    *,
    size: int | None,
    num_classes: int | None,
    time: bool,
    out: Path,
) -> None:
    """Count, measure unless told not to, print and draw.

    Raises:
        UserError: fewer than two networks, one twice, an unknown one, no PyTorch, or a folder that
            cannot be written or that another process writes to.
    """
    if len(names) < 2 or len(set(names)) < len(names):
        raise UserError("--compare takes two or more networks, each once: --compare A B C")
    for name in names:
        find_variant(name)
    if importlib.util.find_spec("torch") is None:
        raise UserError("--compare needs torch: pip install 'res2net[train]'")
    from res2net.bench.compare import ROUNDS, as_csv, count, draw_comparison, time_networks

    found = count(names, size=size, num_classes=num_classes)
    sizes = sorted({each.size for each in found})
    subtitle = f"one image of {' or '.join(f'{side}x{side}' for side in sizes)} pixels"
    with alone_in(out, "--out"):
        if time:
            from res2net import machine
            from res2net.processor import threads

            machine.set_threads(None, machine.processes(1))
            found = time_networks(found, num_classes=num_classes)
            subtitle += (
                f"; PyTorch in fp32 on {machine.versions()['cpu']}, {threads()} threads, median "
                f"of {ROUNDS} interleaved rounds"
            )
        write_text(out / "compare.csv", as_csv(found))
        draw_comparison(found, out / "compare.png", subtitle=f"{subtitle}; × the first")
    table = _table(found)
    table.caption = subtitle
    table.caption_justify = "left"
    show(table)
    print(f"picture and table: {out}")


def _table(found: Sequence[Compared]) -> Table:
    from res2net.bench.compare import MEASURES

    shown = [m for m in MEASURES if getattr(found[0], m[0]) is not None]
    short = {
        "params": "Params M",
        "macs": "MACs G",
        "activations": "Activations M",
        "kept": "Kept MiB",
        "latency": "ms",
    }
    right = tuple(head for field, *_ in shown for head in (short[field], "×"))
    table = new_table("Network", right=right)
    for each in found:
        cells: list[str] = []
        for field, _, factor, decimals in shown:
            value = getattr(each, field)
            ratio = value / getattr(found[0], field)
            cells += [f"{factor * value:.{decimals}f}", f"{ratio:.2f}"]
        table.add_row(each.network, *cells)
    return table
