"""Record the results of a finished run: ``python tools/record_training.py RUN NAME``.

Copies tables and plots (no weights, no photos) to results/NAME and appends a row to
results/trainings.csv with the commit and versions recorded by the run. For trainings of several
networks and seeds use ``res2net study``, which records them itself.
"""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from pathlib import Path

from res2net.config import RunConfig
from res2net.files import write_text

RESULTS = Path(__file__).resolve().parent.parent / "results"
KEPT = ("metrics.csv", "metrics.json", "per_class.csv", "curves.png", "confusion.png")


def main() -> None:
    """Copy the files and append the row."""
    run, name = Path(sys.argv[1]), sys.argv[2]
    card = json.loads((run / "model.json").read_text())
    config = RunConfig.read(run / "config.yaml")
    with (run / "metrics.csv").open(newline="") as file:
        epochs = list(csv.DictReader(file))
    row = {
        "folder": f"results/{name}",
        "task": config.task,
        "network": card["network"],
        "data": config.data.partition(":")[0],
        "pixels": card["preprocess"]["size"],
        "recipe": card["recipe"],
        "epochs": len(epochs),
        "batch": config.train.batch,
        "seed": config.seed,
        **card["metrics"],
        "seconds": sum(float(epoch["seconds"]) for epoch in epochs),
        "commit": card["commit"],
        **card["versions"],
    }
    folder = RESULTS / name
    folder.mkdir(parents=True)
    for file_name in KEPT:
        if (run / file_name).is_file():
            shutil.copy(run / file_name, folder / file_name)
    table = RESULTS / "trainings.csv"
    old = list(csv.DictReader(table.open(newline=""))) if table.is_file() else []
    rows = [*({"task": "classify", **before} for before in old), row]
    columns = list(dict.fromkeys(column for each in (rows[-1], *rows) for column in each))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(table, text.getvalue())


if __name__ == "__main__":
    main()
