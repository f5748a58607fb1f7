"""Report of a conversion by block: for the terminal, as Markdown, and as data."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, kw_only=True, slots=True)
class BlockChange:
    """One block before and after."""

    name: str  # qualified name of the block
    conv: str  # qualified name of the k×k that was replaced, now of the unit
    kernel: tuple[int, int]  # (height, width)
    stride: int  # of the convolutions in the unit
    form: str  # hierarchy, pooled or grouped: how the unit treats its splits
    channels: int  # of the k×k before
    groups: int
    width: int  # channels of one split now (w)
    scale: int  # splits (s)
    cardinality: int  # groups of each split's convolution now (c)
    params: tuple[int, int]  # learned, from the 1×1 before to the 1×1 after; (before, after)
    macs: tuple[int, int]  # multiply-adds of the same, one image
    receptive_field: tuple[int, int]  # of the block's last 1×1, in pixels of the image


@dataclass(frozen=True, kw_only=True, slots=True)
class ConversionReport:
    """Report of ``res2net.convert``; ``print`` shows a table, pairs are (before, after)."""

    network: str  # its class
    image_size: int  # pixels, side of the image that multiply-adds are counted for
    width: int  # channels of one split where the k×k had 64 (w)
    scale: int  # splits (s)
    first_block: str  # rule for the first block of a stage
    blocks: tuple[BlockChange, ...]
    params: tuple[int, int]  # of the whole network
    macs: tuple[int, int]
    notes: tuple[str, ...]  # further remarks

    def markdown(self) -> str:
        """A summary and a Markdown table of the blocks."""
        lines = [self._summary(), "", f"| {' | '.join(_HEAD)} |"]
        lines.append(f"| --- | --- |{' ---: |' * (len(_HEAD) - 2)}")
        lines += [f"| {' | '.join(row)} |" for row in self._rows()]
        lines += ["", *(f"- {note}" for note in self.notes)] if self.notes else []
        return "\n".join(lines) + "\n"

    def __str__(self) -> str:
        from rich.console import Console

        text = StringIO()
        plain = Console(file=text, width=_PLAIN_WIDTH, color_system=None, force_jupyter=False)
        plain.print(self.__rich__())
        lines = [line.rstrip() for line in text.getvalue().splitlines()]
        return "\n".join([self._summary(), "", *lines, *self.notes])

    def __rich__(self) -> Table:
        """The table of the blocks, for ``rich.print``."""
        from rich.table import Table

        table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for i, name in enumerate(_HEAD):
            table.add_column(name, justify="left" if i < 2 else "right", no_wrap=True)
        for row in self._rows():
            table.add_row(*row)
        return table

    def _summary(self) -> str:
        return (
            f"{self.network}: {len(self.blocks)} blocks became {self.width}w×{self.scale}s, first "
            f"blocks of a stage by the rule '{self.first_block}'; parameters "
            f"{_change(self.params, 1e6, 'M')}, multiply-adds {_change(self.macs, 1e9, 'G')} at "
            f"{self.image_size} pixels"
        )

    def _rows(self) -> Iterable[tuple[str, ...]]:
        for block in self.blocks:
            kernel = "×".join(map(str, block.kernel))
            before = f"{kernel}, {block.channels}"
            after = f"{block.scale} × {block.width}"
            if block.groups > 1 or block.cardinality > 1:
                before += f" in {block.groups} groups"
                after += f" in {block.cardinality} groups"
            yield (
                block.name,
                block.form + (f", stride {block.stride}" if block.stride > 1 else ""),
                before,
                after,
                *_arrow(f"{value:,}" for value in block.params),
                *_arrow(f"{value / 1e6:,.1f}" for value in block.macs),
                *_arrow(map(str, block.receptive_field)),
            )


_HEAD = ("block", "unit", "before", "after", "parameters", "MACs, M", "receptive field")
_PLAIN_WIDTH = 200  # columns: no row is broken


def _arrow(values: Iterable[str]) -> tuple[str]:
    return (" → ".join(values),)


def _change(pair: tuple[int, int], unit: float, sign: str) -> str:
    """``25.557M → 25.699M (+0.56 %)``."""
    before, after = pair
    share = f" ({100 * (after / before - 1):+.2f} %)" if before else ""
    return f"{before / unit:.3f}{sign} → {after / unit:.3f}{sign}{share}"
