"""``res2net demo``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from res2net.cli.parser import Parser, read_options
from res2net.cli.tables import show
from res2net.errors import UserError

NETWORK = "res2net29_small"


def make_parser() -> Parser:
    """The demo's two options."""
    parser = Parser(
        "demo [--out FOLDER]",
        f"Train {NETWORK} on the 1,797 scanned digits that ship inside scikit-learn (no download), "
        "show its scores, and classify some held-out digits.",
    )
    parser.add_argument("--out", type=Path | None, help="run folder; default: runs/demo")
    parser.add_argument("--epochs", type=int, default=12, help="passes over the digits")
    return parser


def main(argv: Sequence[str]) -> None:
    """Train, measure, predict, and print where the results are."""
    options = read_options(make_parser(), argv)
    if options.epochs < 1:
        raise UserError(f"--epochs is {options.epochs}; it must be at least 1")

    from res2net.cli.train import resolve
    from res2net.tasks.evaluate import evaluate
    from res2net.training.configure import free_folder
    from res2net.training.run import fit

    out = options.out or free_folder(Path("runs/demo"))
    epochs = str(options.epochs)
    config, run, *_ = resolve(
        ["--model", NETWORK, "--data", "digits", "--out", str(out), "--train.epochs", epochs]
    )
    fit(config, run, resume=False)
    show(*evaluate(run, "digits", out=run).scores.tables())
    print(read_unseen(run))
    print(f"report with pictures: {run}/report.md")
    print("next, your own images:  res2net train --model res2net50_26w_4s --data YOUR_FOLDER")


def read_unseen(run: Path) -> str:
    """Write a sheet of held-out digits and their predictions; return the score in words."""
    import numpy as np

    from res2net.data.readers import read
    from res2net.data.source import parse_source
    from res2net.tasks.classify.pictures import draw_predictions
    from res2net.tasks.open import open_target

    unseen = read(parse_source("digits")).val
    predictor = open_target(run).predictor()
    images = [np.asarray(image) for image in unseen.images[:24]]
    found = predictor.predict(images, top=1)
    labels = [f"{p.label} {100 * p.probability:.0f} %" for p in found]
    draw_predictions(images, labels, run / "predictions.png")
    right = sum(p.label == str(t) for p, t in zip(found, unseen.labels[:24], strict=True))
    return f"{right} of {len(found)} held-out digits classified correctly: {run}/predictions.png"
