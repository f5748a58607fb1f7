"""Tables of what was measured: files of results/, appended by commands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from operator import itemgetter

from doc_tables.markup import RESULTS, about, machine, markdown, pinned, read_results
from res2net.experiments.results import difference, read_rows, spread
from res2net.experiments.studies import PREFIX, find_study


def deploy_short() -> str:
    """Res2Net-50 in the engines people deploy with, ours and timm's."""
    rows = read_results("deploy.csv")
    named = [row for row in rows if row["network"] == "res2net50_26w_4s"]
    return _speeds([row for row in named if row["engine"] not in ("eager-nchw", "onnxruntime")])


def sizes() -> str:
    """The cost of larger images in our own engine and in OpenVINO."""
    rows = read_results("native_sizes.csv")
    how_of = itemgetter("network", "engine", "precision")
    hows = dict.fromkeys(map(how_of, rows))
    rows += [row for row in read_results("native_networks.csv") if how_of(row) in hows]
    pixels = sorted({row["size"] for row in rows}, key=int)
    found = {(*how_of(row), row["size"]): row for row in rows}
    cells = [
        (
            f"`{how[0]}`",
            f"{how[1]} {how[2]}",
            *(
                f"{row['median_ms']}" + (f" ({row['to_resnet50']})" if row["to_resnet50"] else "")
                for row in (found[*how, size] for size in pixels)
            ),
        )
        for how in hows
    ]
    head = ("network", "how", *(f"{size} px" for size in pixels))
    return markdown(head, cells) + about(rows[0])


def roofline() -> str:
    """What each stage of Res2Net-50 reaches of the measured peak."""
    rows = [r for r in read_results("roofline.csv") if r["network"] == "res2net50_26w_4s"]
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
    said = ", ".join(f"{precision} {peak}" for precision, peak in peaks.items())
    head = ("precision", "part", "ms", "GFLOP/s", "of the peak, %", "ms at the peak")
    last = rows[-1]
    made = f"on {machine(last)}, median of {last['n']} rounds, {last['date']}: `{last['command']}`"
    return f"{markdown(head, cells)}\nMeasured {made}. Peaks, GFLOP/s: {said}.\n"


def speeds(file: str) -> str:
    """Networks in engines, as ``res2net bench deploy`` timed them."""
    return _speeds(read_results(file))


def _speeds(rows: Sequence[Mapping[str, str]]) -> str:
    columns = ("over_timm", "to_resnet50", "to_best_resnet50", "over_timm_eager")
    cells = [
        (
            f"`{row['network']}`",
            f"{row['maker']}, {row['engine']} {row['precision']}",
            row["batch"],
            row["median_ms"],
            *(row.get(name) or "–" for name in columns),
        )
        for row in rows
    ]
    head = (
        *("network", "how", "batch", "ms", "× timm, same engine"),
        *("time / ResNet-50", "/ ResNet-50 in its fastest engine", "× timm eager fp32"),
    )
    return markdown(head, cells) + about(rows[-1])


def folder() -> str:
    """Folders of files through an artifact."""
    rows = read_results("folder.csv")
    cells = [
        (
            f"`{row['network']}`",
            f"{row['engine']} {row['precision']}",
            row["images"],
            row["alone_per_second"],
            row["whole_per_second"],
            f"{100 * float(row['share']):.0f}",
        )
        for row in rows
    ]
    head = (
        "network",
        "how",
        "files",
        "network alone, images/s",
        "from files, images/s",
        "share, %",
    )
    return markdown(head, cells) + about(rows[-1])


def train_step(file: str) -> str:
    """Training steps, ours and timm's."""
    rows = read_results(file)
    cells = [
        (
            row["case"],
            row["images_per_second"],
            row["speed_over_timm_default"] or "",
            row["speed_over_timm_equal"] or "",
            row["peak_mib"],
            row["saved_mib"],
        )
        for row in rows
    ]
    head = (
        "case",
        "img/s",
        "× timm's default",
        "× timm, same precision and layout",
        "peak memory, MiB",
        "kept for backward, MiB",
    )
    return markdown(head, cells) + about(rows[0])


# To this day `bench dense` took the peak of the process that measured for that of a case.
PEAKS_OF_THE_PARENT = "2026-11-28"


def tasks_speed() -> str:
    """Training step and inference of each other task, ours and other libraries'."""
    files = [name for name in ("dense.csv", "tasks.csv") if (RESULTS / name).is_file()]  # once so
    rows = [row for name in files for row in read_results(name)]
    cells = [
        (
            row["task"],
            {"train": "training step", "infer": "inference"}[row["kind"]],
            row["case"],
            f"{row['batch']} of {row['size']}",
            row["n"],
            row["median_ms"],
            row["speed_of_ours"] or "–",
            row["peak_mib"] if row["date"] > PEAKS_OF_THE_PARENT else "–",
        )
        for row in rows
    ]
    head = (
        *("task", "what", "case", "images, pixels", "rounds", "ms"),
        *("× of ours fp32 nchw over it", "peak memory, MiB"),
    )
    return markdown(head, cells) + about(rows[-1])


