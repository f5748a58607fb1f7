"""Tables of measurements: files of results/, appended by commands."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from pathlib import Path

from doc_tables.markup import (
    BLANK,
    RESULTS,
    about,
    by_processor,
    every_row,
    kind_of_processor,
    machine,
    markdown,
    newest_run,
    of_best_kind,
    ratio_column,
    read_results,
    run_of,
)
from doc_tables.measures import MEASURES, OLDER
from res2net.bench import evaluators as evaluators_bench
from res2net.bench import growth as growth_bench
from res2net.bench import tasks as tasks_bench
from res2net.bench import train_step as train_step_bench
from res2net.bench.deploy import OVER, compared, draw_speeds
from res2net.bench.engines import Case
from res2net.bench.growth import draw_growth
from res2net.bench.options import NETWORK
from res2net.bench.protocol import LIBRARIES
from res2net.bench.roofline import draw_rooflines
from res2net.data.scenes.single import LENGTHS
from res2net.experiments.results import Spread, difference, read_rows, spread
from res2net.experiments.studies import MAPS, PREFIX, column_of, find_study
from res2net.experiments.study import Study


def draw_charts(folder: Path) -> None:
    """The charts of speed in the newest runs."""
    named = [row for row in read_results("deploy.csv") if row["network"] == NETWORK]
    rows = newest_run(of_best_kind(named))
    machine_and_date = f"{machine({**rows[0], 'instructions': ''})}, {rows[0]['date']}"
    draw_speeds(rows, folder / "speed.png", measured=f"; {machine_and_date}")
    draw_rooflines(read_results("roofline.csv"), folder / "roofline.png")
    if grown := read_results("growth.csv"):
        where = " and ".join({f"{machine(row)}, {row['date']}": None for row in grown})
        draw_growth(grown, folder / "growth.png", measured=where)


def sizes() -> str:
    """The cost of larger images in our own engine and in OpenVINO."""
    how_of = itemgetter("network", "engine", "precision")
    rows = read_results("native_sizes.csv")
    hows = {*map(how_of, rows)}
    kinds = {*map(kind_of_processor, rows)}
    every = [row for row in every_row("native_networks.csv") if kind_of_processor(row) in kinds]
    together = {run_of(row) for row in every if row["network"] == NETWORK}  # with ResNet-50
    usual = {
        (kind_of_processor(row), *how_of(row)): row
        for row in every
        if how_of(row) in hows and run_of(row) in together
    }
    return by_processor(_sizes, [*rows, *usual.values()])


def _sizes(rows: Sequence[dict[str, str]]) -> str:
    how_of = itemgetter("network", "engine", "precision")
    hows = dict.fromkeys(map(how_of, rows))
    pixels = sorted({row["size"] for row in rows}, key=int)
    found = {(*how_of(row), row["size"]): row for row in rows}
    title, ratios = ratio_column("", rows, "to_resnet50", beside("to_resnet50", rows))
    shown = dict(zip(map(id, rows), ratios, strict=True))
    cells = [
        (
            f"`{how[0]}`",
            f"{how[1]} {how[2]}",
            *(
                row["median_ms"] + (f" ({ratio})" if (ratio := shown[id(row)]) != BLANK else "")
                for row in (found[*how, size] for size in pixels)
            ),
        )
        for how in hows
    ]
    head = ("network", "engine", *(f"{size} px, ms{title}" for size in pixels))
    return markdown(head, cells) + about(rows, LIBRARIES)


def roofline() -> str:
    """Throughput of each stage of Res2Net-50, relative to the measured peak."""
    rows = [r for r in read_results("roofline.csv") if r["network"] == "res2net50_26w_4s"]
    return by_processor(_roofline, rows)


def _roofline(rows: Sequence[dict[str, str]]) -> str:
    cells = [
        (
            row["precision"],
            row["part"],
            row["ms"],
            *(
                (row["gflops"], f"{100 * float(row['share_of_peak']):.0f}", row["ms_at_peak"])
                if float(row["gflops"])
                else ("–", "–", "–")
            ),
        )
        for row in rows
    ]
    peaks: dict[str, str] = {row["precision"]: row["peak_gflops"] for row in rows}
    listed = ", ".join(f"{precision} {peak}" for precision, peak in peaks.items())
    head = ("precision", "part", "ms", "GFLOP/s", "of the peak, %", "ms at the peak")
    return f"{markdown(head, cells)}{about(rows)}\nPeaks, GFLOP/s: {listed}.\n"


RATIOS = {
    "over_timm": "× timm, same engine",
    "to_resnet50": "time / ResNet-50",
    "to_best_resnet50": "/ ResNet-50 in its fastest engine",
    "over_timm_eager": "× timm eager fp32",
}


def speeds(file: str) -> str:
    """Networks in engines, timed by ``res2net bench deploy``."""
    return by_processor(_speeds, read_results(file))


def _speeds(rows: Sequence[dict[str, str]]) -> str:
    cells = [
        (
            f"`{row['network']}`",
            f"{row['maker']}, {row['engine']} {row['precision']}",
            row["batch"],
            row["median_ms"],
        )
        for row in rows
    ]
    columns = [
        ratio_column(title, rows, name, beside(name, rows)) for name, title in RATIOS.items()
    ]
    head = ("network", "engine", "batch", "ms", *(title for title, _ in columns))
    ratios = zip(*(found for _, found in columns), strict=True)
    lines = [(*cell, *found) for cell, found in zip(cells, ratios, strict=True)]
    return markdown(head, lines) + about(rows, LIBRARIES)


def beside(
    name: str, rows: Sequence[Mapping[str, str]]
) -> Callable[[Mapping[str, str]], float | None]:
    """(row) → a ratio of ``bench deploy``, of the medians of rows of the same run."""

    def case_of(row: Mapping[str, str]) -> Case:
        how = (row[column] for column in ("network", "maker", "engine", "precision"))
        return Case(*how, batch=int(row["batch"]))

    medians: dict[tuple[str, ...], dict[Case, float]] = {}
    for row in rows:
        of_run = medians.setdefault((*run_of(row), row["size"]), {})
        of_run[case_of(row)] = float(row["median_ms"])

    def ratio(row: Mapping[str, str]) -> float | None:
        timed, case = medians[*run_of(row), row["size"]], case_of(row)
        other = compared(case, timed).get(name)
        if other is None:
            return None
        times = timed[case] / timed[other]
        return 1 / times if name in OVER else times

    return ratio


def folder() -> str:
    """Folders of files through an exported network."""
    rows = read_results("folder.csv")

    def of_medians(row: Mapping[str, str]) -> float:
        return float(row["whole_per_second"]) / float(row["alone_per_second"])

    def percent(share: float) -> str:
        return f"{100 * share:.1f}"

    title, shares = ratio_column("share, %", rows, "share", of_medians, percent)
    columns = ("images", "alone_per_second", "whole_per_second")
    cells = [
        (
            f"`{row['network']}`",
            f"{row['engine']} {row['precision']}",
            *(row[name] for name in columns),
            share,
        )
        for row, share in zip(rows, shares, strict=True)
    ]
    head = ("network", "engine", "files", "network alone, images/s", "from files, images/s", title)
    return markdown(head, cells) + about(rows, LIBRARIES)


def train_step(file: str) -> str:
    """Training steps, ours and timm's."""
    return by_processor(_train_step, read_results(file))


