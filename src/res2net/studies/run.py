"""Run a study: each point and seed once, resumed where it stopped, a row appended as it ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from filelock import FileLock, Timeout

from res2net.errors import Stopped, UserError
from res2net.files import make_folder
from res2net.studies.results import append_row, is_done, read_rows, seconds_left
from res2net.studies.study import Point, Settings, Study
from res2net.train.folder import CONFIG
from res2net.train.run import fit

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
        results: CSV that a row is appended to as soon as a run has ended.
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
    for number, (point, seed) in enumerate(planned, 1):
        rows = read_rows(study, results)
        if is_done(rows, point, seed):
            continue
        left = [(p, s) for p, s in planned[number - 1 :] if not is_done(rows, p, s)]
        run = run_folder(folder, point, seed)
        try:
            with FileLock(folder / f".{run.name}.lock", timeout=0):
                if is_done(read_rows(study, results), point, seed):
                    continue  # another process has just ended it
                say(f"\n{study.name} {number}/{len(planned)}: {point.label}, seed {seed}")
                say(progress(study, left, rows))
                _train(study, point, seed, source, run, machine or {}, say)
                append_row(study, point, seed, run, results, command)
                say(f"row appended to {results}")
        except Timeout:
            say(f"{point.label}, seed {seed}: another process trains it")
    return read_rows(study, results)


def run_folder(folder: Path, point: Point, seed: int) -> Path:
    """Where a run lies."""
    return folder / f"{point.label}-seed{seed}"


def progress(
    study: Study, left: Sequence[tuple[Point, int]], rows: Sequence[dict[str, str]]
) -> str:
    """How much is left, in trainings and hours."""
    seconds, measured = seconds_left(study, left, rows)
    hours = f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.0f} min"
    basis = "as fast as the rows so far" if measured else "guessed from multiply-adds"
    return f"trainings left: {len(left)}, about {hours} ({basis})"


def _train(
    study: Study, point: Point, seed: int, data: str, run: Path, machine: Settings, say: Say
) -> None:
    try:
        begun = (run / CONFIG).is_file()
        fit(study.config(point, seed, data, machine), run, resume=begun, say=say)
    except Stopped:
        raise Stopped("stopped; the same command goes on") from None
