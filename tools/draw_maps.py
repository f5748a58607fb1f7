"""Draw class activation maps of two runs on generated objects of each length, as in Fig. 4.

``python tools/draw_maps.py 48w=RUN 18w_4s=RUN --out results/studies/figure4-maps.png``: runs of
``res2net study figure4`` of one seed. The first validation images of each length are drawn.
"""

from __future__ import annotations

import argparse
from operator import itemgetter
from pathlib import Path

from res2net.config import RunConfig
from res2net.explain.sheets import Sheet, draw_sheet
from res2net.explain.study import single_objects
from res2net.explain.subject import open_subject


def main() -> None:
    """Draw the maps of the true class."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs=2, metavar="NAME=RUN")
    parser.add_argument("--each", type=int, default=2, help="images of each length")
    parser.add_argument("--out", type=Path, required=True)
    given = parser.parse_args()
    runs = dict(each.split("=", 1) for each in given.runs)
    subjects = [open_subject(run) for run in runs.values()]
    seed = RunConfig.read(Path(next(iter(runs.values()))) / "config.yaml").seed
    sheets = []
    objects = sorted(single_objects(seed, given.each), key=itemgetter(0))
    for length, pixels, inside, label in objects:
        maps = [subject.explain(pixels, wanted=label) for subject in subjects]
        image = pixels.permute(1, 2, 0).numpy()
        sheets.append(Sheet(name=f"{length:.3g} pixels", image=image, maps=maps, inside=inside))
    draw_sheet(sheets, list(runs), given.out, images=len(sheets), note="")


if __name__ == "__main__":
    main()
