"""How the command line prints tables: readable at 80 columns, plain text in a pipe."""

from __future__ import annotations

import sys
from typing import Any

from rich.console import Console, RenderableType
from rich.table import Table

from res2net.errors import printable
from res2net.paper.variant import (
    DenseNetVariant,
    LibraryVariant,
    TorchvisionVariant,
    Variant,
    WideResNetVariant,
)

PIPE_WIDTH = 200  # columns: in a pipe a row stays one line, so that grep and sort get it whole


def show(*parts: RenderableType) -> None:
    """Print to standard output, an empty line between parts.

    As wide as the terminal; in a pipe 200 columns, without colour or trailing spaces.
    """
    terminal = sys.stdout.isatty()
    console = Console() if terminal else Console(width=PIPE_WIDTH, color_system=None)
    for i, part in enumerate(parts):
        if i > 0:
            print()
        if terminal:
            console.print(part)
            continue
        with console.capture() as capture:
            console.print(part)
        print("\n".join(line.rstrip() for line in capture.get().splitlines()))


class _Table(Table):
    def add_row(self, *cells: RenderableType | None, **how: Any) -> None:
        """Escape names of files and classes, so that a terminal takes none for a command."""
        super().add_row(*(printable(c) if isinstance(c, str) else c for c in cells), **how)


def new_table(*left: str, right: tuple[str, ...] = (), wrapped: tuple[str, ...] = ()) -> Table:
    """A table without frame: left-aligned columns, right-aligned numbers, then wrapped text."""
    table = _Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for name in left:
        table.add_column(name, no_wrap=True)
    for name in right:
        table.add_column(name, justify="right", no_wrap=True)
    for name in wrapped:
        table.add_column(name, overflow="fold")
    return table


def notation(variant: Variant) -> str:
    """The paper's short form of a model's settings: ``26w×4s``, ``8c×4w×4s``, ``k=40``."""
    match variant:
        case TorchvisionVariant() | LibraryVariant():
            return "-"
        case WideResNetVariant() | DenseNetVariant():
            return f"k={variant.width}"
    parts = [f"{variant.cardinality}c"] if variant.cardinality > 1 else []
    parts.append(f"{variant.width}w")
    if variant.scale > 1:
        parts.append(f"{variant.scale}s")
    return "×".join(parts) + (" SE" if variant.se else "")


def depth(variant: Variant) -> str:
    """Number of layers, for models that have it as a setting."""
    return str(getattr(variant, "depth", "-"))
