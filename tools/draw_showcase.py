"""Draw the README's image: predictions of trained runs, side by side.

``python tools/draw_showcase.py TITLE=RUN=IMAGE ... --out docs/pictures/showcase.png``. An image is
a file, or ``scene:N`` for scene N of the generated ones, where poses are predicted in the annotated
boxes and overlapping instances are suppressed across classes. ``TITLE=explain:RUN=IMAGE`` draws the
class activation map of the predicted class instead of the prediction.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

import res2net
from res2net.data.decode import decode
from res2net.data.scenes.generated import SceneRules, generate
from res2net.drawing.canvas import (
    MARGIN,
    WIDTH,
    Picture,
    fit,
    headed_figure,
    write,
)
from res2net.explain.overlay import heat_overlay
from res2net.explain.subject import open_subject

ACROSS, GAP, LINE = 3, 16, 28  # panels in a row; pixels between them, height of a title
TITLE = "Predictions of Res2Nets trained by this project"


def panel(run: str, place: str) -> Picture:
    """An image with the prediction of a run drawn on it: (H, W, 3)."""
    if run.startswith("explain:"):
        image = decode(Path(place))
        found = open_subject(run.removeprefix("explain:")).explain(image)
        return heat_overlay(image.permute(1, 2, 0).numpy(), found.heat)
    predictor = res2net.load(run)
    if place.startswith("scene:"):
        pose = predictor.task == "pose"
        scene = generate(int(place.removeprefix("scene:")), 0, SceneRules(tips=pose))
        boxes = [scene.objects.boxes] if pose and scene.objects is not None else None
        once = {"class_agnostic": True} if predictor.task == "instances" else {}
        (shown,) = predictor.predict(np.asarray(scene.image), boxes=boxes, **once)
    else:
        (shown,) = predictor.predict(Path(place))
    pictures = shown.pictures()
    return np.asarray(next(iter(pictures.values())))[..., :3]


def main() -> None:
    """Draw a sheet of panels."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("panels", nargs="+", metavar="TITLE=RUN=IMAGE")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    wide = (WIDTH - 2 * MARGIN - (ACROSS - 1) * GAP) // ACROSS
    tall = wide * 3 // 4
    rows = -(-len(given.panels) // ACROSS)
    with headed_figure(given.out, 100 + rows * (tall + LINE + GAP) + MARGIN, TITLE, "") as figure:
        for number, each in enumerate(given.panels):
            title, run, place = each.split("=", 2)
            row, column = divmod(number, ACROSS)
            left, top = MARGIN + column * (wide + GAP), 70 + row * (tall + LINE + GAP)
            write(figure, fit(title, wide, 8), left, top + LINE / 2)
            shown = ImageOps.fit(Image.fromarray(panel(run, place)), (wide, tall))
            figure.figimage(np.asarray(shown), left, round(figure.bbox.height - top - LINE - tall))


if __name__ == "__main__":
    main()
