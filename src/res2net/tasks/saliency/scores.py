"""The scores of a saliency network over a part of the data, their tables and pictures."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt
from torch import Tensor

from res2net.card import ModelCard
from res2net.data.scene import Scene, Scenes
from res2net.data.scenes.dataset import SceneDataset
from res2net.data.scenes.mapfile import salient_map
from res2net.data.scenes.transforms import as_it_is
from res2net.drawing.canvas import BLUE, GREEN, MARGIN, ORANGE, TOP, add_axes, headed_figure
from res2net.errors import UserError, counted
from res2net.heads.dss import SaliencyNet
from res2net.metrics.saliency import SaliencyMetric, SaliencyScores, f_measure
from res2net.metrics.sizes import SIZES, size_index
from res2net.tasks import pictures
from res2net.tasks.network import Deployed, in_colours, ready
from res2net.tasks.saliency.task import lit, saliency_of
from res2net.tasks.scores import Comparable, Figures, Measuring, Resampled, each_sample, write_table

Seen = tuple[Tensor, Tensor, Tensor, str]  # image, truth (0 and 255), found, name
SHOWN = 6  # images kept for the sheet
NOTHING = "nothing is salient"


@dataclass(frozen=True, kw_only=True, eq=False)
class DssScores(Comparable):
    """The results of a measurement, with the first few images."""

    by_image = "mae"

    metric: SaliencyMetric
    size_of: npt.NDArray[np.int64]  # (N,) size of the salient region, a number of SIZES; -1: none
    scores: SaliencyScores  # of all images
    by_size: dict[str, tuple[int, SaliencyScores]]  # images by the size of the salient region
    seen: list[Seen]

    @property
    def max_f(self) -> float | None:
        """None if no image has a salient pixel: an empty map would have F = 1."""
        return self.scores.max_f if self.by_size else None

    @property
    def headline(self) -> str:
        f = "no F-measure" if self.max_f is None else f"max F-measure {self.max_f:.3f}"
        return f"{f}, MAE {self.scores.mae:.3f}"

    def summary(self) -> dict[str, float]:
        """F, MAE, S and E as 0..1."""
        return _summary(self.scores, self.by_size)

    def resampled(self) -> Resampled:
        """As in ``Comparable``, without S- and E-measure."""

        def over(chosen: npt.NDArray[np.int64]) -> Figures:
            sizes = _by_size(self.metric, self.size_of, chosen)
            return Figures(_summary(self.metric.compute(chosen), sizes), {})

        return over

    def table(self) -> list[tuple[str, str]]:
        """(label, figure) rows for display."""
        scores = self.scores
        rows = [
            ("images measured", f"{self.images:,}"),
            ("max F-measure (β² = 0.3)", NOTHING if self.max_f is None else f"{self.max_f:.4f}"),
            ("mean absolute error", f"{scores.mae:.4f}"),
        ]
        if self.by_size and scores.s_measure is not None and scores.e_measure is not None:
            rows.append(("S-measure", f"{scores.s_measure:.4f}"))
            rows.append(("E-measure, at its best", f"{scores.e_measure:.4f}"))
        if self.by_size and scores.boundary_f is not None:
            rows.append(("boundary F-measure", f"{scores.boundary_f:.4f}"))
        for size, (count, each) in self.by_size.items():
            rows.append(
                (f"max F-measure of {size} regions ({count:,} images)", f"{each.max_f:.4f}")
            )
        return rows

    def write(self, folder: Path) -> tuple[str, ...]:
        """``by_size.csv``, ``curves_by_threshold.csv`` and pictures."""
        sizes: list[tuple[object, ...]] = []
        for size in SIZES:
            count, own = self.by_size.get(size, (0, None))
            sizes.append((size, count, own and own.max_f, own and own.mae))
        write_table(folder / "by_size.csv", ("size", "images", "max_f", "mae"), sizes)
        scores = self.scores
        f = f_measure(scores.precision, scores.recall)
        write_table(
            folder / "thresholds.csv",
            ("threshold", "precision", "recall", "f_measure"),
            [
                (t, float(scores.precision[t]), float(scores.recall[t]), float(f[t]))
                for t in range(len(f))
            ],
        )
        draw_scores(scores, self.by_size, folder / "scores.png")
        draw_sheet(self.seen, folder / "sheet.png")
        return "scores.png", "sheet.png"


def measure(
    model: SaliencyNet | Deployed,
    card: ModelCard,
    images: Scenes,  # noqa: ARG001  passed to every task
    part: Sequence[Scene],
    how: Measuring,
) -> DssScores:
    """Scores over whole images; S- and E-measure if pysodmetrics is installed.

    Raises:
        UserError: a file that cannot be read (unless left out), or nothing to measure.
    """
    ready(model)
    metric = SaliencyMetric(structure=find_spec("py_sod_metrics") is not None)
    size_of: list[int] = []
    seen: list[Seen] = []
    rows: list[int] = []
    shown = SceneDataset(
        *(part, "salient", 2, as_it_is),
        skip_bad=how.skip_bad,
        reading=card.preprocess.reading,
    )
    for image, target, index in each_sample(shown, how):
        truth = target["map"].as_subclass(Tensor) * 255
        source = part[index].salient
        assert source is not None
        grey = salient_map(source)  # F thresholds it at 128, the mean absolute error does not
        found = saliency_of(model, image, card.preprocess, precision=how.precision)
        metric.update(found.numpy(), grey)
        rows.append(index)
        area = (truth > 0).sum().double()
        size_of.append(int(size_index(area.numpy()[None])[0]) if area else -1)
        if len(seen) < SHOWN:
            seen.append((in_colours(image), truth, found, part[index].name))
    try:
        scores = metric.compute()
    except ValueError as error:
        raise UserError(f"nothing was measured: {error}") from None
    sizes = np.array(size_of)
    by_size = _by_size(metric, sizes, np.arange(len(rows)))
    if not by_size:
        warnings.warn("no measured map has a salient pixel: no F-, S- or E-measure", stacklevel=2)
    return DssScores(
        metric=metric,
        size_of=sizes,
        scores=scores,
        by_size=by_size,
        images=len(rows),
        rows=rows,
        seen=seen,
    )


def _by_size(
    metric: SaliencyMetric, size_of: npt.NDArray[np.int64], chosen: npt.NDArray[np.int64]
) -> dict[str, tuple[int, SaliencyScores]]:
    """Size of the salient region → number of images, and their scores."""
    groups = {size: chosen[size_of[chosen] == k] for k, size in enumerate(SIZES)}
    return {size: (len(own), metric.compute(own)) for size, own in groups.items() if len(own)}


def _summary(
    scores: SaliencyScores, by_size: Mapping[str, tuple[int, SaliencyScores]]
) -> dict[str, float]:
    figures = {
        "max_f": scores.max_f if by_size else None,
        "mae": scores.mae,
        "s_measure": scores.s_measure if by_size else None,
        "e_measure": scores.e_measure if by_size else None,
        "boundary_f": scores.boundary_f if by_size else None,
        **{f"max_f_{size}": each.max_f for size, (_, each) in by_size.items()},
    }
    return {name: value for name, value in figures.items() if value is not None}


def draw_sheet(seen: Sequence[tuple[Tensor, Tensor, Tensor, str]], path: Path) -> None:
    """Image, truth, map and the image under the map, one row per image."""
    rows = []
    for image, truth, found, name in seen:
        maps = [np.repeat(each.numpy()[..., None], 3, 2) for each in (truth, found)]
        pixels = image.permute(1, 2, 0).contiguous().numpy()
        rows.append(((pixels, *maps, lit(image, found)), name))
    subtitle = f"{counted(len(seen), 'image')}: input, annotation, saliency map, overlay"
    pictures.draw_sheet(rows, "Salient objects", subtitle, path)


def draw_scores(
    scores: SaliencyScores, by_size: Mapping[str, tuple[int, SaliencyScores]], path: Path
) -> None:
    """Precision, recall and F over the threshold; the best F by size of the salient region."""
    best = f"max F-measure {scores.max_f:.3f} at threshold {scores.threshold}"
    subtitle = f"{best if by_size else 'no F-measure'}, mean absolute error {scores.mae:.3f}"
    with headed_figure(path, 620, "Salient objects", subtitle) as figure:
        axes = add_axes(figure, MARGIN + 65, TOP + 40, 460, 340)
        f = f_measure(scores.precision, scores.recall)
        lines = (("precision", scores.precision, BLUE), ("recall", scores.recall, ORANGE))
        for label, values, colour in (*lines, ("F-measure", f, GREEN)):
            axes.plot(values, color=colour, label=label)
        axes.set(xlabel="threshold", ylim=(0, 1.02), xlim=(0, 255))
        axes.set_title("By threshold")
        axes.legend()
        shown = pictures.BySize(
            title="By size of the salient region",
            things="image",
            label="%",
            series={
                "max F-measure": {size: 100 * each.max_f for size, (_, each) in by_size.items()},
                "mean absolute error": {size: 100 * s.mae for size, (_, s) in by_size.items()},
            },
            counts={size: count for size, (count, _) in by_size.items()},
        )
        pictures.draw_sizes(add_axes(figure, MARGIN + 660, TOP + 40, 460, 340), shown)