def evaluators() -> str:
    """Evaluators and decoders, ours and the plain way."""
    rows = read_results("evaluators.csv")
    cells = [(row["case"], row["median_ms"], row["speed_of_ours"] or "–") for row in rows]
    return markdown(("case", "ms", "× of ours over it"), cells) + about(rows[-1])


def demo() -> str:
    """What ``res2net demo`` printed: its epochs and its scores."""
    lines = (RESULTS / "demo.txt").read_text().splitlines()
    per_class = next(i for i, line in enumerate(lines) if "Classes, the worst first" in line)
    last = next(i for i, line in enumerate(lines) if line.startswith("of "))
    shown = [*lines[:per_class], *lines[last:]]
    return "```text\n" + "\n".join(shown) + "\n```\n"


def parity() -> str:
    """How far our networks are from timm's and torchvision's."""
    rows = read_results("parity.csv")
    columns = ("library", "sizes", "logits", "levels", "gradients", "statistics")
    cells = [
        (f"`{row['network']}`", *(row[name] or "–" for name in columns), row["level_names"] or "–")
        for row in rows
    ]
    head = ("network", *columns, "levels compared")
    last = rows[-1]
    made = f"\ntorch {last['torch']}, torchvision {last['torchvision']}, timm {pinned('timm')}, "
    return markdown(head, cells) + made + f"{last['date']}: `{last['command']}`\n"


def loading() -> str:
    """The share of an epoch that reading images costs."""
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
    head = ("images", "network", "number", "epoch, s", "epoch without reading, s", "share, %")
    last = rows[-1]
    made = f"\nMeasured on {last['cores']} cores of {last['cpu']}, torch {last['torch']}, "
    return markdown(head, cells) + made + f"{last['date']}: `{last['command']}`\n"


def serve() -> str:
    """Crowds before a server."""
    if not (RESULTS / "serve.csv").is_file():
        return "Not measured yet.\n"
    rows = read_results("serve.csv")
    columns = ("clients", "requests", "answered", "refused_first", "lost_or_hung", "per_second")
    times = ("alone_median_ms", "p50_ms", "p95_ms", "p95_with_retries_ms")
    cells = [
        (
            f"`{row['network']}`, {row['pixels']} pixels, {row['engine']}",
            *(row[name] for name in (*columns, *times, "commit")),
        )
        for row in rows
    ]
    head = (
        *("network", "clients", "requests", "answered", "came back", "lost or hung", "per second"),
        *("one alone, ms", "p50, ms", "p95, ms", "p95 with retries, ms", "commit"),
    )
    last = rows[-1]
    made = (
        f"\nQueue of {last['queue']}; {last['cores']} cores of {last['cpu']}, "
        f"torch {last['torch']}, openvino {last['openvino']}, {last['date']}: `{last['command']}`\n"
    )
    return markdown(head, cells) + made


def trainings() -> str:
    """Trained classifiers and what they reached."""
    rows = [row for row in read_results("trainings.csv") if row["top1_error"]]
    cells = [
        (
            row["network"],
            row["data"],
            row["pixels"],
            row["epochs"],
            f"{float(row['top1_error']):.2f}",
            f"{float(row['top5_error']):.2f}",
            f"[curves]({row['folder']}/curves.png)",
        )
        for row in rows
    ]
    head = ("network", "data", "pixels", "epochs", "top-1 error, %", "top-5 error, %", "")
    return markdown(head, cells)


def study(name: str) -> str:
    """A study: what each point is and costs, and what its rows say so far."""
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
            )
        )
    head = (
        *("point", "network", "parameters, M", "MACs, M", "seeds"),
        *(f"100 − {asked.score}, last epoch, %", f"against `{base.label}`, points"),
        *(f"{column.removeprefix(PREFIX)} px" for column in columns),
    )
    said = f"{asked.question}\n\n{markdown(head, cells)}"
    if not rows:
        return f"{said}\nNot measured yet.\n"
    last = rows[-1]
    commands: dict[str, list[str]] = {}
    for row in rows:
        where = f"{machine(row)}, torch {row['torch']}, commit {row['commit']}, {row['date']}"
        known = commands.setdefault(where, [])
        if (command := f"`{row['command']}`") not in known:
            known.append(command)
    made = "; ".join(f"{where}: {', '.join(known)}" for where, known in commands.items())
    about_rows = (
        f"\nMean ± standard deviation over seeds, differences seed by seed. {last['epochs']} "
        f"epochs, batch {last['batch']}, {last['val_images']} images measured. {made}\n"
    )
    return f"{said}{about_rows}\n![{asked.question}](../results/studies/{name}.png)\n"
