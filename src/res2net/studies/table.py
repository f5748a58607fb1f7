"""The studies, a row each. To add a study, add a row."""

from __future__ import annotations

from collections.abc import Mapping

from res2net.errors import UserError, did_you_mean
from res2net.studies.cifar import ABLATIONS, FIGURE5, SHIPPED, TWINS
from res2net.studies.dense import DENSE_TWINS
from res2net.studies.scenes import SCENES
from res2net.studies.study import Study

STUDIES: Mapping[str, Study] = {
    study.name: study for study in (TWINS, SHIPPED, FIGURE5, SCENES, ABLATIONS, *DENSE_TWINS)
}


def find_study(name: str) -> Study:
    """The study of that name.

    Raises:
        UserError: no such study; names the nearest.
    """
    if name not in STUDIES:
        raise UserError(
            f"unknown study {name!r}.{did_you_mean(name, STUDIES)} It can be {', '.join(STUDIES)}."
        )
    return STUDIES[name]
