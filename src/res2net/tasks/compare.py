"""``res2net compare`` and ``res2net.compare``: two networks on the same images, with intervals.

Images are resampled with replacement, the same for both networks (a paired bootstrap; Efron and
Tibshirani 1993, chapter 13): the interval of a difference covers the choice of images. It does
not cover the variation between training seeds.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal, cast

import numpy as np
import numpy.typing as npt

from res2net.config import ANNOTATIONS
from res2net.data.decode import as_pixels, decode
from res2net.data.labelled import Split, named
from res2net.data.photo import shown
from res2net.data.pictures import annotated
from res2net.data.scenes.options import Marks
from res2net.drawing.canvas import (
    BLUE,
    GREY,
    MARGIN,
    ORANGE,
    TOP,
    WIDTH,
    Picture,
    add_axes,
    fit,
    headed_figure,
    plain,
)
from res2net.drawing.marks import draw_legend
from res2net.errors import UserError, counted
from res2net.files import alone_in
from res2net.tasks import pictures
from res2net.tasks.evaluate import Evaluation, evaluate, read_images
from res2net.tasks.scores import Resampled, Track, write_table
from res2net.tasks.table import find_task

Verdict = Literal["better", "worse", "open"]  # of the second network
Pair = tuple[Resampled, Resampled]
ROUNDS = 1000
LEAST_IMAGES = 10  # with fewer, an interval is meaningless
LEVEL = 95  # percent of the rounds within an interval
SHOWN = 6  # images on the sheet
MOST_CLASSES = 20  # drawn, those that differ most
_LOWER_IS_BETTER = ("error", "loss", "mae")  # ends of names


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One figure of both networks."""

    name: str  # as in metrics.json, or the name of a class
    of_class: bool
    first: float
    second: float
    low: float  # of the interval of second - first
    high: float
    rounds: int  # in which both networks had the figure

    @property
    def difference(self) -> float:
        """Second less first."""
        return self.second - self.first

    @property
    def verdict(self) -> Verdict:
        """Whether the second network is better; "open" where 0 lies within the interval."""
        if self.low <= 0 <= self.high:
            return "open"
        lower = not self.of_class and self.name.endswith(_LOWER_IS_BETTER)
        return "better" if (self.high < 0) == lower else "worse"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two networks on the same images.

    Attributes:
        first, second: their evaluations, in the folders ``first`` and ``second`` of ``folder``.
        differences: the figures of ``metrics.json`` that both have, then those by class.
        counts: the name of the task's main figure.
        folder: tables and pictures.
    """

    first: Evaluation
    second: Evaluation
    differences: tuple[Difference, ...]
    counts: str
    rounds: int
    folder: Path

    @property
    def main(self) -> Difference:
        """The difference of the main figure."""
        return next(d for d in self.differences if d.name == self.counts and not d.of_class)

    @property
    def headline(self) -> str:
        """The verdict on the main figure, in a sentence."""
        main = self.main
        found = {
            "better": "the second network is better",
            "worse": "the first network is better",
            "open": "these images do not separate the networks",
        }[main.verdict]
        return (
            f"{found}: {main.name} {main.first:.4g} and {main.second:.4g}, difference "
            f"{main.difference:+.3g}, {LEVEL} % interval {main.low:+.3g} to {main.high:+.3g} over "
            f"{counted(self.first.images, 'image')}"
        )


def compare(
    first: str | Path,
    second: str | Path,
    data: str | Path,
    *,
    split: str | None = None,
    out: str | Path | None = None,
    precision: str = "auto",
    val_fraction: float | None = None,
    seed: int | None = None,
    group_by: str | None = None,
    skip_bad: bool = False,
    rounds: int = ROUNDS,
    track: Track | None = None,
    say: Callable[[str], None] = print,
) -> Comparison:
    """Compare two networks on the same images, as ``res2net compare`` does.

    The interval of a difference is from a paired bootstrap over images; it does not cover the
    variation between training seeds. The images are read once.

    Args:
        first, second: networks of one task, as for ``evaluate``.
        data, split, precision, val_fraction, seed, group_by, skip_bad: as for ``evaluate``.
        out: folder for tables and pictures; ``comparison`` if None.
        rounds: bootstrap resamples for the intervals, at least 100.
        track: wraps slow iterations in a progress bar.
        say: called with the lines that name what is measured, each once.

    Returns:
        The verdict in ``headline``, every figure in ``differences``, both evaluations.

    Raises:
        UserError: as ``evaluate``; networks of different tasks or classes, or that were measured
            on different images; fewer than 10 images.

    Example:
        >>> res2net.compare("runs/digits", "runs/digits", "digits", rounds=100).main.verdict
        'open'
    """
    if rounds < 100:
        raise UserError(f"--rounds is {rounds}; an interval needs at least 100")
    folder = Path("comparison") if out is None else Path(out)
    read = cache(read_images)  # both networks are measured on the same
    with alone_in(folder, "--out"):
        with _told_once(say) as say_once:
            both = [
                evaluate(
                    target,
                    data,
                    split=split,
                    out=folder / name,
                    precision=precision,
                    val_fraction=val_fraction,
                    seed=seed,
                    group_by=group_by,
                    skip_bad=skip_bad,
                    track=track,
                    say=say_once,
                    read=read,
                )
                for target, name in ((first, "first"), (second, "second"))
            ]
        check_pair(str(first), str(second), *both)
        pair = (both[0].scores.resampled(), both[1].scores.resampled())
        found = Comparison(
            first=both[0],
            second=both[1],
            differences=differences(pair, len(both[0].scores.rows), rounds=rounds, track=track),
            counts=both[0].scores.counts,
            rounds=rounds,
            folder=folder,
        )
        write(found, pair, str(first), str(second), precision)
    return found


@contextmanager
def _told_once(say: Callable[[str], None]) -> Iterator[Callable[[str], None]]:
    """Show each warning, and each line of what is given instead of ``say``, once."""
    with warnings.catch_warnings():
        show, told = warnings.showwarning, set[str]()

        def once(show: Callable[..., None], message: Warning | str, *about: Any) -> None:
            if str(message) not in told:
                told.add(str(message))
                show(message, *about)

        warnings.showwarning = partial(once, show)
        yield partial(once, say)


def check_pair(first: str, second: str, one: Evaluation, other: Evaluation) -> None:
    """Refuse what cannot be compared image by image.

    Raises:
        UserError: different tasks, classes or images, or fewer than 10 images.
    """
    if one.task != other.task:
        raise UserError(f"{first} is a network of --task {one.task}, {second} of --task "
                        f"{other.task}; give two of one task")  # fmt: skip
    names = [[name_of(each.part, row) for row in each.scores.rows] for each in (one, other)]
    if names[0] != names[1]:
        raise UserError(
            f"{first} was measured on {counted(len(names[0]), 'image')} and {second} on "
            f"{len(names[1])}, which are not the same: they were trained on different parts of the "
            "data. Give data that neither was trained on, or --val-fraction, --seed and --group-by "
            "of one of them if the other was not trained on these data"
        )
    if len(names[0]) < LEAST_IMAGES:
        raise UserError(
            f"{counted(len(names[0]), 'image')} were measured; an interval needs at least "
            f"{LEAST_IMAGES}"
        )


def differences(
    pair: Pair, count: int, *, rounds: int, track: Track | None = None
) -> tuple[Difference, ...]:
    """Every figure that both networks have, with the interval of its difference; seeded.

    Args:
        count: number of images.
    """
    whole = _figures(pair, np.arange(count))
    drawn: dict[tuple[bool, str], list[float]] = {key: [] for key in whole}
    draw = np.random.default_rng(0)
    each: Any = range(rounds)
    for _ in track(each, rounds, "comparing") if track else each:
        figures = _figures(pair, draw.integers(0, count, count))
        for key in drawn.keys() & figures.keys():
            a, b = figures[key]
            drawn[key].append(b - a)
    edge = (100 - LEVEL) / 2
    found = []
    for (of_class, name), (a, b) in whole.items():
        values = drawn[of_class, name]
        if not values:
            continue
        low, high = np.percentile(values, (edge, 100 - edge))
        found.append(
            Difference(
                name=name,
                of_class=of_class,
                first=a,
                second=b,
                low=float(low),
                high=float(high),
                rounds=len(values),
            )
        )
    return tuple(found)


def _figures(
    pair: Pair, chosen: npt.NDArray[np.int64]
) -> dict[tuple[bool, str], tuple[float, float]]:
    """(of a class, name) → the figure of both networks, where both have it."""
    one, other = (each(chosen) for each in pair)
    shared: dict[tuple[bool, str], tuple[float, float]] = {}
    for of_class, a, b in (
        (False, one.values, other.values),
        (True, one.per_class, other.per_class),
    ):
        shared |= {(of_class, name): (a[name], b[name]) for name in a if name in b}
    return shared


def write(found: Comparison, pair: Pair, first: str, second: str, precision: str) -> None:
    """Write ``comparison.csv`` and pictures."""
    write_table(
        found.folder / "comparison.csv",
        ("of", "figure", "first", "second", "difference", "low", "high", "second_is", "rounds"),
        [
            (
                "class" if d.of_class else "all",
                *(d.name, d.first, d.second, d.difference, d.low, d.high, d.verdict, d.rounds),
            )
            for d in found.differences
        ],
    )
    draw_differences(found, first, second, found.folder / "comparison.png")
    if found.first.predictor is not None and found.second.predictor is not None:
        path = found.folder / "differences.png"
        draw_pictures(found, pair, first, second, precision, path)


def draw_differences(found: Comparison, first: str, second: str, path: Path) -> None:
    """Differences with their intervals: figures on the left, classes on the right."""
    figures = [d for d in found.differences if not d.of_class]
    classes = sorted(
        (d for d in found.differences if d.of_class), key=lambda d: -abs(d.difference)
    )[:MOST_CLASSES]
    tall = 26 * max(len(figures), len(classes), 6)
    images = counted(found.first.images, "image")
    names = fit(f"{second} minus {first}", WIDTH - 2 * MARGIN - 380, 8)
    subtitle = f"{names}; lines: {LEVEL} % intervals over {images}"
    with headed_figure(path, TOP + 60 + tall + 120, "Differences", subtitle) as figure:
        for left, title, rows in (
            (MARGIN + 170, "Figures (filled: significant)", figures),
            (MARGIN + 760, "Classes that differ most", classes),
        ):
            if rows:
                _draw_rows(add_axes(figure, left, TOP + 40, 380, tall), title, rows)


def _draw_rows(axes: Any, title: str, rows: Sequence[Difference]) -> None:
    colours = {"better": BLUE, "worse": ORANGE, "open": GREY}
    for place, each in enumerate(rows):
        colour = colours[each.verdict]
        axes.plot([each.low, each.high], [place, place], color=colour)
        filled = colour if each.verdict != "open" else "white"
        axes.plot(each.difference, place, "o", color=colour, mfc=filled)
    axes.axvline(0, color=GREY, lw=0.8)
    axes.set_yticks(range(len(rows)), [plain(fit(each.name, 160, 7)) for each in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_title(title)
    axes.margins(x=0.1)


def draw_pictures(
    found: Comparison, pair: Pair, first: str, second: str, precision: str, path: Path
) -> None:
    """The images on which the predictions differ most in quality, both drawn side by side."""
    name = found.first.scores.by_image
    single = [_figures(pair, np.array([i])) for i in range(found.first.images)]
    apart = [abs(np.subtract(*each.get((False, name), (0.0, 0.0)))) for each in single]
    chosen = [i for i in np.argsort(apart)[::-1][:SHOWN].tolist() if apart[i]]
    rows = []
    for i in chosen:
        row = found.first.scores.rows[i]
        a, b = single[i][False, name]
        caption = f"{name_of(found.first.part, row)}: {name} {a:.4g} and {b:.4g}"
        rows.append((_drawn(found, row, precision), caption))
    subtitle = f"by {name} of the image: as annotated, {first}, {second}"
    fitted = fit(subtitle, WIDTH - 2 * MARGIN, 8)
    pictures.draw_sheet(rows, "Where the networks differ most", fitted, path)


def _drawn(found: Comparison, row: int, precision: str) -> list[Picture]:
    """An image with its annotations, and with the predictions of both networks."""
    one = found.first
    split = isinstance(one.part, Split)
    given = one.part.images[row] if split else one.part[row].image
    drawn = []
    for each in (one, found.second):
        assert each.predictor is not None
        reading = each.predictor.preprocess.reading
        pixels = (
            as_pixels(given, reading)
            if isinstance(given, np.ndarray)
            else decode(given, reading=reading)
        )
        (result,) = each.predictor.results(
            [pixels], top=None, boxes=None, batch=None, precision=precision
        )
        drawn.append(np.asarray(result.plot()))
        if not drawn[1:]:
            plain = shown(np.ascontiguousarray(pixels.permute(1, 2, 0).numpy()))
    if split:
        words = named(one.part.labels[row], one.data.classes)
        return [draw_legend(plain, [words], [(255, 255, 255)]), *drawn]
    marks = cast(Marks, ANNOTATIONS[find_task(one.task).name])
    return [annotated(plain, one.part[row], one.data, marks), *drawn]


def name_of(part: Any, row: int) -> str:
    """The name of an image of a part."""
    return part.names(row) if isinstance(part, Split) else str(part[row].name)
