"""Run an item: its trainings row by row, its published weights, its runtimes. Imports torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from res2net.bench.protocol import append_rows
from res2net.errors import UserError
from res2net.files import make_folder
from res2net.reproduce.full import Planned, full_plan, published_networks
from res2net.reproduce.items import ITEMS, Item
from res2net.reproduce.rows import rows_of
from res2net.reproduce.scores import scores_of
from res2net.reproduce.sheets import PUBLISHED_WEIGHTS, read_measured
from res2net.reproduce.small import PAIR, small_study
from res2net.studies.run import run_folder, run_study
from res2net.studies.study import Settings

Say = Callable[[str], None]


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
    """Train the small networks of an item; what has a row is passed over.

    Args:
        only: labels of networks; all where empty.

    Raises:
        UserError: ``root`` is no folder, or data that cannot be used.
        Stopped: somebody stopped it; the same command goes on.
    """
    study, source = small_study(item, root)
    folder = out / "runs" / study.name
    run_study(
        study,
        folder,
        results,
        data=source,
        only=only,
        machine=machine,
        command=command,
        say=say,
    )


def pair_runs(item: Item, scale: str, root: Path | None, out: Path) -> list[Path]:
    """The two run folders that a figure shows; they need not be there."""
    assert item.of is not None
    if scale == "full":
        plan = full_plan(item)
        return [run_folder(out / "runs" / each.study.name, each.point, 0) for each in plan]
    study, _ = small_study(ITEMS[item.of], root)
    return [run_folder(out / "runs" / study.name, study.find_point(label), 0) for label in PAIR]


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
    """Train and measure every row whose data are there; returns how many are not.

    Raises:
        UserError: data that cannot be used.
        Stopped: somebody stopped it; the same command goes on.
    """
    left = 0
    for planned in full_plan(item):
        if missing := planned.missing(root):
            paths = ", ".join(str(place.path(root)) for place in missing)
            say(f"{planned.study.name}, {planned.point.label}: left out, {paths} is not there")
            left += 1
            continue
        study = planned.study
        if planned.tests:
            study = replace(study, measure=lambda run, p=planned: _on_tests(p, run, root))  # type: ignore[misc]
        folder, source = out / "runs" / study.name, planned.place.source(root)
        run_study(
            study,
            folder,
            results,
            data=source,
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
    """What a run measured on its validation part, and on each further set by its name."""
    from res2net.tasks.evaluate import evaluate

    scores = scores_of(run)
    for name, place in planned.tests.items():
        found = evaluate(run, place.source(root), out=run / f"on-{name}")
        scores |= {f"{name}_{key}": round(value, 6) for key, value in found.metrics.items()}
    return scores


def measure_published(
    network: str, source: str, out: Path, results: Path, command: str, say: Say
) -> None:
    """The published weights on ImageNet's validation images, once; a line where they are not had.

    Raises:
        UserError: data that cannot be used.
    """
    from res2net.tasks.evaluate import evaluate
    from res2net.weights.pretrained import IN1K, open_pretrained

    done = {(row.get("study"), row.get("point")) for row in read_measured(results)}
    if (PUBLISHED_WEIGHTS, network) in done:
        return
    try:
        open_pretrained(IN1K, network)
    except UserError as error:
        say(f"published weights of {network}: left out, {error}")
        return
    folder = out / "published" / network
    make_folder(folder, "--out")
    evaluation = evaluate(network, source, out=folder).scores
    row = {
        "study": PUBLISHED_WEIGHTS,
        "point": network,
        "seed": "",
        "network": network,
        "data": source.partition(":")[0],
        **{name: round(value, 4) for name, value in evaluation.summary().items()},
        "settings": IN1K,
    }
    append_rows(results, [row], command)
    say(f"published weights of {network}: top-1 error {evaluation.top1_error:.2f} %")


def time_networks(item: Item, times: Path, *, rounds: int, command: str, say: Say) -> None:
    """Time every network of a table, eager and (where OpenVINO is installed) deployed; append rows.

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