def _train_step(rows: Sequence[dict[str, str]]) -> str:
    titles = ("× timm's default", "× timm, same precision and layout")
    columns = [
        ratio_column(title, rows, name, _over(rows, train_step_bench.OVER[name]))
        for title, name in zip(titles, train_step_bench.OVER, strict=True)
    ]
    cells = [
        (row["case"], row["median_ms"], row["images_per_second"], *ratios, *memory)
        for row, *ratios, memory in zip(
            rows,
            *(found for _, found in columns),
            [(row["peak_mib"], row["saved_mib"]) for row in rows],
            strict=True,
        )
    ]
    head = (
        *("case", "ms", "img/s", *(title for title, _ in columns)),
        *("peak memory, MiB", "saved for backward, MiB"),
    )
    return markdown(head, cells) + about(rows, ["timm"])


def _over(
    rows: Sequence[Mapping[str, str]], pairs: Mapping[str, str], *same: str
) -> Callable[[Mapping[str, str]], float | None]:
    """(row) → how many times faster it is than its reference case, from the medians.

    Args:
        pairs: case → its reference case.
        same: columns in which the two must be equal.
    """

    def key(row: Mapping[str, str], case: str) -> tuple[str, ...]:
        return (case, *run_of(row), *(row[name] for name in same))

    medians = {key(row, row["case"]): float(row["median_ms"]) for row in rows}

    def ratio(row: Mapping[str, str]) -> float | None:
        other = medians.get(key(row, pairs.get(row["case"], "")))
        return other / float(row["median_ms"]) if other else None

    return ratio


# Until this day `bench dense` recorded the peak of the parent process instead of the case's.
PEAKS_OF_THE_PARENT = "2026-11-28"


def tasks_speed() -> str:
    """Training step and inference of each other task, ours and other libraries'."""
    files = [name for name in ("dense.csv", "tasks.csv") if (RESULTS / name).is_file()]  # old name
    cases = ("task", "kind", "case", "batch", "size")
    newest = {
        (kind_of_processor(row), *(row[name] for name in cases)): row
        for file in files
        for row in read_results(file)
    }
    return by_processor(_tasks_speed, list(newest.values()))


