"""Run a study or an item: train each network once, with resume, and append a row for each.

Imports torch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from res2net.bench.protocol import append_rows
from res2net.config import RunConfig
from res2net.errors import Stopped, TakenError, UserError
from res2net.experiments.charts import draw
from res2net.experiments.full import Planned, full_plan, published_networks, runs_of
from res2net.experiments.items import ITEMS, Item, rows_of
from res2net.experiments.results import is_done, progress, read_results, read_rows, written
from res2net.experiments.sheets import PUBLISHED_WEIGHTS
from res2net.experiments.small import PAIR, small_study
from res2net.experiments.study import (
    Point,
    Settings,
    Study,
    card_of,
    epochs_of,
    run_folder,
    scores_of,
)
from res2net.files import WAIT, locked, make_folder, remove_leftovers
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
    """Train all runs without a row, seed 0 of all points first; return the rows of the study.

    An interruption loses at most the current epoch: the same call resumes. Concurrent calls share
    the work, since runs in training by another process are skipped.

    Args:
        folder: of the run folders, POINT-seedN.
        results: CSV to append a row to when a run ends; a chart of all rows is written beside it.
        data: FORMAT:PATH or a path; None for data without files.
        only: labels of points; empty: all.
        seeds: number of seeds per point; None: as in the study.
        machine: settings that affect the speed of a run, not its result.
        command: the command recorded in the rows.
        say: callback for lines of output.

    Raises:
        UserError: unusable data, point or file.
        Stopped: stopped by the user; the message tells how to resume.
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
            say(f"{point.label}, seed {seed}: in training by another process")
    return read_rows(study, results)


def _train(config: RunConfig, run: Path, say: Say) -> None:
    try:
        fit(config, run, resume=(run / CONFIG).is_file(), say=say)
    except Stopped:
        raise Stopped("stopped; rerun the same command to resume") from None


def _row(study: Study, point: Point, seed: int, run: Path) -> dict[str, object]:
    """The row of a finished run."""
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
    """Append a row (safe for concurrent processes) and redraw the chart."""
    append_rows(results, [row], command)
    picture = results.with_suffix(".png")
    with locked(picture.with_name(f".{picture.name}.lock"), str(picture), wait=WAIT):
        remove_leftovers(picture.parent, picture.name)
        draw(study, read_rows(study, results), picture)


def run_small(
    item: Item,
    root: Path | None,
    out: Path,
    results: Path,
    *,
    machine: Settings,
    command: str,
    say: Say,
    only: Sequence[str] = (),
) -> None:
    """Train the small networks of an item, except those with a row.

    Args:
        only: labels of networks; empty: all.

    Raises:
        UserError: ``root`` is not a folder, or unusable data.
        Stopped: stopped by the user; the same command resumes.
    """
    study, source = small_study(item, root)
    run_study(
        study,
        runs_of(study, out),
        results,
        data=source,
        only=only,
        machine=machine,
        command=command,
        say=say,
    )


def pair_runs(item: Item, scale: str, root: Path | None, out: Path) -> list[Path]:
    """The two run folders of a figure, which need not exist."""
    assert item.of is not None
    if scale == "full":
        plan = full_plan(item)
        return [run_folder(runs_of(each.study, out), each.point, 0) for each in plan]
    study, _ = small_study(ITEMS[item.of], root)
    return [run_folder(runs_of(study, out), study.find_point(label), 0) for label in PAIR]


def run_full(
    item: Item,
    root: Path,
    out: Path,
    results: Path,
    *,
    machine: Settings,
    command: str,
    say: Say,
) -> int:
    """Train and evaluate every row with available data; return the number of others.

    Raises:
        UserError: data that cannot be used.
        Stopped: somebody stopped it; the same command resumes.
    """
    left = 0
    for planned in full_plan(item):
        if missing := planned.missing(root):
            paths = ", ".join(str(place.path(root)) for place in missing)
            say(f"{planned.study.name}, {planned.point.label}: skipped, {paths} is missing")
            left += 1
            continue
        study = planned.study
        if planned.tests:
            study = replace(study, measure=lambda run, p=planned: _on_tests(p, run, root))  # type: ignore[misc]
        run_study(
            study,
            runs_of(study, out),
            results,
            data=planned.place.source(root),
            only=[planned.point.label],
            machine=machine,
            command=command,
            say=say,
        )
    for network, place in published_networks(item).items():
        if place.path(root).exists():
            measure_published(network, place.source(root), out, results, command, say)
    return left


def _on_tests(planned: Planned, run: Path, root: Path) -> dict[str, float]:
    """Scores of a run on its validation part, and on each further set by name."""
    from res2net.tasks.evaluate import evaluate

    scores = scores_of(run)
    for name, place in planned.tests.items():
        found = evaluate(run, place.source(root), out=run / f"on-{name}")
        scores |= {f"{name}_{key}": round(value, 6) for key, value in found.metrics.items()}
    return scores


def measure_published(
    network: str, source: str, out: Path, results: Path, command: str, say: Say
) -> None:
    """Evaluate published weights on ImageNet's validation images, or print why they are missing.

    Raises:
        UserError: data that cannot be used.
    """
    from res2net.tasks.evaluate import evaluate
    from res2net.weights.pretrained import IN1K, open_pretrained

    done = {(row.get("study"), row.get("point")) for row in read_results(results)}
    if (PUBLISHED_WEIGHTS, network) in done:
        return
    try:
        open_pretrained(IN1K, network)
    except UserError as error:
        say(f"published weights of {network}: skipped, {error}")
        return
    found = evaluate(network, source, out=out / "published" / network)
    row = {
        "study": PUBLISHED_WEIGHTS,
        "point": network,
        "seed": "",
        "network": network,
        "data": source.partition(":")[0],
        **{name: round(value, 4) for name, value in found.metrics.items()},
        "settings": IN1K,
    }
    append_rows(results, [row], command)
    say(f"published weights of {network}: top-1 error {row['top1_error']:.2f} %")


def time_networks(item: Item, times: Path, *, rounds: int, command: str, say: Say) -> None:
    """Time all networks of a table, eager and (with OpenVINO) deployed, and append rows.

    Raises:
        UserError: the file cannot be written.
    """
    from importlib.util import find_spec

    import torch

    from res2net.bench.deploy import as_row, cases, measure
    from res2net.processor import threads

    engines = ["eager", *(["openvino"] if find_spec("openvino") else [])]
    if len(engines) == 1:
        say("OpenVINO is not installed (pip install 'res2net[deploy]'): eager times only")
    networks = list(dict.fromkeys(row.network for row in rows_of(item)))
    torch.set_num_threads(threads())
    say(f"timing {len(networks)} networks in {' and '.join(engines)}, {rounds} rounds")
    wanted = cases(networks, makers=["ours"], engines=engines, precisions=["fp32", "bf16"])
    append_rows(
        times, [as_row(speed) for speed in measure(wanted, size=224, rounds=rounds)], command
    )
