"""Keep what a finished run measured: ``python tools/record_training.py RUN NAME``.

Copies tables and plots (no weights, no photographs) to results/NAME and appends a row to
results/trainings.csv with the commit and versions that the run itself wrote down.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from pathlib import Path

import yaml

from res2net.files import write_text

RESULTS = Path(__file__).resolve().parent.parent / "results"
KEPT = ("metrics.csv", "metrics.json", "per_class.csv", "curves.png", "confusion.png")


def main() -> None:
    """Copy and append."""
    run, name = Path(sys.argv[1]), sys.argv[2]
    folder = RESULTS / name
    folder.mkdir(parents=True)
    for file in KEPT:
        shutil.copy(run / file, folder / file)
    card = json.loads((run / "model.json").read_text())
    config = yaml.safe_load((run / "config.yaml").read_text())
    with (run / "metrics.csv").open(newline="") as file:
        epochs = list(csv.DictReader(file))
    row = {
        "folder": f"results/{name}",
        "network": card["network"],
        "data": name.partition("_")[0],
        "pixels": card["preprocess"]["size"],
        "recipe": card["recipe"],
        "epochs": len(epochs),
        "batch": config["train"]["batch"],
        "seed": config["seed"],
        "top1_error": card["metrics"]["top1_error"],
        "top5_error": card["metrics"]["top5_error"],
        "seconds": sum(float(epoch["seconds"]) for epoch in epochs),
        "commit": card["commit"],
        **card["versions"],
    }
    table = RESULTS / "trainings.csv"
    old = list(csv.DictReader(table.open(newline=""))) if table.is_file() else []
    text = io.StringIO()
    writer = csv.DictWriter(text, list(row), restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows([*old, row])
    write_text(table, text.getvalue())


if __name__ == "__main__":
    main()