def _tasks_speed(rows: Sequence[dict[str, str]]) -> str:
    others = {case for all_of in tasks_bench.CASES.values() for case in all_of}
    pairs = dict.fromkeys(others.difference(tasks_bench.OURS), tasks_bench.EQUAL)
    slower = _over(rows, pairs, "task", "kind")
    title, ratios = ratio_column(
        "time / ours fp32 nchw",
        rows,
        "speed_of_ours",
        lambda row: 1 / over if (over := slower(row)) else None,
    )
    cells = [
        (
            row["task"],
            {"train": "training step", "infer": "inference"}[row["kind"]],
            row["case"],
            f"{row['batch']} of {row['size']}",
            row["n"],
            row["median_ms"],
            ratio,
            row["peak_mib"] if row["date"] > PEAKS_OF_THE_PARENT else BLANK,
        )
        for row, ratio in zip(rows, ratios, strict=True)
    ]
    head = (
        *("task", "operation", "case", "images, pixels", "rounds", "ms"),
        *(title, "peak memory, MiB"),
    )
    return markdown(head, cells) + about(rows, ["torchvision", "segmentation-models-pytorch"])


def evaluators() -> str:
    """Evaluators and decoders, ours and those of other libraries."""
    rows = read_results("evaluators.csv")
    slower = _over(rows, evaluators_bench.OURS)
    title, ratios = ratio_column(
        "time / ours",
        rows,
        "speed_of_ours",
        lambda row: 1 / over if (over := slower(row)) else None,
    )
    cells = [
        (row["case"], row["median_ms"], ratio) for row, ratio in zip(rows, ratios, strict=True)
    ]
    compared_with = ["faster-coco-eval", "torchmetrics"]
    return markdown(("case", "ms", title), cells) + about(rows, compared_with)


def demo() -> str:
    """Output of ``res2net demo``: its epochs and its scores."""
    lines = (RESULTS / "demo.txt").read_text().splitlines()
    per_class = next(i for i, line in enumerate(lines) if "Classes, the worst first" in line)
    last = next(i for i, line in enumerate(lines) if "held-out digits" in line)
    shown = [*lines[:per_class], *lines[last:]]
    return "```text\n" + "\n".join(shown) + "\n```\n"


def parity() -> str:
    """Differences of our networks from timm's and torchvision's."""
    rows = read_results("parity.csv")
    columns = ("library", "sizes", "logits", "levels", "gradients", "statistics")
    cells = [
        (f"`{row['network']}`", *(row[name] or "–" for name in columns), row["level_names"] or "–")
        for row in rows
    ]
    head = ("network", *columns, "levels compared")
    return markdown(head, cells) + about(rows, ["torchvision", "timm"])


def loading() -> str:
    """The share of an epoch spent on reading images."""
    rows = read_results("loading.csv")
    cells = [
        (
            row["data"],
            row["network"],
            row["images"],
            row["seconds_loaded"],
            row["seconds_ready"],
            f"{100 * float(row['loading_share']):.1f}",
        )
        for row in rows
    ]
    head = ("data", "network", "images", "epoch, s", "epoch without reading, s", "share, %")
    return markdown(head, cells) + about(rows)


def serve() -> str:
    """Load tests of the server."""
    if not (RESULTS / "serve.csv").is_file():
        return "Not measured yet.\n"
    rows = read_results("serve.csv")
    columns = ("clients", "requests", "answered", "refused_first", "lost_or_hung", "per_second")
    times = ("alone_median_ms", "p50_ms", "p95_ms", "p95_with_retries_ms")
    cells = [
        (
            f"`{row['network']}`, {row['pixels']} pixels, {row['engine']}",
            *(row[name] for name in (*columns, *times)),
        )
        for row in rows
    ]
    head = (
        *("network", "clients", "requests", "answered", "retried", "lost or hung", "per second"),
        *("single client, ms", "p50, ms", "p95, ms", "p95 with retries, ms"),
    )
    return f"{markdown(head, cells)}{about(rows, LIBRARIES)}\nQueue size: {rows[-1]['queue']}.\n"


def growth() -> str:
    """Time and memory against size."""
    rows = read_results("growth.csv")
    if not rows:
        return "Not measured yet.\n"
    columns = ("number", "seconds", "mib", "n")
    cells = [
        (growth_bench.KINDS[row["what"]].unit, *(row[name] for name in columns)) for row in rows
    ]
    head = ("data", "size", "seconds", "memory, MiB", "runs")
    picture = "![Time and memory against size](pictures/growth.png)"
    return f"{markdown(head, cells)}{about(rows)}\n{picture}\n"


