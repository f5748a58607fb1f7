"""The style of every picture: a headed figure, as a rule 1,200 pixels wide, written whole as PNG.

Import this file late: it imports matplotlib. Only ``Figure`` objects, never pyplot: no display is
needed and no global state stays changed.
"""

# Lengths and places are in pixels from the figure's top left; sizes of text in points.

from __future__ import annotations

import warnings
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import numpy.typing as npt
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg, RendererAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from PIL import Image

from res2net.files import write_bytes

Picture = npt.NDArray[np.uint8]  # (H, W, 3) RGB

# Colours that stay apart for every kind of colour blindness (after Okabe and Ito 2008).
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#285A28", "#C04E00"
PAIR = (BLUE, ORANGE)  # of two things that are compared
INK, GREY, PALE = "#1a1a1a", "#666666", "#e9e9e9"

WIDTH = 1200
DPI = 150  # a text of 8 points is 17 pixels high
MARGIN = 32  # around what is drawn
TOP = 104  # below title and subtitle

_FONTS = (  # the first that has a character draws it
    "DejaVu Sans",
    "Noto Sans CJK JP",
    "Noto Sans CJK SC",
    "WenQuanYi Zen Hei",
    "Microsoft YaHei",
    "PingFang SC",
    "Arial Unicode MS",
)
_STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 9,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.edgecolor": GREY,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": PALE,
    "text.color": INK,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.facecolor": "white",  # over a line it stays readable
    "legend.edgecolor": "none",
    "legend.framealpha": 0.85,
    "lines.linewidth": 1.8,
    "lines.markersize": 4,
}


@contextmanager
def headed_figure(
    path: Path, height: int, title: str, subtitle: str, *, width: int = WIDTH
) -> Iterator[Figure]:
    """A figure of at most ``height``; when the block ends well it is written to ``path``.

    Raises:
        UserError: ``path`` cannot be written.
    """
    with mpl.rc_context(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph .* missing from (current )?font")
        mpl.rcdefaults()  # whatever the user's matplotlibrc says
        here = set(font_manager.get_font_names())
        mpl.rcParams.update(_STYLE)
        mpl.rcParams["font.family"] = [name for name in _FONTS if name in here]
        figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI)
        FigureCanvasAgg(figure)
        write(figure, title, MARGIN, 40, size=12, weight="bold")
        write(figure, subtitle, MARGIN, 76, color=GREY)
        yield figure
        raw = BytesIO()
        figure.savefig(raw, format="raw", dpi=DPI)
    rgba = np.frombuffer(raw.getvalue(), np.uint8).reshape(-1, width, 4)
    pixels = np.ascontiguousarray(rgba[..., :3])  # (height, width, 3)
    drawn = np.flatnonzero((pixels != 255).any(axis=(1, 2)))  # rows
    png = BytesIO()
    Image.fromarray(pixels[: drawn[-1] + MARGIN]).save(png, "PNG")
    write_bytes(path, png.getvalue())


def add_axes(figure: Figure, left: float, top: float, width: float, height: float) -> Axes:
    """Axes at a place given in pixels."""
    wide, tall = figure.bbox.width, figure.bbox.height
    return figure.add_axes((left / wide, 1 - (top + height) / tall, width / wide, height / tall))


def plain(text: str) -> str:
    """``text`` for matplotlib, in which a name with two dollar signs is a formula."""
    return text.replace("$", r"\$")


def write(
    figure: Figure,
    text: str,
    x: float,
    y: float,
    *,
    size: float = 8,
    color: str = INK,
    weight: str = "normal",
    align: str = "left",
) -> None:
    """Write one line, centred on the height ``y``."""
    place = x / figure.bbox.width, 1 - y / figure.bbox.height
    figure.text(*place, plain(text), size=size, color=color, weight=weight, ha=align, va="center")


def measure(text: str, size: float) -> float:
    """Width of ``text`` in pixels."""
    font = FontProperties(size=size)
    renderer: Any = RendererAgg(1, 1, DPI)  # type: ignore[no-untyped-call]
    return float(renderer.get_text_width_height_descent(text, font, False)[0])


def fit(text: str, width: float, size: float) -> str:
    """``text`` on one line; its middle is left out where it is wider than ``width`` pixels."""
    text = " ".join(text.encode(errors="replace").decode().split())  # file names may be any bytes
    if measure(text, size) <= width:
        return text

    def keep(characters: int) -> str:
        head, tail = (characters + 1) // 2, characters // 2
        return f"{text[:head].rstrip()}…{text[len(text) - tail :].lstrip()}"

    wider = bisect_right(range(len(text)), width, key=lambda n: measure(keep(n), size))
    return keep(max(wider - 1, 0))
