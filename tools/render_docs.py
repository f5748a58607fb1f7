"""Write the generated tables into README.md and docs/*.md; ``--check`` only compares.

A table stands between ``<!-- begin: NAME -->`` and ``<!-- end: NAME -->``. Numbers come from the
paper room (published, counted) and from results/ (measured), never from a keyboard.
"""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from res2net.paper.claims import CLAIMS
from res2net.paper.networks import NETWORKS, find_variant
from res2net.paper.published import PUBLISHED, published, tables_of
from res2net.paper.recipes import RECIPES
from res2net.paper.recipes_dense import DENSE_RECIPES
from res2net.paper.structure import tally
from res2net.paper.widths import choose_width
from res2net.reproduce.items import ITEMS
from res2net.reproduce.sheets import markdown as as_markdown
from res2net.reproduce.sheets import paper_sheet, read_measured, runtime_sheet, small_sheet
from res2net.studies.results import difference, read_rows, spread
from res2net.studies.scenes import PREFIX
from res2net.studies.table import STUDIES, find_study
from res2net.weights.catalogue import CATALOGUE

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "results"
WIDTH_SCALES = (2, 3, 4, 5, 6, 8)
BLOCK = re.compile(r"(<!-- begin: ([\w-]+) -->\n).*?(<!-- end: \2 -->)", re.DOTALL)


