"""Pictures of salient objects: precision, recall and F; by size; a sheet. Imports matplotlib."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from torch import Tensor

from res2net.drawing.canvas import (
    BLUE,
    GREEN,
    MARGIN,
    ORANGE,
    TOP,
    add_axes,
    counted,
    headed_figure,
)
from res2net.metrics.saliency import SaliencyScores, f_measure
from res2net.tasks.dense import pictures
from res2net.tasks.saliency.inference import lit


def draw_sheet(seen: Sequence[tuple[Tensor, Tensor, Tensor, str]], path: Path) -> None:
    """Image, truth, map and the image under the map, a row each."""
    rows = []
    for image, truth, found, name in seen:
        maps = [np.repeat(each.numpy()[..., None], 3, 2) for each in (truth, found)]
        pixels = image.permute(1, 2, 0).contiguous().numpy()
        rows.append(((pixels, *maps, lit(image, found)), name))
    subtitle = f"{counted(len(seen), 'image')}: as it is, as annotated, what stands out, both"
    pictures.draw_sheet(rows, "Salient objects", subtitle, path)


def draw_scores(
    scores: SaliencyScores, by_size: Mapping[str, tuple[int, SaliencyScores]], path: Path
) -> None:
    """Precision, recall and F over the threshold; the best F by size of what is salient."""
    best = f"max F-measure {scores.max_f:.3f} at threshold {scores.threshold}"
    subtitle = f"{best if by_size else 'no F-measure'}, mean absolute error {scores.mae:.3f}"
    with headed_figure(path, 560, "Salient objects", subtitle) as figure:
        axes = add_axes(figure, MARGIN + 65, TOP + 40, 460, 340)
        f = f_measure(scores.precision, scores.recall)
        lines = (("precision", scores.precision, BLUE), ("recall", scores.recall, ORANGE))
        for label, values, colour in (*lines, ("F-measure", f, GREEN)):
            axes.plot(values, color=colour, label=label)
        axes.set(xlabel="threshold", ylim=(0, 1.02), xlim=(0, 255))
        axes.set_title("By threshold")
        axes.legend()
        shown = pictures.BySize(
            title="By size of what is salient",
            things="image",
            label="%",
            series={
                "max F-measure": {size: 100 * each.max_f for size, (_, each) in by_size.items()},
                "mean absolute error": {size: 100 * s.mae for size, (_, s) in by_size.items()},
            },
            counts={size: count for size, (count, _) in by_size.items()},
        )
        pictures.draw_sizes(add_axes(figure, MARGIN + 660, TOP + 40, 460, 340), shown)
