"""Whole images one by one, for measuring."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from res2net.data.scenes.loader import SceneSet
from res2net.errors import UserError
from res2net.tasks.dense.task import Track


def each_sample(
    shown: SceneSet, limit: int | None = None, track: Track | None = None
) -> Iterator[Any]:
    """The samples of a data set in its order; faulty ones end it, or are left out with a warning.

    Args:
        limit: so many at most.
        track: wraps the numbers in a progress bar.

    Raises:
        UserError: a file that cannot be read, unless ``shown.skip_bad``.
    """
    count = len(shown) if limit is None else min(limit, len(shown))
    for index in track(range(count), count, "evaluating") if track else range(count):
        batch = shown.__getitems__([index])
        if isinstance(batch, UserError):
            if shown.skip_bad:
                continue
            raise UserError(str(batch))
        yield batch[0]
