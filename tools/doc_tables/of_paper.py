"""Tables of published and counted values (``res2net.paper``), with measured ones."""

from __future__ import annotations

import re

from doc_tables.markup import (
    RESULTS,
    conditions,
    every_row,
    kind_of_processor,
    markdown,
    of_best_kind,
    older_rows,
    read_results,
)
from doc_tables.of_results import beside
from res2net.experiments.items import ITEMS, NAMES
from res2net.experiments.results import read_results as read_measured
from res2net.experiments.sheets import markdown as as_markdown
from res2net.experiments.sheets import paper_sheet, runtime_sheet
from res2net.paper.claims import CLAIMS
from res2net.paper.networks import NETWORKS, find_variant
from res2net.paper.published import PUBLISHED, published, tables_of
from res2net.paper.recipes import RECIPES, recipes_of
from res2net.paper.structure import tally
from res2net.paper.tasks import CLASSIFY
from res2net.paper.widths import choose_width
from res2net.weights.catalogue import CATALOGUE

WIDTH_SCALES = (2, 3, 4, 5, 6, 8)


def networks() -> str:
    """All models: counted size and cost, published top-1 error."""
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


_FAMILIES = {  # one network of each
    "Res2Net, Res2NeXt, ResNet-50 and deeper": "res2net50_26w_4s",
    "Res2Net-18, -34, ResNet-18, -34": "res2net18",
    "DLA": "dla60_res2net",
    "Big-Little": "blres2net50",
    "CIFAR, Table 4": "res2next29_6c24w_4s",
}


def levels() -> str:
    """Channels and stride of the levels of each family."""
    names = [f"c{number}" for number in range(1, 6)]
    rows = []
    for title, network in _FAMILIES.items():
        found = {level.name: level for level in tally(find_variant(network)).levels}
        cells = (
            f"{found[name].channels} at {found[name].stride}" if name in found else ""
            for name in names
        )
        rows.append((title, *cells))
    return markdown(("models", *names), rows)


SHORT = "deploy_networks.csv"  # its networks are those of the short table


def networks_short() -> str:
    """The networks timed in one run: counted, published, measured."""
    rows = of_best_kind(read_results(SHORT))
    timed = {
        row["network"]: row
        for row in rows
        if (row["maker"], row["engine"], row["precision"]) == ("ours", "openvino", "fp32")
    }
    cells = []
    for name, row in timed.items():
        structure = tally(NETWORKS[name])
        errors = {p.value for p in published(network=name) if p.metric == "top1_error"}
        count = sum(file.network == name for file in CATALOGUE)
        cells.append(
            (
                f"`{name}`",
                f"{structure.params / 1e6:.1f}",
                f"{structure.macs / 1e9:.2f}",
                " / ".join(f"{e:.2f}" for e in sorted(errors, reverse=True)) or "–",
                f"{float(row['median_ms']):.1f}",
                f"[{count}](docs/weights.md#published-files)" if count else "–",
            )
        )
    head = (
        *("network", "parameters, M", "MACs, G", "published top-1 error, %", "latency, ms"),
        "published weights",
    )
    measured = [*timed.values()]
    made = "; ".join(conditions(measured, ("openvino",)))
    more = "[commands and more rows](docs/benchmarks.md)"
    return f"{markdown(head, cells)}\nMeasured on {made}; {more}\n{older_rows(measured)}"


def recipes() -> str:
    """Every recipe with its source."""
    rows = [
        ("all" if name == "smoke" else task, f"`{name}`", r.summary, r.source, r.promise or "–")
        for task in RECIPES
        for name, r in recipes_of(task).items()
        if name != "smoke" or task == CLASSIFY  # one of a kind: every task has it
    ]
    head = ("task", "recipe", "settings", "source", "reported result")
    return re.sub(r"---:", "---", markdown(head, rows))


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
    """The width at which each scale has the cost of the plain network."""
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


def reproduced(name: str) -> str:
    """A table of the paper with counted values; none of its trainings has been repeated."""
    return as_markdown(paper_sheet(ITEMS[name], []))


def runtimes() -> str:
    """Table 3's runtime on the machine of the results."""
    file = RESULTS / "reproduce_runtime.csv"
    sheet = runtime_sheet(ITEMS["table3"], read_measured(file))
    if not sheet:
        return "Not measured yet.\n"
    return as_markdown(sheet) + older_rows(read_results(file.name))


PRESERVED = {  # setting of Table 3 at ResNet-50's complexity → network
    "48w×2s": "res2net50_48w_2s",
    "26w×4s": "res2net50_26w_4s",
    "14w×8s": "res2net50_14w_8s",
}


def extra_runtime() -> str:
    """Section 4.2.3's "can often be ignored": time relative to ResNet-50, printed and measured."""
    printed = {row.setting: row.value for row in published("Table 3") if row.metric == "runtime"}
    macs = {name: tally(NETWORKS[name]).macs for name in ("resnet50", *PRESERVED.values())}
    rows = [
        (
            "multiply-adds, counted",
            *(_times(macs[n] / macs["resnet50"]) for n in PRESERVED.values()),
        ),
        ("time, Table 3 (a GPU)", *(_times(printed[s] / printed["64w"]) for s in PRESERVED)),
    ]
    measured: list[float] = []
    old = ""
    for file in ("reproduce_runtime.csv", "native_networks.csv", "gpu_deploy.csv"):
        cases: dict[str, dict[str, float]] = {}
        timed = read_results(file)
        over_resnet50 = beside("to_resnet50", every_row(file))
        old += older_rows(timed).replace("**Rows", f"**{file}: rows")
        for row in timed:
            if row["maker"] == "ours" and (ratio := over_resnet50(row)):
                kind = f"{row['cpu']} ({kind_of_processor(row)})"
                device = row.get("gpu") or f"{row['cores']} cores of {kind}"
                case = (
                    f"{row['engine']} {row['precision']}, batch {row['batch']}, {device} ({file})"
                )
                cases.setdefault(case, {})[row["network"]] = ratio
        for case, ratios in cases.items():
            found = [ratios.get(network) for network in PRESERVED.values()]
            measured += [ratio for ratio in found[1:2] if ratio]
            rows.append((case, *("–" if ratio is None else _times(ratio) for ratio in found)))
    return (
        f"{markdown(('relative to ResNet-50', *PRESERVED), rows)}\nMeasured here, 26w×4s takes "
        f"{_times(min(measured))} to {_times(max(measured))} the time of ResNet-50 (ratios of "
        f"medians; files in results/).\n{old}"
    )


def _times(ratio: float) -> str:
    return f"{ratio:.2f}×"


def claims() -> str:
    """Every statement of the paper about its tables, with the value from the table."""
    rows = []
    for claim in CLAIMS:
        unit = " %" if claim.kind == "ratio" else ""
        said = "better" if claim.claimed is None else f"{claim.claimed:g}{unit}"
        found = f"{claim.from_table(PUBLISHED):g}{unit}"
        verdict = "yes" if claim.agrees(PUBLISHED) else "**no**"
        if claim.erratum:
            verdict += f": {claim.erratum}"
        metric = NAMES[claim.metric].partition(",")[0]
        rows.append((claim.section, claim.words, metric, said, claim.item, found, verdict))
    head = ("section", "claim", "metric", "claimed", "table", "from the table", "agrees")
    return re.sub(r"---:", "---", markdown(head, rows))
