"""The command line that does what a point of a study does. No torch in here."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from res2net.reproduce.full import Place, Planned
from res2net.studies.study import Point, Study


def train_words(study: Study, point: Point, source: str, run: Path) -> list[str]:
    """What `res2net` is given to train a point: the recipe's name, and what differs from it."""
    task = [] if study.task == "classify" else ["--task", study.task]
    words = ["train", *task, "--model", point.network, "--data", source, "--recipe", study.recipe]
    for name, value in {**study.settings, **point.settings}.items():
        words += [f"--{name}", value if isinstance(value, str) else json.dumps(value)]
    return [*words, "--out", str(run)]


def as_line(words: Sequence[str]) -> str:
    """As it is typed."""
    return shlex.join(["res2net", *words])


def full_words(planned: Planned, root: Path, out: Path) -> list[list[str]]:
    """The commands of a training in full, and of its further measurements."""
    run = out / "runs" / planned.study.name / f"{planned.point.label}-seed0"
    source = planned.place.source(root)
    words = [train_words(planned.study, planned.point, source, run)]
    for name, place in planned.tests.items():
        folder = str(run / f"on-{name}")
        words.append(["evaluate", str(run), "--data", place.source(root), "--out", folder])
    return words


def published_words(network: str, place: Place, root: Path, out: Path) -> list[str]:
    """The command that measures published weights."""
    folder = str(out / "published" / network)
    return ["evaluate", network, "--data", place.source(root), "--out", folder]