def markdown(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table; the first column is left-aligned, the others right."""
    lines = [f"| {' | '.join(head)} |", f"| --- |{' ---: |' * (len(head) - 1)}"]
    lines += [f"| {' | '.join(row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def networks() -> str:
    """Every row: counted size and cost, published top-1 error."""
    rows = []
    for name, variant in NETWORKS.items():
        structure = tally(variant)
        errors = {p.value for p in published(network=name) if p.metric == "top1_error"}
        tables = ", ".join(tables_of(name)) or "–"
        rows.append(
            (
                f"`{name}`",
                f"{structure.params / 1e6:.3f}",
                f"{structure.macs / 1e9:.3f}",
                str(variant.size),
                " / ".join(f"{e:.2f}" for e in sorted(errors, reverse=True)) or "–",
                tables,
            )
        )
    head = ("network", "parameters, M", "MACs, G", "pixels", "published top-1 error, %", "tables")
    return markdown(head, rows)


def recipes() -> str:
    """Every recipe with where it comes from."""
    rows = [
        (task, f"`{name}`", r.summary, r.source, r.promise or "–")
        for task, known in {"classify": RECIPES, **DENSE_RECIPES}.items()
        for name, r in known.items()
    ]
    head = ("task", "recipe", "what", "source", "said to reach")
    return re.sub(r"---:", "---", markdown(head, rows))


def read_results(name: str) -> list[dict[str, str]]:
    """Rows of a results file."""
    with (RESULTS / name).open(newline="") as file:
        return list(csv.DictReader(file))


def pinned(package: str) -> str:
    """The version of a package that measurements are made with."""
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return next(line.partition("==")[2] for line in lines if line.startswith(f"{package}=="))


def about(row: Mapping[str, str]) -> str:
    """What a measured table depends on, in a line."""
    return (
        f"\nMeasured on {row['cores']} cores of {row['cpu']}, torch {row['torch']}, "
        f"timm {pinned('timm')}, n = {row['n']} interleaved rounds, {row['date']}: "
        f"`{row['command']}`\n"
    )


def deploy() -> str:
    """Two networks in every engine, ours and timm's."""
    return _speeds(read_results("deploy.csv"))


def deploy_batch8() -> str:
    """The same at eight images a time."""
    return _speeds(read_results("deploy_batch8.csv"))


def deploy_compiled() -> str:
    """The same networks through torch.compile."""
    return _speeds(read_results("deploy_compiled.csv"))


def deploy_networks_int8() -> str:
    """Every network of Table 3 in int8."""
    return _speeds(read_results("deploy_networks_int8.csv"))


def deploy_networks() -> str:
    """Many networks, ours, in the fastest engine and in PyTorch."""
    return _speeds(read_results("deploy_networks.csv"))


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


def _speeds(rows: Sequence[Mapping[str, str]]) -> str:
    columns = ("over_timm", "to_resnet50", "over_timm_eager")
    cells = [
        (
            f"`{row['network']}`",
            f"{row['maker']}, {row['engine']} {row['precision']}",
            row["batch"],
            row["median_ms"],
            *(row[name] or "–" for name in columns),
        )
        for row in rows
    ]
    head = (
        *("network", "how", "batch", "ms", "× timm, same engine"),
        *("time / ResNet-50", "× timm eager fp32"),
    )
    return markdown(head, cells) + about(rows[-1])


def train_step() -> str:
    """Training steps, ours and timm's."""
    rows = read_results("train_step.csv")
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


def dense_speed() -> str:
    """Training step and inference of each dense task, ours and other libraries'."""
    rows = read_results("dense.csv")
    cells = [
        (
            row["task"],
            {"train": "training step", "infer": "inference"}[row["kind"]],
            row["case"],
            row["median_ms"],
            row["speed_of_ours"] or "–",
            row["peak_mib"],
        )
        for row in rows
    ]
    head = ("task", "what", "case", "ms", "× of ours fp32 nchw over it", "peak memory, MiB")
    return markdown(head, cells) + about(rows[-1])


def evaluators() -> str:
    """Evaluators and decoders, ours and the plain way."""
    rows = read_results("evaluators.csv")
    cells = [(row["case"], row["median_ms"], row["speed_over_other"] or "–") for row in rows]
    return markdown(("case", "ms", "× over the other"), cells) + about(rows[-1])


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


def weights() -> str:
    """Every published file."""

    def errors(pair: tuple[float, float] | None) -> str:
        return f"{pair[0]:.2f} / {pair[1]:.2f}" if pair else "–"

    rows = [
        (
            f"`{row.name}`",
            row.file if not row.hub else f"{row.hub} on the hub",
            errors(row.published),
            errors(row.measured),
            "yes" if row.licence.commercial else "no",
        )
        for row in CATALOGUE
    ]
    head = (
        "name",
        "file",
        "published top-1 / top-5 error, %",
        "measured by timm",
        "commercial use",
    )
    return markdown(head, rows)


def widths() -> str:
    """The width that each scale needs to cost what the plain network costs."""
    rows = []
    for network in ("resnet50", "resnet101", "dla60"):
        for budget, what in (("params", "parameters"), ("macs", "MACs")):
            plain = getattr(tally(find_variant(network)), budget)
            cells = []
            for scale in WIDTH_SCALES:
                width = choose_width(scale, budget, network=network)
                row = find_variant(network, {"scale": scale, "width": width})
                cells.append(f"{width} ({100 * (getattr(tally(row), budget) / plain - 1):+.1f} %)")
            rows.append((f"`{network}`, {what}", *cells))
    return markdown(("budget", *(f"s = {scale}" for scale in WIDTH_SCALES)), rows)


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
    commits = ", ".join(sorted({row["commit"] for row in rows}))
    about_rows = (
        f"\nMean ± standard deviation over seeds, differences seed by seed. {last['epochs']} "
        f"epochs, batch {last['batch']}, {last['val_images']} images measured; {last['cpu']}, "
        f"torch {last['torch']}, commit {commits}, {last['date']}: `{last['command']}`\n"
    )
    return f"{said}{about_rows}\n![{asked.question}](../results/studies/{name}.png)\n"


def reproduced(name: str) -> str:
    """A table of the paper, counted, and measured where it was."""
    return as_markdown(paper_sheet(ITEMS[name], read_measured(RESULTS / "reproduce.csv")))


def reproduced_small() -> str:
    """Every item that was measured with small networks."""
    measured = read_measured(RESULTS / "reproduce.csv")
    sheets = [sheet for item in ITEMS.values() if (sheet := small_sheet(item, measured))]
    if not sheets:
        return "Nothing was measured yet.\n"
    return "\n".join(f"{sheet.title}:\n\n{as_markdown(sheet)}" for sheet in sheets)


def runtimes() -> str:
    """Table 3's runtime on the machine of the results."""
    files = (RESULTS / "deploy_networks.csv", RESULTS / "reproduce_runtime.csv")
    sheet = runtime_sheet(ITEMS["table3"], read_measured(*files))
    return as_markdown(sheet) if sheet else "Nothing was measured yet.\n"


def claims() -> str:
    """Every sentence of the paper on its tables beside what the table gives."""
    rows = []
    for claim in CLAIMS:
        unit = " %" if claim.kind == "ratio" else ""
        said = "better" if claim.claimed is None else f"{claim.claimed:g}{unit}"
        found = f"{claim.from_table(PUBLISHED):g}{unit}"
        verdict = "yes" if claim.agrees(PUBLISHED) else "**no**"
        if claim.erratum:
            verdict += f": {claim.erratum}"
        rows.append((claim.section, claim.words, claim.metric, said, claim.item, found, verdict))
    head = ("section", "says", "of", "figure", "table", "by the table", "agrees")
    return re.sub(r"---:", "---", markdown(head, rows))


TABLES: Mapping[str, Callable[[], str]] = {
    "networks": networks,
    "recipes": recipes,
    "demo": demo,
    "deploy": deploy,
    "deploy-networks": deploy_networks,
    "deploy-networks-int8": deploy_networks_int8,
    "deploy-batch8": deploy_batch8,
    "deploy-compiled": deploy_compiled,
    "folder": folder,
    "train-step": train_step,
    "dense-speed": dense_speed,
    "evaluators": evaluators,
    "loading": loading,
    "parity": parity,
    "serve": serve,
    "trainings": trainings,
    "widths": widths,
    "weights": weights,
    **{f"study-{name}": partial(study, name) for name in STUDIES},
    **{
        f"reproduce-{name}": partial(reproduced, name) for name, item in ITEMS.items() if item.table
    },
    "reproduce-small": reproduced_small,
    "reproduce-runtime": runtimes,
    "claims": claims,
}


def render(text: str) -> str:
    """The text with every block made anew."""
    return BLOCK.sub(lambda m: f"{m.group(1)}{TABLES[m.group(2)]()}{m.group(3)}", text)


def main() -> int:
    """Render all pages; with ``--check`` return 1 where one is out of date."""
    check, stale = "--check" in sys.argv[1:], []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        old = page.read_text()
        new = render(old)
        if new != old:
            stale.append(page.name)
            if not check:
                page.write_text(new)
    if stale:
        print(f"{'out of date' if check else 'written'}: {', '.join(stale)}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
