"""Pictures of studies: every kind, with rows of some points only."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from res2net.data.scenes.single import LENGTHS
from res2net.studies.pictures import draw
from res2net.studies.scenes import column_of
from res2net.studies.table import STUDIES


def _rows(study, seeds, points):
    chance = np.random.default_rng(0)
    return [
        {
            "study": study.name,
            "point": point.label,
            "seed": str(seed),
            "params": str(study.count(point).params),
            "last_error": str(chance.uniform(30, 50)),
            **{column_of(length): str(chance.uniform(30, 50)) for length in LENGTHS},
        }
        for seed in range(seeds)
        for point in study.points[:points]
    ]


@pytest.mark.parametrize("name", ["cifar-twins", "figure5", "scenes-scale"])
def test_it_is_drawn_as_rows_come(name, tmp_path):
    study, path = STUDIES[name], tmp_path / "picture.png"
    draw(study, [], path)
    assert not path.exists()  # nothing is drawn of nothing
    shapes = []
    for seeds, points in ((1, 1), (2, len(study.points))):
        draw(study, _rows(study, seeds, points), path)
        pixels = np.asarray(Image.open(path))
        shapes.append(pixels.shape)
        assert pixels.shape[1] == 1200
        assert (pixels[:, -16:] == 255).all()  # nothing is cut at the right
    assert shapes[0][0] <= shapes[1][0]
