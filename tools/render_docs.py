"""Write the generated tables and charts of README.md and docs/*.md; ``--check`` compares tables.

Tables are written between ``<!-- begin: NAME -->`` and ``<!-- end: NAME -->``. Numbers come from
``res2net.paper`` (published, counted) and from results/ (measured), never typed by hand.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from functools import partial

from doc_tables import of_paper, of_results
from doc_tables.markup import ROOT

from res2net.experiments.items import ITEMS
from res2net.experiments.studies import STUDIES

BLOCK = re.compile(r"(<!-- begin: ([\w-]+) -->\n).*?(<!-- end: \2 -->)", re.DOTALL)

TABLES: Mapping[str, Callable[[], str]] = {
    "networks": of_paper.networks,
    "networks-short": of_paper.networks_short,
    "recipes": of_paper.recipes,
    "demo": of_results.demo,
    "deploy": partial(of_results.speeds, "deploy.csv"),
    "deploy-gpu": partial(of_results.speeds, "gpu_deploy.csv"),
    "deploy-native": partial(of_results.speeds, "native_networks.csv"),
    "deploy-native-batch8": partial(of_results.speeds, "native_batch8.csv"),
    "deploy-sizes": of_results.sizes,
    "roofline": of_results.roofline,
    "deploy-networks": partial(of_results.speeds, "deploy_networks.csv"),
    "deploy-networks-int8": partial(of_results.speeds, "deploy_networks_int8.csv"),
    "deploy-batch8": partial(of_results.speeds, "deploy_batch8.csv"),
    "deploy-compiled": partial(of_results.speeds, "deploy_compiled.csv"),
    "folder": of_results.folder,
    "train-step": partial(of_results.train_step, "train_step.csv"),
    "gpu-train-step": partial(of_results.train_step, "gpu_train_step.csv"),
    "tasks-speed": of_results.tasks_speed,
    "evaluators": of_results.evaluators,
    "loading": of_results.loading,
    "growth": of_results.growth,
    "measures": of_results.measures,
    "parity": of_results.parity,
    "serve": of_results.serve,
    "trainings": of_results.trainings,
    "widths": of_paper.widths,
    "weights": of_paper.weights,
    **{f"study-{name}": partial(of_results.study, name) for name in STUDIES},
    **{
        f"reproduce-{name}": partial(of_paper.reproduced, name)
        for name, item in ITEMS.items()
        if item.table
    },
    "reproduce-small": of_paper.reproduced_small,
    "reproduce-runtime": of_paper.runtimes,
    "extra-runtime": of_paper.extra_runtime,
    "claims": of_paper.claims,
}


def render(text: str) -> str:
    """The text with every block regenerated."""
    return BLOCK.sub(lambda m: f"{m.group(1)}{TABLES[m.group(2)]()}{m.group(3)}", text)


def main() -> int:
    """Render all pages; with ``--check`` return 1 if one is out of date."""
    check, stale = "--check" in sys.argv[1:], []
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        old = page.read_text()
        new = render(old)
        if new != old:
            stale.append(page.name)
            if not check:
                page.write_text(new)
    if not check:
        of_results.draw_charts(ROOT / "docs" / "pictures")
    if stale:
        print(f"{'out of date' if check else 'written'}: {', '.join(stale)}")
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
