"""Draw docs/pictures/block.png: a bottleneck beside a Res2Net bottleneck of four splits."""

from __future__ import annotations

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

PICTURE = Path(__file__).resolve().parent.parent / "docs" / "pictures" / "block.png"
INK, GREY = "#1f2933", "#7b8794"
COLOURS = ("#9ecae1", "#6baed6", "#4292c6", "#c7c7c7")  # deeper: larger receptive field


def box(axes, x, y, width, text, colour, height=0.62):  # type: ignore[no-untyped-def]
    axes.add_patch(
        FancyBboxPatch(
            (x - width / 2, y - height / 2),
            width,
            height,
            boxstyle="round,pad=0.03,rounding_size=0.09",
            facecolor=colour,
            edgecolor=INK,
            linewidth=1.1,
        )
    )
    axes.text(x, y, text, ha="center", va="center", fontsize=12, color=INK)


def arrow(axes, start, end, bend=0.0, colour=INK):  # type: ignore[no-untyped-def]
    axes.add_patch(
        FancyArrowPatch(
            start,
            end,
            arrowstyle="-|>",
            mutation_scale=13,
            color=colour,
            linewidth=1.4,
            connectionstyle=f"arc3,rad={bend}",
            shrinkA=0,
            shrinkB=0,
        )
    )


def plus(axes, x, y):  # type: ignore[no-untyped-def]
    axes.text(
        x,
        y,
        "+",
        ha="center",
        va="center",
        fontsize=13,
        color=INK,
        bbox={"boxstyle": "circle,pad=0.12", "facecolor": "white", "edgecolor": INK},
    )


def skip(axes, x, side):  # type: ignore[no-untyped-def]
    axes.plot([x, side, side], [9.35, 9.35, 0.75], color=GREY, linewidth=1.4)
    arrow(axes, (side, 0.75), (x - 0.24 if side < x else x + 0.24, 0.75), colour=GREY)


def bottleneck(axes, x):  # type: ignore[no-untyped-def]
    axes.text(x, 10.35, "Bottleneck", ha="center", fontsize=15, color=INK, weight="bold")
    arrow(axes, (x, 9.85), (x, 8.75))
    box(axes, x, 8.4, 2.2, "1×1", "#e4e7eb")
    arrow(axes, (x, 8.05), (x, 5.25))
    box(axes, x, 4.9, 2.2, "3×3", COLOURS[0])
    arrow(axes, (x, 4.55), (x, 2.25))
    box(axes, x, 1.9, 2.2, "1×1", "#e4e7eb")
    arrow(axes, (x, 1.55), (x, 1.0))
    plus(axes, x, 0.75)
    skip(axes, x, x - 1.6)
    arrow(axes, (x, 0.5), (x, -0.1))
    axes.text(x + 1.25, 4.9, "sees 3×3", fontsize=11, color=GREY, va="center")


def res2net(axes, x):  # type: ignore[no-untyped-def]
    axes.text(x, 10.35, "Res2Net, scale 4", ha="center", fontsize=15, color=INK, weight="bold")
    columns = [x - 3.3, x - 1.1, x + 1.1, x + 3.3]
    arrow(axes, (x, 9.85), (x, 8.75))
    box(axes, x, 8.4, 8.4, "1×1, then split into 4 × w channels", "#e4e7eb")
    rows = [6.3, 5.3, 4.3]
    for i, column in enumerate(columns):
        if i == 3:
            arrow(axes, (column, 8.05), (column, 2.25), colour=GREY)
            axes.text(column + 0.15, 5.3, "passes", fontsize=11, color=GREY)
            continue
        y = rows[i]
        arrow(axes, (column, 8.05), (column, y + (0.95 if i else 0.35)))
        if i:
            plus(axes, column, y + 0.7)
            arrow(axes, (column, y + 0.5), (column, y + 0.35))
            arrow(axes, (columns[i - 1] + 0.7, rows[i - 1]), (column - 0.22, y + 0.7), bend=-0.18)
        box(axes, column, y, 1.36, "3×3", COLOURS[i])
        arrow(axes, (column, y - 0.35), (column, 2.25))
        size = 3 + 2 * i
        axes.text(
            column,
            2.72,
            f"sees {size}×{size}",
            fontsize=11,
            color=GREY,
            ha="center",
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
        )
    box(axes, x, 1.9, 8.4, "concatenate, 1×1", "#e4e7eb")
    arrow(axes, (x, 1.55), (x, 1.0))
    plus(axes, x, 0.75)
    skip(axes, x, x - 4.8)
    arrow(axes, (x, 0.5), (x, -0.1))


def main() -> None:
    """Draw and write the picture."""
    figure = Figure(figsize=(11, 7), dpi=110, facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set_xlim(-2.4, 13.6)
    axes.set_ylim(-0.3, 11)
    axes.axis("off")
    bottleneck(axes, 0.4)
    res2net(axes, 8.4)
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(PICTURE)


if __name__ == "__main__":
    main()