def measures() -> str:
    """Every question with its results file, and whether its rows are older than the code."""
    cells = []
    for file, found in MEASURES.items():
        dates = sorted({row["date"] for row in read_results(file)})
        if not dates:
            cells.append((found.question, file, "not yet", found.changed, BLANK))
            continue
        state = OLDER if dates[0] < found.changed else "current"
        measured = " to ".join(dict.fromkeys((dates[0], dates[-1])))
        cells.append(
            (found.question, f"[{file}](../results/{file})", measured, found.changed, state)
        )
    head = ("question", "results", "measured", "last relevant change", "state")
    return markdown(head, cells)


def study(name: str) -> str:
    """A study: network, cost and results of each point so far."""
    asked = find_study(name)
    file = RESULTS / "studies" / f"{name}.csv"
    rows = read_rows(asked, file)
    columns = sorted(
        {column for row in rows for column in row if column.startswith(PREFIX)},
        key=lambda column: float(column.removeprefix(PREFIX)),
    )
    base, cells = asked.points[0], []
    for point in asked.points:
        counted, found = asked.count(point), spread(rows, point)
        cells.append(
            (
                f"`{point.label}`",
                " ".join((f"`{point.network}`", *(f"{k}={v}" for k, v in point.settings.items()))),
                f"{counted.params / 1e6:.3f}",
                f"{counted.macs / 1e6:.1f}",
                str(len(found.values)),
                str(found),
                "" if point is base else str(difference(rows, point, base)),
                *(str(spread(rows, point, column)) for column in columns),
                *(str(spread(rows, point, column)) for column in asked.sizes.values()),
            )
        )
    head = (
        *("point", "network", "parameters, M", "MACs, M", "seeds"),
        *(f"100 − {asked.score}, last epoch, %", f"difference from `{base.label}`, points"),
        *(f"{column.removeprefix(PREFIX)} px" for column in columns),
        *asked.sizes,
    )
    table = f"{asked.question}\n\n{markdown(head, cells)}"
    if not rows:
        return f"{table}\nNot measured yet.\n"
    last = rows[-1]
    about_rows = (
        f"\nMean ± standard deviation over seeds, differences paired by seed. {last['epochs']} "
        f"epochs, batch {last['batch']}, {last['val_images']} evaluation images. {_made(rows)}\n"
    )
    maps = _maps(asked, rows) if asked.drawing == "maps" else ""
    return f"{table}{maps}{about_rows}\n![{asked.question}](../results/studies/{name}.png)\n"


def _made(rows: Sequence[Mapping[str, str]]) -> str:
    """Machines, versions and commands of the trainings of a study."""
    commands: dict[str, list[str]] = {}
    for row in rows:
        where = f"{machine(row)}, torch {row['torch']}, commit {row['commit']}, {row['date']}"
        known = commands.setdefault(where, [])
        if (command := f"`{row['command']}`") not in known:
            known.append(command)
    return "; ".join(f"{where}: {', '.join(known)}" for where, known in commands.items())


def pretraining() -> str:
    """The rows of ``tools/pretrain_study.py``: errors with and without pretraining."""
    rows = every_row("studies/pretrain.csv")
    if not rows:
        return "Not measured yet.\n"
    columns = {"features": "probe_error", "scratch": "top1_error", "pretrained": "top1_error"}
    scores = {
        point: {row["seed"]: float(row[column]) for row in rows if row["point"] == point}
        for point, column in columns.items()
    }
    base, cells = scores["scratch"], []
    for point, title in (("scratch", "random"), ("pretrained", "pretrained without labels")):
        (first, *_) = (row for row in rows if row["point"] == point)
        found = scores[point]
        gained = Spread(values=tuple(found[seed] - base[seed] for seed in found if seed in base))
        cells.append(
            (
                *(title, first["images"], first["epochs"], str(len(found))),
                str(Spread(values=tuple(found.values()))),
                "" if point == "scratch" else str(gained),
            )
        )
    (first, *_) = (row for row in rows if row["point"] == "features")
    head = (
        *("initial weights", "images with labels", "epochs", "seeds"),
        *("100 − top-1 accuracy, last epoch, %", "difference from random, points"),
    )
    probe = Spread(values=tuple(scores["features"].values()))
    return (
        f"{markdown(head, cells)}\nMean ± standard deviation over seeds, differences paired by "
        f"seed. `{first['network']}`; pretraining: {first['images']} images, "
        f"`{first['settings']}`, error of its nearest-neighbour probe {probe} %. {_made(rows)}\n"
    )


def _maps(asked: Study, rows: Sequence[Mapping[str, str]]) -> str:
    """Scores of the activation maps for objects of each length."""
    cells = [
        (
            title,
            f"`{point.label}`",
            *(str(spread(rows, point, column_of(length, f"{name}_"))) for length in LENGTHS),
        )
        for name, title in {"area": "object's share of the image, %", **MAPS}.items()
        for point in asked.points
    ]
    lengths = (f"{length:.3g} px" for length in LENGTHS)
    return "\n" + markdown(("map of the true class", "point", *lengths), cells)
