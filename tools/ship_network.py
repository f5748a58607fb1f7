"""Put a trained run into the package as its demo model: weights, model.json and a model card.

``python tools/ship_network.py RUN`` takes the run folder of ``res2net study cifar-shipped``. All
numbers of the card are those of the run.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

from res2net.card import CARD_NAME, WEIGHTS_NAME, ModelCard
from res2net.files import write_bytes, write_text
from res2net.paper.networks import find_variant
from res2net.paper.structure import tally
from res2net.weights.catalogue import SHIPPED

LARGEST = 8e6  # bytes of weights that may ship with the package
CARD = """# Demo model {network}
A small {network} ({options}) trained on the {classes} classes of {data}. It ships with the package
for demonstration, so that `res2net predict`, `explain` and `serve` work without a download. Inputs
are {size}×{size} pixels, which leaves only rough shapes and colours; for real work, train or
fine-tune your own network.

| | |
| --- | --- |
| parameters | {params:.2f} M |
| multiply-adds per image | {macs:.0f} M |
| top-1 error on {data}, {tested} test images | {top1:.2f} % |
| top-5 error | {top5:.2f} % |
| epochs; the best one was selected on the same test images | {epochs} |
| recipe | `{recipe}`, from scratch, one thread of {cpu} |
| trained at | {commit}, torch {torch} |
| file | {size_mb:.2f} MB |

It was trained with `res2net study cifar-shipped`. The weights have the licence of this package; the
training images are not included. The {classes} classes are equally frequent in the training images.
The model always predicts one of them, so its confidence means little for a photo of anything else.
"""


def ship(run: Path) -> list[Path]:
    """Write the three files; returns them.

    Raises:
        UserError: not a run folder.
        SystemExit: the weights are too large for the package.
    """
    found = ModelCard.read(run / CARD_NAME)
    weights = (run / WEIGHTS_NAME).read_bytes()
    if len(weights) > LARGEST:
        raise SystemExit(f"{run}: {len(weights)} bytes of weights; the limit is {LARGEST:.0f}")
    data = found.data.partition(":")[0]
    card = replace(found, data=data, notes=f"trained on {data} by this project, from scratch")
    size = card.preprocess.size
    options = {name: card.options[name] for name in ("width", "scale") if name in card.options}
    count = tally(find_variant(card.network, options), size=size, num_classes=len(card.classes))
    history = (run / "metrics.csv").read_text(encoding="utf-8").splitlines()
    scores = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    text = CARD.format(
        network=card.network,
        options=", ".join(f"{name} {value}" for name, value in options.items()),
        classes=len(card.classes),
        data=data,
        size=size,
        params=count.params / 1e6,
        macs=count.macs / 1e6,
        tested=scores["count"],
        top1=scores["top1_error"],
        top5=scores["top5_error"],
        epochs=len(history) - 1,
        recipe=card.recipe,
        cpu=card.versions["cpu"],
        torch=card.versions["torch"],
        commit=card.commit,
        size_mb=len(weights) / 1e6,
    )
    SHIPPED.mkdir(exist_ok=True)
    files = [SHIPPED / name for name in (WEIGHTS_NAME, CARD_NAME, "README.md")]
    write_bytes(files[0], weights)
    write_text(files[1], json.dumps(card.as_dict(), indent=2) + "\n")
    write_text(files[2], text)
    return files


if __name__ == "__main__":
    for written in ship(Path(sys.argv[1])):
        print(written)
