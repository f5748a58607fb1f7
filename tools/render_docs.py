"""Write the generated tables, numbers and charts of README.md and docs/*.md; ``--check`` compares.

Tables are written between ``<!-- begin: NAME -->`` and ``<!-- end: NAME -->``, numbers in sentences
as in ``doc_tables.prose``. They come from ``res2net.paper`` (published, counted), from results/
(measured) and from constants of the code, never typed by hand; a number without source is reported.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from functools import partial

from doc_tables import of_paper, of_results
from doc_tables.markup import ROOT
from doc_tables.prose import faults, render_spots

from res2net.experiments.items import ITEMS
from res2net.experiments.studies import STUDIES

PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
BLOCK = re.compile(r"(<!-- begin: ([\w-]+) -->\n).*?(<!-- end: \2 -->)", re.DOTALL)

TABLES: Mapping[str, Callable[[], str]] = {
    "networks": of_paper.networks,
    "levels": of_paper.levels,
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
    "study-pretrain": of_results.pretraining,
    "widths": of_paper.widths,
    "weights": of_paper.weights,
    **{f"study-{name}": partial(of_results.study, name) for name in STUDIES},
    **{
        f"reproduce-{name}": partial(of_paper.reproduced, name)
        for name, item in ITEMS.items()
        if item.table
    },
    "reproduce-runtime": of_paper.runtimes,
    "extra-runtime": of_paper.extra_runtime,
    "claims": of_paper.claims,
}


def render(text: str) -> str:
    """The text with every block regenerated."""
    text = BLOCK.sub(lambda m: f"{m.group(1)}{TABLES[m.group(2)]()}{m.group(3)}", text)
    return render_spots(text)


def main() -> int:
    """Render all pages; return 1 for a number without source, with ``--check`` for a stale page."""
    check, stale, wrong = "--check" in sys.argv[1:], [], []
    for page in PAGES:
        old = page.read_text()
        new = render(old)
        wrong += faults(page.name, new)
        if new != old:
            stale.append(page.name)
            if not check:
                page.write_text(new)
    if not check:
        of_results.draw_charts(ROOT / "docs" / "pictures")
    if stale:
        print(f"{'out of date' if check else 'written'}: {', '.join(stale)}")
    print("\n".join(wrong), end="\n" * bool(wrong))
    return int(bool(wrong or (check and stale)))


if __name__ == "__main__":
    sys.exit(main())
