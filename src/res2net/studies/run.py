"""Run a study: each point and seed once, resumed where it stopped, a row appended as it ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from res2net.bench.protocol import append_rows
from res2net.config import RunConfig
from res2net.errors import Stopped, TakenError, UserError
from res2net.files import WAIT, locked, make_folder, remove_leftovers
from res2net.studies.measures import card_of, epochs_of
from res2net.studies.pictures import draw
from res2net.studies.results import is_done, progress, read_rows, written
from res2net.studies.study import Point, Settings, Study
from res2net.training.folder import CONFIG
from res2net.training.run import fit

Say = Callable[[str], None]


def run_study(
    study: Study,
    folder: Path,
    results: Path,
    *,
    data: str | None = None,
    only: Sequence[str] = (),
    seeds: int | None = None,
    machine: Settings | None = None,
    command: str = "",
    say: Say = print,
) -> list[dict[str, str]]:
    """Train what has no row yet, all points of seed 0 first; returns the rows of the study.

    A kill loses at most the epoch that ran: the same call goes on. Two calls at once share the
    work, as a run that another process trains is passed over.

    Args:
        folder: of the run folders, POINT-seedN.
        results: CSV that a row is appended to as soon as a run has ended; a picture of all rows
            lies beside it.
        data: FORMAT:PATH or a path; None for data without files.
        only: labels of points; all where empty.
        seeds: so many of each point; None takes the study's number.
        machine: settings that change how fast a run is, not what it computes.
        command: what the rows say they were made by.
        say: takes each line for people.

    Raises:
        UserError: data, point or file that cannot be used.
        Stopped: somebody stopped it; says how to go on.
    """
    if seeds is not None and seeds < 1:
        raise UserError(f"--seeds is {seeds}; it must be at least 1")
    source = study.source(data)
    points = [study.find_point(label) for label in only] or list(study.points)
    planned = [(p, s) for s in range(study.seeds if seeds is None else seeds) for p in points]
    make_folder(folder, "--out")
    make_folder(results.parent, "--results")
    for number, (point, seed) in enumerate(planned, 1):
        run = run_folder(folder, point, seed)
        try:
            with locked(folder / f".{run.name}.lock", f"--out {folder}"):
                rows = read_rows(study, results)
                if is_done(rows, point, seed):
                    continue
                left = [(p, s) for p, s in planned if not is_done(rows, p, s)]
                say(f"\n{study.name} {number}/{len(planned)}: {point.label}, seed {seed}")
                say(progress(study, left, rows))
                # rows hold the scores of the best epoch's weights and the last epoch's error
                settings = {"train.select": "best", **(machine or {})}
                _train(study.config(point, seed, source, settings), run, say)
                _append(_row(study, point, seed, run), study, results, command)
                say(f"row appended to {results}")
        except TakenError:
            say(f"{point.label}, seed {seed}: another process trains it")
    return read_rows(study, results)


def run_folder(folder: Path, point: Point, seed: int) -> Path:
    """Where the run of a point and a seed lies."""
    return folder / f"{point.label}-seed{seed}"


def _train(config: RunConfig, run: Path, say: Say) -> None:
    try:
        fit(config, run, resume=(run / CONFIG).is_file(), say=say)
    except Stopped:
        raise Stopped("stopped; the same command goes on") from None


def _row(study: Study, point: Point, seed: int, run: Path) -> dict[str, object]:
    """What is kept of a finished run."""
    card, epochs, count = card_of(run), epochs_of(run), study.count(point)
    return {
        "study": study.name,
        "point": point.label,
        "group": point.group,
        "seed": seed,
        "network": point.network,
        "options": " ".join(f"{name}={value}" for name, value in card["options"].items()),
        "params": count.params,
        "macs": count.macs,
        "data": study.data,
        "pixels": card["preprocess"]["size"],
        "epochs": len(epochs),
        "steps": int(epochs[-1]["step"]),
        "batch": study.settings_of(point)["train.batch"],
        **study.measure(run),
        "seconds": round(sum(float(epoch["seconds"]) for epoch in epochs)),
        "settings": written(study, point),
    }


def _append(row: dict[str, object], study: Study, results: Path, command: str) -> None:
    """Append a row, which several processes may do at once, and draw all there are."""
    append_rows(results, [row], command)
    picture = results.with_suffix(".png")
    with locked(picture.with_name(f".{picture.name}.lock"), str(picture), wait=WAIT):
        remove_leftovers(picture.parent, picture.name)
        draw(study, read_rows(study, results), picture)
