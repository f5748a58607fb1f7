"""Does pretraining without labels help where few images have labels?

``python tools/pretrain_study.py DATA`` takes a folder with ``train/CLASS`` and ``val/CLASS``. For
each seed it pretrains on all training images without their labels, and trains with the labels of a
tenth of them twice: from random weights and from the pretrained ones, under one recipe. All are
measured on the validation images, with the weights of the last epoch. A row is appended per
training; the same command resumes after an interruption.
"""

from __future__ import annotations

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.model_selection import train_test_split

import res2net
from res2net.bench.protocol import append_rows
from res2net.data.readers import read
from res2net.data.source import parse_source
from res2net.errors import UserError
from res2net.experiments.results import read_results
from res2net.experiments.study import epochs_of, scores_of

POINTS = ("features", "scratch", "pretrained")  # in this order: the last starts from the first


def make_parser() -> argparse.ArgumentParser:
    """The options of this command."""
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("data", type=Path)
    parser.add_argument("--out", type=Path, default=Path("runs/pretrain-study"))
    parser.add_argument("--results", type=Path, default=Path("results/studies/pretrain.csv"))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--model", default="res2net26_small")
    parser.add_argument("--size", type=int, default=64, help="input size in pixels")
    parser.add_argument("--share", type=float, default=0.1, help="share of images with labels")
    parser.add_argument("--pretrain-epochs", type=int, default=100)
    parser.add_argument("--epochs", type=int, default=100, help="of the trainings with labels")
    parser.add_argument("--workers", type=int, help="processes that read images")
    return parser


def labelled_part(data: Path, share: float, seed: int, folder: Path) -> Path:
    """A folder of links to a share of the training images of each class, and to ``val``."""
    images = read(parse_source(f"folder:{data.resolve()}"))
    rows = np.arange(len(images.train))
    labels = images.train.labels
    chosen = train_test_split(rows, train_size=share, random_state=seed, stratify=labels)[0]
    for row in sorted(chosen.tolist()):
        target = Path(str(images.train.images[row]))
        link = folder / "train" / images.classes[labels[row]] / target.name
        link.parent.mkdir(parents=True, exist_ok=True)
        if not link.is_symlink():
            link.symlink_to(target)
    if not (folder / "val").is_symlink():
        (folder / "val").symlink_to(data.resolve() / "val")
    return folder


def options_of(point: str, given: argparse.Namespace, seed: int, data: Path) -> dict[str, Any]:
    """The arguments of ``res2net.train`` for a point."""
    pretraining = point == "features"
    net = {"pretrained": str(given.out / f"features-seed{seed}")} if point == "pretrained" else {}
    epochs = given.pretrain_epochs if pretraining else given.epochs
    size = {"size": given.size, "workers": given.workers}
    return {
        "model": given.model,
        "data": f"folder:{data}",
        "task": "pretrain" if pretraining else "classify",
        "recipe": "scratch" if pretraining else "finetune",
        "seed": seed,
        "net": {"pretrained": None, **net},
        "input": {name: value for name, value in size.items() if value is not None},
        "train": {"epochs": epochs, "select": "last"},
    }


def main() -> None:
    """Train what has no row yet."""
    given = make_parser().parse_args()
    command = f"python tools/pretrain_study.py {shlex.join(sys.argv[1:])}"
    for seed in range(given.seeds):
        part = labelled_part(given.data, given.share, seed, given.out / f"labels-seed{seed}")
        for point in POINTS:
            options = options_of(point, given, seed, given.data if point == POINTS[0] else part)
            settings = " ".join(
                f"{group}.{name}={value}"
                for group in ("input", "train")
                for name, value in options[group].items()
                if name != "workers"
            )
            about = {"study": "pretrain", "point": point, "seed": str(seed), "settings": settings}
            about |= {"network": given.model, "share": str(given.share)}
            if any(about.items() <= row.items() for row in read_results(given.results)):
                continue
            folder = given.out / f"{point}-seed{seed}"
            print(f"\n{point}, seed {seed}")
            resume = (folder / "config.yaml").is_file()
            run = res2net.train(**options, out=folder, resume=resume)
            scores, epochs = scores_of(folder), epochs_of(folder)
            names = ("top1_error", "probe_error", "spread")
            row = {
                **about,
                "images": len(read(parse_source(options["data"])).train),
                "epochs": len(epochs),
                "steps": epochs[-1]["step"],
                "batch": run.config.train.batch,
                **{name: scores.get(name, "") for name in names},
                "seconds": round(sum(float(epoch["seconds"]) for epoch in epochs)),
            }
            append_rows(given.results, [row], command)


if __name__ == "__main__":
    try:
        main()
    except UserError as error:
        sys.exit(f"{error}")
